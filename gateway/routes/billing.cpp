// What a tenant buys: checkout, the customer's portal, its subscription, packs of credits
// (http-api.md 9.4). Stripe decides and tells us by its webhook; nothing here changes a tier.

#include "gateway/billing.hpp"

#include "actors/billing/stripe_event.hpp"

namespace kgents::gateway {

namespace json = boost::json;

using billing::text_of;
using sql::stripe_events::account;

namespace {

constexpr field checkout_fields[] = {
    {.name = "tier",
     .required = true,
     .meaning = "starter, pro, pro_yearly, team or enterprise",
     .max_bytes = 64},
    {.name = "success_url",
     .required = true,
     .meaning = "https, or http on localhost; ?session_id=… is added"},
    {.name = "cancel_url", .required = true},
};
constexpr schema checkout_body{"CheckoutRequest", checkout_fields};

constexpr field purchase_fields[] = {
    {.name = "pack",
     .required = true,
     .meaning = "STARTER, EXPLORER or ADVENTURER",
     .max_bytes = 64},
    {.name = "success_url", .required = true},
    {.name = "cancel_url", .required = true},
};
constexpr schema purchase_body{"CreditPurchaseRequest", purchase_fields};

constexpr field checkout_answer_fields[] = {
    {.name = "session_id", .required = true},
    {.name = "session_url", .required = true, .meaning = "where the customer pays"},
    {.name = "expires_at", .required = true, .nullable = true},
};
constexpr schema checkout_shape{"Checkout", checkout_answer_fields};

constexpr field portal_fields[] = {{.name = "return_url", .required = true}};
constexpr schema portal_body{"PortalRequest", portal_fields};
constexpr field portal_answer_fields[] = {{.name = "url", .required = true}};
constexpr schema portal_shape{"Portal", portal_answer_fields};

constexpr field subscription_fields[] = {
    {.name = "tier", .required = true},
    {.name = "status", .required = true, .meaning = "Stripe's word"},
    {.name = "current_period_end", .required = true, .nullable = true},
    {.name = "cancel_at_period_end", .type = value_type::boolean, .required = true},
};
constexpr schema subscription_shape{"Subscription", subscription_fields};

constexpr field upgrade_fields[] = {
    {.name = "plan_code",
     .required = true,
     .meaning = "starter, pro, pro_yearly, team or enterprise",
     .max_bytes = 64},
};
constexpr schema upgrade_body{"UpgradeRequest", upgrade_fields};

constexpr field cancel_fields[] = {
    {.name = "at_period_end", .type = value_type::boolean, .default_json = "true"},
};
constexpr schema cancel_body{"CancelSubscriptionRequest", cancel_fields};
constexpr field cancel_answer_fields[] = {
    {.name = "success", .type = value_type::boolean, .required = true},
    {.name = "message", .required = true},
};
constexpr schema cancel_shape{"SubscriptionCanceled", cancel_answer_fields};

constexpr std::string_view no_subscription = "No subscription";

/// Answers with what was opened at Stripe.
void open_checkout(const call_ptr& c, billing::stripe_request what) {
  call_stripe(c, std::move(what), [c](const json::object& session) {
    c->reply_json(
        200, json::object{{"session_id", text_of(session, "id")},
                          {"session_url", text_of(session, "url")},
                          {"expires_at", utc_text(billing::number_of(session, "expires_at"))}});
  });
}

/// With the URLs of the body; none: the call was refused.
std::optional<billing::checkout> checkout_of(const call_ptr& c, std::string price) {
  auto success = return_url(c, "success_url");
  if (!success)
    return std::nullopt;
  auto cancel = return_url(c, "cancel_url");
  if (!cancel)
    return std::nullopt;
  return billing::checkout{.tenant = c->tenant(),
                           .customer = {},
                           .price = std::move(price),
                           .success_url = std::move(*success),
                           .cancel_url = std::move(*cancel),
                           .idempotency_key = stripe_key(c)};
}

void checkout(const call_ptr& c) {
  with_stripe(c, [c](const account& of) {
    const auto price = price_of_plan(c, c->text_of("tier"), "Invalid tier");
    if (!price)
      return;
    auto what = checkout_of(c, *price);
    if (!what)
      return;
    if (of.subscription && of.tier != "free") {  // a second one would be paid beside the first
      c->refuse(refusal{409, "There is a subscription already: change it by subscription/upgrade",
                        0, "subscription_exists"});
      return;
    }
    with_customer(c, of, [c, what = std::move(*what)](const std::string& customer) mutable {
      what.customer = customer;
      open_checkout(c, billing::subscribe(what, c->text_of("tier")));
    });
  });
}

void purchase(const call_ptr& c) {
  with_stripe(c, [c](const account& of) {
    const auto* pack = billing::find_credit_pack(c->text_of("pack"));
    if (pack == nullptr) {
      c->refuse(400, "Invalid pack: " + std::string{c->text_of("pack")});
      return;
    }
    auto what = checkout_of(c, std::string{pack->price});
    if (!what)
      return;
    with_customer(c, of, [c, pack, what = std::move(*what)](const std::string& customer) mutable {
      what.customer = customer;
      open_checkout(c, billing::buy(what, *pack, c->who->key.user_ref));
    });
  });
}

void portal(const call_ptr& c) {
  with_stripe(c, [c](const account& of) {
    const auto back = return_url(c, "return_url");
    if (!back)
      return;
    with_customer(c, of, [c, back = *back](const std::string& customer) {
      call_stripe(c, billing::open_portal(customer, back, stripe_key(c)),
                  [c](const json::object& session) {
                    c->reply_json(200, json::object{{"url", text_of(session, "url")}});
                  });
    });
  });
}

/// Stripe's subscription of the tenant; 404 when there is none.
void with_subscription(const call_ptr& c,
                       std::function<void(const account&, const json::object&)> then) {
  with_stripe(c, [c, then = std::move(then)](const account& of) {
    if (!of.subscription) {
      c->refuse(404, no_subscription);
      return;
    }
    call_stripe(
        c, billing::get_subscription(*of.subscription),
        [of, then](const json::object& x) { then(of, x); }, no_subscription);
  });
}

void reply_subscription(const call_ptr& c, const account& of, const json::object& x) {
  const auto* ends = x.if_contains("cancel_at_period_end");
  c->reply_json(
      200,
      json::object{
          {"tier",
           billing::tier_of_subscription(x, c->at.config.stripe.tier_of_price).value_or(of.tier)},
          {"status", text_of(x, "status")},
          {"current_period_end", utc_text(billing::period_end_of(x))},
          {"cancel_at_period_end", ends != nullptr && ends->is_bool() && ends->get_bool()}});
}

void subscription(const call_ptr& c) {
  with_subscription(
      c, [c](const account& of, const json::object& x) { reply_subscription(c, of, x); });
}

void upgrade(const call_ptr& c) {
  with_subscription(c, [c](const account& of, const json::object& x) {
    const auto price = price_of_plan(c, c->text_of("plan_code"), "Invalid plan_code");
    if (!price)
      return;
    const auto item = text_of(billing::first_item(x), "id");
    if (item.empty()) {
      c->refuse(refusal{502, "The subscription has no items", 0, "billing_provider_failed"});
      return;
    }
    call_stripe(
        c, billing::change_price(text_of(x, "id"), item, *price, stripe_key(c)),
        [c, of](const json::object& changed) { reply_subscription(c, of, changed); },
        no_subscription);
  });
}

void cancel(const call_ptr& c) {
  with_subscription(c, [c](const account&, const json::object& x) {
    const bool at_end = c->body.at("at_period_end").as_bool();
    call_stripe(
        c, billing::cancel(text_of(x, "id"), at_end, stripe_key(c)),
        [c, at_end](const json::object&) {
          c->reply_json(
              200, json::object{
                       {"success", true},
                       {"message", at_end ? "The subscription ends with the period that is paid for"
                                          : "The subscription has ended"}});
        },
        no_subscription);
  });
}

const route table[] = {
    {.method = "POST",
     .path = "/v1/billing/checkout",
     .tag = "billing",
     .summary = "Open a checkout for a plan",
     .needs = scope::billing,
     .refusal_text = billing_needed,
     .body = &checkout_body,
     .once = true,
     .answer = &checkout_shape,
     .handle = checkout},
    {.method = "POST",
     .path = "/v1/billing/credits/purchase",
     .tag = "billing",
     .summary = "Open a checkout for a pack of credits",
     .needs = scope::billing,
     .refusal_text = billing_needed,
     .body = &purchase_body,
     .once = true,
     .answer = &checkout_shape,
     .handle = purchase},
    {.method = "POST",
     .path = "/v1/billing/portal",
     .tag = "billing",
     .summary = "Open Stripe's portal, where cards and addresses are kept",
     .needs = scope::billing,
     .refusal_text = billing_needed,
     .body = &portal_body,
     .once = true,
     .answer = &portal_shape,
     .handle = portal},
    {.method = "GET",
     .path = "/v1/billing/subscription",
     .tag = "billing",
     .summary = "The tenant's subscription, as Stripe has it; 404 when there is none",
     .needs = scope::billing,
     .refusal_text = billing_needed,
     .answer = &subscription_shape,
     .handle = subscription},
    {.method = "POST",
     .path = "/v1/billing/subscription/upgrade",
     .tag = "billing",
     .summary = "Change the plan; what is left of the old one is credited",
     .needs = scope::billing,
     .refusal_text = billing_needed,
     .body = &upgrade_body,
     .once = true,
     .answer = &subscription_shape,
     .handle = upgrade},
    {.method = "POST",
     .path = "/v1/billing/subscription/cancel",
     .tag = "billing",
     .summary = "End the subscription, with its period or at once",
     .needs = scope::billing,
     .refusal_text = billing_needed,
     .body = &cancel_body,
     .body_optional = true,
     .once = true,
     .answer = &cancel_shape,
     .handle = cancel},
};

}  // namespace

std::span<const route> billing_routes() { return table; }

}  // namespace kgents::gateway
