#define CAF_SUITE stripe_event

#include "actors/billing/stripe_event.hpp"

#include <boost/json/parse.hpp>

#include <caf/test/unit_test.hpp>

using namespace kgents;
using namespace kgents::billing;
namespace json = boost::json;

namespace {

const tier_of_price tiers = {{"price_pro", "pro"}, {"price_team", "team"}};
constexpr std::string_view tenant = "6c0f8b1e-6f0a-4c54-9c0b-0a7f2f1e9a11";

stripe_translation translated(std::string_view type, json::object object) {
  return translate_stripe_event({{"id", "evt_1"},
                                 {"type", type},
                                 {"created", 1702560000},
                                 {"data", json::object{{"object", std::move(object)}}}},
                                tiers);
}

json::object subscription(std::string_view status, json::object more = {}) {
  json::object out{
      {"id", "sub_1"},
      {"customer", "cus_1"},
      {"status", status},
      {"current_period_end", 1705000000},
      {"items", json::parse(R"({"data":[{"id":"si_1","quantity":3,"price":{"id":"price_pro"}}]})")},
      {"metadata", json::object{{"tenant_id", tenant}}}};
  for (auto& x : more)
    out[x.key()] = x.value();
  return out;
}

json::object data_of(const stripe_translation& x) {
  CAF_REQUIRE(x.what.metered.has_value());
  return json::parse(x.what.metered->data).as_object();
}

}  // namespace

CAF_TEST(a checkout links the tenant and begins the subscription) {
  const auto x = translated("checkout.session.completed", {{"id", "cs_1"},
                                                           {"customer", "cus_1"},
                                                           {"subscription", "sub_1"},
                                                           {"mode", "subscription"},
                                                           {"amount_total", 1900},
                                                           {"currency", "eur"},
                                                           {"client_reference_id", tenant}});
  CAF_CHECK_EQUAL(x.what.effect, "link");
  CAF_CHECK_EQUAL(x.what.customer, "cus_1");
  CAF_CHECK_EQUAL(x.what.named->text(), tenant);
  CAF_CHECK_EQUAL(x.what.subscription.value(), "sub_1");
  CAF_CHECK_EQUAL(x.what.metered->id, "substart:sub_1");
  CAF_CHECK_EQUAL(x.what.metered->type, "subscription.started");
  CAF_CHECK(data_of(x) == json::parse(R"({"checkout_session_id":"cs_1","subscription_id":"sub_1",
    "mode":"subscription","amount_total":19.0,"amount_minor":1900,"currency":"eur",
    "stripe_event_id":"evt_1","stripe_customer_id":"cus_1"})"));
}

CAF_TEST(a checkout that subscribes to nothing is linked but not metered) {
  const auto x = translated("checkout.session.completed",
                            {{"id", "cs_1"}, {"customer", "cus_1"}, {"mode", "payment"}});
  CAF_CHECK_EQUAL(x.what.effect, "link");
  CAF_CHECK(!x.what.metered);
}

CAF_TEST(a subscription that begins has the same id as its checkout) {
  const auto x = translated("customer.subscription.created", subscription("active"));
  CAF_CHECK_EQUAL(x.what.effect, "subscription");
  CAF_CHECK_EQUAL(x.what.tier.value(), "pro");
  CAF_CHECK_EQUAL(x.what.status.value(), "active");
  CAF_CHECK_EQUAL(x.what.period_end.value(), 1705000000);
  CAF_CHECK_EQUAL(x.what.named->text(), tenant);
  CAF_CHECK_EQUAL(x.what.metered->id, "substart:sub_1");
  CAF_CHECK(data_of(x) ==
            json::parse(R"({"subscription_id":"sub_1","status":"active","plan_id":"price_pro",
    "quantity":3,"trial_end":null,"stripe_event_id":"evt_1","stripe_customer_id":"cus_1"})"));
}

