#include "actors/billing/stripe_event.hpp"

#include <algorithm>
#include <array>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cmath>

namespace kgents::billing {

namespace json = boost::json;

namespace {

/// What a subscription's state says of its tenant; empty: nothing.
struct standing {
  std::string_view stripe;
  std::string_view tenant;
  bool tier_from_price;
};
constexpr standing standings[] = {
    {"trialing", "trialing", true}, {"active", "active", true},  {"past_due", "past_due", false},
    {"unpaid", "paused", false},    {"paused", "paused", false},
};

constexpr std::array<std::string_view, 10> known_types = {"checkout.session.completed",
                                                          "customer.subscription.created",
                                                          "customer.subscription.updated",
                                                          "customer.subscription.deleted",
                                                          "invoice.paid",
                                                          "invoice.payment_failed",
                                                          "customer.created",
                                                          "customer.updated",
                                                          "customer.deleted",
                                                          "payment_intent.succeeded"};

constexpr size_t most_id_bytes = 255;
constexpr int64_t latest = 253'402'300'799;  // the end of the year 9999

bool plain(std::string_view text, std::string_view more) {
  return !text.empty() && text.size() <= most_id_bytes &&
         std::all_of(text.begin(), text.end(), [&](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  more.find(c) != std::string_view::npos;
         });
}

const json::value& member(const json::object& x, std::string_view name) {
  static const json::value none;
  const auto* found = x.if_contains(name);
  return found != nullptr ? *found : none;
}

/// As Stripe has it: a text, a number, a truth value, or null.
json::value scalar(const json::object& x, std::string_view name) {
  const auto& value = member(x, name);
  return value.is_structured() ? json::value{} : value;
}

std::optional<tenant_id> named_tenant(const json::object& metadata) {
  return tenant_id::parse(text_of(metadata, "tenant_id"));
}

json::value id_or_null(const std::string& x) { return x.empty() ? json::value{} : json::value(x); }

/// The amount in the currency's own unit under `name`, and as the integer that Stripe sent.
void put_amount(json::object& out, const json::object& from, std::string_view name) {
  auto currency = text_of(from, "currency");
  if (currency.empty())
    currency = "usd";
  const auto minor = number_of(from, name);
  out[name] =
      minor ? json::value(static_cast<double>(*minor) / std::pow(10.0, currency_exponent(currency)))
            : json::value{};
  out["amount_minor"] = minor ? json::value(*minor) : json::value{};
  out["currency"] = currency;
}

std::string price_of(const json::object& subscription) {
  const auto& item = first_item(subscription);
  if (auto id = id_of(item, "price"); !id.empty())
    return id;
  return id_of(item, "plan");
}

/// The subscription that an invoice is for; newer API versions put it under `parent`.
const json::object& details_of_invoice(const json::object& invoice) {
  const auto& parent = object_of(object_of(invoice, "parent"), "subscription_details");
  return parent.empty() ? object_of(invoice, "subscription_details") : parent;
}

std::string subscription_of_invoice(const json::object& invoice) {
  auto id = id_of(invoice, "subscription");
  return id.empty() ? id_of(details_of_invoice(invoice), "subscription") : id;
}

class translator {
public:
  translator(const json::object& event, const tier_of_price& tiers)
      : event_{event},
        object_{object_of(object_of(event, "data"), "object")},
        tiers_{tiers},
        id_{text_of(event, "id")} {
    out_.what.event = id_;
  }

