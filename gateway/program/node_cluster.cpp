// A node as a member of its cluster.

#include <caf/send.hpp>
#include <future>

#include "actors/refusals.hpp"
#include "gateway/program/node_impl.hpp"
#include "runtime/telemetry/log.hpp"
#include "sql/cluster.hpp"

namespace kgents::gateway {

namespace limits = runtime::limits;

namespace {

// In the order of runtime::node_role.
constexpr std::string_view role_names[] = {"gateway", "agentese", "kgent",
                                           "control", "meter",    "cdc"};

runtime::cluster::members::identity identity_for(const runtime::settings& config) {
  runtime::cluster::members::identity out;
  out.who.name = config.node_name;
  for (const auto x : config.roles)
    out.who.roles.emplace_back(role_names[static_cast<size_t>(x)]);
  out.who.alone = config.cluster_host.empty();
  out.host = config.cluster_host;
  out.port = config.cluster_host.empty() ? 0 : config.cluster_port;
  return out;
}

/// How long the connection that LISTENs may take to come about before the log says so.
constexpr auto listen_within = std::chrono::seconds{10};

}  // namespace

void running_node::impl::join_cluster() {
  runtime::cluster::members::parts with;
  with.control = &control_;
  with.routes = &routes_;
  with.entities = &region_;
  with.ports = &ports_;
  with.mesh = &mesh_;
  with.arrivals = &arrivals_;
  with.logs = &logs_;
  with.state_changed = [this](member_state x) {
    ready_.member = x == member_state::up;
    if (x == member_state::up && !was_up_.exchange(true))
      on_up_();
  };
  with.drained = [this] { drained_ = true; };
  with.stop = [this](const std::string& why) { on_stop_(why); };
  with.probe.handed_off = [this](double seconds, size_t sessions) {
    metrics_.cluster.handoff_seconds.Observe(seconds);
    metrics_.cluster.moved_sessions.Increment(static_cast<double>(sessions));
  };
  with.probe.failed_over = [this](double seconds) {
    metrics_.cluster.failover_seconds.Observe(seconds);
  };
  runtime::cluster::timing numbers;
  // Nobody could take what a cluster of one holds: it waits for its database, and its model calls
  // with it, as long as that takes.
  if (config_.cluster_host.empty())
    numbers.self_fence_after = runtime::cluster::local_time::max();
  auto handle = system_.spawn<runtime::cluster::members>(
      &cluster_unit_, identity_for(config_), numbers, std::move(with));
  members_ = caf::actor_cast<runtime::cluster::members*>(handle);
  members_handle_ = handle;
  mesh_.start(ports_[threads_.size()], members_->handlers());
  if (!config_.cluster_host.empty())
    hear_changes();
}

/// The database tells of changes as they happen. What is not heard (it was out of reach, or a
/// pooler is in between) is seen a heartbeat later.
void running_node::impl::hear_changes() {
  sql::listener_options options;
  options.url = listen_url(config_).reveal();
  options.channels = {std::string{sql::cluster_channel}, std::string{sql::access_channel}};
  sql::listener_events events;
  events.listening = [this] {
    hears_changes_ = true;
    members_->poke();
    access_.look();
  };
  events.notified = [this](std::string_view channel, std::string_view) {
    if (channel == sql::access_channel)
      access_.look();
    else
      members_->poke();
  };
  events.pooled = [this] {
    listen_by_.reset();
    log::warn("there is a pooler before the database, so changes are seen by polling only; "
              "DATABASE_LISTEN_URL may name the way around it");
  };
  changes_ = std::make_unique<sql::listener>(sql_thread_.context(), std::move(options),
                                             std::move(events));
  listen_by_ = std::chrono::steady_clock::now() + listen_within;
}

/// Once: a node that cannot LISTEN works, but learns late.
void running_node::impl::check_hearing() {
  if (!listen_by_ || (!hears_changes_ && std::chrono::steady_clock::now() < *listen_by_))
    return;
  listen_by_.reset();
  if (!hears_changes_)
    log::warn("cannot LISTEN on the database; changes are seen by polling only");
}

/// The table of shards per node, when it has stayed the same for a second.
void running_node::impl::log_shards() {
  const auto now = members_->status();
  const auto before = std::exchange(shards_version_, now->view.version);
  if (now->in_transit == 0 && before == now->view.version)
    shard_log_.look(now->view);
}

cluster_control running_node::impl::operators_view() {
  cluster_control out;
  out.report = [this] {
    return runtime::cluster::make_report(
        config_.cluster_name, *members_->status(),
        std::chrono::duration_cast<std::chrono::milliseconds>(
            std::chrono::steady_clock::now().time_since_epoch()));
  };
  out.drain = [this](std::string name, auto done) {
    auto query = sql::cluster::request_drain(name);
    query.work.deadline = std::chrono::steady_clock::now() + limits::sql_deadline;
    sql::run(control_, std::move(query), [this, done = std::move(done)](sql::answer<bool> out) {
      const auto* found = std::get_if<0>(&out);
      if (found == nullptr) {
        done(actors::refused_by_database(std::get<1>(out)));
      } else if (!*found) {
        done(refusal{404, "Node not found", 0, ""});
      } else {
        members_->poke();
        done(std::nullopt);
      }
    });
  };
  return out;
}

/// Our shards are free at once, instead of when our silence is noticed.
void running_node::impl::leave_cluster() {
  changes_.reset();
  // First of all, so that it does not find itself gone and join again.
  const auto self = members_->self();
  caf::anon_send_exit(members_handle_, caf::exit_reason::user_shutdown);
  if (self) {
    std::promise<void> left;
    auto query = sql::cluster::leave(self);
    query.work.deadline = std::chrono::steady_clock::now() + std::chrono::seconds{1};
    sql::run(control_, std::move(query), [&](auto&&) { left.set_value(); });
    left.get_future().wait();
  }
  std::promise<void> quiet;
  boost::asio::post(cluster_thread_.context(), [&] {
    mesh_.stop();
    quiet.set_value();
  });
  quiet.get_future().wait();
}

}  // namespace kgents::gateway