CAF_TEST(a changed subscription is metered under the event) {
  const auto x = translated("customer.subscription.updated",
                            subscription("trialing", {{"cancel_at_period_end", true}}));
  CAF_CHECK_EQUAL(x.what.status.value(), "trialing");
  CAF_CHECK_EQUAL(x.what.metered->id, "stripe:evt_1");
  CAF_CHECK_EQUAL(x.what.metered->type, "subscription.updated");
  CAF_CHECK(data_of(x)["cancel_at_period_end"] == true);
}

CAF_TEST(each state of a subscription is mapped) {
  const auto of = [](std::string_view status) {
    const auto x = translated("customer.subscription.updated", subscription(status)).what;
    return std::string{x.effect} + " " + x.status.value_or("-") + " " + x.tier.value_or("-");
  };
  CAF_CHECK_EQUAL(of("trialing"), "subscription trialing pro");
  CAF_CHECK_EQUAL(of("active"), "subscription active pro");
  CAF_CHECK_EQUAL(of("past_due"), "subscription past_due -");
  CAF_CHECK_EQUAL(of("unpaid"), "subscription paused -");
  CAF_CHECK_EQUAL(of("paused"), "subscription paused -");
  CAF_CHECK_EQUAL(of("incomplete"), "subscription - -");
  CAF_CHECK_EQUAL(of("incomplete_expired"), "subscription - -");
  CAF_CHECK_EQUAL(of("canceled"), "ended active -");
  CAF_CHECK_EQUAL(of("something_new"), "subscription - -");
}

CAF_TEST(an unknown price keeps the tier and is told) {
  const auto items = json::parse(R"({"data":[{"price":{"id":"price_other"}}]})");
  const auto x =
      translated("customer.subscription.created", subscription("active", {{"items", items}}));
  CAF_CHECK(!x.what.tier);
  CAF_CHECK_EQUAL(x.what.status.value(), "active");
  CAF_CHECK_EQUAL(x.unknown_price, "price_other");
  CAF_CHECK_EQUAL(data_of(x)["quantity"].as_int64(), 1);
}

CAF_TEST(a subscription that ends falls back) {
  const auto x =
      translated("customer.subscription.deleted",
                 subscription("canceled", {{"canceled_at", 1704000000}, {"ended_at", 1704000001}}));
  CAF_CHECK_EQUAL(x.what.effect, "ended");
  CAF_CHECK_EQUAL(x.what.status.value(), "active");
  CAF_CHECK_EQUAL(x.what.metered->type, "subscription.ended");
  CAF_CHECK(data_of(x)["canceled_at"] == 1704000000);
  CAF_CHECK(data_of(x)["ended_at"] == 1704000001);
}

CAF_TEST(payments are metered in the unit of their currency) {
  const auto paid = [](std::string_view currency, int64_t amount) {
    return data_of(translated("invoice.paid", {{"id", "in_1"},
                                               {"customer", "cus_1"},
                                               {"subscription", "sub_1"},
                                               {"amount_paid", amount},
                                               {"currency", currency},
                                               {"billing_reason", "subscription_cycle"}}));
  };
  CAF_CHECK(paid("usd", 9900) ==
            json::parse(R"({"invoice_id":"in_1","subscription_id":"sub_1","amount_paid":99.0,
    "amount_minor":9900,"currency":"usd","billing_reason":"subscription_cycle",
    "stripe_event_id":"evt_1","stripe_customer_id":"cus_1"})"));
  CAF_CHECK_EQUAL(paid("jpy", 500)["amount_paid"].as_double(), 500.0);
  CAF_CHECK_EQUAL(paid("kwd", 5000)["amount_paid"].as_double(), 5.0);
  CAF_CHECK_EQUAL(paid("isk", 500)["amount_paid"].as_double(), 5.0);
  CAF_CHECK_EQUAL(data_of(translated("invoice.paid", {{"customer", "cus_1"}, {"amount_paid", 1}}))
                      .at("currency")
                      .as_string(),
                  "usd");
}

