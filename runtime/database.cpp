#include "runtime/database.hpp"

#include <caf/response_promise.hpp>
#include <caf/typed_response_promise.hpp>

namespace kgents::runtime {
namespace {

class database_actor : public pinned_actor {
public:
  database_actor(caf::actor_config& config, io_unit* unit, sql::transactor& pool)
      : pinned_actor(config, unit), pool_{pool} {}

  const char* name() const override { return "database"; }

  caf::behavior make_behavior() override {
    set_default_handler(caf::drop);
    return {[this](sql_call& call) -> caf::result<sql_result> {
      auto promise = make_response_promise<sql_result>();
      // The pool calls back on its own thread, which is this actor's; the handle keeps the actor
      // alive till then.
      pool_.submit(std::move(*call.work),
                   [promise, keep = caf::strong_actor_ptr{ctrl()}](sql::outcome out) mutable {
                     promise.deliver(sql_result{std::make_shared<sql::outcome>(std::move(out))});
                   });
      return promise;
    }};
  }

private:
  sql::transactor& pool_;
};

}  // namespace

caf::actor spawn_database(caf::actor_system& system, io_unit* unit, sql::transactor& pool) {
  return system.spawn<database_actor>(unit, pool);
}

}  // namespace kgents::runtime
