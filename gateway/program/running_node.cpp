#include "gateway/program/running_node.hpp"

#include <caf/send.hpp>
#include <future>
#include <thread>

#include "actors/llm/make_providers.hpp"
#include "gateway/program/node_impl.hpp"
#include "runtime/database.hpp"
#include "runtime/telemetry/log.hpp"

namespace kgents::gateway {

namespace limits = runtime::limits;

namespace {

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

sql::pool_options pool_for(const std::string& url, size_t connections, size_t in_flight) {
  sql::pool_options out;
  out.url = url;
  out.connections = connections;
  out.max_in_flight = in_flight;
  return out;
}

sql::pools_options planes_for(const runtime::settings& config) {
  sql::pools_options out;
  out.app_url = config.database_url.reveal();
  out.control_url = config.control_url.reveal();
  out.secrets = config.silo_secrets;
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

/// Only other nodes' invocations have to be told of.
runtime::agentese::event_feed::options news_for(const runtime::settings& config) {
  runtime::agentese::event_feed::options out;
  if (!config.cluster_host.empty())
    out.listen_url = listen_url(config).reveal();
  return out;
}

/// How long actors get to end at a shutdown before the process leaves them.
constexpr auto end_within = std::chrono::seconds{5};

/// How long the last usage may take to be exported (events-and-billing.md 3.4).
constexpr auto export_within = std::chrono::seconds{5};

/// How long the database may take to hear that another node may do this one's work.
constexpr auto leave_within = std::chrono::seconds{1};

/// How long what was invoked last may take to be noted.
constexpr auto flush_within = std::chrono::seconds{2};

}  // namespace

running_node::impl::impl(const runtime::settings& config, running_node::callbacks tell)
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
      planes_{sql_thread_.context(), pool_, control_, planes_for(config)},
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
      database_{runtime::spawn_database(system_, &sql_unit_, planes_.app())},
      bus_{runtime::bus::options_of(config), bus_probe()},
      writer_{sql_thread_.context(), planes_.control(), hubs_,
              config.durability == runtime::stream_durability::durable
                  ? runtime::durability::durable
                  : runtime::durability::memory,
              writer_probe()},
      providers_{llm::make_providers(config, call_observer())},
      journal_{sql_thread_.context(), planes_.control(), journal_probe()},
      usage_{sql_thread_.context(), control_, config.io_threads, usage_probe()},
      thresholds_{sql_thread_, control_, threshold_teller()},
      silo_relay_{sql_thread_, planes_.app(), planes_.control(), control_},
      events_{sql_thread_.context(), planes_.app(), planes_.control(), threads_.all(), metrics_.subscriptions,
              news_for(config)},
      idempotency_{std::make_shared<runtime::idempotency::store>(
          sql_thread_.context(), config.redis_url, metrics_.redis)},
      capabilities_{config.key_pepper.reveal()},
      logos_{actors::all_nodes(), journal_, prover(), invocation_observer()},
      scheduler_{threads_[0].context(),
                 actors::scheduler_parts(threads_[0], ports_[0], region_, planes_.control())},
      stripe_{config.stripe, threads_[0], control_, stripe_probe()},
      meter_{config, threads_[threads_.size() - 1], control_, metrics_, announcer()},
      desk_{config.identity, threads_[0], metrics_.identity, [this] { auth_.forget_signed_in(); }},
      auth_{{planes_.app(), control_, ports_, desk_}, config.key_pepper},
      limits_{admission_parts()},
      access_{control_, auth_, streams_},
      cluster_{operators_view()},
      saas_{saas_view()},
      cdc_view_{.control = control_},
      silos_{config, threads_[0], control_, metrics_.silos},
      silo_view_{.control = control_, .worker = &silos_},
      shard_log_{config.log_format},
      node_{config, metrics_, threads_, hubs_,    ports_,  planes_.app(),
            auth_,  limits_, ready_,   streams_, access_, cluster_, logos_, capabilities_,
            journal_, events_, idempotency_, saas_, bus_, usage_, cdc_view_, stripe_, silo_view_},
      application_{node_},
      server_{server_for(config), threads_, application_},
      probe_{sql_thread_.context()} {
  serve_entities();
  journal_.on_grown([this](const auto& logs) { events_.grown(logs); });
  join_cluster();
  metrics_.before_render([this] { refresh_metrics(); });
  probe_database();
  sql_thread_.start();
  cluster_thread_.start();
  threads_.start();
  scheduler_.start();
  follow_changes();
  apply_stripe_events();
  meter_.start();
  thresholds_.start();
  planes_.start();
  silo_relay_.start();
  silos_.start();
  try {
    server_.start();
  } catch (...) {  // its address is taken, say: the threads and actors run already
    take_down();
    throw;
  }
}

running_node::impl::~impl() { take_down(); }

void running_node::impl::take_down() {
  server_.stop();
  scheduler_.stop();
  if (cdc_)
    cdc_->stop(leave_within);
  stripe_.worker.stop(leave_within);
  thresholds_.stop(leave_within);
  silo_relay_.stop(leave_within);
  silos_.stop(leave_within);
  leave_cluster();
  journal_.flush(flush_within);
  usage_.flush(flush_within);
  if (!meter_.flush(export_within))
    log::warn("usage is left to be exported by another node or the next start");
  meter_.stop(leave_within);
  bus_.stop();
  events_.stop();
  idempotency_->stop();
  region_.stop();
  caf::anon_send_exit(database_, caf::exit_reason::user_shutdown);
  ports_.stop();
  planes_.stop();
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

uint16_t running_node::impl::port() const { return server_.port(); }

void running_node::impl::begin_drain() {
  ready_.draining = true;
  server_.stop_accepting();
  hubs_.wake_all();
  events_.wake_all();
  members_->drain();
}

/// Answers are being made here, or sessions wait to be taken by others.
bool running_node::impl::busy() const { return turns_.size() > 0 || !drained_; }

void running_node::impl::send_away(double part) {
  ready_.sent_away = part;
  hubs_.wake_all();
  events_.wake_all();
}

void running_node::impl::end_drain() {
  ready_.drain_over = true;
  hubs_.wake_all();
  events_.wake_all();
}

bool running_node::impl::shares_work() const {
  const auto now = members_->status();
  return std::any_of(now->view.members.begin(), now->view.members.end(), [&](const auto& x) {
    return x.id != now->self && x.state == member_state::up;
  });
}

std::string running_node::impl::reload() {
  auto wrong = server_.reload_tls();
  std::promise<std::string> links;
  boost::asio::post(cluster_thread_.context(),
                    [&] { links.set_value(mesh_.links().reload()); });
  const auto other = links.get_future().get();
  return wrong.empty() ? other : wrong;
}

std::vector<runtime::io_thread*> running_node::impl::all_threads() {
  auto out = threads_.all();
  out.push_back(&cluster_thread_);
  return out;
}

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
