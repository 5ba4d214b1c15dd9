#include "gateway/program/check.hpp"

#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <memory>
#include <ostream>

#include "gateway/program/check_report.hpp"
#include "gateway/program/child.hpp"
#include "gateway/program/reach.hpp"
#include "runtime/bus/limits.hpp"
#include "runtime/cluster/tls.hpp"
#include "runtime/limits.hpp"
#include "sql/blocking.hpp"
#include "sql/self_check.hpp"

namespace kgents::gateway {

namespace {

using namespace std::chrono_literals;
using runtime::environment;
using runtime::provider_kind;

constexpr auto patience = 3s;

void check_databases(const runtime::settings& config, check_report& out) {
  if (config.database_url.empty()) {
    out.failed("DATABASE_URL", "not set; serve needs a libpq URL as kg_app");
    return;
  }
  const auto result = sql::self_check(
      {.database_url = config.database_url.reveal(),
       .control_url = config.control_url.reveal(),
       .production = config.env == environment::production || config.env == environment::enterprise,
       .allow_privileged = config.env == environment::test});
  for (const auto& problem : result.problems)
    out.failed("database", problem);
  if (result.problems.empty())
    out.ok("database", "reachable, migrated, roles bound by row-level security");
  if (config.control_url.empty())
    out.failed("DATABASE_CONTROL_URL", "not set; serve needs a libpq URL as kg_control");
  if (config.admin_url.empty()) {
    out.unset("DATABASE_ADMIN_URL", "not set; only kgentsd migrate needs it");
  } else if (const auto error = sql::blocking_connection{config.admin_url.reveal()}.error();
             !error.empty()) {
    out.failed("DATABASE_ADMIN_URL", error);
  } else {
    out.ok("DATABASE_ADMIN_URL", "reachable");
  }
}

/// Nodes hear of each other's changes, or see them a moment later.
void check_listening(const runtime::settings& config, check_report& out) {
  if (listen_url(config).empty())
    return;
  sql::blocking_connection connection{listen_url(config).reveal()};
  if (const auto error = connection.error(); !error.empty())
    out.degraded("LISTEN", error + "; changes are seen by polling only");
  else if (connection.pooled())
    out.degraded("LISTEN", "there is a pooler before the database, so changes are seen by polling "
                           "only; DATABASE_LISTEN_URL may name the way around it");
  else
    out.ok("LISTEN", "changes are heard");
}

void check_cluster(const runtime::settings& config, check_report& out) {
  const auto& x = config;
  if (x.cluster_host.empty()) {
    out.unset("KGENTS_CLUSTER_HOST", "not set; a cluster of one");
  } else {
    const auto where = x.cluster_host + " port " + std::to_string(x.cluster_port);
    const auto text = "node " + x.node_name + " of " + x.cluster_name + " at " + where;
    if (x.cluster_tls_cert.empty())
      out.degraded("cluster",
                   text + "; no KGENTS_CLUSTER_TLS_*: whoever reaches the port is let in");
    else
      out.ok("cluster", text);
  }
  if (x.cluster_tls_cert.empty())
    return;
  try {
    const runtime::cluster::tls_identity good{x.cluster_tls_ca, x.cluster_tls_cert,
                                              x.cluster_tls_key};
    out.ok("KGENTS_CLUSTER_TLS_*", "this node's certificate is its authority's and in date");
  } catch (const std::exception& wrong) {
    out.failed("KGENTS_CLUSTER_TLS_*", wrong.what());
  }
}

void check_providers(const runtime::settings& config, check_report& out) {
  size_t usable = 0;
  for (const auto kind : config.llm) {
    const std::string name{to_string(kind)};
    if (kind == provider_kind::embedded) {
      out.ok("model provider embedded", "built in");
      ++usable;
      continue;
    }
    const auto& one = kind == provider_kind::openai ? config.openai : config.anthropic;
    const auto error = unreachable(one.base_url);
    if (error.empty()) {
      out.ok("model provider " + name, one.base_url + " reachable, model " + one.model);
      ++usable;
    } else {
      out.degraded("model provider " + name, error);
    }
  }
  if (usable == 0)
    out.failed("KGENTS_LLM", "no model provider can be reached");
}

void print_limits(std::ostream& out) {
  namespace limits = runtime::limits;
  const auto seconds = [](auto time) { return std::chrono::duration<double>(time).count(); };
  out << "limits    chunks of credit a turn: " << limits::turn_credit_chunks
      << ", uncommitted bytes: " << limits::log_uncommitted_bytes
      << ", waiting turns a session: " << limits::waiting_turns
      << ", in flight an entity: " << limits::entity_in_flight
      << ", in flight a node: " << limits::node_in_flight << '\n'
      << "limits    passivation after: " << seconds(limits::passivate_after)
      << " s, entity deadline: " << seconds(limits::entity_deadline)
      << " s, transaction deadline: " << seconds(limits::sql_deadline)
      << " s, heartbeat: " << seconds(limits::heartbeat) << " s\n"
      << "limits    NATS: unacknowledged " << limits::bus_unacknowledged
      << ", waiting a session: " << limits::bus_ring_events
      << ", sessions: " << limits::bus_lanes << ", bytes: " << limits::bus_ring_bytes
      << ", acknowledged within: " << seconds(limits::bus_ack_deadline) << " s\n";
}

/// The loopback address when the server listens on all.
endpoint_address own_address(const runtime::settings& config) {
  const auto& host = config.host;
  if (host.empty() || host == "0.0.0.0")
    return {.host = "127.0.0.1", .port = config.port};
  return {.host = host == "::" ? "::1" : host, .port = config.port};
}

constexpr std::string_view live_request =
    "GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

template <class Write, class Read>
std::string status_line(Write write, Read read) {
  if (write(live_request.data(), live_request.size()) != static_cast<long>(live_request.size()))
    return {};
  std::string head;
  char piece[512];
  while (head.find("\r\n") == head.npos && head.size() < 4096) {
    const long got = read(piece, sizeof piece);
    if (got <= 0)
      return {};
    head.append(piece, static_cast<size_t>(got));
  }
  return head.substr(0, head.find("\r\n"));
}

std::string ask_over_tls(int fd) {
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context{SSL_CTX_new(TLS_client_method()),
                                                                  &SSL_CTX_free};
  // Not verified: it is this host's own server, whose certificate is for its public name.
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  const std::unique_ptr<SSL, decltype(&SSL_free)> session{SSL_new(context.get()), &SSL_free};
  if (!session || SSL_set_fd(session.get(), fd) != 1 || SSL_connect(session.get()) != 1)
    return {};
  return status_line(
      [&](const char* data, size_t size) {
        return static_cast<long>(SSL_write(session.get(), data, static_cast<int>(size)));
      },
      [&](char* data, size_t size) {
        return static_cast<long>(SSL_read(session.get(), data, static_cast<int>(size)));
      });
}

std::string ask_in_plain(int fd) {
  return status_line(
      [fd](const char* data, size_t size) {
        return static_cast<long>(::send(fd, data, size, MSG_NOSIGNAL));
      },
      [fd](char* data, size_t size) { return static_cast<long>(::recv(fd, data, size, 0)); });
}

}  // namespace

int check(const runtime::settings& config, std::ostream& out) {
  check_report lines{out};
  lines.ok("settings", "well formed, KGENTS_ENV=" + std::string{to_string(config.env)});
  check_databases(config, lines);
  check_listening(config, lines);
  check_providers(config, lines);
  check_cluster(config, lines);
  check_services(config, lines);
  print_limits(out);
  return lines.any_failed() ? exit_unavailable : exit_ok;
}

int check_live(const runtime::settings& config, std::ostream& out) {
  const auto where = own_address(config);
  const reached connection{where, patience};
  if (!connection.error().empty()) {
    out << "not live: " << connection.error() << '\n';
    return 1;
  }
  const auto answer = config.tls_cert.empty() ? ask_in_plain(connection.descriptor())
                                              : ask_over_tls(connection.descriptor());
  if (answer.starts_with("HTTP/1.1 200")) {
    out << "live\n";
    return 0;
  }
  out << "not live: " << (answer.empty() ? "no answer" : answer) << '\n';
  return 1;
}

}  // namespace kgents::gateway
