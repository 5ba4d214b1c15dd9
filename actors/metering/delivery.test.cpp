#define CAF_SUITE delivery

#include "actors/metering/delivery.hpp"

#include <set>

#include <caf/test/dsl.hpp>

using namespace kgents;
using namespace kgents::metering;
using namespace std::chrono_literals;
using fate = delivery::fate;

namespace {

const auto now = std::chrono::system_clock::time_point{std::chrono::seconds{1'700'000'000}};

judged of(unsigned status, std::string retry_after = {}, std::string body = {}) {
  return judge(outbound::http_answer{status, {}, std::move(retry_after), std::move(body)}, now);
}

judged none(std::string_view reason) { return judge(outbound::http_failure{reason}, now); }

/// Delivers to a provider that does not take the events in `bad`; returns the number of requests.
size_t deliver(delivery& x, const std::set<size_t>& bad) {
  size_t requests = 0;
  while (const auto part = x.next()) {
    ++requests;
    const auto first = bad.lower_bound(part->first);
    x.heard(of(first != bad.end() && *first < part->second ? 400 : 204));
  }
  return requests;
}

}  // namespace

CAF_TEST(every class of answer has its verdict) {
  for (unsigned status : {200u, 201u, 202u, 204u, 299u})
    CAF_CHECK(of(status).what == verdict::accepted);
  for (unsigned status : {400u, 413u, 422u})
    CAF_CHECK(of(status).what == verdict::malformed);
  for (unsigned status : {408u, 429u, 500u, 502u, 503u, 599u})
    CAF_CHECK(of(status).what == verdict::later);
  for (unsigned status : {301u, 401u, 403u, 404u, 405u, 415u})
    CAF_CHECK(of(status).what == verdict::stop);
  for (auto reason : {"timeout", "cut", "refused", "malformed", "unresolved", "tls"})
    CAF_CHECK(none(reason).what == verdict::later);
  CAF_CHECK_EQUAL(none("timeout").reason, "no answer: timeout");
  CAF_CHECK_EQUAL(of(401, {}, "bad\nkey").reason, "status 401: bad key");
  CAF_CHECK_EQUAL(of(401, {}, "bad\nkey").brief, "status 401");
}

CAF_TEST(the wish of the provider to be left alone is heard) {
  CAF_CHECK(of(429, "7").retry_after == 7s);
  CAF_CHECK(of(503, "Tue, 14 Nov 2023 22:13:30 GMT").retry_after == 10s);
  CAF_CHECK(of(429, "soon").retry_after == 0s);
  CAF_CHECK(of(400, "7").retry_after == 0s);
}

CAF_TEST(the pause grows from half a second to a minute) {
  back_off pause;
  auto bound = back_off::first;
  for (int i = 0; i < 20; ++i) {
    const auto x = pause.next();
    CAF_CHECK(x >= back_off::first && x >= bound / 2 && x <= bound);
    bound = std::min(bound * 2, back_off::longest);
  }
  CAF_CHECK(pause.next() >= back_off::longest / 2);
  pause.reset();
  CAF_CHECK(pause.next() == back_off::first);
}

CAF_TEST(a batch goes out in parts and in order) {
  delivery x{5, 2};
  std::vector<std::pair<size_t, size_t>> parts;
  while (const auto part = x.next()) {
    parts.push_back(*part);
    x.heard(of(204));
  }
  CAF_CHECK(parts == (std::vector<std::pair<size_t, size_t>>{{0, 2}, {2, 4}, {4, 5}}));
  CAF_CHECK(!delivery(0, 2).next());
}

CAF_TEST(one bad event is found and costs the others nothing) {
  for (size_t bad = 0; bad < 100; ++bad) {
    delivery x{100, 100};
    CAF_CHECK(deliver(x, {bad}) <= 15u);
    for (size_t i = 0; i < 100; ++i)
      CAF_CHECK(x.of(i) == (i == bad ? fate::refused : fate::sent));
  }
}

CAF_TEST(a batch of bad events ends) {
  delivery x{4, 100};
  CAF_CHECK_EQUAL(deliver(x, {0, 1, 2, 3}), 7u);
  for (size_t i = 0; i < 4; ++i)
    CAF_CHECK(x.of(i) == fate::refused);
}

CAF_TEST(what was accepted before a failure has left) {
  delivery x{4, 2};
  x.heard(of(204));
  x.heard(none("cut"));
  CAF_CHECK(!x.next());
  CAF_REQUIRE(x.stopped().has_value());
  CAF_CHECK(x.stopped()->what == verdict::later);
  CAF_CHECK(x.of(1) == fate::sent);
  CAF_CHECK(x.of(2) == fate::open);
}
