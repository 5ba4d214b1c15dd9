#pragma once

#include <boost/asio/post.hpp>
#include <functional>
#include <string>
#include <string_view>

#include "actors/billing/stripe_requests.hpp"
#include "gateway/route.hpp"
#include "sql/stripe_events.hpp"

/// What the routes of billing share (http-api.md 9.4).
namespace kgents::gateway {

inline constexpr std::string_view billing_needed = "API key requires 'billing' scope";

/// The tenant as its billing sees it. Refuses the call when the key's user is neither owner nor
/// admin (a key without a user is its tenant's, and its scope suffices).
void with_account(const call_ptr& c, std::function<void(const sql::stripe_events::account&)> then);

/// Also refuses it, with 503, when a setting is missing without which nothing can be sold; says
/// which.
void with_stripe(const call_ptr& c, std::function<void(const sql::stripe_events::account&)> then);

/// Calls Stripe's API and refuses the call when that fails. `not_found`: the detail of the 404 when
/// Stripe does not know what was asked for.
void call_stripe(const call_ptr& c, billing::stripe_request what,
                 std::function<void(const boost::json::object&)> then,
                 std::string_view not_found = "Not found");

/// The tenant's customer at Stripe, made when there is none.
void with_customer(const call_ptr& c, const sql::stripe_events::account& of,
                   std::function<void(const std::string& customer)> then);

/// The key under which Stripe does a thing once: it follows from the client's own, if there is one.
[[nodiscard]] std::string stripe_key(const call_ptr& c);

/// Stripe's price of a plan; refuses the call with 400 `<wrong>: <plan>` when there is no such
/// plan, with 503 when it has no price here.
[[nodiscard]] std::optional<std::string> price_of_plan(const call_ptr& c, std::string_view plan,
                                                       std::string_view wrong);

/// The member of the body, if it is a URL that a browser may be sent to; refuses the call with 400
/// otherwise.
[[nodiscard]] std::optional<std::string> return_url(const call_ptr& c, std::string_view member);

/// Unix seconds as `YYYY-MM-DDTHH:MM:SS+00:00`; null for none.
[[nodiscard]] boost::json::value utc_text(std::optional<int64_t> unix_seconds);

}  // namespace kgents::gateway
