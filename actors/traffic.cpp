#include "actors/traffic.hpp"

namespace kgents::actors {

namespace {

struct idle_check {};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, idle_check&) {
  return f();
}

constexpr auto check_every = std::chrono::minutes{2};

runtime::traffic_gate::moment moment() {
  return {std::chrono::steady_clock::now(),
          std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now())};
}

}  // namespace

traffic::traffic(caf::actor_config& config, entity_id id,
                 std::shared_ptr<const traffic_services> services)
    : caf::event_based_actor(config), id_{id}, services_{std::move(services)} {}

caf::behavior traffic::make_behavior() {
  set_default_handler(caf::drop);
  delayed_send(this, check_every, idle_check{});
  return {
      [this](const take_traffic& x) -> answer<traffic_block> {
        auto& gate = keys_[x.key];
        // The asker has the key's limits from PostgreSQL, a few seconds ago at most.
        gate = services_->gates->traffic(
            x.key, {x.requests_per_minute, x.requests_per_hour, x.burst});
        return gate->lease(x, x.from == services_->self(), moment());
      },
      [this](idle_check) {
        std::erase_if(keys_, [at = moment()](const auto& x) { return x.second->forgettable(at); });
        if (keys_.empty() && services_->retire(id_, address()))
          quit();
        else
          delayed_send(this, check_every, idle_check{});
      },
  };
}

}  // namespace kgents::actors
