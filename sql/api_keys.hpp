#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sql/acting.hpp"
#include "sql/query.hpp"

namespace kgents::sql {

/// A key as its tenant may see it: neither its hash nor its secret.
struct api_key_row {
  api_key_id id;
  std::optional<user_id> user;
  std::string prefix;
  std::string name;
  key_scopes scopes;
  std::optional<uint32_t> requests_per_minute;
  std::string created_at;
  std::optional<std::string> expires_at;
  std::optional<std::string> last_used_at;
  uint64_t use_count = 0;
  bool active = true;
  std::optional<std::string> revoked_at;
};

struct api_key_page {
  std::vector<api_key_row> keys;  ///< newest first
  uint64_t total = 0;             ///< before paging
};

/// A key to be made. Of its secret only the hash goes to the database.
struct new_api_key {
  api_key_id id{uuid::time_ordered()};
  std::string prefix;
  std::string hash;
  std::string name{};
  key_scopes scopes{};
  std::optional<user_id> user{};  ///< whose; none: the caller's
  std::optional<uint32_t> expires_in_days{};
  std::optional<uint32_t> requests_per_minute{};
};

/// Keys under administration; `keys` resolves and counts them. In the control database. Rows that
/// stand for people who signed in are no keys here.
namespace api_keys {

/// `own`: only those of whoever holds this key.
[[nodiscard]] query<api_key_page> list(tenant_id tenant, std::optional<api_key_id> own,
                                       uint32_t limit, uint64_t offset);
[[nodiscard]] query<std::optional<api_key_row>> get(tenant_id tenant, std::optional<api_key_id> own,
                                                    api_key_id id);

/// Not done: exceeds_scopes SCOPE, user_not_found, exceeds_role ROLE, beyond_role ROLE SCOPE,
/// exceeds_rate N.
[[nodiscard]] query<acted<api_key_row>> create(const acting& who, const new_api_key& fresh);
/// `fresh` has id, prefix and hash. Not done: not_found, revoked, expired, exceeds_scopes SCOPE,
/// exceeds_role ROLE.
[[nodiscard]] query<acted<api_key_row>> rotate(const acting& who, api_key_id id,
                                               const new_api_key& fresh);
/// Also done when it was before. Not done: not_found, exceeds_role ROLE.
[[nodiscard]] query<act_result> revoke(const acting& who, api_key_id id);

}  // namespace api_keys

}  // namespace kgents::sql
