#pragma once

#include <functional>
#include <optional>

#include "sql/data_planes.hpp"

namespace kgents::gateway {

/// Makes known in a tenant's silo who is about to use it: a key with its user, or a user, with the
/// limits of both. To be done before a credential of such a tenant is good: what it stores refers
/// to them. `done` comes once, on the pool's thread, with why not.
inline void mirror_principal(sql::transactor& pool, tenant_id tenant, std::optional<user_id> user,
                             std::optional<api_key_id> key,
                             std::chrono::steady_clock::time_point deadline,
                             std::function<void(std::optional<sql::failure>)> done) {
  auto query = sql::planes::principals(tenant, user, key);
  query.work.deadline = deadline;
  sql::run(pool, std::move(query),
           [&pool, tenant, deadline, done = std::move(done)](sql::answer<std::string> known) {
             if (auto* why = std::get_if<1>(&known)) {
               done(std::move(*why));
               return;
             }
             auto mirror = sql::planes::mirror(tenant, std::move(std::get<0>(known)));
             mirror.work.deadline = deadline;
             sql::run(pool, std::move(mirror), [done](sql::answer<sql::nothing> out) {
               auto* why = std::get_if<1>(&out);
               done(why != nullptr ? std::optional{std::move(*why)} : std::nullopt);
             });
           });
}

}  // namespace kgents::gateway
