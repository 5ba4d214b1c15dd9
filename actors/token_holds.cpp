#include "actors/token_holds.hpp"

#include <memory>

#include "actors/refusals.hpp"
#include "actors/token_room.hpp"
#include "runtime/database.hpp"

namespace kgents::actors {

using namespace std::chrono_literals;

namespace {

/// Longer than a model may take for its answer: what is older was held by a node that is lost.
constexpr auto held_for = 330s;
/// Longer than the journal's group commit takes.
constexpr auto kept_for = 5s;
/// A limit that is set is noticed after this.
constexpr auto unlimited_for = 5s;
constexpr size_t most_known_keys = 256;

}  // namespace

void token_holds::hold(usage_id id, api_key_id key, const sql::token_need& need, held done) {
  const auto known = unlimited_.find(key);
  if (need.most == 0 || (known != unlimited_.end() && self_->clock().now() < known->second)) {
    done({}, 0);
    return;
  }
  auto query = sql::tokens::hold(
      tenant_, id, key.value.is_nil() ? std::nullopt : std::optional{key}, need, held_for);
  runtime::run_query(self_, database_, std::move(query), [this, id, key, need, done](auto out) {
    const auto* x = std::get_if<0>(&out);
    if (x == nullptr) {
      done(refused_by_database(std::get<1>(out)), 0);
      return;
    }
    using enum sql::held_tokens::kind;
    switch (x->what) {
      case unlimited:
        if (unlimited_.size() >= most_known_keys)
          unlimited_.clear();
        unlimited_[key] = self_->clock().now() + unlimited_for;
        done({}, 0);
        return;
      case held:
        unlimited_.erase(key);
        held_.insert(id);
        done({}, x->tokens);
        return;
      case exhausted:
        done(refused_by_budget(x->budget, need), 0);
        return;
      case oversized:
        done(refused_as_oversized(x->budget, need), 0);
        return;
    }
  });
}

void token_holds::hold(usage_id id, api_key_id key, llm::prompt ask, asked done) {
  const auto need = need_of(ask);
  auto kept = std::make_shared<llm::prompt>(std::move(ask));
  hold(id, key, need, [kept, done = std::move(done)](refusal why, uint64_t most) {
    if (why.status == 0 && most > 0)
      fit(*kept, most);
    done(std::move(why), std::move(*kept));
  });
}

void token_holds::keep(usage_id id, uint64_t tokens) {
  if (held_.erase(id) == 0)
    return;
  auto query = sql::tokens::keep(tenant_, id, tokens, kept_for);
  // When it fails they stay held until they expire.
  runtime::run_query(self_, database_, std::move(query), [](auto) {});
}

}  // namespace kgents::actors
