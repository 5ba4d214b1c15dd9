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
                    "kgents_admission_refused_total{bound=\"node\"} 0"}) {
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

CAF_TEST_FIXTURE_SCOPE_END()