  stripe_translation translate() {
    const auto type = text_of(event_, "type");
    out_.what.customer =
        type.starts_with("customer.") && !type.starts_with("customer.subscription.")
            ? text_of(object_, "id")
            : id_of(object_, "customer");
    if (out_.what.customer.empty())
      return std::move(out_);
    out_.what.named = named_tenant(object_of(object_, "metadata"));
    if (type == "checkout.session.completed")
      checkout();
    else if (type == "customer.subscription.created")
      started();
    else if (type == "customer.subscription.updated")
      updated();
    else if (type == "customer.subscription.deleted")
      ended();
    else if (type == "invoice.paid")
      paid();
    else if (type == "invoice.payment_failed")
      payment_failed();
    else if (type == "customer.created" || type == "customer.updated")
      out_.what.effect = "customer";
    else if (type == "customer.deleted")
      out_.what.effect = "customer_gone";
    return std::move(out_);
  }

private:
  void meter(std::string_view type, json::object data, std::string id = "") {
    data["stripe_event_id"] = id_;
    data["stripe_customer_id"] = out_.what.customer;
    out_.what.metered = sql::stripe_application::metered_event{
        id.empty() ? "stripe:" + id_ : std::move(id), std::string{type}, json::serialize(data)};
  }

  /// A checkout and the subscription that it creates are one beginning, so they share an id.
  void meter_start(json::object data, const std::string& subscription) {
    meter("subscription.started", std::move(data),
          subscription.empty() ? "" : "substart:" + subscription);
  }

  void checkout() {
    if (!out_.what.named)
      out_.what.named = tenant_id::parse(text_of(object_, "client_reference_id"));
    out_.what.effect = "link";
    const auto subscription = id_of(object_, "subscription");
    if (!subscription.empty())
      out_.what.subscription = subscription;
    const auto mode = text_of(object_, "mode");
    if (mode == "payment" || mode == "setup")
      return;  // a pack of credits, or a card: nothing was subscribed to
    json::object data{{"checkout_session_id", text_of(object_, "id")},
                      {"subscription_id", id_or_null(subscription)},
                      {"mode", scalar(object_, "mode")}};
    put_amount(data, object_, "amount_total");
    meter_start(std::move(data), subscription);
  }

  void started() {
    auto data = subscription();
    data["trial_end"] = scalar(object_, "trial_end");
    meter_start(std::move(data), text_of(object_, "id"));
  }

  void updated() {
    auto data = subscription();
    data["cancel_at_period_end"] = scalar(object_, "cancel_at_period_end");
    meter("subscription.updated", std::move(data));
  }

  /// Reads the state; returns what is told of it.
  json::object subscription() {
    const auto status = text_of(object_, "status");
    const auto price = price_of(object_);
    const auto quantity = number_of(first_item(object_), "quantity").value_or(1);
    out_.what.effect = status == "canceled" ? "ended" : "subscription";
    out_.what.subscription = text_of(object_, "id");
    out_.what.period_end = period_end_of(object_);
    for (const auto& x : standings)
      if (x.stripe == status) {
        out_.what.status = x.tenant;
        if (x.tier_from_price)
          take_tier(price);
      }
    if (status == "canceled")
      out_.what.status = "active";
    return {{"subscription_id", text_of(object_, "id")},
            {"status", status},
            {"plan_id", id_or_null(price)},
            {"quantity", quantity}};
  }

  void take_tier(const std::string& price) {
    if (const auto at = tiers_.find(price); !price.empty() && at != tiers_.end())
      out_.what.tier = at->second;
    else
      out_.unknown_price = price.empty() ? "(none)" : price;
  }

  void ended() {
    out_.what.effect = "ended";
    out_.what.subscription = text_of(object_, "id");
    out_.what.status = "active";
    meter("subscription.ended", {{"subscription_id", text_of(object_, "id")},
                                 {"status", scalar(object_, "status")},
                                 {"canceled_at", scalar(object_, "canceled_at")},
                                 {"ended_at", scalar(object_, "ended_at")}});
  }

  json::object invoice(std::string_view amount) {
    const auto of = subscription_of_invoice(object_);
    if (!of.empty())
      out_.what.subscription = of;
    if (!out_.what.named)
      out_.what.named = named_tenant(object_of(details_of_invoice(object_), "metadata"));
    json::object data{{"invoice_id", text_of(object_, "id")}, {"subscription_id", id_or_null(of)}};
    put_amount(data, object_, amount);
    return data;
  }

