#pragma once

#include <algorithm>
#include <caf/event_based_actor.hpp>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/database.hpp"

/// A database that a test writes itself: an actor that answers transactions with rows the test
/// makes up, with failures, or later.
namespace kgents::actors::test {

using cell = std::optional<std::string>;

/// Rows as PostgreSQL would send them: a real PGresult.
inline sql::rows make_rows(int columns, const std::vector<std::vector<cell>>& lines) {
  auto* out = PQmakeEmptyPGresult(nullptr, PGRES_TUPLES_OK);
  char name[] = "column";
  std::vector<PGresAttDesc> types(static_cast<size_t>(columns),
                                  PGresAttDesc{name, 0, 0, 0, 25, -1, -1});
  PQsetResultAttrs(out, columns, types.data());
  for (size_t row = 0; row < lines.size(); ++row)
    for (size_t i = 0; i < lines[row].size(); ++i) {
      auto x = lines[row][i];
      PQsetvalue(out, static_cast<int>(row), static_cast<int>(i), x ? x->data() : nullptr,
                 x ? static_cast<int>(x->size()) : -1);
    }
  return sql::rows{out};
}

inline sql::outcome one_result(int columns, const std::vector<std::vector<cell>>& lines) {
  std::vector<sql::rows> all;
  all.push_back(make_rows(columns, lines));
  return all;
}

/// What the test and the database's actor share. Used by one thread: the deterministic scheduler's
/// is the test's.
class script {
public:
  using answerer = std::function<sql::outcome(const sql::transaction&)>;

  /// Transactions whose first statement contains `fragment` are called `name` and answered by
  /// `how`; the first that fits.
  void on(std::string name, std::string fragment, answerer how) {
    rules_.push_back({std::move(name), std::move(fragment), std::move(how)});
  }

  /// The next transaction of that name fails; PostgreSQL has done it nevertheless if `done`.
  void fail(const std::string& name, sql::failure::kind what, bool done = false) {
    failures_[name].push_back({what, done});
  }

  /// From now on transactions of that name wait for a `release_held` to the actor.
  void hold(const std::string& name) { held_[name]; }
  void release(const std::string& name) {
    const auto all = std::move(held_[name]);
    held_.erase(name);
    for (const auto& x : all)
      x();
  }
  [[nodiscard]] size_t waiting(const std::string& name) const {
    const auto at = held_.find(name);
    return at == held_.end() ? 0 : at->second.size();
  }

  /// Forgets those that wait: they hold the database's actor.
  void clear() { held_.clear(); }

  /// Names of all transactions so far, in order.
  std::vector<std::string> heard;
  /// The lease that each of those was to be written under.
  std::vector<std::optional<sql::fence>> fences;
  [[nodiscard]] size_t count(std::string_view name) const {
    return static_cast<size_t>(std::count(heard.begin(), heard.end(), name));
  }

  /// Answers now or later; by the actor.
  void answer(std::shared_ptr<sql::transaction> work, std::function<void(sql::outcome)> done) {
    const auto& text = work->statements.front().text;
    fences.push_back(work->fence);
    for (const auto& x : rules_)
      if (text.find(x.fragment) != std::string_view::npos) {
        heard.push_back(x.name);
        auto act = [this, &x, work, done] { done(run(x, *work)); };
        if (const auto at = held_.find(x.name); at != held_.end())
          at->second.push_back(act);
        else
          act();
        return;
      }
    heard.push_back("unknown: " + std::string{text});
    done(sql::failure{sql::failure::kind::rejected, "42601", std::string{text}});
  }

private:
  struct rule {
    std::string name;
    std::string fragment;
    answerer how;
  };
  struct planned_failure {
    sql::failure::kind what;
    bool done;
  };

  sql::outcome run(const rule& x, const sql::transaction& work) {
    auto& failures = failures_[x.name];
    if (failures.empty())
      return x.how(work);
    const auto next = failures.front();
    failures.pop_front();
    if (next.done)
      static_cast<void>(x.how(work));
    return sql::failure{next.what, "", "made up by the test"};
  }

  std::deque<rule> rules_;
  std::map<std::string, std::deque<planned_failure>> failures_;
  std::map<std::string, std::vector<std::function<void()>>> held_;
};

/// Answers what is held under that name, from now on at once. A message, since an actor answers
/// from inside itself.
struct release_held {
  std::string name;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, release_held& x) {
  return f(x.name);
}

class scripted_database : public caf::event_based_actor {
public:
  scripted_database(caf::actor_config& config, std::shared_ptr<script> how)
      : caf::event_based_actor(config), how_{std::move(how)} {}

  caf::behavior make_behavior() override {
    return {
        [this](runtime::sql_call& call) -> caf::result<runtime::sql_result> {
          auto promise = make_response_promise<runtime::sql_result>();
          how_->answer(call.work, [promise](sql::outcome out) mutable {
            promise.deliver(runtime::sql_result{std::make_shared<sql::outcome>(std::move(out))});
          });
          return promise;
        },
        [this](const release_held& x) { how_->release(x.name); }};
  }

private:
  const std::shared_ptr<script> how_;
};

}  // namespace kgents::actors::test
