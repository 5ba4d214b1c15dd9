#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <future>

#include "gateway/program/check_report.hpp"
#include "gateway/program/reach.hpp"
#include "gateway/sign_in.hpp"
#include "runtime/idempotency/redis_url.hpp"

namespace kgents::gateway {

namespace {

using namespace std::chrono_literals;

constexpr auto patience = 3s;

/// Reads until `enough` says so, the other side stops, or 64 KiB are there.
template <class F>
std::string hear(int fd, F enough) {
  std::string out;
  char piece[4096];
  while (!enough(out) && out.size() < 64 * 1024) {
    const auto got = ::recv(fd, piece, sizeof piece, 0);
    if (got <= 0)
      break;
    out.append(piece, static_cast<size_t>(got));
  }
  return out;
}

bool say(int fd, std::string_view text) {
  return ::send(fd, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

/// A server says what it is before anything else, in plain text even where TLS follows.
void check_nats(const std::string& server, check_report& out) {
  const auto where = address_of(server);
  if (!where) {
    out.degraded("NATS_SERVERS", "one has no host or port");
    return;
  }
  const auto name = where->host + ":" + std::to_string(where->port);
  const reached connection{*where, patience};
  if (!connection.error().empty()) {
    out.degraded("NATS_SERVERS", connection.error());
    return;
  }
  const auto info = hear(connection.descriptor(), [](const std::string& x) {
    return x.find('\n') != x.npos;
  });
  if (!info.starts_with("INFO "))
    out.degraded("NATS_SERVERS", name + " does not answer as a nats-server");
  else if (info.find("\"jetstream\":true") == info.npos)
    out.degraded("NATS_SERVERS", name + " has no JetStream (nats-server -js)");
  else
    out.ok("NATS_SERVERS", name + " reachable, with JetStream");
}

std::string redis_command(std::initializer_list<std::string_view> words) {
  std::string out = "*" + std::to_string(words.size()) + "\r\n";
  for (const auto x : words)
    out.append("$").append(std::to_string(x.size())).append("\r\n").append(x).append("\r\n");
  return out;
}

void check_redis(const runtime::settings& config, check_report& out) {
  if (config.redis_url.empty()) {
    out.unset("REDIS_URL", "not set; idempotency in the memory of each node");
    return;
  }
  const auto to = runtime::idempotency::parse_redis_url(config.redis_url.reveal());
  const reached connection{{to->host, to->port}, patience};
  if (!connection.error().empty()) {
    out.degraded("REDIS_URL", connection.error());
    return;
  }
  if (to->tls) {
    out.ok("REDIS_URL", "reachable (TLS and password are not tried here)");
    return;
  }
  std::string ask;
  if (!to->user.empty())
    ask = redis_command({"AUTH", to->user, to->password});
  else if (!to->password.empty())
    ask = redis_command({"AUTH", to->password});
  const size_t answers = ask.empty() ? 2 : 3;
  ask += redis_command({"SELECT", std::to_string(to->database)}) + redis_command({"PING"});
  const auto lines = [](const std::string& x) {
    return static_cast<size_t>(std::count(x.begin(), x.end(), '\n'));
  };
  const auto heard = say(connection.descriptor(), ask)
                         ? hear(connection.descriptor(),
                                [&](const std::string& x) { return lines(x) >= answers; })
                         : std::string{};
  if (const auto error = heard.find('-'); heard.starts_with('-') || heard.find("\n-") != heard.npos)
    // The first word only: what follows may quote what was sent.
    out.degraded("REDIS_URL", "refuses: " + heard.substr(error + 1, heard.find(' ', error) - error));
  else if (!heard.ends_with("+PONG\r\n"))
    out.degraded("REDIS_URL", "does not answer as a Redis");
  else
    out.ok("REDIS_URL", "answers");
}

void check_openmeter(const runtime::settings& config, check_report& out) {
  const auto& x = config.openmeter;
  if (!x.enabled) {
    out.unset("OPENMETER_ENABLED", "off; usage stays in PostgreSQL until it is on");
  } else if (x.api_key.empty()) {
    out.degraded("OPENMETER_API_KEY", "not set; usage stays in PostgreSQL until it is");
  } else if (const auto error = unreachable(x.base_url); !error.empty()) {
    out.degraded("OPENMETER_BASE_URL", error);
  } else {
    out.ok("OPENMETER_BASE_URL", x.base_url + " reachable");
  }
}

void check_stripe(const runtime::settings& config, check_report& out) {
  const auto& x = config.stripe;
  if (x.api_key.empty()) {
    out.unset("STRIPE_API_KEY", "not set; no checkout and no portal");
  } else if (const auto error = unreachable(x.base_url); !error.empty()) {
    out.degraded("STRIPE_API_BASE", error);
  } else if (x.prices.empty()) {
    out.degraded("STRIPE_PRICE_*", "none is set: there is nothing to buy");
  } else {
    out.ok("STRIPE_API_BASE", x.base_url + " reachable");
  }
  if (!x.webhook_secret.empty())
    out.ok("STRIPE_WEBHOOK_SECRET", "set");
  else if (x.api_key.empty())
    out.unset("STRIPE_WEBHOOK_SECRET", "not set; webhooks are answered 500");
  else
    out.degraded("STRIPE_WEBHOOK_SECRET", "not set; what is bought has no effect");
}

void check_qdrant(const runtime::settings& config, check_report& out) {
  if (config.cdc.qdrant_url.empty())
    out.unset("QDRANT_URL", "not set; role cdc has nothing to do");
  else if (const auto error = unreachable(config.cdc.qdrant_url); !error.empty())
    out.degraded("QDRANT_URL", error);
  else
    out.ok("QDRANT_URL", config.cdc.qdrant_url + " reachable");
}

/// Reads the keys as the server would: a page that answers is not enough.
void check_identity(const runtime::settings& config, check_report& out) {
  const auto& x = config.identity;
  if (x.jwks_url.empty()) {
    if (x.jwt_secret.empty())
      out.unset("AUTH_JWKS_URL", "not set; no JWTs");
    else
      out.ok("AUTH_JWT_SECRET", "set; JWTs are verified with HS256");
    return;
  }
  std::promise<std::optional<std::string>> answered;
  auto keys = answered.get_future();
  runtime::io_thread thread{0, "check"};
  thread.start();
  jwks_client(x.jwks_url).call(thread, jwks_request(x.jwks_url), [&](outbound::http_result got) {
    answered.set_value(jwks_of(std::move(got)));
  });
  const auto text = keys.get();  // its deadline is the request's
  thread.stop();
  thread.join();
  const auto set = text ? runtime::identity::key_set::of_provider(*text) : std::nullopt;
  if (!text)
    out.degraded("AUTH_JWKS_URL", x.jwks_url + " gives no keys; nobody can sign in with a token");
  else if (!set)
    out.degraded("AUTH_JWKS_URL", x.jwks_url + " has no key for RS256 or ES256");
  else
    out.ok("AUTH_JWKS_URL", x.jwks_url + ": " + std::to_string(set->size()) + " usable keys");
}

}  // namespace

std::string unreachable(const std::string& url) {
  const auto where = address_of(url);
  return where ? reached{*where, patience}.error() : "has no host or port";
}

void check_services(const runtime::settings& config, check_report& out) {
  if (config.nats_enabled)
    for (const auto& server : config.nats_servers)
      check_nats(server, out);
  else
    out.unset("NATS_ENABLED", "off; events are not published");
  check_redis(config, out);
  check_openmeter(config, out);
  check_stripe(config, out);
  check_qdrant(config, out);
  check_identity(config, out);
}

}  // namespace kgents::gateway
