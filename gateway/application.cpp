#include "gateway/application.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <boost/json/serialize.hpp>
#include <charconv>

#include "runtime/telemetry/log.hpp"

namespace kgents::gateway {

namespace json = boost::json;

namespace {

/// Well below the second after which clients are told to come back.
constexpr auto refusal_pause = std::chrono::milliseconds{250};

/// What stood for a `{…}`, decoded; the segments of a `{…*}` are joined by dots. A malformed escape
/// stays as it is: it is refused by who reads it.
std::string decoded(std::string_view raw) {
  if (raw.find_first_of("%/") == std::string_view::npos)
    return std::string{raw};
  std::string out;
  for (;;) {
    const auto part = raw.substr(0, raw.find('/'));
    out += percent_decoded(part, false).value_or(std::string{part});
    if (part.size() == raw.size())
      return out;
    out += '.';
    raw.remove_prefix(part.size() + 1);
  }
}

presented credentials(const http::request& in, const route& to) {
  if (in.has_header("x-api-key"))
    return {true, false, std::string{in.header("x-api-key")}};
  const auto authorization = in.header("authorization");
  if (authorization.size() > 7 &&
      std::equal(authorization.begin(), authorization.begin() + 7, "bearer ",
                 [](char a, char b) { return (a | 0x20) == b || a == b; }))
    return {true, true, std::string{authorization.substr(7)}};
  if (to.who == access::query_key)
    if (auto key = query_value(in.query, "api_key"))
      return {true, true, std::move(*key)};
  return {};
}

bool has_scope(const sql::key_scopes& have, scope needs) {
  switch (needs) {
    case scope::none:
      return true;
    case scope::read:
      return have.read;
    case scope::write:
      return have.write;
    case scope::admin:
      return have.admin;
    case scope::billing:
      return have.billing;
  }
  return false;
}

bool may_have_body(const http::request& in) {
  return in.has_header("content-length") || in.has_header("transfer-encoding");
}

bool visible_ascii(std::string_view text) {
  return !text.empty() && text.size() <= 128 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

std::array<unsigned char, 32> digest_of(std::string_view text) {
  std::array<unsigned char, 32> out{};
  EVP_Digest(text.data(), text.size(), out.data(), nullptr, EVP_sha256(), nullptr);
  return out;
}

}  // namespace

application::application(node& n)
    : at_{n},
      unmatched_{n.metrics.route("ANY", "unmatched")},
      operators_key_{n.config.platform_key.empty()
                         ? std::nullopt
                         : std::optional{digest_of(n.config.platform_key.reveal())}},
      is_gateway_{std::find(n.config.roles.begin(), n.config.roles.end(),
                            runtime::node_role::gateway) != n.config.roles.end()} {
  for (const auto& r : all_routes()) {
    routes_.push_back({&r, &n.metrics.route(r.method, r.path)});
    router_.add(r.method, r.path);
  }
}

/// Digests are compared, in constant time: neither the key's length nor how much of it is right can
/// be measured.
bool application::is_operator(const http::request& in) const {
  if (!operators_key_)
    return false;
  const auto shown = digest_of(in.header("x-api-key"));
  return CRYPTO_memcmp(shown.data(), operators_key_->data(), shown.size()) == 0;
}

/// A node without the gateway role answers probes and its operator.
bool application::serves(const call_ptr& c) {
  if (is_gateway_ || c->to->who == access::platform || c->to->tag == "system")
    return true;
  c->refuse(refusal{503,
                    "This node is no gateway (KGENTS_ROLES): it hosts sessions and serves no API. "
                    "Ask another node.",
                    0, "not_gateway"});
  return false;
}

/// Answers 404 or 405 itself when there is no route.
bool application::find(call& c) {
  const auto& in = c.x->in();
  c.probe = &unmatched_;
  auto found = router_.find(in.method, in.path, [&](size_t i) {
    return routes_[i].to->who != access::platform || is_operator(in);
  });
  if (found.route != router::match::none) {
    c.to = routes_[found.route].to;
    c.probe = routes_[found.route].probe;
    for (const auto x : found.values)
      c.segments.push_back(decoded(x));
    return true;
  }
  auto& allowed = found.allowed;
  if (allowed.empty()) {
    c.refuse(404, "Not Found");
    return false;
  }
  if (allowed.find("GET") != std::string::npos)
    allowed += ", HEAD";
  c.reply(405, R"({"detail":"Method Not Allowed"})", "application/json",
          "Allow: " + allowed + "\r\n");
  return false;
}

/// A browser's question whether it may ask (http-api.md 1.4).
bool application::preflight(const call_ptr& c) {
  const auto& in = c->x->in();
  const auto& cors = at_.config.cors_origins;
  if (in.method != "OPTIONS" || cors.allow == runtime::cors_policy::kind::off ||
      !in.has_header("origin") || !in.has_header("access-control-request-method"))
    return false;
  const auto origin = in.header("origin");
  if (cors.allow == runtime::cors_policy::kind::list &&
      std::find(cors.origins.begin(), cors.origins.end(), origin) == cors.origins.end()) {
    c->reply(400, "Disallowed CORS origin", "text/plain; charset=utf-8");
    return true;
  }
  std::string lines =
      "Access-Control-Allow-Methods: DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT\r\n"
      "Access-Control-Max-Age: 600\r\n";
  if (in.has_header("access-control-request-headers")) {
    lines += "Access-Control-Allow-Headers: ";
    lines += in.header("access-control-request-headers");
    lines += "\r\n";
  }
  c->reply(200, "OK", "text/plain; charset=utf-8", lines);
  return true;
}

void application::head(std::shared_ptr<http::exchange> x) {
  auto c = std::make_shared<call>(at_, x);
  x->context = c;
  const auto& in = x->in();
  const auto id = in.header("x-request-id");
  c->request_id = visible_ascii(id) ? std::string{id} : uuid::random().text();
  c->probe = &unmatched_;
  if (preflight(c) || !find(*c) || !serves(c))
    return;
  if (const auto text = in.header("content-length"); !text.empty()) {
    uint64_t length = 0;
    std::from_chars(text.data(), text.data() + text.size(), length);
    if (length > most_body_bytes(*c->to)) {
      c->refuse(413, "Request body too large");
      return;
    }
  }
  if (c->to->who == access::open || c->to->who == access::platform)
    go_on(c);
  else
    authenticate(c);
}

void application::authenticate(const call_ptr& c) {
  auto shown = credentials(c->x->in(), *c->to);
  if (!shown.any) {
    refuse_anonymous(c, "API key required. Provide via X-API-Key header or api_key query param.");
    return;
  }
  if (auto known = at_.auth.cached(shown)) {
    identified(c, std::move(*known));
    return;
  }
  at_.auth.resolve(c->x->thread(), std::move(shown),
                   [this, c](authenticator::result who) { identified(c, std::move(who)); });
}

void application::identified(const call_ptr& c, authenticator::result who) {
  if (auto* no = std::get_if<refusal>(&who)) {
    if (no->status == 401)
      refuse_anonymous(c, no->detail);
    else
      c->refuse(*no);
    return;
  }
  c->who = std::get<credential_ptr>(std::move(who));
  go_on(c);
}

size_t application::most_body_bytes(const route& to) const {
  const auto all = at_.config.max_body_bytes;
  return to.most_body_bytes == 0 ? all : std::min(all, to.most_body_bytes);
}

/// Whoever has no good key hears so at most 60 times a minute from one address. That stops nobody
/// behind the same address who has one.
void application::refuse_anonymous(const call_ptr& c, std::string_view why) {
  if (const auto wait = at_.limits.anonymous(c->x->in().peer); wait > 0)
    c->refuse(refusal{429, "Rate limit exceeded. 60 requests per minute allowed without an API key.",
                      wait, "rate_limited"});
  else
    c->reply_json(401, json::object{{"detail", why}}, "WWW-Authenticate: Bearer\r\n");
}

void application::go_on(const call_ptr& c) {
  if (c->to->body != nullptr || may_have_body(c->x->in()))
    c->x->read_body(most_body_bytes(*c->to));
  else
    checked(c);
}

void application::body(std::shared_ptr<http::exchange> x) {
  checked(std::static_pointer_cast<call>(x->context));
}

/// Everything of the request is there and it is known who asks.
void application::checked(const call_ptr& c) {
  const auto& to = *c->to;
  const auto& in = c->x->in();
  violations wrong;
  if (!to.query.empty())
    c->query = parse_query(to.query, in.query, wrong);
  if (to.body != nullptr)
    c->body = parse_body(*to.body, in.body.empty() && to.body_optional ? "{}" : in.body, wrong);
  if (!wrong.empty()) {
    c->refuse_unprocessable(std::move(wrong));
    return;
  }
  if (c->who == nullptr)
    to.handle(c);
  else if (const auto x = at_.limits.traffic(c->x->thread(), c->who,
                                             [this, c](auto later) { arrived(c, later); }))
    arrived(c, *x);
}

/// The traffic of its key has been counted: its tenant's share of the node is next, or the
/// operations of the day.
void application::arrived(const call_ptr& c, const runtime::verdict& x) {
  const auto& tier = c->who->key.tier;
  if (!x.allowed) {
    at_.metrics.rate_limited("l1", tier).Increment();
    c->refuse(refused_traffic(*c->who, x));
    return;
  }
  if (!c->to->metered) {
    c->place = at_.limits.enter(*c->who);
    if (c->place) {
      admitted(c);
    } else {
      at_.metrics.rate_limited("share", tier).Increment();
      refuse_later(c);
    }
    return;
  }
  // Metered ones wait for models, which says nothing of this node; turn permits bound them.
  if (const auto now = at_.limits.operation(c->x->thread(), c->who,
                                                 [this, c](auto later) { counted(c, later); }))
    counted(c, *now);
}

/// Clients that ask again as soon as they are refused would keep a saturated node busy with
/// refusals alone. So theirs take a moment, which holds up nobody else: a connection has one request
/// under way.
void application::refuse_later(const call_ptr& c) {
  auto pause = std::make_shared<boost::asio::steady_timer>(c->x->thread().context(), refusal_pause);
  pause->async_wait([pause, c](boost::system::error_code) { c->refuse(refused_share()); });
}

void application::counted(const call_ptr& c, const runtime::verdict& x) {
  if (x.allowed) {
    admitted(c);
    return;
  }
  if (!x.unavailable)
    at_.metrics.rate_limited("l2", c->who->key.tier).Increment();
  c->refuse(refused_operation(*c->who, x));
}

void application::admitted(const call_ptr& c) {
  const auto& key = c->who->key;
  if (!has_scope(key.scopes, c->to->needs)) {
    c->refuse(403, c->to->refusal_text);
    return;
  }
  if (key.status != "active" && key.status != "trialing" && key.status != "past_due") {
    c->refuse(403, "Tenant subscription is not active");
    return;
  }
  const auto claimed = c->x->in().header("x-tenant-id");
  if (!claimed.empty() && uuid::parse(claimed) != c->tenant().value) {
    c->refuse(403, "X-Tenant-ID is not the tenant of this credential");
    return;
  }
  if (c->to->once && c->x->in().has_header("idempotency-key"))
    handle_once(c);
  else
    c->to->handle(c);
}

http::response application::refuse(unsigned status, std::string_view why) {
  http::response out;
  out.status = status;
  out.body = json::serialize(json::object{{"detail", why}});
  out.header_lines = "X-Response-Time: 0ms\r\nX-Request-ID: " + uuid::random().text() +
                     "\r\nX-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\n"
                     "X-XSS-Protection: 1; mode=block\r\n";
  unmatched_.answered(status);
  return out;
}

void application::answered(const http::exchange& x, unsigned status) {
  const auto c = std::static_pointer_cast<call>(x.context);
  if (c == nullptr)
    return;
  c->place.release();
  const auto took = std::chrono::steady_clock::now() - c->began;
  c->probe->answered(status);
  c->probe->took(took);
  if (c->who != nullptr)
    at_.usage.count(c->x->thread().index(), {c->tenant(), c->who->key.key, c->to->method, c->to->path,
                                         static_cast<uint16_t>(status)});
  const auto level = status >= 500   ? log::log_severity::error
                     : status >= 400 ? log::log_severity::info
                                     : log::log_severity::debug;
  if (!log::enabled(level))
    return;
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(took).count();
  const auto route = c->to != nullptr ? c->to->path : std::string_view{"unmatched"};
  if (c->who != nullptr)
    log::write(level, "request",
               {{"request_id", c->request_id},
                {"method", c->x->in().method},
                {"route", route},
                {"status", status},
                {"duration_ms", ms},
                {"tenant_id", c->tenant().text()},
                {"user_id", c->who->key.user_ref},
                {"key_prefix", c->who->key.prefix}});
  else
    log::write(level, "request",
               {{"request_id", c->request_id},
                {"method", c->x->in().method},
                {"route", route},
                {"status", status},
                {"duration_ms", ms}});
}

}  // namespace kgents::gateway
