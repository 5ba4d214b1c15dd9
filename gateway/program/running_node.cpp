#include "gateway/program/running_node.hpp"

#include <boost/asio/steady_timer.hpp>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/send.hpp>
#include <future>
#include <thread>

#include "actors/llm/make_providers.hpp"
#include "actors/refusals.hpp"
#include "actors/session.hpp"
#include "actors/soul.hpp"
#include "actors/tenant.hpp"
#include "actors/turn.hpp"
#include "gateway/application.hpp"
#include "gateway/http/server.hpp"
#include "runtime/cluster/members.hpp"
#include "runtime/database.hpp"
#include "runtime/limits.hpp"
#include "runtime/log_writer.hpp"
#include "runtime/telemetry/log.hpp"
#include "sql/listener.hpp"
#include "sql/migrate.hpp"

namespace kgents::gateway {

namespace limits = runtime::limits;

namespace {

struct system_config : caf::actor_system_config {
  explicit system_config(size_t workers) {
    // `sharing`: stealing burns a quarter of a core for one idle stream (field notes, section 2).
    set("scheduler.policy", caf::atom("sharing"));
    set("scheduler.max-threads", workers);
    set("scheduler.max-throughput", limits::max_throughput);
  }
};

using link_figures = std::shared_ptr<runtime::cluster::transport_figures>;

runtime::cluster::transport_options links_for(const runtime::settings& config,
                                              const link_figures& figures) {
  runtime::cluster::transport_options out;
  out.figures = figures;
  out.host = config.cluster_host;
  out.port = config.cluster_port;
  out.cluster = config.cluster_name;
  out.node_name = config.node_name;
  out.ca = config.cluster_tls_ca;
  out.cert = config.cluster_tls_cert;
  out.key = config.cluster_tls_key;
  // A message's text may be as long as a body.
  out.max_frame_bytes = std::max(out.max_frame_bytes, 2 * config.max_body_bytes);
  out.max_unsent_bytes = std::max(out.max_unsent_bytes, 2 * out.max_frame_bytes);
  return out;
}

constexpr std::string_view role_names[] = {"gateway", "agentese", "kgent", "control", "meter"};

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

sql::pool_options pool_for(const std::string& url, size_t connections, size_t in_flight) {
  sql::pool_options out;
  out.url = url;
  out.connections = connections;
  out.max_in_flight = in_flight;
  return out;
}

http::server_options server_for(const runtime::settings& config) {
  http::server_options out;
  out.host = config.host;
  out.port = config.port;
  out.tls_cert = config.tls_cert;
  out.tls_key = config.tls_key;
  out.max_body_bytes = config.max_body_bytes;
  out.header_timeout = config.header_timeout;
  out.body_timeout = config.body_timeout;
  out.idle_timeout = config.idle_timeout;
  out.write_timeout = config.write_timeout;
  return out;
}

/// How often the database is looked at for /ready (operations.md section 1: cached 2 s).
constexpr auto probe_every = std::chrono::seconds{1};
constexpr auto probe_deadline = std::chrono::seconds{1};

/// How long the connection that LISTENs may take to come about before the log says so.
constexpr auto listen_within = std::chrono::seconds{10};

/// How long actors get to end at a shutdown before the process leaves them.
constexpr auto end_within = std::chrono::seconds{5};

}  // namespace

class running_node::impl {
public:
  impl(const runtime::settings& config, running_node::callbacks tell)
      : config_{config},
        metrics_{KGENTS_VERSION, ""},
        on_up_{std::move(tell.up)},
        on_stop_{std::move(tell.stop)},
        threads_{config.io_threads},
        sql_thread_{0, "sql"},
        cluster_thread_{config.io_threads, "cluster"},
        pool_{sql_thread_.context(), pool_for(config.database_url.reveal(), config.pool_size, 64)},
        control_{sql_thread_.context(),
                 pool_for(config.control_url.reveal(), limits::log_connections + 2, 1)},
        caf_config_{config.workers},
        system_{caf_config_},
        sql_unit_{system_, sql_thread_},
        cluster_unit_{system_, cluster_thread_},
        hubs_{all_threads()},
        region_{{limits::entity_in_flight, limits::node_in_flight}, region_observer(), routes_},
        mesh_{system_, cluster_unit_, logs_,
              hubs_,   region_,       turns_,
              links_for(config, link_figures_)},
        ports_{system_, all_threads(), region_, &mesh_},
        database_{runtime::spawn_database(system_, &sql_unit_, pool_)},
        writer_{sql_thread_.context(), control_, hubs_,
                config.durability == runtime::stream_durability::durable
                    ? runtime::durability::durable
                    : runtime::durability::memory,
                writer_probe()},
        providers_{llm::make_providers(config, call_observer())},
        auth_{pool_, ports_, config.key_pepper},
        cluster_{operators_view()},
        shard_log_{config.log_format},
        node_{config, metrics_, threads_, hubs_,    ports_,  pool_,
              auth_,  ready_,   streams_, cluster_},
        application_{node_},
        server_{server_for(config), threads_, application_},
        probe_{sql_thread_.context()} {
    serve_entities();
    join_cluster();
    metrics_.before_render([this] { refresh_metrics(); });
    probe_database();
    sql_thread_.start();
    cluster_thread_.start();
    threads_.start();
    try {
      server_.start();
    } catch (...) {  // its address is taken, say: the threads and actors run already
      take_down();
      throw;
    }
  }

