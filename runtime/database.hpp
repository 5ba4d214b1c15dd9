#pragma once

#include <caf/actor.hpp>
#include <caf/actor_system.hpp>
#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/event_based_actor.hpp>
#include <memory>

#include "runtime/limits.hpp"
#include "runtime/pinned_actor.hpp"
#include "sql/pool.hpp"

namespace kgents::runtime {

/// A transaction on its way to the pool and its outcome on the way back. Node-local: never
/// serialised.
struct sql_call {
  std::shared_ptr<sql::transaction> work;
};
struct sql_result {
  std::shared_ptr<sql::outcome> out;
};

}  // namespace kgents::runtime

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(kgents::runtime::sql_call)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(kgents::runtime::sql_result)

namespace kgents::runtime {

/// The actor through which other actors reach a pool; it lives on the pool's thread and answers
/// every `sql_call` with one `sql_result`, at the latest at the transaction's deadline.
[[nodiscard]] caf::actor spawn_database(caf::actor_system& system, io_unit* unit, sql::transactor& pool);

/// From inside an actor: runs `query` and calls `done(std::variant<T, sql::failure>)` in it, with
/// the parsed result.
///
/// The request has no CAF timeout of its own (each would wake the clock's thread): the
/// transaction's deadline ends it.
template <class Query, class F>
void run_query(caf::event_based_actor* self, const caf::actor& database, Query query, F done) {
  using value = decltype(query.parse(std::declval<std::vector<sql::rows>&>()));
  using answer = std::variant<value, sql::failure>;
  query.work.deadline = std::chrono::steady_clock::now() + limits::sql_deadline;
  auto work = std::make_shared<sql::transaction>(std::move(query.work));
  // done() is shared by the two handlers, of which one runs.
  auto finish = std::make_shared<F>(std::move(done));
  self->request(database, caf::infinite, sql_call{std::move(work)})
      .then(
          [finish, parse = query.parse](const sql_result& r) {
            if (auto* ok = std::get_if<std::vector<sql::rows>>(r.out.get()))
              (*finish)(answer{std::in_place_index<0>, parse(*ok)});
            else
              (*finish)(answer{std::in_place_index<1>, std::get<sql::failure>(*r.out)});
          },
          [finish](const caf::error&) {
            (*finish)(answer{std::in_place_index<1>, sql::failure{}});
          });
}

}  // namespace kgents::runtime
