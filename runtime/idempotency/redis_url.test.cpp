#define CAF_SUITE redis_url

#include "runtime/idempotency/redis_url.hpp"

#include <caf/test/unit_test.hpp>

using kgents::runtime::idempotency::parse_redis_url;

CAF_TEST(a host alone has the port and database of Redis) {
  const auto x = parse_redis_url("redis://cache.example");
  CAF_REQUIRE(x.has_value());
  CAF_CHECK(!x->tls && x->user.empty() && x->password.empty());
  CAF_CHECK_EQUAL(x->host, "cache.example");
  CAF_CHECK_EQUAL(x->port, 6379u);
  CAF_CHECK_EQUAL(x->database, 0u);
}

CAF_TEST(everything can be said and what is reserved is escaped) {
  const auto x = parse_redis_url("rediss://app:p%40ss%3a%2F@[::1]:7000/3");
  CAF_REQUIRE(x.has_value());
  CAF_CHECK(x->tls);
  CAF_CHECK_EQUAL(x->user, "app");
  CAF_CHECK_EQUAL(x->password, "p@ss:/");
  CAF_CHECK_EQUAL(x->host, "::1");
  CAF_CHECK_EQUAL(x->port, 7000u);
  CAF_CHECK_EQUAL(x->database, 3u);
}

CAF_TEST(a password needs no user) {
  const auto x = parse_redis_url("redis://:secret@127.0.0.1/");
  CAF_REQUIRE(x.has_value());
  CAF_CHECK(x->user.empty());
  CAF_CHECK_EQUAL(x->password, "secret");
}

CAF_TEST(what is malformed is refused) {
  for (const auto* x : {"", "redis://", "http://a", "redis://secret@a", "redis://user:@a",
                        "redis://a:0", "redis://a:70000", "redis://a:x", "redis://a/x",
                        "redis://a/-1", "redis://a/0?timeout=1", "redis://:%zz@a", "redis://[::1",
                        "redis://:%4@a", "redis://[::1]7", "redis://:8080"}) {
    CAF_MESSAGE(x);
    CAF_CHECK(!parse_redis_url(x));
  }
}
