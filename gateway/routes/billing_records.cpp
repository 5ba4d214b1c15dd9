// What a tenant has used and been billed (http-api.md 9.4).

#include <ctime>

#include "actors/billing/stripe_event.hpp"
#include "gateway/billing.hpp"
#include "sql/usage.hpp"

namespace kgents::gateway {

namespace json = boost::json;

using billing::text_of;
using sql::stripe_events::account;

namespace {

constexpr uint32_t stripes_page = 100;

constexpr field usage_query[] = {
    {.name = "period",
     .default_json = R"("current")",
     .meaning = "current, previous or YYYY-MM (UTC)",
     .max_bytes = 16},
};
constexpr field usage_fields[] = {
    {.name = "period", .required = true, .meaning = "YYYY-MM"},
    {.name = "tokens_in", .type = value_type::integer, .required = true},
    {.name = "tokens_out", .type = value_type::integer, .required = true},
    {.name = "total_tokens", .type = value_type::integer, .required = true},
    {.name = "storage_bytes", .type = value_type::integer, .required = true},
    {.name = "compute_ms", .type = value_type::integer, .required = true},
    {.name = "event_count", .type = value_type::integer, .required = true},
    {.name = "tier", .required = true, .meaning = "now"},
    {.name = "tokens_limit",
     .type = value_type::integer,
     .required = true,
     .meaning = "a month, now; 0: unlimited"},
};
constexpr schema usage_shape{"BillingUsage", usage_fields};

constexpr field invoices_query[] = {
    {.name = "limit", .type = value_type::integer, .default_json = "20", .least = 1, .most = 100},
    {.name = "offset",
     .type = value_type::integer,
     .default_json = "0",
     .meaning = "the newest is first",
     .least = 0,
     .most = 900},
};
constexpr field invoices_fields[] = {
    {.name = "items",
     .type = value_type::array,
     .required = true,
     .meaning =
         "id, number, status, currency, amount_due, amount_paid (in the currency's unit), "
         "amount_due_minor, amount_paid_minor, subscription_id, created_at, hosted_url, pdf"},
    {.name = "has_more", .type = value_type::boolean, .required = true},
    {.name = "limit", .type = value_type::integer, .required = true},
    {.name = "offset", .type = value_type::integer, .required = true},
};
constexpr schema invoices_shape{"InvoiceList", invoices_fields};

bool is_period(std::string_view x) {
  const auto digit = [&](size_t i) { return x[i] >= '0' && x[i] <= '9'; };
  if (x.size() != 7 || x[4] != '-')
    return false;
  for (const size_t i : {0u, 1u, 2u, 3u, 5u, 6u})
    if (!digit(i))
      return false;
  const int month = (x[5] - '0') * 10 + (x[6] - '0');
  return month >= 1 && month <= 12;
}

/// `YYYY-MM` of this month or the one before (UTC).
std::string month(bool previous) {
  const auto today = std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now());
  const std::chrono::year_month_day date{today};
  auto at = date.year() / date.month();
  if (previous)
    at -= std::chrono::months{1};
  const auto number = static_cast<unsigned>(at.month());
  return std::to_string(static_cast<int>(at.year())) + (number < 10 ? "-0" : "-") +
         std::to_string(number);
}

void usage(const call_ptr& c) {
  std::string period{std::string_view{c->query.at("period").as_string()}};
  if (period == "current" || period == "previous")
    period = month(period == "previous");
  if (!is_period(period)) {
    c->refuse(400, "Invalid period: current, previous or YYYY-MM is expected");
    return;
  }
  with_account(c, [c, period](const account& of) {
    c->query_database(
        sql::usage::summary(c->tenant(), period), [c, period, of](const sql::usage_summary& x) {
          c->reply_json(200, json::object{{"period", period},
                                          {"tokens_in", x.tokens_in},
                                          {"tokens_out", x.tokens_out},
                                          {"total_tokens", x.tokens_in + x.tokens_out},
                                          {"storage_bytes", x.storage_bytes},
                                          {"compute_ms", x.compute_ms},
                                          {"event_count", x.events},
                                          {"tier", of.tier},
                                          {"tokens_limit", of.tokens_limit_month}});
        });
  });
}

/// Stripe's pages lead from one to the next; ours begin anywhere, up to a bound.
struct listing {
  call_ptr c;
  std::string customer;
  size_t offset = 0;
  size_t limit = 0;
  size_t seen = 0;
  json::array items;
  std::string last;
};

json::value amount_of(const json::object& x, std::string_view name) {
  const auto minor = billing::number_of(x, name);
  if (!minor)
    return nullptr;
  double out = static_cast<double>(*minor);
  for (int i = billing::currency_exponent(text_of(x, "currency")); i > 0; --i)
    out /= 10;
  return out;
}

json::value or_null(const json::object& x, std::string_view name) {
  auto text = text_of(x, name);
  return text.empty() ? json::value{} : json::value(text);
}

json::object invoice_json(const json::object& x) {
  const auto id = text_of(x, "id");
  const auto subscription = billing::id_of(x, "subscription");
  return {{"id", id},
          {"number", or_null(x, "number")},
          {"status", or_null(x, "status")},
          {"currency", text_of(x, "currency")},
          {"amount_due", amount_of(x, "amount_due")},
          {"amount_due_minor", billing::number_of(x, "amount_due").value_or(0)},
          {"amount_paid", amount_of(x, "amount_paid")},
          {"amount_paid_minor", billing::number_of(x, "amount_paid").value_or(0)},
          {"subscription_id", subscription.empty() ? json::value{} : json::value(subscription)},
          {"created_at", utc_text(billing::number_of(x, "created"))},
          {"hosted_url", or_null(x, "hosted_invoice_url")},
          {"pdf", "/v1/billing/invoices/" + id + "/pdf"}};
}

void reply_listing(listing& x, bool has_more) {
  x.c->reply_json(200, json::object{{"items", std::move(x.items)},
                                    {"has_more", has_more},
                                    {"limit", x.limit},
                                    {"offset", x.offset}});
}

void next_page(const std::shared_ptr<listing>& x) {
  call_stripe(x->c, billing::list_invoices(x->customer, stripes_page, x->last),
              [x](const json::object& page) {
                const auto* all = page.if_contains("data");
                if (all != nullptr && all->is_array())
                  for (const auto& item : all->get_array()) {
                    if (!item.is_object())
                      continue;
                    if (x->items.size() == x->limit)
                      return reply_listing(*x, true);
                    x->last = text_of(item.get_object(), "id");
                    if (x->seen++ >= x->offset)
                      x->items.push_back(invoice_json(item.get_object()));
                  }
                const auto* more = page.if_contains("has_more");
                const bool others = more != nullptr && more->is_bool() && more->get_bool() &&
                                    all != nullptr && all->is_array() && !all->get_array().empty();
                if (others && x->items.size() < x->limit)
                  next_page(x);
                else
                  reply_listing(*x, others);
              });
}

void invoices(const call_ptr& c) {
  with_stripe(c, [c](const account& of) {
    auto x = std::make_shared<listing>();
    x->c = c;
    x->limit = static_cast<size_t>(c->query.at("limit").as_int64());
    x->offset = static_cast<size_t>(c->query.at("offset").as_int64());
    if (!of.customer)
      return reply_listing(*x, false);
    x->customer = *of.customer;
    next_page(x);
  });
}

constexpr std::string_view no_invoice = "Invoice not found";

bool is_invoice_id(std::string_view x) {
  return x.starts_with("in_") && x.size() <= 255 && std::ranges::all_of(x, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '_';
         });
}

