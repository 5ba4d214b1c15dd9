#include "gateway/billing.hpp"

#include <openssl/evp.h>

#include <array>
#include <ctime>

#include "actors/billing/stripe_event.hpp"

namespace kgents::gateway {

namespace json = boost::json;

using sql::stripe_events::account;

namespace {

/// Plans and the settings that give them a price.
constexpr std::pair<std::string_view, std::string_view> plans[] = {
    {"starter", "STRIPE_PRICE_STARTER_MONTHLY"}, {"pro", "STRIPE_PRICE_PRO_MONTHLY"},
    {"pro_yearly", "STRIPE_PRICE_PRO_YEARLY"},   {"team", "STRIPE_PRICE_TEAMS_MONTHLY"},
    {"enterprise", "STRIPE_PRICE_ENTERPRISE"},
};

void refuse_unconfigured(const call_ptr& c, std::string_view settings) {
  c->refuse(refusal{503, "Billing is not configured: set " + std::string{settings} + ".", 0,
                    "billing_not_configured"});
}

std::string missing_settings(const runtime::stripe_settings& x) {
  std::string out;
  const auto need = [&](bool there, std::string_view name) {
    if (there)
      return;
    out += out.empty() ? "" : ", ";
    out += name;
  };
  need(!x.api_key.empty(), "STRIPE_API_KEY");
  need(!x.webhook_secret.empty(), "STRIPE_WEBHOOK_SECRET");
  need(!x.prices.empty(), "a STRIPE_PRICE_…");
  return out;
}

bool may_manage(const credential& who, const account& x) {
  return !who.key.user || x.role == "owner" || x.role == "admin";
}

/// As call::query_database, on the control role's pool.
template <class T, class F>
void ask_ledger(const call_ptr& c, sql::query<T> what, F done) {
  what.work.deadline = std::chrono::steady_clock::now() + runtime::limits::sql_deadline;
  sql::run(c->at.stripe.ledger, std::move(what), [c, done = std::move(done)](sql::answer<T> out) {
    boost::asio::post(c->x->thread().context(), [c, done, out = std::move(out)] {
      if (const auto* value = std::get_if<0>(&out))
        done(*value);
      else
        c->refuse(actors::refused_by_database(std::get<1>(out)));
    });
  });
}

}  // namespace

void with_account(const call_ptr& c, std::function<void(const account&)> then) {
  c->query_database(sql::stripe_events::account_of(c->tenant(), c->who->key.user),
                    [c, then = std::move(then)](const std::optional<account>& x) {
                      if (!x)
                        c->refuse(404, "Tenant not found");
                      else if (!may_manage(*c->who, *x))
                        c->refuse(403, "Billing requires the role owner or admin");
                      else
                        then(*x);
                    });
}

void with_stripe(const call_ptr& c, std::function<void(const account&)> then) {
  if (const auto missing = missing_settings(c->at.config.stripe); !missing.empty())
    refuse_unconfigured(c, missing);
  else
    with_account(c, std::move(then));
}

void call_stripe(const call_ptr& c, billing::stripe_request what,
                 std::function<void(const json::object&)> then, std::string_view not_found) {
  c->at.stripe.api.call(c->x->thread(), std::move(what),
                        [c, then = std::move(then), not_found](billing::stripe_result out) {
                          if (const auto* x = std::get_if<json::object>(&out))
                            then(*x);
                          else if (const auto& no = std::get<refusal>(out); no.status == 404)
                            c->refuse(404, not_found);
                          else
                            c->refuse(no);
                        });
}

void with_customer(const call_ptr& c, const account& of,
                   std::function<void(const std::string&)> then) {
  if (of.customer) {
    then(*of.customer);
    return;
  }
  if (!of.email) {
    c->refuse(refusal{409, "The tenant's owner has no e-mail address to send invoices to", 0,
                      "billing_no_email"});
    return;
  }
  call_stripe(c, billing::create_customer(c->tenant(), *of.email, of.name),
              [c, then = std::move(then)](const json::object& made) {
                const auto id = billing::text_of(made, "id");
                if (id.empty()) {
                  c->refuse(502, "The payment provider failed.");
                  return;
                }
                ask_ledger(c, sql::stripe_events::adopt_customer(c->tenant(), id),
                           [c, then](const std::optional<std::string>& x) {
                             if (x)
                               then(*x);
                             else
                               c->refuse(404, "Tenant not found");
                           });
              });
}

std::string stripe_key(const call_ptr& c) {
  const auto given = c->x->in().header("idempotency-key");
  if (given.empty())
    return uuid::random().text();
  const auto text = c->tenant().text() + " " + c->who->key.key.text() + " " +
                    std::string{c->to->path} + " " + std::string{given};
  std::array<unsigned char, 32> digest{};
  EVP_Digest(text.data(), text.size(), digest.data(), nullptr, EVP_sha256(), nullptr);
  std::string out;
  for (const auto x : digest) {
    out += "0123456789abcdef"[x >> 4];
    out += "0123456789abcdef"[x & 15];
  }
  return out;
}

std::optional<std::string> price_of_plan(const call_ptr& c, std::string_view plan,
                                         std::string_view wrong) {
  for (const auto& [code, setting] : plans) {
    if (code != plan)
      continue;
    const auto at = c->at.config.stripe.prices.find(plan);
    if (at != c->at.config.stripe.prices.end())
      return at->second;
    refuse_unconfigured(c, setting);
    return std::nullopt;
  }
  c->refuse(400, std::string{wrong} + ": " + std::string{plan});
  return std::nullopt;
}

std::optional<std::string> return_url(const call_ptr& c, std::string_view member) {
  const auto url = c->text_of(member);
  if (billing::is_return_url(url))
    return std::string{url};
  c->refuse(400, "Invalid " + std::string{member} +
                     ": an absolute https URL, or http on localhost, is expected");
  return std::nullopt;
}

json::value utc_text(std::optional<int64_t> unix_seconds) {
  if (!unix_seconds)
    return nullptr;
  const auto seconds = static_cast<std::time_t>(*unix_seconds);
  std::tm parts{};
  if (gmtime_r(&seconds, &parts) == nullptr)
    return nullptr;
  std::array<char, 64> out{};
  const auto size = std::strftime(out.data(), out.size(), "%Y-%m-%dT%H:%M:%S+00:00", &parts);
  return json::value(std::string_view{out.data(), size});
}

}  // namespace kgents::gateway
