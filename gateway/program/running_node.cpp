#include "gateway/program/running_node.hpp"

#include <boost/asio/steady_timer.hpp>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/send.hpp>
#include <thread>

#include "actors/llm/make_providers.hpp"
#include "actors/session.hpp"
#include "actors/soul.hpp"
#include "actors/tenant.hpp"
#include "actors/turn.hpp"
#include "gateway/application.hpp"
#include "gateway/http/server.hpp"
#include "runtime/database.hpp"
#include "runtime/limits.hpp"
#include "runtime/log_writer.hpp"
#include "runtime/telemetry/log.hpp"
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

/// How long actors get to end at a shutdown before the process leaves them.
constexpr auto end_within = std::chrono::seconds{5};

}  // namespace

class running_node::impl {
public:
  explicit impl(const runtime::settings& config)
      : config_{config},
        metrics_{KGENTS_VERSION, ""},
        threads_{config.io_threads},
        sql_thread_{0, "sql"},
        pool_{sql_thread_.context(), pool_for(config.database_url.reveal(), config.pool_size, 64)},
        control_{sql_thread_.context(),
                 pool_for(config.control_url.reveal(), limits::log_connections + 1, 1)},
        caf_config_{config.workers},
        system_{caf_config_},
        sql_unit_{system_, sql_thread_},
        hubs_{threads_},
        region_{{limits::entity_in_flight, limits::node_in_flight}, region_observer()},
        ports_{system_, threads_, region_},
        database_{runtime::spawn_database(system_, &sql_unit_, pool_)},
        writer_{sql_thread_.context(), control_, hubs_,
                config.durability == runtime::stream_durability::durable
                    ? runtime::durability::durable
                    : runtime::durability::memory,
                writer_probe()},
        providers_{llm::make_providers(config, call_observer())},
        auth_{pool_, ports_, config.key_pepper},
        node_{config, metrics_, threads_, hubs_, ports_, pool_, auth_, ready_, streams_},
        application_{node_},
        server_{server_for(config), threads_, application_},
        probe_{sql_thread_.context()} {
    serve_entities();
    metrics_.before_render([this] { refresh_metrics(); });
    probe_database();
    sql_thread_.start();
    threads_.start();
    server_.start();
  }

  ~impl() {
    server_.stop();
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
    sql_thread_.stop();
    sql_thread_.join();
  }

  uint16_t port() const { return server_.port(); }

  void recover() {
    auto query = sql::turns::all_unfinished();
    query.work.deadline = std::chrono::steady_clock::now() + limits::sql_deadline;
    sql::run(control_, std::move(query), [this](auto out) {
      auto* found = std::get_if<0>(&out);
      if (found == nullptr) {
        // Tried again until it is known: a turn that runs in PostgreSQL must run here.
        probe_recovery_ = true;
        return;
      }
      probe_recovery_ = false;
      if (!found->empty())
        log::info("going on with unfinished turns", {{"sessions", found->size()}});
      boost::asio::post(threads_[0].context(), [this, all = std::move(*found)] {
        for (const auto& x : all)
          ports_[0].ask<session_view>(session_entity(x.tenant, x.session), get_session{},
                                      [](const answer<session_view>&) {});
      });
    });
  }

  void begin_drain() {
    ready_.draining = true;
    server_.stop_accepting();
    hubs_.wake_all();
  }

  bool busy() const { return running_turns_.load() > 0; }

  void end_drain() {
    ready_.drain_over = true;
    hubs_.wake_all();
  }

  std::string reload() { return server_.reload_tls(); }

private:
  runtime::region::observer region_observer() {
    runtime::region::observer out;
    out.count = [this](entity_kind kind, int change) {
      auto& gauge = metrics_.entities(to_string(kind));
      change > 0 ? gauge.Increment() : gauge.Decrement();
    };
    out.crashed = [this](const entity_id& id) {
      log::error("entity crashed", {{"kind", to_string(id.kind)}, {"tenant_id", id.tenant.text()}});
      ports_.entity_lost(id);
    };
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
    return system_.spawn<actors::turn>(
        &ports_.unit(i), threads_[i],
        actors::turn::task{id, epoch, std::move(ask), std::move(session), providers_});
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
    sessions->turn_permit = [this](tenant_id tenant) {
      auto permit = runtime::permits::take(gates_.of(tenant)->turns);
      if (permit == nullptr)
        return permit;
      ++running_turns_;
      return std::shared_ptr<void>{permit.get(), [this, permit](void*) { --running_turns_; }};
    };
    sessions->turn_ended = [this](tenant_id, api_key_id key, std::string_view status,
                                  uint64_t tokens) {
      metrics_.turns(status).Increment();
      if (const auto gate = gates_.find(key))
        gate->add_tokens(
            tokens, std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()));
    };
    region_.serve(entity_kind::session, [this, sessions](const entity_id& id) -> caf::actor {
      return system_.spawn<actors::session>(id, sessions);
    });

    auto tenants = std::make_shared<actors::tenant_services>();
    tenants->database = database_;
    tenants->gates = &gates_;
    tenants->retire = retire();
    region_.serve(entity_kind::tenant, [this, tenants](const entity_id& id) -> caf::actor {
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
    region_.serve(entity_kind::soul, [this, souls](const entity_id& id) -> caf::actor {
      return system_.spawn<actors::soul>(id, souls);
    });
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
      if (good && probe_recovery_)
        recover();
    });
    probe_.expires_after(probe_every);
    probe_.async_wait([this](boost::system::error_code ec) {
      if (ec)
        return;
      probe_database();
      check_keys();
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
  }

  const runtime::settings& config_;
  runtime::metrics metrics_;
  readiness ready_;
  std::atomic<size_t> running_turns_{0};
  std::atomic<size_t> next_thread_{0};
  std::atomic<bool> probe_recovery_{false};
  std::atomic<bool> checking_keys_{false};
  runtime::tenant_gates gates_;
  runtime::session_logs logs_;
  runtime::io_threads threads_;
  runtime::io_thread sql_thread_;
  sql::pool pool_;
  sql::pool control_;
  system_config caf_config_;
  caf::actor_system system_;
  runtime::io_unit sql_unit_;
  runtime::hubs hubs_;
  runtime::region region_;
  runtime::ports ports_;
  caf::actor database_;
  runtime::log_writer writer_;
  std::shared_ptr<llm::provider_chain> providers_;
  authenticator auth_;
  live_keys streams_;
  node node_;
  application application_;
  http::server server_;
  boost::asio::steady_timer probe_;
};

running_node::running_node(const runtime::settings& config)
    : impl_{std::make_unique<impl>(config)} {}
running_node::~running_node() = default;
uint16_t running_node::port() const { return impl_->port(); }
void running_node::recover() { impl_->recover(); }
void running_node::begin_drain() { impl_->begin_drain(); }
bool running_node::busy() const { return impl_->busy(); }
void running_node::end_drain() { impl_->end_drain(); }
std::string running_node::reload() { return impl_->reload(); }

}  // namespace kgents::gateway