  void paid() {
    out_.what.effect = "paid";
    auto data = invoice("amount_paid");
    data["billing_reason"] = scalar(object_, "billing_reason");
    meter("payment.success", std::move(data));
  }

  void payment_failed() {
    out_.what.effect = "payment_failed";
    auto data = invoice("amount_due");
    data["attempt_count"] = scalar(object_, "attempt_count");
    data["next_payment_attempt"] = scalar(object_, "next_payment_attempt");
    meter("payment.failed", std::move(data));
  }

  const json::object& event_;
  const json::object& object_;
  const tier_of_price& tiers_;
  const std::string id_;
  stripe_translation out_;
};

}  // namespace

std::string text_of(const json::object& x, std::string_view name) {
  const auto& value = member(x, name);
  return value.is_string() ? std::string{std::string_view{value.get_string()}} : std::string{};
}

std::optional<int64_t> number_of(const json::object& x, std::string_view name) {
  const auto& value = member(x, name);
  return value.is_int64() ? std::optional{value.get_int64()} : std::nullopt;
}

const json::object& object_of(const json::object& x, std::string_view name) {
  static const json::object none;
  const auto& value = member(x, name);
  return value.is_object() ? value.get_object() : none;
}

std::string id_of(const json::object& x, std::string_view name) {
  const auto& value = member(x, name);
  return value.is_object() ? text_of(value.get_object(), "id") : text_of(x, name);
}

const json::object& first_item(const json::object& subscription) {
  static const json::object none;
  const auto& all = member(object_of(subscription, "items"), "data");
  if (!all.is_array() || all.get_array().empty() || !all.get_array().front().is_object())
    return none;
  return all.get_array().front().get_object();
}

std::optional<int64_t> period_end_of(const json::object& subscription) {
  const auto end = number_of(subscription, "current_period_end");
  return end ? end : number_of(first_item(subscription), "current_period_end");
}

std::optional<std::string> tier_of_subscription(const json::object& subscription,
                                                const tier_of_price& tiers) {
  const auto at = tiers.find(price_of(subscription));
  return at != tiers.end() ? std::optional{at->second} : std::nullopt;
}

std::optional<stripe_envelope> parse_stripe_envelope(std::string_view body) {
  boost::system::error_code bad;
  const auto parsed = json::parse(body, bad);
  if (bad || !parsed.is_object())
    return std::nullopt;
  const auto& event = parsed.get_object();
  const auto created = number_of(event, "created");
  stripe_envelope out{text_of(event, "id"), text_of(event, "type"), created.value_or(-1)};
  if (!plain(out.id, "_-") || !plain(out.type, "._-") || out.created < 0 || out.created > latest ||
      !member(object_of(event, "data"), "object").is_object())
    return std::nullopt;
  return out;
}

std::string_view stripe_metric_label(std::string_view type) noexcept {
  const auto at = std::find(known_types.begin(), known_types.end(), type);
  return at != known_types.end() ? *at : std::string_view{"other"};
}

int currency_exponent(std::string_view currency) noexcept {
  constexpr std::array<std::string_view, 15> whole = {"bif", "clp", "djf", "gnf", "jpy",
                                                      "kmf", "krw", "mga", "pyg", "rwf",
                                                      "vnd", "vuv", "xaf", "xof", "xpf"};
  constexpr std::array<std::string_view, 5> thousandths = {"bhd", "jod", "kwd", "omr", "tnd"};
  if (std::find(whole.begin(), whole.end(), currency) != whole.end())
    return 0;
  return std::find(thousandths.begin(), thousandths.end(), currency) != thousandths.end() ? 3 : 2;
}

stripe_translation translate_stripe_event(const json::object& event, const tier_of_price& tiers) {
  return translator{event, tiers}.translate();
}

}  // namespace kgents::billing