  ~impl() { take_down(); }

  void take_down() {
    server_.stop();
    leave_cluster();
    region_.stop();
    caf::anon_send_exit(database_, caf::exit_reason::user_shutdown);
    ports_.stop();
    pool_.stop();
    control_.stop();
    const auto give_up = std::chrono::steady_clock::now() + end_within;
    while (system_.registry().running() > 0 && std::chrono::steady_clock::now() < give_up)
      std::this_thread::sleep_for(std::chrono::milliseconds{5});
    if (system_.registry().running() > 0) {
      log::error("actors did not end in time; leaving them",
                 {{"running", static_cast<uint64_t>(system_.registry().running())}});
      system_.await_actors_before_shutdown(false);
    }
    boost::asio::post(sql_thread_.context(), [this] { probe_.cancel(); });
    threads_.stop_and_join();
    cluster_thread_.stop();
    cluster_thread_.join();
    sql_thread_.stop();
    sql_thread_.join();
  }

  uint16_t port() const { return server_.port(); }

  void begin_drain() {
    ready_.draining = true;
    server_.stop_accepting();
    hubs_.wake_all();
    members_->drain();
  }

  /// Answers are being made here, or sessions wait to be taken by others.
  bool busy() const { return turns_.size() > 0 || !drained_; }

  void send_away(double part) {
    ready_.sent_away = part;
    hubs_.wake_all();
  }

  void end_drain() {
    ready_.drain_over = true;
    hubs_.wake_all();
  }

  bool shares_work() const {
    const auto now = members_->status();
    return std::any_of(now->view.members.begin(), now->view.members.end(), [&](const auto& x) {
      return x.id != now->self && x.state == member_state::up;
    });
  }

  std::string reload() {
    auto wrong = server_.reload_tls();
    std::promise<std::string> links;
    boost::asio::post(cluster_thread_.context(),
                      [&] { links.set_value(mesh_.links().reload()); });
    const auto other = links.get_future().get();
    return wrong.empty() ? other : wrong;
  }

private:
  runtime::region::observer region_observer() {
    runtime::region::observer out;
    out.count = [this](entity_kind kind, int change) {
      auto& gauge = metrics_.entities(to_string(kind));
      change > 0 ? gauge.Increment() : gauge.Decrement();
    };
    out.crashed = [this](const entity_id& id, const caf::error& why) {
      const bool fenced = why == runtime::fenced_error();
      if (fenced) {
        metrics_.cluster.fenced.Increment();
        members_->look_after(id);
      } else {
        log::error("entity crashed",
                   {{"kind", to_string(id.kind)}, {"tenant_id", id.tenant.text()}});
      }
      ports_.entity_lost(id, fenced);
    };
    out.dropped = [this](const entity_id& id) { ports_.entity_lost(id, true); };
    return out;
  }

  runtime::log_writer_probe writer_probe() {
    runtime::log_writer_probe out;
    out.committed = [this](size_t rows, double seconds) {
      metrics_.chunks.Increment(static_cast<double>(rows));
      metrics_.log_commits.Increment();
      metrics_.log_commit_seconds.Observe(seconds);
    };
    return out;
  }

  llm::call_observer call_observer() {
    return
        [this](std::string_view provider, std::string_view model, std::string_view outcome,
               double seconds) { metrics_.llm_request(provider, model, outcome).Observe(seconds); };
  }

  auto retire() {
    return [this](const entity_id& id, const caf::actor_addr& self) {
      return region_.retire(id, self);
    };
  }

  caf::actor start_turn(llm::prompt ask, turn_id id, lease_epoch epoch, caf::actor session) {
    const auto i = next_thread_.fetch_add(1) % threads_.size();
    auto call = system_.spawn<actors::turn>(
        &ports_.unit(i), threads_[i],
        actors::turn::task{id, epoch, std::move(ask), std::move(session), providers_});
    turns_.add(id, call);
    call->attach_functor([this, id, which = call.id()] { turns_.remove(id, which); });
    return call;
  }