CAF_TEST(a payment that failed tells of the next attempt) {
  const auto x = translated("invoice.payment_failed", {{"id", "in_1"},
                                                       {"customer", "cus_1"},
                                                       {"amount_due", 1900},
                                                       {"currency", "usd"},
                                                       {"attempt_count", 2},
                                                       {"next_payment_attempt", nullptr}});
  CAF_CHECK_EQUAL(x.what.effect, "payment_failed");
  CAF_CHECK(data_of(x) ==
            json::parse(R"({"invoice_id":"in_1","subscription_id":null,"amount_due":19.0,
    "amount_minor":1900,"currency":"usd","attempt_count":2,"next_payment_attempt":null,
    "stripe_event_id":"evt_1","stripe_customer_id":"cus_1"})"));
}

CAF_TEST(what newer versions of the API moved is found) {
  const auto x = translated(
      "invoice.paid",
      json::parse(R"({"id":"in_1","customer":{"id":"cus_9","object":"customer"},"amount_paid":1,
        "currency":"usd","parent":{"subscription_details":{"subscription":"sub_7",
        "metadata":{"tenant_id":"6c0f8b1e-6f0a-4c54-9c0b-0a7f2f1e9a11"}}}})")
          .as_object());
  CAF_CHECK_EQUAL(x.what.customer, "cus_9");
  CAF_CHECK_EQUAL(x.what.subscription.value(), "sub_7");
  CAF_CHECK_EQUAL(x.what.named->text(), tenant);
  auto items = subscription("active");
  items.erase("current_period_end");
  items["items"] =
      json::parse(R"({"data":[{"price":{"id":"price_team"},"current_period_end":1706000000}]})");
  const auto y = translated("customer.subscription.updated", items);
  CAF_CHECK_EQUAL(y.what.period_end.value(), 1706000000);
  CAF_CHECK_EQUAL(y.what.tier.value(), "team");
}

CAF_TEST(events of the customer and those that mean nothing) {
  CAF_CHECK_EQUAL(translated("customer.created", {{"id", "cus_1"}}).what.effect, "customer");
  CAF_CHECK_EQUAL(translated("customer.deleted", {{"id", "cus_1"}}).what.effect, "customer_gone");
  CAF_CHECK_EQUAL(translated("customer.deleted", {{"id", "cus_1"}}).what.customer, "cus_1");
  CAF_CHECK_EQUAL(translated("payment_intent.succeeded", {{"customer", "cus_1"}}).what.effect,
                  "none");
  CAF_CHECK_EQUAL(translated("radar.early_fraud_warning.created", {}).what.effect, "none");
  const auto x = translated("invoice.paid", {{"id", "in_1"}, {"amount_paid", 1}});
  CAF_CHECK_EQUAL(x.what.effect, "none");
  CAF_CHECK(!x.what.metered);
}

CAF_TEST(what is an event and what is not) {
  const auto good = R"({"id":"evt_1","type":"invoice.paid","created":17,"data":{"object":{}}})";
  const auto x = parse_stripe_envelope(good);
  CAF_REQUIRE(x.has_value());
  CAF_CHECK_EQUAL(x->id, "evt_1");
  CAF_CHECK_EQUAL(x->type, "invoice.paid");
  CAF_CHECK_EQUAL(x->created, 17);
  for (const auto* bad :
       {"", "[]", "null", "{", R"({"id":"evt_1","type":"a.b","created":17})",
        R"({"id":"","type":"a.b","created":17,"data":{"object":{}}})",
        R"({"id":"evt 1","type":"a.b","created":17,"data":{"object":{}}})",
        R"({"id":7,"type":"a.b","created":17,"data":{"object":{}}})",
        R"({"id":"evt_1","type":"a.b","created":"17","data":{"object":{}}})",
        R"({"id":"evt_1","type":"a.b","created":-1,"data":{"object":{}}})",
        R"({"id":"evt_1","type":"a.b","created":9223372036854775807,"data":{"object":{}}})",
        R"({"id":"evt_1","type":"a.b","created":17,"data":{"object":[]}})",
        R"({"id":"evt_1","created":17,"data":{"object":{}}})"})
    CAF_CHECK(!parse_stripe_envelope(bad));
}

CAF_TEST(labels of metrics are few) {
  CAF_CHECK_EQUAL(stripe_metric_label("invoice.paid"), "invoice.paid");
  CAF_CHECK_EQUAL(stripe_metric_label("charge.succeeded"), "other");
}
