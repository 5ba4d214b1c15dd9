// What a node looks at once a second, and what it tells of itself.

#include <boost/json/value_from.hpp>

#include "gateway/program/node_impl.hpp"
#include "runtime/bus/payloads.hpp"
#include "runtime/telemetry/log.hpp"
#include "sql/migrate.hpp"

namespace kgents::gateway {

namespace limits = runtime::limits;

namespace {

/// How often the database is looked at for /ready (operations.md section 1: cached 2 s).
constexpr auto probe_every = std::chrono::seconds{1};
constexpr auto probe_deadline = std::chrono::seconds{1};

/// events-and-billing.md 2.11.
boost::json::object account_of(const runtime::bus::event_bus& bus) {
  const runtime::breaker_limits breaker;
  const auto x = bus.look();
  boost::json::object out{
      {"configured", bus.enabled()},
      {"status", to_string(x.now)},
      {"mode", x.mode()},
      {"circuit_state", runtime::bus::to_string(x.circuit)},
      {"circuit_breaker",
       boost::json::object{
           {"state", runtime::bus::to_string(x.circuit)},
           {"failures", x.failures},
           {"last_failure", x.last_failure
                                ? boost::json::value(runtime::bus::iso_time(*x.last_failure))
                                : boost::json::value()},
           {"failure_threshold", breaker.failures_to_open},
           {"recovery_timeout", std::chrono::duration<double>(breaker.open_for).count()}}},
      {"fallback_queue_depth", x.fallback_events},
      {"fallback_queues", x.fallback_lanes},
      {"unacknowledged", x.unacknowledged}};
  if (!x.stream.empty()) {
    out["servers"] = boost::json::value_from(x.servers);
    out["stream"] = x.stream;
  }
  return out;
}

}  // namespace

/// Who is connected to a node that the others cannot reach, that was replaced, or that an operator
/// has drained, is better off elsewhere.
void running_node::impl::look_after_streams() {
  if (ready_.draining)
    return;  // the drain decides
  const auto now = members_->status();
  const bool drained = now->state == member_state::leaving;
  const bool cut_off = now->state == member_state::joining ? was_up_.load() : now->linked.empty();
  const auto at = std::chrono::steady_clock::now();
  if (!shares_work() || !(drained || cut_off)) {
    alone_since_.reset();
    ready_.sent_away = 0;
    return;
  }
  // A hiccup of the network or a short pause of the process is no reason to go.
  if (!alone_since_)
    alone_since_ = drained ? at : at + patience_;
  const auto part = std::chrono::duration<double>(at - *alone_since_) / away_within_;
  if (part > 0)
    send_away(part);
}

/// Whether the app role's database answers and has our migrations: what /ready says.
void running_node::impl::probe_database() {
  sql::transaction work;
  work.statements.push_back({"SELECT count(*) FROM kg.schema_version() WHERE version = $1",
                             {std::string{sql::latest_migration()}}});
  work.read_only = true;
  work.deadline = std::chrono::steady_clock::now() + probe_deadline;
  pool_.submit(std::move(work), [this](sql::outcome out) {
    auto* rows = std::get_if<std::vector<sql::rows>>(&out);
    const bool good = rows != nullptr && rows->front().integer(0, 0) == 1;
    if (ready_.database.exchange(good) != good)
      log::info(good ? "database in reach" : "database out of reach");
  });
  probe_.expires_after(probe_every);
  probe_.async_wait([this](boost::system::error_code ec) {
    if (ec)
      return;
    probe_database();
    look_after_streams();
    access_.look();
    desk_.tick();
    check_hearing();
    log_shards();
  });
}

void running_node::impl::refresh_metrics() {
  const auto pool = pool_.stats();
  metrics_.db_pool("connected").Set(static_cast<double>(pool.connected));
  metrics_.db_pool("queued").Set(static_cast<double>(pool.queued));
  metrics_.db_pool("in_flight").Set(static_cast<double>(pool.in_flight));
  metrics_.log_uncommitted_bytes.Set(static_cast<double>(logs_.uncommitted_bytes()));
  const auto bus = bus_.look();
  metrics_.nats_circuit_state.Set(bus_.enabled() ? static_cast<double>(bus.circuit) : -1);
  metrics_.nats_fallback_depth.Set(static_cast<double>(bus.fallback_events));
  metrics_.mailbox_depth("entities").Set(region_.in_flight());
  metrics_.usage.waiting.Set(static_cast<double>(usage_.waiting()));
  metrics_.cluster.show(runtime::cluster::make_figures(*members_->status()));
  const auto& counted = mesh_.counted();
  metrics_.cluster.asked.follow(counted.asked);
  metrics_.cluster.forwarded.follow(counted.passed_on);
  metrics_.cluster.told.follow(counted.told);
  metrics_.cluster.waiting_asks.Set(static_cast<double>(counted.waiting));
  metrics_.cluster.refused_peers.follow(link_figures_->refused);
  metrics_.cluster.bytes_in.follow(link_figures_->bytes_in);
  metrics_.cluster.bytes_out.follow(link_figures_->bytes_out);
  metrics_.cluster.feeds.Set(static_cast<double>(counted.feeds));
  metrics_.cluster.mirrors.Set(static_cast<double>(counted.mirrors));
}

/// How each of the services beside us is, for /health/saas. No I/O.
saas_parts running_node::impl::saas_view() {
  saas_parts out;
  out.openmeter = [this] { return meter_.health(); };
  out.nats = [this] { return account_of(bus_); };
  out.redis = [this] {
    const auto x = idempotency_->status();
    boost::json::object shown{
        {"configured", x.configured},
        {"status", !x.configured ? "disabled" : x.connected ? "healthy" : "disconnected"},
        {"mode", x.connected ? "redis" : "memory"}};
    if (!x.error.empty())
      shown["error"] = x.error;
    return shown;
  };
  out.stripe = [this] {
    const bool on = !config_.stripe.webhook_secret.empty();
    return boost::json::object{{"configured", on},
                               {"status", on ? "healthy" : "disabled"},
                               {"events_processed", stripe_.figures.processed.load()},
                               {"events_failed", stripe_.figures.failed.load()}};
  };
  return out;
}

}  // namespace kgents::gateway
