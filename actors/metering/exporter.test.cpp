#define CAF_SUITE exporter

#include "actors/metering/exporter.hpp"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <set>

#include "actors/llm/stand_in.test.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents;
using namespace kgents::metering;
using namespace std::chrono_literals;
using llm::testing::run_until;
using llm::testing::stand_in;
namespace json = boost::json;

namespace {

std::string answer(unsigned status, const std::string& lines = {}, const std::string& body = {}) {
  return "HTTP/1.1 " + std::to_string(status) + " X\r\n" + lines +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

/// Rows without a database: what is not settled is taken again.
struct fixture {
  runtime::io_thread thread{0, "test"};
  std::vector<sql::usage_record> rows;
  std::vector<sql::billing_record> billing;
  std::vector<sql::metering_outcome> outcomes;
  bool settles = true;
  std::vector<std::string> requests;
  std::function<void(stand_in::connection&)> behaviour = [](auto& x) { x.send(answer(204)); };
  stand_in server{thread.context(), [this](stand_in::connection& x) {
                    requests.push_back(x.request);
                    behaviour(x);
                  }};
  exporter::options options{.base_url = server.url(),
                            .api_key = runtime::secret{"om_very_secret"},
                            .batch_size = 4,
                            .request_deadline = 300ms};
  size_t failures = 0;
  std::vector<std::string> sent;
  std::unique_ptr<exporter> made;

  exporter& it() {
    if (!made) {
      exporter_probe probe;
      probe.flush_failed = [this] { ++failures; };
      probe.sent = [this](std::string_view type) { sent.emplace_back(type); };
      made = std::make_unique<exporter>(
          thread, options, store(), std::move(probe), [] { return true; }, [] {});
    }
    return *made;
  }

  exporter_store store() {
    exporter_store out;
    out.take = [this](size_t most, auto done) {
      sql::metering_batch batch;
      for (const auto& x : rows)
        if (batch.usage.size() < most)
          batch.usage.push_back(x);
      batch.billing = billing;
      boost::asio::post(thread.context(), [done, batch] { done(batch); });
    };
    out.settle = [this](const sql::metering_outcome& x, auto done) {
      outcomes.push_back(x);
      const auto left = [&x](const auto& row) {
        return std::find(x.usage.begin(), x.usage.end(), row.id.text()) != x.usage.end();
      };
      if (settles)
        rows.erase(std::remove_if(rows.begin(), rows.end(), left), rows.end());
      boost::asio::post(thread.context(), [this, done] { done(settles); });
    };
    return out;
  }

  void record(size_t count, const std::string& type = "session_create") {
    for (size_t i = 0; i < count; ++i) {
      sql::usage_record x;
      x.id = usage_id{uuid::time_ordered()};
      x.tenant = tenant_id{uuid::time_ordered()};
      x.type = type;
      x.source = "kgent";
      x.time = "2026-01-02T03:04:05+00:00";
      rows.push_back(x);
    }
  }

  /// One round; when the next is due.
  std::chrono::milliseconds round() {
    std::optional<std::chrono::milliseconds> next;
    it().round([&next](std::chrono::milliseconds x) { next = x; });
    CAF_REQUIRE(run_until(thread, [&next] { return next.has_value(); }));
    return *next;
  }

  /// Ids in the body of a request.
  static std::vector<std::string> ids_in(const std::string& request) {
    const auto body = request.substr(request.find("\r\n\r\n") + 4);
    std::vector<std::string> out;
    const auto events = json::parse(body);
    for (const auto& x : events.as_array())
      out.emplace_back(x.at("id").as_string());
    return out;
  }

  std::string status() { return std::string{it().health().at("status").as_string()}; }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(exporter_tests, fixture)

CAF_TEST(a batch is one request with the key and the type of batches) {
  record(2);
  const auto first = rows[0].id.text();
  const auto second = rows[1].id.text();
  CAF_CHECK(round() == 1s);
  CAF_REQUIRE_EQUAL(requests.size(), 1u);
  CAF_CHECK_EQUAL(requests[0].substr(0, requests[0].find("\r\n")), "POST /api/v1/events HTTP/1.1");
  CAF_CHECK(requests[0].find("\r\nAuthorization: Bearer om_very_secret\r\n") != std::string::npos);
  CAF_CHECK(requests[0].find("\r\nContent-Type: application/cloudevents-batch+json\r\n") !=
            std::string::npos);
  CAF_CHECK_EQUAL(ids_in(requests[0]), (std::vector{first, second}));
  CAF_CHECK_EQUAL(outcomes[0].usage, (std::vector{first, second}));
  CAF_CHECK_EQUAL(status(), "healthy");
  CAF_CHECK_EQUAL(it().health().at("metrics").at("events_sent").to_number<int>(), 2);
  CAF_CHECK_EQUAL(sent.size(), 2u);
}

CAF_TEST(a backlog leaves at full speed and nothing to do costs no request) {
  record(9);
  CAF_CHECK(round() == 0s);
  CAF_CHECK(round() == 0s);
  CAF_CHECK(round() == 1s);
  CAF_CHECK(rows.empty());
  CAF_CHECK(round() == 1s);
  CAF_CHECK_EQUAL(requests.size(), 3u);
}

CAF_TEST(no request has more events than a batch) {
  record(4, "llm_call");
  CAF_CHECK(round() == 0s);
  CAF_REQUIRE_EQUAL(requests.size(), 2u);
  CAF_CHECK_EQUAL(ids_in(requests[0]).size(), 4u);
  CAF_CHECK_EQUAL(ids_in(requests[1]).size(), 4u);
}

CAF_TEST(what our own cost is leaves without a request) {
  record(1, "embedding");
  round();
  CAF_CHECK(requests.empty());
  CAF_CHECK_EQUAL(outcomes[0].usage.size(), 1u);
}

CAF_TEST(an error of the provider keeps everything and sends the same ids again) {
  record(3);
  for (const auto& said : {answer(500), answer(503), answer(429), std::string{"cut"},
                           std::string{"silence"}, std::string{"nonsense\r\n\r\n"}}) {
    behaviour = [said](auto& x) {
      if (said == "cut")
        x.close();
      else if (said != "silence")
        x.send(said);
    };
    const auto wait = round();
    CAF_CHECK(wait >= 500ms && wait <= 60s);
    CAF_CHECK_EQUAL(rows.size(), 3u);
    CAF_CHECK_EQUAL(outcomes.back().usage.size(), 0u);
    CAF_CHECK_EQUAL(outcomes.back().failed_usage.size(), 3u);
  }
  CAF_CHECK_EQUAL(failures, 6u);
  behaviour = [](auto& x) { x.send(answer(202)); };
  round();
  CAF_CHECK(rows.empty());
  CAF_REQUIRE_EQUAL(requests.size(), 7u);
  for (const auto& x : requests)
    CAF_CHECK_EQUAL(ids_in(x), ids_in(requests[0]));
  CAF_CHECK_EQUAL(status(), "healthy");
}

CAF_TEST(the pause that the provider asks for is kept) {
  record(1);
  behaviour = [](auto& x) { x.send(answer(429, "Retry-After: 7\r\n")); };
  CAF_CHECK(round() == 7s);
}

CAF_TEST(a bad event is found and put away and the others leave) {
  record(4);
  const auto bad = rows[2].id.text();
  behaviour = [bad](auto& x) {
    x.send(x.request.find(bad) == std::string::npos ? answer(204)
                                                    : answer(400, {}, "unknown field"));
  };
  round();
  CAF_CHECK(rows.empty());
  CAF_REQUIRE_EQUAL(outcomes.size(), 1u);
  CAF_REQUIRE_EQUAL(outcomes[0].refused.size(), 1u);
  CAF_CHECK_EQUAL(outcomes[0].refused[0].id, bad);
  CAF_CHECK_EQUAL(outcomes[0].refused[0].record, bad);
  CAF_CHECK_EQUAL(outcomes[0].refused[0].reason, "status 400: unknown field");
  CAF_CHECK_EQUAL(outcomes[0].usage.size(), 4u);
  CAF_CHECK_EQUAL(failures, 0u);
}

CAF_TEST(a row of two events stays until both are settled) {
  record(1, "llm_call");
  options.batch_size = 1;
  behaviour = [this](auto& x) { x.send(answer(requests.size() == 1 ? 204 : 500)); };
  round();
  CAF_CHECK_EQUAL(rows.size(), 1u);
  CAF_CHECK_EQUAL(outcomes[0].failed_usage.size(), 1u);
}

CAF_TEST(a wrong key stops the export until it is right) {
  record(2);
  behaviour = [](auto& x) { x.send(answer(401, {}, "invalid token")); };
  CAF_CHECK(round() == 60s);
  CAF_CHECK_EQUAL(rows.size(), 2u);
  CAF_CHECK_EQUAL(status(), "unhealthy");
  CAF_CHECK_EQUAL(it().health().at("error").as_string(), "status 401");
  behaviour = [](auto& x) { x.send(answer(204)); };
  CAF_CHECK(round() == 1s);
  CAF_CHECK_EQUAL(status(), "healthy");
}

CAF_TEST(what was sent but could not be stamped is sent again) {
  record(2);
  settles = false;
  CAF_CHECK(round() >= 500ms);
  settles = true;
  round();
  CAF_REQUIRE_EQUAL(requests.size(), 2u);
  CAF_CHECK_EQUAL(ids_in(requests[0]), ids_in(requests[1]));
  CAF_CHECK(rows.empty());
}

CAF_TEST(events of Stripe leave with the others) {
  record(1);
  billing.push_back({"stripe:evt_1", std::nullopt, "payment.success", "cus_1", "2026-01-02", "{}"});
  round();
  CAF_CHECK_EQUAL(ids_in(requests[0]).back(), "stripe:evt_1");
  CAF_CHECK_EQUAL(outcomes[0].billing, (std::vector<std::string>{"stripe:evt_1"}));
}

CAF_TEST(a drain ends when nothing is left or nothing goes) {
  record(9);
  bool drained = false;
  it().drain([&drained] { drained = true; });
  CAF_CHECK(round() == 0s);
  CAF_CHECK(!drained);
  CAF_CHECK(round() == 0s);
  CAF_CHECK(!drained);
  round();
  CAF_CHECK(drained);
  record(1);
  drained = false;
  it().drain([&drained] { drained = true; });
  behaviour = [](auto& x) { x.send(answer(500)); };
  round();
  CAF_CHECK(drained);
}

CAF_TEST_FIXTURE_SCOPE_END()
