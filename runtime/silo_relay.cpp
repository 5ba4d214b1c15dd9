#include "runtime/silo_relay.hpp"

#include <mutex>
#include <unordered_map>

#include "runtime/telemetry/log.hpp"
#include "sql/data_planes.hpp"

namespace kgents::runtime {

using clock = std::chrono::steady_clock;

class silo_relay::impl : public std::enable_shared_from_this<impl> {
public:
  impl(sql::transactor& app, sql::transactor& control, sql::pool& shared)
      : app_{app}, control_{control}, shared_{shared} {}

  /// Sends each silo on its way that is not on it yet.
  void look() {
    for (const auto& tenant : control_.silos()) {
      bool mirror = false;
      {
        std::lock_guard guard{mutex_};
        auto& x = silos_[tenant];
        if (std::exchange(x.busy, true))
          continue;
        mirror = x.mirror_at <= clock::now();
      }
      if (mirror)
        read_principals(tenant);
      else
        read_usage(tenant);
    }
  }

private:
  struct silo {
    bool busy = false;
    bool failing = false;
    clock::time_point mirror_at{};
  };

  /// Runs a step; a failed one ends the way, and the next look begins anew.
  template <class T, class Then>
  void step(sql::transactor& where, tenant_id tenant, sql::query<T> what, Then then) {
    what.work.deadline = clock::now() + deadline;
    sql::run(where, std::move(what),
             [self = shared_from_this(), tenant, then = std::move(then)](sql::answer<T> out) {
               if (auto* x = std::get_if<0>(&out))
                 then(*self, std::move(*x));
               else
                 self->ended(tenant, &std::get<1>(out));
             });
  }

  void read_principals(tenant_id tenant) {
    step(app_, tenant, sql::planes::principals(tenant, std::nullopt, std::nullopt),
         [tenant](impl& self, std::string all) {
           self.step(self.app_, tenant, sql::planes::mirror(tenant, std::move(all)),
                     [tenant](impl& me, sql::nothing) {
                       {
                         std::lock_guard guard{me.mutex_};
                         me.silos_[tenant].mirror_at = clock::now() + mirror_every;
                       }
                       me.read_usage(tenant);
                     });
         });
  }

  void read_usage(tenant_id tenant) {
    step(control_, tenant, sql::planes::unrelayed_usage(tenant, events_at_once),
         [tenant](impl& self, sql::planes::unrelayed x) {
           if (x.events == 0)
             self.ended(tenant, nullptr);
           else
             self.take_usage(tenant, std::move(x));
         });
  }

  void take_usage(tenant_id tenant, sql::planes::unrelayed x) {
    const bool more = x.events == events_at_once;
    step(shared_, tenant, sql::planes::take_usage(tenant, std::move(x.json)),
         [tenant, more, ids = std::move(x.ids)](impl& self, uint64_t) {
           self.step(self.control_, tenant, sql::planes::usage_taken(tenant, ids),
                     [tenant, more](impl& me, sql::nothing) {
                       if (more)
                         me.read_usage(tenant);
                       else
                         me.ended(tenant, nullptr);
                     });
         });
  }

  void ended(tenant_id tenant, const sql::failure* why) {
    std::unique_lock guard{mutex_};
    auto& x = silos_[tenant];
    x.busy = false;
    if (std::exchange(x.failing, why != nullptr) == (why != nullptr))
      return;
    guard.unlock();
    if (why != nullptr)
      log::warn(
          "a silo is not in step with the shared database",
          {{"tenant_id", tenant.text()}, {"sqlstate", why->sqlstate}, {"error", why->message}});
    else
      log::info("a silo is in step with the shared database again", {{"tenant_id", tenant.text()}});
  }

  sql::transactor& app_;
  sql::transactor& control_;
  sql::pool& shared_;
  std::mutex mutex_;
  std::unordered_map<tenant_id, silo> silos_;
};

silo_relay::silo_relay(io_thread& thread, sql::transactor& app, sql::transactor& control,
                       sql::pool& shared)
    : impl_{std::make_shared<impl>(app, control, shared)},
      worker_{thread, shared, "silo_relay", [self = impl_](single_worker::next_round next) {
                self->look();
                next(look_every);
              }} {}

}  // namespace kgents::runtime
