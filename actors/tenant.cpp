#include "actors/tenant.hpp"

#include "actors/refusals.hpp"
#include "runtime/limits.hpp"

namespace kgents::actors {

namespace limits = runtime::limits;

namespace {

struct idle_check {};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, idle_check&) {
  return f();
}

/// Longer than a key stays cached, so a gate outlives the cached copies that use it.
constexpr auto check_every = std::chrono::minutes{10};

auto wall() { return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()); }

runtime::traffic_gate::moment moment() { return {std::chrono::steady_clock::now(), wall()}; }

runtime::key_limits limits_of(const sql::resolved_key& x) {
  return {x.requests_per_minute, x.burst, x.requests_per_hour, x.operations_per_day,
          x.tokens_limit_month};
}

}  // namespace

tenant::tenant(caf::actor_config& config, entity_id id,
               std::shared_ptr<const tenant_services> services)
    : caf::event_based_actor(config), id_{id}, services_{std::move(services)} {}

caf::behavior tenant::make_behavior() {
  set_default_handler(caf::drop);
  delayed_send(this, check_every, idle_check{});
  return {
      [this](const open_key& x) -> caf::result<answer<key_lease>> {
        auto out = make_response_promise<answer<key_lease>>();
        if (keys_.contains(x.key->key)) {
          opened(*x.key, out);
          return out;
        }
        auto& waiting = filling_[x.key->key];
        waiting.emplace_back(x.key, out);
        if (waiting.size() > 1)
          return out;
        auto query = sql::tenants::get(id_.tenant);
        runtime::run_query(this, services_->database, std::move(query),
                           [this, key = x.key](auto result) mutable {
                             auto* row = std::get_if<0>(&result);
                             if (row == nullptr)
                               filled(key->key, refused_by_database(std::get<1>(result)));
                             else if (!*row)
                               filled(key->key, {401, "Tenant context required", 0, ""});
                             else
                               fill(*key, **row);
                           });
        return out;
      },
      [this](idle_check) {
        // A gate that only we hold is nobody's: a key that comes back is counted from PostgreSQL
        // again. But nobody else counts its requests of this hour.
        std::erase_if(keys_, [at = moment()](const auto& x) {
          return x.second.use_count() == 1 && x.second->traffic().forgettable(at);
        });
        if (keys_.empty() && filling_.empty() && services_->retire(id_, address()))
          quit();
        else
          delayed_send(this, check_every, idle_check{});
      },
  };
}

void tenant::fill(const sql::resolved_key& key, const sql::tenant_row& row) {
  auto query = sql::keys::usage_of(id_.tenant, key.key);
  runtime::run_query(
      this, services_->database, std::move(query), [this, key, row](auto result) mutable {
        auto* used = std::get_if<0>(&result);
        if (used == nullptr) {
          filled(key.key, refused_by_database(std::get<1>(result)));
          return;
        }
        auto month = services_->gates->of(id_.tenant, row.tier)->tokens;
        if (key.tokens_limit_month == row.tokens_limit_month) {
          month->set(row.tokens_used_month, wall());
        } else {
          month = std::make_shared<runtime::month_tokens>();
          month->set(used->tokens_month, wall());
        }
        keys_.try_emplace(key.key,
                          std::make_shared<runtime::key_gate>(
                              limits_of(key),
                              runtime::key_gate::usage{used->operations_today, used->tokens_today},
                              std::move(month),
                              services_->gates->traffic(key.key, limits_of(key).traffic()),
                              wall()));
        filled(key.key, {});
      });
}

/// All who waited are answered: with their gate, or `why` there is none.
void tenant::filled(api_key_id key, const refusal& why) {
  auto node = filling_.extract(key);
  for (auto& [known, out] : node.mapped())
    if (why.status == 0)
      opened(*known, out);
    else
      out.deliver(answer<key_lease>{why});
}

void tenant::opened(const sql::resolved_key& key, promise out) {
  auto& gate = keys_[key.key];
  gate->set_limits(limits_of(key));
  services_->gates->add(key.key, gate);
  // By the key's tier, which is newer than what the gate was made from.
  out.deliver(answer<key_lease>{{gate, services_->gates->of(id_.tenant, key.tier)}});
}

}  // namespace kgents::actors
