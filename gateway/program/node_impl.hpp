#pragma once

#include <atomic>
#include <boost/asio/steady_timer.hpp>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>

#include "actors/cdc/worker.hpp"
#include "actors/contexts/context.hpp"
#include "actors/contexts/time/scheduler.hpp"
#include "actors/llm/provider_chain.hpp"
#include "actors/logos/capability.hpp"
#include "actors/logos/logos.hpp"
#include "actors/metering/meter.hpp"
#include "gateway/admission.hpp"
#include "gateway/application.hpp"
#include "gateway/http/server.hpp"
#include "gateway/node.hpp"
#include "gateway/program/running_node.hpp"
#include "gateway/sign_in.hpp"
#include "runtime/agentese/event_feed.hpp"
#include "runtime/agentese/journal.hpp"
#include "runtime/bus/event_bus.hpp"
#include "runtime/cluster/members.hpp"
#include "runtime/idempotency/store.hpp"
#include "runtime/limits.hpp"
#include "runtime/log_writer.hpp"
#include "runtime/silo_relay.hpp"
#include "runtime/silo_worker.hpp"
#include "runtime/usage_thresholds.hpp"
#include "sql/listener.hpp"
#include "sql/pools.hpp"

/// The parts of a running node and how they are tied together; one file for each concern.
namespace kgents::gateway {

struct system_config : caf::actor_system_config {
  explicit system_config(size_t workers) {
    // `sharing`: stealing burns a quarter of a core for one idle stream (field notes, section 2).
    set("scheduler.policy", caf::atom("sharing"));
    set("scheduler.max-threads", workers);
    set("scheduler.max-throughput", runtime::limits::max_throughput);
  }
};

using link_figures = std::shared_ptr<runtime::cluster::transport_figures>;

class running_node::impl {
public:
  impl(const runtime::settings& config, running_node::callbacks tell);
  ~impl();
  void take_down();
  uint16_t port() const;
  void begin_drain();
  bool busy() const;
  void send_away(double part);
  void end_drain();
  bool shares_work() const;
  std::string reload();

private:
  // node_entities.cpp
  runtime::region::observer region_observer();
  runtime::bus::probe bus_probe();
  metering::relay::publish announcer();
  runtime::log_writer_probe writer_probe();
  runtime::agentese::journal_probe journal_probe();
  actors::logos::observer invocation_observer();
  llm::call_observer call_observer();
  std::function<bool(const entity_id&, const caf::actor_addr&)> retire();
  caf::actor start_turn(llm::prompt ask, turn_id id, lease_epoch epoch, caf::actor session);
  caf::actor adopt_turn(const runtime::moving_turn& x, const caf::actor& session);
  void serve_entities();
  void serve_sessions();
  void serve_souls();
  void serve_contexts();
  void serve_traffic();
  admission::parts admission_parts();
  void invoke_nested(actors::context_services::nested x,
                     std::function<void(actors::context_services::nested_answer)> done);
  using model_function = std::function<void(llm::prompt, size_t max_bytes,
                                            std::function<void(llm::collect_result)> done)>;
  model_function model_asker();
  boost::json::object vitals();
  [[nodiscard]] bool has_model() const;
  actors::logos::prove prover();
  billing::stripe_probe stripe_probe();
  void apply_stripe_events();

  // node_usage.cpp
  runtime::usage_probe usage_probe();
  runtime::usage_thresholds::tell threshold_teller();

  // node_cluster.cpp
  void join_cluster();
  void hear_changes();
  void check_hearing();
  void log_shards();
  cluster_control operators_view();
  void leave_cluster();

  // node_cdc.cpp
  void follow_changes();

  // node_watch.cpp
  void look_after_streams();
  void probe_database();
  void refresh_metrics();
  saas_parts saas_view();

  std::vector<runtime::io_thread*> all_threads();

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
  runtime::tenant_gates gates_;
  runtime::session_logs logs_;
  runtime::io_threads threads_;
  runtime::io_thread sql_thread_;
  runtime::io_thread cluster_thread_;
  sql::pool pool_;
  sql::pool control_;
  sql::pools planes_;
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
  runtime::bus::event_bus bus_;
  runtime::log_writer writer_;
  std::shared_ptr<llm::provider_chain> providers_;
  runtime::agentese::journal journal_;
  runtime::usage_recorder usage_;
  runtime::usage_thresholds thresholds_;
  runtime::silo_relay silo_relay_;
  runtime::agentese::event_feed events_;
  std::shared_ptr<runtime::idempotency::store> idempotency_;
  actors::capability_authority capabilities_;
  actors::logos logos_;
  actors::scheduler scheduler_;
  billing::stripe_desk stripe_;
  metering::meter meter_;
  sign_in_desk desk_;
  authenticator auth_;
  admission limits_;
  live_keys streams_;
  access_watch access_;
  cluster_control cluster_;
  saas_parts saas_;
  std::unique_ptr<cdc::worker> cdc_;
  cdc_control cdc_view_;
  runtime::silo_worker silos_;
  silo_control silo_view_;
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

}  // namespace kgents::gateway
