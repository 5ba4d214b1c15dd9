#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "sql/stripe_events.hpp"

/// Stripe: what its events do, and calls of its API.
namespace kgents::billing {

/// What of an event is looked at before it goes into the ledger.
struct stripe_envelope {
  std::string id;
  std::string type;
  int64_t created = 0;  ///< Unix seconds
};

/// None when that is no event: no JSON object, or without `id`, `type`, `created` and
/// `data.object`.
[[nodiscard]] std::optional<stripe_envelope> parse_stripe_envelope(std::string_view body);

/// The name of an event in metrics: its type where it means something to us, else "other".
[[nodiscard]] std::string_view stripe_metric_label(std::string_view type) noexcept;

using tier_of_price = std::map<std::string, std::string, std::less<>>;

struct stripe_translation {
  sql::stripe_application what;
  /// A price that no setting gives a tier: the tenant keeps its own, and somebody should look.
  std::string unknown_price;
};

/// What an event does to its tenant and what of it is metered (events-and-billing.md 4.4). Takes
/// what Stripe's older and newer API versions send. No I/O; an event that says nothing to us, or
/// has no customer, gets the effect `none`.
[[nodiscard]] stripe_translation translate_stripe_event(const boost::json::object& event,
                                                        const tier_of_price& tiers);

/// Digits behind the point of an amount in Stripe's smallest unit: 2, 0 for yen, 3 for dinars.
/// `currency` is lower case. (docs.stripe.com/currencies, "zero-decimal", "three-decimal", and the
/// special cases ISK and UGX, which are sent with two.)
[[nodiscard]] int currency_exponent(std::string_view currency) noexcept;

/// The tier that the first item of a subscription buys; none when no setting names its price.
[[nodiscard]] std::optional<std::string> tier_of_subscription(
    const boost::json::object& subscription, const tier_of_price& tiers);

/// \name Reading Stripe's objects.
/// @{
/// A text member; empty when absent or none.
[[nodiscard]] std::string text_of(const boost::json::object& x, std::string_view member);
[[nodiscard]] std::optional<int64_t> number_of(const boost::json::object& x,
                                               std::string_view member);
/// The member as an object; an empty one when absent or none.
[[nodiscard]] const boost::json::object& object_of(const boost::json::object& x,
                                                   std::string_view member);
/// An id, where Stripe may send the expanded object in its place.
[[nodiscard]] std::string id_of(const boost::json::object& x, std::string_view member);
/// The first item of a subscription; an empty one when there is none.
[[nodiscard]] const boost::json::object& first_item(const boost::json::object& subscription);
/// When the period that was paid for ends; newer API versions say it of each item.
[[nodiscard]] std::optional<int64_t> period_end_of(const boost::json::object& subscription);
/// @}

}  // namespace kgents::billing
