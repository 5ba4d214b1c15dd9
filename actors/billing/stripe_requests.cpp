#include "actors/billing/stripe_requests.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

namespace kgents::billing {

namespace {

using outbound::url_escaped;

constexpr credit_pack packs[] = {
    {"STARTER", 500, "price_credits_500"},
    {"EXPLORER", 2500, "price_credits_2500"},
    {"ADVENTURER", 10000, "price_credits_10000"},
};

constexpr size_t most_url_bytes = 2048;

std::string digest_of(std::string_view text) {
  std::array<unsigned char, 32> digest{};
  EVP_Digest(text.data(), text.size(), digest.data(), nullptr, EVP_sha256(), nullptr);
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (const auto x : digest) {
    out += digits[x >> 4];
    out += digits[x & 15];
  }
  return out;
}

/// Stripe puts the session's id in place of the braces, so they stay as they are.
std::string with_session_id(std::string_view url) {
  const auto hash = std::min(url.find('#'), url.size());
  std::string out{url.substr(0, hash)};
  out += out.find('?') == std::string::npos ? '?' : '&';
  out += "session_id={CHECKOUT_SESSION_ID}";
  out += url.substr(hash);
  return out;
}

form session_form(const checkout& x, std::string_view mode) {
  form out;
  const auto tenant = x.tenant.text();
  out.add("mode", mode)
      .add("customer", x.customer)
      .add("client_reference_id", tenant)
      .add("line_items[0][price]", x.price)
      .add("line_items[0][quantity]", "1")
      .add("payment_method_types[0]", "card")
      .add("billing_address_collection", "auto")
      .add("success_url", with_session_id(x.success_url))
      .add("cancel_url", x.cancel_url)
      .add("metadata[tenant_id]", tenant);
  return out;
}

std::string subscription_target(std::string_view id) {
  return "/v1/subscriptions/" + url_escaped(id);
}

}  // namespace

form& form::add(std::string_view name, std::string_view value) {
  if (!text_.empty())
    text_ += '&';
  text_ += url_escaped(name);
  text_ += '=';
  text_ += url_escaped(value);
  return *this;
}

const credit_pack* find_credit_pack(std::string_view name) noexcept {
  const auto* at = std::ranges::find(packs, name, &credit_pack::name);
  return at != std::end(packs) ? at : nullptr;
}

stripe_request create_customer(tenant_id tenant, std::string_view email, std::string_view name) {
  form out;
  out.add("email", email).add("name", name).add("metadata[tenant_id]", tenant.text());
  return {"POST", "/v1/customers", out.text(),
          "customer-" + digest_of(tenant.text() + " " + out.text())};
}

stripe_request subscribe(const checkout& what, std::string_view tier) {
  auto out = session_form(what, "subscription");
  out.add("allow_promotion_codes", "true")
      .add("metadata[tier]", tier)
      .add("subscription_data[metadata][tenant_id]", what.tenant.text());
  return {"POST", "/v1/checkout/sessions", out.text(), what.idempotency_key};
}

stripe_request buy(const checkout& what, const credit_pack& pack, std::string_view user) {
  auto out = session_form(what, "payment");
  out.add("payment_intent_data[metadata][tenant_id]", what.tenant.text())
      .add("payment_intent_data[metadata][user_id]", user)
      .add("payment_intent_data[metadata][pack]", pack.name)
      .add("payment_intent_data[metadata][credits]", std::to_string(pack.credits));
  return {"POST", "/v1/checkout/sessions", out.text(), what.idempotency_key};
}

stripe_request open_portal(std::string_view customer, std::string_view return_url,
                           std::string_view key) {
  form out;
  out.add("customer", customer).add("return_url", return_url);
  return {"POST", "/v1/billing_portal/sessions", out.text(), std::string{key}};
}

stripe_request get_subscription(std::string_view id) { return {"GET", subscription_target(id)}; }

stripe_request change_price(std::string_view subscription, std::string_view item,
                            std::string_view price, std::string_view key) {
  form out;
  out.add("items[0][id]", item)
      .add("items[0][price]", price)
      .add("cancel_at_period_end", "false")
      .add("proration_behavior", "create_prorations");
  return {"POST", subscription_target(subscription), out.text(), std::string{key}};
}

stripe_request cancel(std::string_view subscription, bool at_period_end, std::string_view key) {
  if (!at_period_end)
    return {"DELETE", subscription_target(subscription), "", std::string{key}};
  form out;
  out.add("cancel_at_period_end", "true");
  return {"POST", subscription_target(subscription), out.text(), std::string{key}};
}

stripe_request list_invoices(std::string_view customer, uint32_t limit, std::string_view after) {
  form out;
  out.add("customer", customer).add("limit", std::to_string(limit));
  if (!after.empty())
    out.add("starting_after", after);
  return {"GET", "/v1/invoices?" + out.text()};
}

stripe_request get_invoice(std::string_view id) {
  return {"GET", "/v1/invoices/" + url_escaped(id)};
}

bool is_return_url(std::string_view url) noexcept {
  if (url.size() > most_url_bytes || std::ranges::any_of(url, [](unsigned char c) {
        return c <= 0x20 || c >= 0x7f || c == '\\' || c == '"' || c == '<' || c == '>';
      }))
    return false;
  const bool tls = url.starts_with("https://");
  if (!tls && !url.starts_with("http://"))
    return false;
  url.remove_prefix(tls ? 8 : 7);
  const auto authority = url.substr(0, std::min(url.find_first_of("/?#"), url.size()));
  if (authority.empty() || authority.find('@') != std::string_view::npos)
    return false;
  const bool bracketed = authority.starts_with('[');
  const auto host = authority.substr(0, bracketed ? authority.find(']') + 1 : authority.find(':'));
  if (host.empty())
    return false;
  const auto port = authority.substr(host.size());
  if (!port.empty() &&
      (port.size() < 2 || port.size() > 6 || port[0] != ':' ||
       !std::ranges::all_of(port.substr(1), [](char c) { return c >= '0' && c <= '9'; })))
    return false;
  return tls || host == "localhost" || host == "127.0.0.1" || host == "[::1]";
}

}  // namespace kgents::billing
