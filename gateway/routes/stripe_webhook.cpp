// Where Stripe delivers its events (http-api.md 9.1 and 9.2). A delivery is answered once it stands
// in the ledger; what it does is done by a worker (actors/billing).

#include <boost/asio/post.hpp>
#include <charconv>

#include "actors/billing/stripe_event.hpp"
#include "gateway/billing.hpp"
#include "gateway/route.hpp"
#include "protocol/stripe_signature.hpp"
#include "runtime/idempotency/limits.hpp"

namespace kgents::gateway {

namespace json = boost::json;

namespace {

constexpr size_t most_body_bytes = 1024 * 1024;

void refuse(const call_ptr& c, uint16_t status, std::string_view detail, std::string_view kind) {
  c->at.metrics.stripe_errors(kind).Increment();
  c->refuse(status, detail);
}

bool is_signed(const call_ptr& c) {
  const auto& config = c->at.config.stripe;
  const auto current = config.webhook_secret.reveal();
  const auto previous = config.webhook_secret_previous.reveal();
  const std::string_view secrets[] = {current, previous};
  return is_signed_by_stripe(c->x->in().header("stripe-signature"), c->x->in().body, secrets,
                             std::chrono::system_clock::now(),
                             std::chrono::floor<std::chrono::seconds>(config.tolerance));
}

/// How long the ledger is spared a repeated delivery. What comes later was sent again by somebody
/// who wants it applied, and only the ledger knows whether it had failed.
constexpr auto spared_for = std::chrono::minutes{10};

int64_t unix_now() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now())
      .time_since_epoch()
      .count();
}

/// `stored_at`: what the claim was completed with.
bool stored_lately(const std::string& stored_at) {
  int64_t at = 0;
  const auto [end, wrong] =
      std::from_chars(stored_at.data(), stored_at.data() + stored_at.size(), at);
  return wrong == std::errc{} && unix_now() - at < std::chrono::seconds{spared_for}.count();
}

/// A delivery on its way into the ledger.
struct delivery {
  call_ptr c;
  billing::stripe_envelope event;
  runtime::idempotency::claimed claim{};

  [[nodiscard]] std::string id() const { return "idempotency:" + event.id; }
};

void acknowledge(const delivery& x) {
  x.c->reply_json(
      200,
      json::object{{"status", "received"}, {"event_id", x.event.id}, {"event_type", x.event.type}});
}

/// PostgreSQL has it, or not.
void stored(const delivery& x, const sql::answer<bool>& out) {
  const auto& at = x.c->at;
  const auto* fresh = std::get_if<0>(&out);
  if (fresh == nullptr) {
    at.idempotency->release(x.id(), x.claim.token);
    // What jsonb cannot hold, a NUL say, is no better the next time.
    const auto& why = std::get<1>(out);
    if (why.what == sql::failure::kind::rejected && why.sqlstate.starts_with("22"))
      return refuse(x.c, 400, "Invalid payload", "payload");
    at.metrics.stripe_errors("storage").Increment();
    x.c->refuse(
        refusal{503, "The event could not be stored. Send it again.", 5, "ledger_unavailable"});
    return;
  }
  at.idempotency->complete(x.id(), x.claim.token, std::to_string(unix_now()),
                           runtime::idempotency::keep_event);
  if (*fresh) {
    ++at.stripe.figures.known;
    at.stripe.worker.wake();
  } else {
    ++at.stripe.figures.skipped;
  }
  acknowledge(x);
}

void store(delivery x) {
  auto query =
      sql::stripe_events::record(x.event.id, x.event.type, x.event.created, x.c->x->in().body);
  query.work.deadline = std::chrono::steady_clock::now() + runtime::limits::sql_deadline;
  auto& ledger = x.c->at.stripe.ledger;
  sql::run(ledger, std::move(query), [x = std::move(x)](sql::answer<bool> out) {
    boost::asio::post(x.c->x->thread().context(), [x, out = std::move(out)] { stored(x, out); });
  });
}

