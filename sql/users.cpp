#include "sql/users.hpp"

#include "sql/columns.hpp"

// In the order in which `user_at` reads them. A macro, since SQL is literals only.
#define KGENTS_USER_COLUMNS                                                                      \
  "id, tenant_id, email, name, role, is_active, email_verified, " KGENTS_SQL_TIME(               \
      "last_login_at") ", " KGENTS_SQL_TIME("created_at") ", " KGENTS_SQL_TIME("updated_at")
#define KGENTS_LIVE_USERS " FROM kg.users WHERE tenant_id = kg.current_tenant_id() AND deleted_at IS NULL"

namespace kgents::sql::users {

namespace {

constexpr std::string_view one = "SELECT " KGENTS_USER_COLUMNS KGENTS_LIVE_USERS " AND id = $1";

user_row user_at(const rows& x, int row) {
  return {.id = id_at<user_id>(x, row, 0),
          .tenant = id_at<tenant_id>(x, row, 1),
          .email = string_at(x, row, 2),
          .name = x.optional_text(row, 3),
          .role = string_at(x, row, 4),
          .active = x.boolean(row, 5),
          .email_verified = x.boolean(row, 6),
          .last_login_at = x.optional_text(row, 7),
          .created_at = string_at(x, row, 8),
          .updated_at = string_at(x, row, 9)};
}

std::optional<user_row> user_of(const rows& x) {
  return x.empty() ? std::nullopt : std::optional{user_at(x, 0)};
}

acted<user_row> acted_of(std::vector<rows>& all) {
  acted<user_row> out{.result = act_result_at(all[0]), .row = {}};
  if (out.result.done())
    out.row = user_of(all[1]);
  return out;
}

query<acted<user_row>> act(const acting& who, user_id id, statement what) {
  return {{.tenant = who.tenant,
           .where = plane::control,
           .statements = {std::move(what), {one, {value(id)}}}},
          acted_of};
}

}  // namespace

query<user_page> list(tenant_id tenant, uint32_t limit, uint64_t offset) {
  constexpr std::string_view page = "SELECT " KGENTS_USER_COLUMNS KGENTS_LIVE_USERS
                                    " ORDER BY created_at, id LIMIT $1 OFFSET $2";
  constexpr std::string_view total = "SELECT count(*)" KGENTS_LIVE_USERS;
  return {{.tenant = tenant,
           .where = plane::control,
           .statements = {{page, {value(limit), value(offset)}}, {total}},
           .read_only = true},
          [](std::vector<rows>& all) {
            user_page out{.users = {}, .total = count_at<uint64_t>(all[1], 0, 0)};
            for (int row = 0; row < all[0].size(); ++row)
              out.users.push_back(user_at(all[0], row));
            return out;
          }};
}

query<std::optional<user_row>> get(tenant_id tenant, user_id id) {
  return {{.tenant = tenant,
           .where = plane::control,
           .statements = {{one, {value(id)}}},
           .read_only = true},
          [](std::vector<rows>& all) { return user_of(all[0]); }};
}

query<acted<user_row>> create(const acting& who, user_id id, std::string_view email,
                              std::string_view name, std::string_view role) {
  return act(who, id,
             {"SELECT kg.create_user($1, $2, $3, $4, $5)",
              {who_param(who), value(id), std::string{email}, std::string{name},
               std::string{role}}});
}

query<acted<user_row>> update(const acting& who, user_id id, std::string changes) {
  return act(who, id,
             {"SELECT kg.update_user($1, $2, $3)",
              {who_param(who), value(id), std::move(changes)}});
}

query<act_result> remove(const acting& who, user_id id) {
  return {{.tenant = who.tenant,
           .where = plane::control,
           .statements = {{"SELECT kg.delete_user($1, $2)", {who_param(who), value(id)}}}},
          [](std::vector<rows>& all) { return act_result_at(all[0]); }};
}

query<acted<user_row>> transfer_ownership(const acting& who, user_id to) {
  return act(who, to, {"SELECT kg.hand_over_ownership($1, $2)", {who_param(who), value(to)}});
}

}  // namespace kgents::sql::users
