#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/ids.hpp"
#include "sql/query.hpp"

namespace kgents::sql {

struct key_scopes {
  bool read = false;
  bool write = false;
  bool admin = false;
  bool billing = false;
};

/// An active, unexpired key of a live tenant with the limits that apply to it: the key's override,
/// else the tenant's, else the tier's. 0 means unlimited wherever it says "limit" or "per".
struct resolved_key {
  api_key_id key;
  tenant_id tenant;
  std::optional<user_id> user;
  std::string user_ref;  ///< whom usage and limits are counted for; never empty
  std::string prefix;    ///< the eight characters that may be shown
  key_scopes scopes;
  std::string tier;    ///< free, starter, pro, team, enterprise, custom
  std::string status;  ///< the tenant's: active, trialing, past_due, paused, canceled
  uint32_t requests_per_minute = 0;
  uint32_t burst = 0;
  uint32_t requests_per_hour = 0;
  uint32_t operations_per_day = 0;
  uint64_t tokens_limit_month = 0;
  std::optional<uint32_t> tokens_limit_request;
  uint64_t tokens_used_month = 0;  ///< of the current month (UTC)
  std::string data_plane;          ///< pool or silo
  std::optional<std::string> silo_dsn_ref;
  std::optional<std::chrono::system_clock::time_point> expires_at;
};

/// Why what is known of a key may be believed no more.
enum class unfit : uint8_t {
  changed,     ///< it may do something else than it could
  unreadable,  ///< it may not read
  key_revoked,
  key_expired,
  user_deactivated,
  tenant_inactive,  ///< canceled, paused or deleted
};

struct unfit_key {
  api_key_id key;
  unfit why = unfit::changed;
  int64_t changed_at = 0;  ///< the last change of what it may do, microseconds since 1970; 0: none
};

namespace keys {

/// By the hash of the whole key (lower-case hex, 64 characters). Needs no tenant: it finds it. None
/// for a key that is unknown, revoked or expired, or whose tenant is deleted; a paused or canceled
/// tenant is returned.
[[nodiscard]] query<std::optional<resolved_key>> resolve(std::string_view hash);

/// What the identity provider says of a person, verified.
struct sign_in {
  std::string issuer;
  std::string subject;
  std::optional<tenant_id> tenant;  ///< that the token is for
  std::string email;                ///< empty: none that is verified
  std::string name;                 ///< empty: unknown
  std::string role;                 ///< of a user that is made: admin, member or readonly
  bool provision = false;           ///< whether one may be made
};

/// The person as a key: one row of kg.api_keys of its own counts and limits it. `scopes` are those
/// of the user's role. None when there is no active user, and none may be made. Only on a pool of
/// the control role.
[[nodiscard]] query<std::optional<resolved_key>> resolve_sign_in(const sign_in& who);

/// Of these keys, those that are revoked, expired, whose tenant or user may not act any more, or
/// of which something changed in the last minute. Only on a pool of the control role.
[[nodiscard]] query<std::vector<unfit_key>> unfit_among(const std::vector<api_key_id>& some);

/// What a key has used up: two rows that are kept with every answer.
struct key_usage {
  uint64_t operations_today = 0;  ///< metered ones that were taken since midnight UTC
  uint64_t tokens_today = 0;
  uint64_t tokens_month = 0;
};
[[nodiscard]] query<key_usage> usage_of(tenant_id tenant, api_key_id key);

struct taken_operations {
  uint32_t granted = 0;  ///< of those wanted; 0: the day is used up
  uint64_t today = 0;    ///< the key's count of the day, with these, on all nodes
};
/// Takes up to `wanted` (at least 1) metered operations of the day (UTC), before the work. Exact
/// however many ask at once, and across restarts. `limit` 0: all are granted. A refused call counts
/// one operation, however many it wanted; nothing is ever given back.
[[nodiscard]] query<taken_operations> take_operations(tenant_id tenant, api_key_id key,
                                                      uint32_t wanted, uint32_t limit);

/// Adds to the key's use count and stamps its last use. Sum up in process and flush at most every
/// 10 s a key.
[[nodiscard]] query<nothing> touch(tenant_id tenant, api_key_id key, uint64_t uses);

}  // namespace keys

}  // namespace kgents::sql