/// Stripe keeps the file; its address is a secret of its own, so it is given to nobody but the
/// customer's tenant.
void invoice_pdf(const call_ptr& c) {
  with_stripe(c, [c](const account& of) {
    if (!of.customer || !is_invoice_id(c->segments[0])) {
      c->refuse(404, no_invoice);
      return;
    }
    call_stripe(
        c, billing::get_invoice(c->segments[0]),
        [c, customer = *of.customer](const json::object& x) {
          if (billing::id_of(x, "customer") != customer) {
            c->refuse(404, no_invoice);
            return;
          }
          const auto url = text_of(x, "invoice_pdf");
          if (!billing::is_return_url(url))
            c->refuse(404, "The invoice has no PDF yet");
          else
            c->reply_json(302, json::object{{"url", url}}, "Location: " + url + "\r\n");
        },
        no_invoice);
  });
}

const route table[] = {
    {.method = "GET",
     .path = "/v1/billing/usage",
     .tag = "billing",
     .summary = "What was used in a month",
     .needs = scope::billing,
     .refusal_text = billing_needed,
     .query = usage_query,
     .answer = &usage_shape,
     .handle = usage},
    {.method = "GET",
     .path = "/v1/billing/invoices",
     .tag = "billing",
     .summary = "The tenant's invoices, newest first",
     .needs = scope::billing,
     .refusal_text = billing_needed,
     .query = invoices_query,
     .answer = &invoices_shape,
     .handle = invoices},
    {.method = "GET",
     .path = "/v1/billing/invoices/{invoice}/pdf",
     .tag = "billing",
     .summary = "Leads to an invoice's PDF at Stripe",
     .needs = scope::billing,
     .refusal_text = billing_needed,
     .success = 302,
     .handle = invoice_pdf},
};

}  // namespace

std::span<const route> billing_record_routes() { return table; }

}  // namespace kgents::gateway
