#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "actors/billing/stripe_api.hpp"
#include "protocol/ids.hpp"

/// The calls of Stripe's API that we make (events-and-billing.md section 6). No I/O.
namespace kgents::billing {

/// A form of `application/x-www-form-urlencoded`, with Stripe's nested names:
/// "metadata[tenant_id]".
class form {
public:
  form& add(std::string_view name, std::string_view value);
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

private:
  std::string text_;
};

struct checkout {
  tenant_id tenant;
  std::string customer;
  std::string price;
  std::string success_url;  ///< `session_id={CHECKOUT_SESSION_ID}` is added to its query
  std::string cancel_url;
  std::string idempotency_key;
};

/// A pack of credits, bought once.
struct credit_pack {
  std::string_view name;
  uint32_t credits;
  std::string_view price;  ///< its id at Stripe
};
[[nodiscard]] const credit_pack* find_credit_pack(std::string_view name) noexcept;

/// The customer of a tenant. The key follows from tenant and address: made twice it is one
/// customer.
[[nodiscard]] stripe_request create_customer(tenant_id tenant, std::string_view email,
                                             std::string_view name);
[[nodiscard]] stripe_request subscribe(const checkout& what, std::string_view tier);
/// `user`: who asked, as it is counted.
[[nodiscard]] stripe_request buy(const checkout& what, const credit_pack& pack,
                                 std::string_view user);
[[nodiscard]] stripe_request open_portal(std::string_view customer, std::string_view return_url,
                                         std::string_view key);
[[nodiscard]] stripe_request get_subscription(std::string_view id);
/// Of the first item; a cancellation that was to come is taken back.
[[nodiscard]] stripe_request change_price(std::string_view subscription, std::string_view item,
                                          std::string_view price, std::string_view key);
[[nodiscard]] stripe_request cancel(std::string_view subscription, bool at_period_end,
                                    std::string_view key);
/// At most 100; `after`: the last one that is known.
[[nodiscard]] stripe_request list_invoices(std::string_view customer, uint32_t limit,
                                           std::string_view after);
[[nodiscard]] stripe_request get_invoice(std::string_view id);

/// An absolute URL that a browser may be sent back to: https, or http on the same machine, without
/// user, white space or control characters; at most 2,048 bytes.
[[nodiscard]] bool is_return_url(std::string_view url) noexcept;

}  // namespace kgents::billing
