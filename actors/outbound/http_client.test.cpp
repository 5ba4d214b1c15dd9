#define CAF_SUITE http_client

#include "actors/outbound/http_client.hpp"

#include <stdexcept>

#include "actors/llm/stand_in.test.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents;
using namespace kgents::outbound;
using namespace std::chrono_literals;
using llm::testing::run_until;
using llm::testing::stand_in;

namespace {

struct fixture {
  runtime::io_thread thread{0, "test"};

  http_result call(const http_client& client, http_request what) {
    std::optional<http_result> out;
    client.call(thread, std::move(what), [&](http_result x) { out = std::move(x); });
    CAF_REQUIRE(run_until(thread, [&] { return out.has_value(); }));
    return *out;
  }

  http_request post(std::string body, std::chrono::milliseconds deadline = 5s) {
    return {.method = "POST",
            .target = "/api/v1/events?x=1",
            .header_lines = "Content-Type: application/json\r\n",
            .body = std::move(body),
            .deadline = deadline};
  }

  static std::string_view reason(const http_result& x) {
    return std::holds_alternative<http_failure>(x) ? std::get<http_failure>(x).reason : "answered";
  }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(http_client_tests, fixture)

CAF_TEST(an answer comes back whole) {
  stand_in server{thread.context(), [](auto& x) {
    x.send("HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/JSON\r\nRetry-After: 7\r\n"
           "Content-Length: 4\r\n\r\nslow", [&x] { x.close(); });
  }};
  const http_client client{server.url() + "/base/"};
  const auto out = call(client, post("[1]"));
  CAF_REQUIRE(std::holds_alternative<http_answer>(out));
  const auto& answer = std::get<http_answer>(out);
  CAF_CHECK_EQUAL(answer.status, 429u);
  CAF_CHECK_EQUAL(answer.content_type, "application/json");
  CAF_CHECK_EQUAL(answer.retry_after, "7");
  CAF_CHECK_EQUAL(answer.body, "slow");
  const auto& asked = server.connections[0]->request;
  CAF_CHECK(asked.starts_with("POST /base/api/v1/events?x=1 HTTP/1.1\r\nHost: 127.0.0.1:"));
  CAF_CHECK(asked.find("\r\nContent-Type: application/json\r\n") != std::string::npos);
  CAF_CHECK(asked.ends_with("Content-Length: 3\r\n\r\n[1]"));
}

CAF_TEST(an answer without a body is one) {
  stand_in server{thread.context(),
                  [](auto& x) { x.send("HTTP/1.1 204 No Content\r\n\r\n"); }};
  const http_client client{server.url()};
  const auto out = call(client, post("{}"));
  CAF_REQUIRE(std::holds_alternative<http_answer>(out));
  CAF_CHECK_EQUAL(std::get<http_answer>(out).status, 204u);
}

CAF_TEST(a call ends at its deadline and says why there is no answer) {
  stand_in silent{thread.context(), [](auto&) {}};
  CAF_CHECK_EQUAL(reason(call(http_client{silent.url()}, post("{}", 50ms))), "timeout");
  stand_in cuts{thread.context(), [](auto& x) {
    x.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", [&x] { x.close(); });
  }};
  CAF_CHECK_EQUAL(reason(call(http_client{cuts.url()}, post("{}"))), "cut");
  stand_in babbles{thread.context(), [](auto& x) {
    x.send("HTTP/1.1 200 OK\r\n\r\n");
    x.send_forever(std::string(1000, 'x'));
  }};
  CAF_CHECK_EQUAL(reason(call(http_client{babbles.url(), 10'000}, post("{}"))), "too_large");
  std::string gone;
  {
    boost::asio::io_context other;
    gone = stand_in{other, [](auto&) {}}.url();
  }
  CAF_CHECK_EQUAL(reason(call(http_client{gone}, post("{}"))), "refused");
}

CAF_TEST(a base url must be one) {
  for (const auto* url : {"ftp://x", "http://user@x", ""}) {
    bool refused = false;
    try {
      const http_client client{url};
    } catch (const std::invalid_argument&) {
      refused = true;
    }
    CAF_CHECK(refused);
  }
}

CAF_TEST(retry after is seconds or a date) {
  const auto now = std::chrono::sys_days{std::chrono::year{2015} / 10 / 21} + 7h + 27min;
  CAF_CHECK(retry_after("120", now) == 120s);
  CAF_CHECK(retry_after("Wed, 21 Oct 2015 07:28:00 GMT", now) == 60s);
  CAF_CHECK(retry_after("Wed, 21 Oct 2015 07:26:00 GMT", now) == 0s);
  CAF_CHECK(retry_after("99999999", now) == 1h);
  for (const auto* x : {"", "soon", "-5", "1.5"})
    CAF_CHECK(retry_after(x, now) == 0s);
}

CAF_TEST(what is not plain in a url is escaped) {
  CAF_CHECK_EQUAL(url_escaped("a-b_c.d~e"), "a-b_c.d~e");
  CAF_CHECK_EQUAL(url_escaped("a b/ä&="), "a%20b%2F%C3%A4%26%3D");
}

CAF_TEST_FIXTURE_SCOPE_END()
