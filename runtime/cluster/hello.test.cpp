#define CAF_SUITE hello

#include "runtime/cluster/hello.hpp"

#include "runtime/cluster/rarely.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents;
using namespace kgents::runtime::cluster;
using namespace std::chrono_literals;

namespace {

const hello ours{1, {7}, {5}, "production", "node-7"};

std::string malformation(std::string_view x) {
  const auto parsed = parse_first_frame(x);
  const auto* bad = std::get_if<malformed>(&parsed);
  return bad != nullptr ? bad->text : "";
}

}  // namespace

CAF_TEST(a hello and a refusal survive the way) {
  const auto parsed = parse_first_frame(encode(ours));
  CAF_REQUIRE(std::holds_alternative<hello>(parsed));
  CAF_CHECK(std::get<hello>(parsed) == ours);
  const auto no = parse_first_frame(encode(refusal{"not \x1b[31myou\n"}));
  CAF_REQUIRE(std::holds_alternative<refusal>(no));
  CAF_CHECK_EQUAL(std::get<refusal>(no).text, "not ?[31myou?");
}

CAF_TEST(the bytes of a hello are what other releases expect) {
  CAF_CHECK_EQUAL(encode(hello{258, {3}, {4}, "c", "node"}),
                  std::string("KGPL\x01\x02\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x04\x01"
                              "c\x04node",
                              29));
}

CAF_TEST(what a later release appends does not matter) {
  const auto parsed = parse_first_frame(encode(ours) + "more");
  CAF_REQUIRE(std::holds_alternative<hello>(parsed));
  CAF_CHECK(std::get<hello>(parsed) == ours);
}

CAF_TEST(no beginning of a hello is taken for one with ids and names) {
  const auto whole = encode(ours);
  for (size_t n = 0; n < whole.size(); ++n) {
    const auto parsed = parse_first_frame(std::string_view{whole}.substr(0, n));
    if (const auto* x = std::get_if<hello>(&parsed))
      CAF_CHECK(n >= 22 && x->cluster.empty() && !mismatch(*x, ours).empty());
    else
      CAF_CHECK(std::holds_alternative<malformed>(parsed));
  }
}

CAF_TEST(other bytes are described) {
  CAF_CHECK(malformation("HTTP/1.1 400").find("\"HTTP\", expected \"KGPL\"") != std::string::npos);
  CAF_CHECK(malformation("").find("no hello") != std::string::npos);
  CAF_CHECK(describe_stranger(0x16030100).find("speaks TLS") != std::string::npos);
  CAF_CHECK(describe_stranger(0x15030300).find("speaks TLS") != std::string::npos);
  CAF_CHECK(describe_stranger(0x47455420).find("began with \"GET \"") != std::string::npos);
  CAF_CHECK(describe_stranger(5000).find("5000 bytes, at most 4092") != std::string::npos);
}

CAF_TEST(a mismatch names both values) {
  CAF_CHECK_EQUAL(mismatch(ours, ours), "");
  auto theirs = ours;
  theirs.protocol = 3;
  CAF_CHECK_EQUAL(mismatch(theirs, ours), "it speaks protocol 3, this node speaks 1");
  theirs = ours;
  theirs.cluster = "staging";
  CAF_CHECK_EQUAL(mismatch(theirs, ours),
                  "it belongs to cluster \"staging\", this node to \"production\"");
}

CAF_TEST(names are cut to what their length byte can say) {
  auto long_named = ours;
  long_named.name = std::string(300, 'n');
  const auto parsed = parse_first_frame(encode(long_named));
  CAF_REQUIRE(std::holds_alternative<hello>(parsed));
  CAF_CHECK_EQUAL(std::get<hello>(parsed).name, std::string(255, 'n'));
}

CAF_TEST(a log line passes once per address and reason in ten seconds) {
  rarely x;
  const rarely::clock::time_point start{1h};
  CAF_CHECK(x.passes("10.0.0.1", "tls", start));
  CAF_CHECK(!x.passes("10.0.0.1", "tls", start + 9s));
  CAF_CHECK(x.passes("10.0.0.1", "cluster", start + 9s));
  CAF_CHECK(x.passes("10.0.0.2", "tls", start + 9s));
  CAF_CHECK(x.passes("10.0.0.1", "tls", start + 10s));
  CAF_CHECK(!x.passes("10.0.0.1", "tls", start + 11s));
}

CAF_TEST(strangers of many addresses fill neither memory nor the log) {
  rarely x;
  const rarely::clock::time_point start{1h};
  size_t passed = 0;
  for (int i = 0; i < 5000; ++i)
    passed += x.passes(std::to_string(i), "tls", start) ? 1 : 0;
  CAF_CHECK_EQUAL(passed, rarely::max_entries);
  CAF_CHECK(x.passes("new", "tls", start + 10s));
}
