#define CAF_SUITE reach

#include "gateway/program/reach.hpp"

#include <caf/test/dsl.hpp>  // last: it defines macros named expect, allow, inject

using kgents::gateway::address_of;

namespace {

void check(std::string_view url, std::string_view host, uint16_t port) {
  const auto found = address_of(url);
  CAF_REQUIRE(found.has_value());
  CAF_CHECK_EQUAL(found->host, host);
  CAF_CHECK_EQUAL(found->port, port);
}

}  // namespace

CAF_TEST(the port of a scheme is used where the URL names none) {
  check("https://api.example.com/v1", "api.example.com", 443);
  check("http://localhost", "localhost", 80);
  check("redis://cache", "cache", 6379);
  check("nats://a", "a", 4222);
}

CAF_TEST(credentials brackets paths and queries are no part of the address) {
  check("nats://token@127.0.0.1:4333", "127.0.0.1", 4333);
  check("redis://user:p%40ss@cache:6380/0", "cache", 6380);
  check("http://[::1]:8080/x", "::1", 8080);
  check("http://[::1]", "::1", 80);
  check("http://host:81?x=1", "host", 81);
}

CAF_TEST(what has no host or no port is no address) {
  for (auto url : {"", "host:80", "http://", "http://:80", "http://host:", "http://host:x",
                   "http://host:70000", "http://host:0", "http://[::1]x", "gopher://host"})
    CAF_CHECK(!address_of(url));
}
