#include "sql/data_planes.hpp"

#include "sql/columns.hpp"

namespace kgents::sql::planes {

namespace {

nothing parse_nothing(std::vector<rows>&) { return {}; }

}  // namespace

query<std::vector<directory_entry>> directory() {
  return {{.statements = {{"SELECT tenant, state = 'silo', database, dsn_ref "
                           "FROM kg.silo_directory()",
                           {}}},
           .read_only = true},
          [](std::vector<rows>& all) {
            std::vector<directory_entry> out;
            for (int i = 0; i < all[0].size(); ++i)
              out.push_back({id_at<tenant_id>(all[0], i, 0), all[0].boolean(i, 1),
                             string_at(all[0], i, 2), string_at(all[0], i, 3)});
            return out;
          }};
}

query<unrelayed> unrelayed_usage(tenant_id tenant, uint32_t limit) {
  constexpr std::string_view text =
      "SELECT x, jsonb_array_length(x), ARRAY(SELECT e->>'id' FROM jsonb_array_elements(x) e) "
      "FROM kg.unrelayed_usage($1) x";
  return {{.about = tenant, .statements = {{text, {value(limit)}}}, .read_only = true},
          [](std::vector<rows>& all) {
            return unrelayed{count_at<size_t>(all[0], 0, 1), string_at(all[0], 0, 0),
                             string_at(all[0], 0, 2)};
          }};
}

query<uint64_t> take_usage(tenant_id tenant, std::string events) {
  return {{.statements = {{"SELECT kg.take_relayed_usage($1, $2)",
                           {value(tenant), std::move(events)}}}},
          [](std::vector<rows>& all) { return count_at<uint64_t>(all[0], 0, 0); }};
}

query<nothing> usage_taken(tenant_id tenant, std::string ids) {
  return {{.about = tenant, .statements = {{"SELECT kg.usage_relayed($1)", {std::move(ids)}}}},
          parse_nothing};
}

query<std::string> principals(tenant_id tenant, std::optional<user_id> user,
                              std::optional<api_key_id> key) {
  return {{.tenant = tenant,
           .where = plane::control,
           .statements = {{"SELECT kg.principals($1, $2)", {value(user), value(key)}}},
           .read_only = true},
          [](std::vector<rows>& all) { return string_at(all[0], 0, 0); }};
}

query<nothing> mirror(tenant_id tenant, std::string principals) {
  return {{.tenant = tenant,
           .statements = {{"SELECT kg.mirror_principals($1)", {std::move(principals)}}}},
          parse_nothing};
}

}  // namespace kgents::sql::planes
