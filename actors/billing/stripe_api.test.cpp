#define CAF_SUITE stripe_api

#include "actors/billing/stripe_api.hpp"

#include <boost/json/parse.hpp>

#include "actors/billing/stripe_requests.hpp"

#include <caf/test/unit_test.hpp>

using namespace kgents;
using namespace kgents::billing;
using outbound::http_answer;
using outbound::http_failure;
using outbound::http_result;

namespace {

http_result answered(unsigned status, std::string body) {
  http_answer out;
  out.status = status;
  out.body = std::move(body);
  return out;
}

refusal refused(const http_result& got) {
  const auto x = read_stripe_answer(got);
  CAF_REQUIRE(std::holds_alternative<refusal>(x));
  return std::get<refusal>(x);
}

const std::string card =
    R"({"error":{"type":"card_error","code":"expired_card","message":"Expired."}})";

}  // namespace

CAF_TEST(an object is the answer) {
  const auto x = read_stripe_answer(answered(200, R"({"id":"cus_1"})"));
  CAF_CHECK(std::get<boost::json::object>(x) == boost::json::parse(R"({"id":"cus_1"})"));
}

CAF_TEST(whoever pays hears what is wrong with the card or the parameter) {
  const auto of_card = refused(answered(402, card));
  CAF_CHECK_EQUAL(of_card.status, 402);
  CAF_CHECK_EQUAL(of_card.code, "expired_card");
  CAF_CHECK_EQUAL(of_card.detail, "Expired.");
  CAF_CHECK_EQUAL(refused(answered(400, R"({"error":{"message":"No such coupon"}})")).detail,
                  "No such coupon");
  CAF_CHECK_EQUAL(refused(answered(404, "{}")).status, 404);
  CAF_CHECK_EQUAL(refused(answered(400, R"({"error":{"type":"idempotency_error"}})")).status, 409);
}

CAF_TEST(what is wrong with our key is not shown) {
  for (const unsigned status : {401u, 403u}) {
    const auto x = refused(answered(status, R"({"error":{"message":"Invalid key sk_live_abc"}})"));
    CAF_CHECK_EQUAL(x.status, 502);
    CAF_CHECK_EQUAL(x.code, "billing_misconfigured");
    CAF_CHECK_EQUAL(x.detail.find("sk_"), std::string::npos);
  }
}

CAF_TEST(a provider that fails is not the clients fault) {
  CAF_CHECK_EQUAL(refused(answered(500, "oops")).status, 502);
  CAF_CHECK_EQUAL(refused(answered(200, "oops")).status, 502);
  CAF_CHECK_EQUAL(refused(answered(200, "[]")).status, 502);
  CAF_CHECK_EQUAL(refused(answered(302, "{}")).status, 502);
  const auto busy = refused(answered(429, "{}"));
  CAF_CHECK(busy.status == 503 && busy.retry_after_seconds > 0);
  CAF_CHECK_EQUAL(refused(http_failure{"timeout"}).status, 503);
}

CAF_TEST(a long message is cut between characters) {
  std::string text;
  while (text.size() < 600)
    text += "\xc3\xa4";
  text.insert(0, "x");
  const auto x = refused(answered(400, R"({"error":{"message":")" + text + R"("}})"));
  CAF_CHECK_EQUAL(x.detail.size(), 499u);
  CAF_CHECK_EQUAL(x.detail, text.substr(0, 499));
}

CAF_TEST(what may succeed a moment later is told from what may not) {
  for (const unsigned status : {409u, 429u, 500u, 503u})
    CAF_CHECK(worth_repeating(answered(status, "")));
  for (const unsigned status : {200u, 302u, 400u, 401u, 402u, 403u, 404u})
    CAF_CHECK(!worth_repeating(answered(status, "")));
  CAF_CHECK(worth_repeating(http_failure{"cut"}));
}

CAF_TEST(forms are escaped) {
  form x;
  x.add("metadata[tenant_id]", "a&b=c d").add("success_url", "https://x/?s={CHECKOUT_SESSION_ID}");
  CAF_CHECK_EQUAL(x.text(),
                  "metadata%5Btenant_id%5D=a%26b%3Dc%20d&"
                  "success_url=https%3A%2F%2Fx%2F%3Fs%3D%7BCHECKOUT_SESSION_ID%7D");
}

CAF_TEST(a customer of one tenant and address has one key) {
  const tenant_id a{uuid::random()};
  const tenant_id b{uuid::random()};
  const auto key = [](tenant_id t, std::string_view email) {
    return create_customer(t, email, "N").idempotency_key;
  };
  CAF_CHECK_EQUAL(key(a, "x@example.org"), key(a, "x@example.org"));
  CAF_CHECK_NOT_EQUAL(key(a, "x@example.org"), key(b, "x@example.org"));
  CAF_CHECK_NOT_EQUAL(key(a, "x@example.org"), key(a, "y@example.org"));
}

CAF_TEST(where a browser may be sent back to) {
  for (const auto* good : {"https://example.org", "https://example.org/a?b=c#d",
                           "https://example.org:8443/", "http://localhost:3000/x",
                           "http://127.0.0.1/", "http://[::1]:80/", "https://[2001:db8::1]/"})
    CAF_CHECK(is_return_url(good));
  for (const auto* bad :
       {"", "https://", "https:///x", "http://example.org/", "http://localhost.example.org/",
        "http://localhost@example.org/", "https://u:p@example.org/", "javascript:alert(1)",
        "//example.org/", "https://a b/", "https://a\r\nb/", "https://a\\b/", "https://[::1/",
        "https://example.org:port/", "https://example.org:/", "ftp://localhost/"})
    CAF_CHECK(!is_return_url(bad));
}
