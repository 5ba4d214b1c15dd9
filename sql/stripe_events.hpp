#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/ids.hpp"
#include "sql/query.hpp"

namespace kgents::sql {

/// An event of the ledger that is due.
struct due_stripe_event {
  std::string id;
  std::string payload;  ///< as Stripe sent it, but for the order of members and white space
  uint32_t attempts = 0;
};

/// What an event does, told to the database in one call; see kg.apply_stripe_event.
struct stripe_application {
  std::string event;
  /// link, subscription, ended, paid, payment_failed, customer, customer_gone, or none
  std::string_view effect = "none";
  std::string customer;              ///< may be empty with `none` only
  std::optional<tenant_id> named{};  ///< by our own metadata
  std::optional<std::string> subscription{};
  std::optional<std::string> tier{};    ///< none: stays
  std::optional<std::string> status{};  ///< the tenant's; none: stays
  std::optional<int64_t> period_end{};  ///< Unix seconds

  /// What is metered; its subject is found with the tenant.
  struct metered_event {
    std::string id;
    std::string type;
    std::string data;  ///< a JSON object
  };
  std::optional<metered_event> metered{};
};

enum class stripe_result : uint8_t {
  done,
  stale,     ///< older than what had been applied: metered, and nothing of the tenant changed
  unlinked,  ///< no tenant has the customer yet: it was put off
  failed,    ///< and it was the last attempt
  taken,     ///< settled already, or somebody else is at it
};

/// The ledger of Stripe's events (migration 31). All on a pool of the control role but
/// `account_of`.
namespace stripe_events {

/// True when there is something to apply. `created`: Unix seconds. `payload`: JSON text.
[[nodiscard]] query<bool> record(std::string_view id, std::string_view type, int64_t created,
                                 std::string_view payload);
/// Oldest first; at most `limit`.
[[nodiscard]] query<std::vector<due_stripe_event>> due(uint32_t limit);
[[nodiscard]] query<stripe_result> apply(const stripe_application& what);
/// After an attempt that failed; true when it was the last one.
[[nodiscard]] query<bool> put_off(std::string_view id, std::string_view why);
/// Forgets what was settled long ago; how many there were, at most `limit`.
[[nodiscard]] query<uint64_t> trim(uint32_t limit);
/// The customer that is the tenant's from now on: the first that was adopted.
[[nodiscard]] query<std::optional<std::string>> adopt_customer(tenant_id tenant,
                                                               std::string_view customer);

/// A tenant as its billing sees it.
struct account {
  std::string name;
  std::string tier;
  std::string status;
  std::optional<std::string> customer;
  std::optional<std::string> subscription;
  uint64_t tokens_limit_month = 0;  ///< 0: unlimited
  /// Of the user who asks: owner, admin, member, …; none without a user.
  std::optional<std::string> role;
  /// Where Stripe writes to: the user's who asks, else the owner's.
  std::optional<std::string> email;
};

/// For kg_app. None when the tenant is gone.
[[nodiscard]] query<std::optional<account>> account_of(tenant_id tenant,
                                                       std::optional<user_id> asking);

}  // namespace stripe_events

}  // namespace kgents::sql