/// Spares the ledger what is known to be in it. Whether it is in it, only the ledger says: a claim
/// that somebody else has goes on to it all the same.
void claim(delivery x) {
  auto& claims = *x.c->at.idempotency;
  auto id = x.id();
  claims.claim(std::move(id), runtime::idempotency::hold,
               [x = std::move(x)](runtime::idempotency::claimed got) {
                 boost::asio::post(x.c->x->thread().context(), [x, got = std::move(got)]() mutable {
                   if (got.state == runtime::idempotency::claim_state::done &&
                       stored_lately(got.answer)) {
                     ++x.c->at.stripe.figures.skipped;
                     acknowledge(x);
                     return;
                   }
                   x.claim = std::move(got);
                   store(std::move(x));
                 });
               });
}

void receive(const call_ptr& c) {
  const auto& in = c->x->in();
  const auto wait = c->at.stripe.deliveries.take(in.peer, std::chrono::steady_clock::now());
  if (wait > 0) {
    c->at.metrics.rate_limited("l5", "anonymous").Increment();
    return c->refuse(refusal{429, "Rate limit exceeded. 100 deliveries per minute allowed.", wait,
                             "rate_limited"});
  }
  if (c->at.config.stripe.webhook_secret.empty())
    return c->refuse(500, "Webhook secret not configured");
  if (!in.has_header("stripe-signature"))
    return refuse(c, 400, "Missing Stripe-Signature header", "signature");
  if (!is_signed(c))
    return refuse(c, 400, "Invalid signature", "signature");
  const auto event = billing::parse_stripe_envelope(in.body);
  if (!event)
    return refuse(c, 400, "Invalid payload", "payload");
  c->at.metrics.stripe_received(billing::stripe_metric_label(event->type)).Increment();
  claim({c, *event});
}

bool is_healthy(const saas_parts::part& part) {
  if (!part)
    return false;
  const auto told = part();
  const auto* status = told.if_contains("status");
  return status != nullptr && *status == "healthy";
}

void health(const call_ptr& c) {
  const auto& x = c->at.stripe.figures;
  json::object out{{"stripe_sdk", true},
                   {"billing_module", true},
                   {"webhook_secret_configured", !c->at.config.stripe.webhook_secret.empty()},
                   {"openmeter_connected", is_healthy(c->at.saas.openmeter)}};
  if (c->at.config.stripe.webhook_secret.empty())
    out["bridge_status"] = "not_initialized";
  else
    out["bridge_metrics"] = json::object{{"events_processed", x.processed.load()},
                                         {"events_skipped", x.skipped.load()},
                                         {"events_failed", x.failed.load()},
                                         {"idempotency_store_size", x.known.load()}};
  c->reply_json(200, out);
}

constexpr field receipt_fields[] = {
    {.name = "status", .required = true, .meaning = "received"},
    {.name = "event_id", .required = true},
    {.name = "event_type", .required = true},
};
constexpr schema receipt_shape{"StripeReceipt", receipt_fields};

constexpr field health_fields[] = {
    {.name = "stripe_sdk", .type = value_type::boolean, .required = true},
    {.name = "billing_module", .type = value_type::boolean, .required = true},
    {.name = "webhook_secret_configured", .type = value_type::boolean, .required = true},
    {.name = "openmeter_connected", .type = value_type::boolean, .required = true},
    {.name = "bridge_metrics",
     .type = value_type::object,
     .meaning = "events_processed, events_skipped, events_failed, idempotency_store_size, of this "
                "node since it started"},
    {.name = "bridge_status", .meaning = "not_initialized: no secret is configured"},
};
constexpr schema stripe_health_shape{"StripeHealth", health_fields};

const route table[] = {
    {.method = "POST",
     .path = "/webhooks/stripe",
     .tag = "webhooks",
     .summary = "Stripe's events, authenticated by their signature; 200 once the event is stored",
     .who = access::open,
     .most_body_bytes = most_body_bytes,
     .answer = &receipt_shape,
     .handle = receive},
    {.method = "GET",
     .path = "/webhooks/stripe/health",
     .tag = "webhooks",
     .summary = "What has become of Stripe's events",
     .who = access::open,
     .answer = &stripe_health_shape,
     .handle = health},
};

}  // namespace

std::span<const route> stripe_webhook_routes() { return table; }

}  // namespace kgents::gateway
