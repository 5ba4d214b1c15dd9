#define CAF_SUITE metrics

#include "runtime/telemetry/metrics.hpp"

#include <thread>

#include <caf/test/dsl.hpp>  // last: it defines macros named expect, allow, inject

using namespace std::chrono_literals;
using kgents::runtime::gauge_guard;
using kgents::runtime::metrics;

namespace {

struct fixture {
  metrics all{"1.2.3", "abc"};

  bool shows(std::string_view line) {
    return ("\n" + all.render()).find("\n" + std::string{line} + "\n") != std::string::npos;
  }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(metrics_tests, fixture)

CAF_TEST(every metric has a sample from the start) {
  const auto text = all.render();
  for (auto name : {"kgents_nats_circuit_state -1",
                    "kgents_nats_messages_published_total{",
                    "kgents_nats_publish_errors_total 0",
                    "kgents_nats_fallback_queue_depth 0",
                    "kgents_openmeter_events_buffered 0",
                    "kgents_openmeter_events_sent_total{",
                    "kgents_openmeter_flush_errors_total 0",
                    "kgents_openmeter_flush_latency_seconds_count 0",
                    "kgents_stripe_webhooks_received_total{",
                    "kgents_stripe_webhooks_processed_total{",
                    "kgents_stripe_webhooks_errors_total{error_type=\"signature\"} 0",
                    "kgents_api_requests_total{",
                    "kgents_api_request_latency_seconds_bucket{",
                    "llm_request_duration_seconds_bucket{",
                    "kgents_session_age_seconds{state=\"active\"} 0",
                    "kgents_memory_bytes ",
                    "kgents_build_info{commit=\"abc\",version=\"1.2.3\"} 1",
                    "kgents_db_pool_connections{state=\"connected\"} 0",
                    "kgents_db_query_seconds_bucket{",
                    "kgents_rate_limited_total{",
                    "kgents_sse_streams 0",
                    "kgents_ws_streams 0",
                    "kgents_entities{kind=\"session\"} 0",
                    "kgents_turns_total{status=\"completed\"} 0",
                    "kgents_chunks_total 0",
                    "kgents_log_commits_total 0",
                    "kgents_log_commit_seconds_count 0",
                    "kgents_log_uncommitted_bytes 0",
                    "kgents_mailbox_depth{kind=\"session\"} 0",
                    "kgents_admission_refused_total{bound=\"node\"} 0",
                    "kgents_cluster_nodes{state=\"up\"} 0",
                    "kgents_cluster_state{state=\"joining\"} 0",
                    "kgents_cluster_shards 0",
                    "kgents_cluster_shards_moving 0",
                    "kgents_cluster_free_shards 0",
                    "kgents_cluster_links{state=\"up\"} 0",
                    "kgents_cluster_links{state=\"down\"} 0",
                    "kgents_cluster_forwarded_total{kind=\"ask\"} 0",
                    "kgents_cluster_forwarded_total{kind=\"forward\"} 0",
                    "kgents_cluster_forwarded_total{kind=\"tell\"} 0",
                    "kgents_cluster_moved_sessions_total 0",
                    "kgents_cluster_fenced_total 0",
                    "kgents_cluster_refused_peers_total 0",
                    "kgents_cluster_link_bytes_total{direction=\"in\"} 0",
                    "kgents_cluster_link_bytes_total{direction=\"out\"} 0",
                    "kgents_cluster_feeds 0",
                    "kgents_cluster_mirrors 0",
                    "kgents_cluster_waiting_asks 0",
                    "kgents_handoff_seconds_count 0",
                    "kgents_failover_seconds_count 0"}) {
    CAF_MESSAGE(name);
    CAF_CHECK(text.find("\n" + std::string{name}) != std::string::npos);
  }
}

CAF_TEST(a route counts by status and measures in the standard buckets) {
  auto& probe = all.route("GET", "/health");
  CAF_CHECK_EQUAL(&probe, &all.route("GET", "/health"));
  probe.answered(200);
  probe.answered(200);
  probe.answered(404);
  probe.answered(7);
  probe.took(30ms);
  CAF_CHECK(shows(R"(kgents_api_requests_total{endpoint="/health",method="GET",status="200"} 2)"));
  CAF_CHECK(shows(R"(kgents_api_requests_total{endpoint="/health",method="GET",status="404"} 1)"));
  CAF_CHECK(shows(R"(kgents_api_requests_total{endpoint="/health",method="GET",status="500"} 1)"));
  const std::string bucket =
      R"(kgents_api_request_latency_seconds_bucket{endpoint="/health",method="GET",le=")";
  CAF_CHECK(shows(bucket + R"(0.025"} 0)"));
  CAF_CHECK(shows(bucket + R"(0.05"} 1)"));
  CAF_CHECK(shows(bucket + R"(+Inf"} 1)"));
}

CAF_TEST(threads that meet a status for the first time count into one series) {
  auto& probe = all.route("GET", "/x");
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&probe] {
      for (unsigned n = 0; n < 1000; ++n)
        probe.answered(400 + n % 10);
    });
  for (auto& thread : threads)
    thread.join();
  CAF_CHECK(shows(R"(kgents_api_requests_total{endpoint="/x",method="GET",status="409"} 400)"));
}

CAF_TEST(a guard counts for as long as it lives) {
  {
    gauge_guard one{all.sse_streams};
    gauge_guard moved{std::move(one)};
    CAF_CHECK(shows("kgents_sse_streams 1"));
  }
  CAF_CHECK(shows("kgents_sse_streams 0"));
}

CAF_TEST(what is read rather than counted is read when somebody looks) {
  all.before_render([this] { all.db_pool("queued").Set(3); });
  CAF_CHECK(shows(R"(kgents_db_pool_connections{state="queued"} 3)"));
}

CAF_TEST(a node shows its own state and what it sees of the others) {
  using kgents::member_state;
  all.cluster.show({.self = member_state::up,
                    .nodes = {1, 2, 0, 0},
                    .shards = 512,
                    .moving = 64,
                    .free_shards = 3,
                    .links_up = 1,
                    .links_down = 1});
  CAF_CHECK(shows(R"(kgents_cluster_state{state="up"} 1)"));
  CAF_CHECK(shows(R"(kgents_cluster_state{state="joining"} 0)"));
  CAF_CHECK(shows(R"(kgents_cluster_nodes{state="joining"} 1)"));
  CAF_CHECK(shows(R"(kgents_cluster_nodes{state="up"} 2)"));
  CAF_CHECK(shows("kgents_cluster_shards 512"));
  CAF_CHECK(shows("kgents_cluster_shards_moving 64"));
  CAF_CHECK(shows("kgents_cluster_free_shards 3"));
  all.cluster.show({.self = member_state::leaving, .nodes = {0, 2, 1, 0}});
  CAF_CHECK(shows(R"(kgents_cluster_state{state="up"} 0)"));
  CAF_CHECK(shows(R"(kgents_cluster_nodes{state="joining"} 0)"));
  CAF_CHECK(shows("kgents_cluster_shards 0"));
}

CAF_TEST(a counter that follows a sum never falls) {
  all.cluster.asked.follow(5);
  all.cluster.asked.follow(7);
  all.cluster.asked.follow(6);
  CAF_CHECK(shows(R"(kgents_cluster_forwarded_total{kind="ask"} 7)"));
}

CAF_TEST_FIXTURE_SCOPE_END()