  /// The model call of a turn whose session came here: it may run here too, or where it began.
  caf::actor adopt_turn(const runtime::moving_turn& x, const caf::actor& session) {
    if (x.worker != members_->self())
      return mesh_.adopt(x.worker, x.turn, session);
    auto call = turns_.find(x.turn);
    if (call)
      caf::anon_send(call, runtime::turn_home{session});
    return call;
  }

  std::vector<runtime::io_thread*> all_threads() {
    auto out = threads_.all();
    out.push_back(&cluster_thread_);
    return out;
  }

  void join_cluster() {
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
  void hear_changes() {
    sql::listener_options options;
    options.url = config_.control_url.reveal();
    options.channel = sql::cluster_channel;
    sql::listener_events events;
    events.listening = [this] {
      hears_changes_ = true;
      members_->poke();
    };
    events.notified = [this](std::string_view) { members_->poke(); };
    changes_ = std::make_unique<sql::listener>(sql_thread_.context(), std::move(options),
                                               std::move(events));
    listen_by_ = std::chrono::steady_clock::now() + listen_within;
  }

  /// Once: a node that cannot LISTEN works, but learns late.
  void check_hearing() {
    if (!listen_by_ || (!hears_changes_ && std::chrono::steady_clock::now() < *listen_by_))
      return;
    listen_by_.reset();
    if (!hears_changes_)
      log::warn("cannot LISTEN on DATABASE_CONTROL_URL; changes of the cluster are seen by "
                "polling only");
  }

  /// The table of shards per node, when it has stayed the same for a second.
  void log_shards() {
    const auto now = members_->status();
    const auto before = std::exchange(shards_version_, now->view.version);
    if (now->in_transit == 0 && before == now->view.version)
      shard_log_.look(now->view);
  }

  cluster_control operators_view() {
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
  void leave_cluster() {
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

  void serve_entities() {
    auto sessions = std::make_shared<actors::session_services>();
    sessions->database = database_;
    sessions->logs = &logs_;
    sessions->show_at_once = writer_.mode() == runtime::durability::memory;
    sessions->appended = [this](const runtime::log_ptr& x) { writer_.appended(x); };
    sessions->advanced = [this](const runtime::log_ptr& x) { hubs_.notify(x); };
    sessions->start_turn = [this](auto&&... xs) {
      return start_turn(std::forward<decltype(xs)>(xs)...);
    };
    sessions->retire = retire();
    sessions->turn_permit = [this](tenant_id tenant, std::string_view tier) {
      const auto gate = tier.empty() ? gates_.of(tenant) : gates_.of(tenant, tier);
      return runtime::permits::take(gate->turns);
    };
    sessions->turn_ended = [this](tenant_id, api_key_id key, std::string_view status,
                                  uint64_t tokens) {
      metrics_.turns(status).Increment();
      if (const auto gate = gates_.find(key))
        gate->add_tokens(
            tokens, std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()));
    };
    sessions->arrived = [this](const entity_id& id) { return arrivals_.take(id); };
    sessions->adopt_turn = [this](const runtime::moving_turn& x, const caf::actor& session) {
      return adopt_turn(x, session);
    };
    sessions->self = [this] { return members_->self(); };
    region_.serve(entity_kind::session,
                  [this, sessions](const entity_id& id, lease_epoch lease) -> caf::actor {
                    return system_.spawn<actors::session>(id, sessions, lease);
                  });

    auto tenants = std::make_shared<actors::tenant_services>();
    tenants->database = database_;
    tenants->gates = &gates_;
    tenants->retire = retire();
    region_.serve(entity_kind::tenant, [this, tenants](const entity_id& id, lease_epoch) -> caf::actor {
      return system_.spawn<actors::tenant>(id, tenants);
    });

    auto souls = std::make_shared<actors::soul_services>();
    souls->database = database_;
    souls->ask = [this](llm::prompt ask, size_t most, auto done) {
      const auto i = next_thread_.fetch_add(1) % threads_.size();
      llm::post_collect(providers_, threads_[i], std::move(ask), most, std::move(done));
    };
    souls->has_model = std::any_of(config_.llm.begin(), config_.llm.end(),
                                   [](auto x) { return x != runtime::provider_kind::embedded; });
    souls->retire = retire();
    souls->audit = [](tenant_id tenant, const persona::audit_entry& x) {
      // Not the action: it is the caller's text, and texts are in no log.
      log::info("governance", {{"stream", "audit"},
                               {"tenant_id", tenant.text()},
                               {"operation", x.operation},
                               {"confidence", x.confidence},
                               {"severity", x.severity},
                               {"was_deep", x.was_deep}});
    };
    region_.serve(entity_kind::soul, [this, souls](const entity_id& id, lease_epoch) -> caf::actor {
      return system_.spawn<actors::soul>(id, souls);
    });
  }

  /// Who is connected to a node that the others cannot reach, that was replaced, or that an operator
  /// has drained, is better off elsewhere.
  void look_after_streams() {
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
  void probe_database() {
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
      check_keys();
      check_hearing();
      log_shards();
    });
  }

  /// Whether the keys in use still hold: a revoked one is refused, and its streams end, within two
  /// seconds.
  void check_keys() {
    auto keys = streams_.all();
    const auto cached = auth_.keys();
    keys.insert(keys.end(), cached.begin(), cached.end());
    if (keys.empty() || checking_keys_.exchange(true))
      return;
    auto query = sql::keys::dead_among(keys);
    query.work.deadline = std::chrono::steady_clock::now() + probe_deadline;
    sql::run(control_, std::move(query), [this](auto out) {
      checking_keys_ = false;
      if (const auto* dead = std::get_if<0>(&out); dead != nullptr && !dead->empty()) {
        auth_.forget(*dead);
        streams_.revoke(*dead);
      }
    });
  }

  void refresh_metrics() {
    const auto pool = pool_.stats();
    metrics_.db_pool("connected").Set(static_cast<double>(pool.connected));
    metrics_.db_pool("queued").Set(static_cast<double>(pool.queued));
    metrics_.db_pool("in_flight").Set(static_cast<double>(pool.in_flight));
    metrics_.log_uncommitted_bytes.Set(static_cast<double>(logs_.uncommitted_bytes()));
    metrics_.mailbox_depth("entities").Set(region_.in_flight());
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

  const runtime::settings& config_;
  runtime::metrics metrics_;
  readiness ready_;
  std::atomic<size_t> next_thread_{0};
  std::atomic<bool> drained_{false};
  std::atomic<bool> was_up_{false};
  std::optional<std::chrono::steady_clock::time_point> alone_since_;
  static constexpr std::chrono::seconds patience_{2};
  static constexpr std::chrono::duration<double> away_within_{2.0};
  std::function<void()> on_up_;
  std::function<void(const std::string&)> on_stop_;
  runtime::cluster::routes routes_;
  runtime::cluster::arrivals arrivals_;
  runtime::cluster::turn_registry turns_;
  std::atomic<bool> checking_keys_{false};
  runtime::tenant_gates gates_;
  runtime::session_logs logs_;
  runtime::io_threads threads_;
  runtime::io_thread sql_thread_;
  runtime::io_thread cluster_thread_;
  sql::pool pool_;
  sql::pool control_;
  system_config caf_config_;
  caf::actor_system system_;
  runtime::io_unit sql_unit_;
  runtime::io_unit cluster_unit_;
  runtime::hubs hubs_;
  runtime::region region_;
  link_figures link_figures_ = std::make_shared<runtime::cluster::transport_figures>();
  runtime::cluster::mesh mesh_;
  runtime::ports ports_;
  caf::actor members_handle_;
  runtime::cluster::members* members_ = nullptr;
  caf::actor database_;
  runtime::log_writer writer_;
  std::shared_ptr<llm::provider_chain> providers_;
  authenticator auth_;
  live_keys streams_;
  cluster_control cluster_;
  runtime::cluster::shard_log shard_log_;
  std::unique_ptr<sql::listener> changes_;
  uint64_t shards_version_ = 0;  // this and the next two: on the SQL thread
  bool hears_changes_ = false;
  std::optional<std::chrono::steady_clock::time_point> listen_by_;
  node node_;
  application application_;
  http::server server_;
  boost::asio::steady_timer probe_;
};

running_node::running_node(const runtime::settings& config, callbacks tell)
    : impl_{std::make_unique<impl>(config, std::move(tell))} {}
running_node::~running_node() = default;
uint16_t running_node::port() const { return impl_->port(); }
void running_node::begin_drain() { impl_->begin_drain(); }
bool running_node::busy() const { return impl_->busy(); }
bool running_node::shares_work() const { return impl_->shares_work(); }
void running_node::send_away(double part) { impl_->send_away(part); }
void running_node::end_drain() { impl_->end_drain(); }
std::string running_node::reload() { return impl_->reload(); }

}  // namespace kgents::gateway
