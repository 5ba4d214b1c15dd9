#define CAF_SUITE head_scanner

#include "gateway/http/head_scanner.hpp"

#include <caf/test/dsl.hpp>
#include <string>

using kgents::gateway::http::head_scanner;
using result = head_scanner::result;

namespace {

// The result must not depend on how the bytes arrive.
result scan(std::string_view in, size_t max = 16384) {
  head_scanner whole;
  const auto expected = whole.scan(in, max);
  head_scanner dripping;
  auto got = result::incomplete;
  for (size_t n = 1; n <= in.size() && got == result::incomplete; ++n)
    got = dripping.scan(in.substr(0, n), max);
  CAF_CHECK(got == expected);
  return expected;
}

}  // namespace

CAF_TEST(a head ends at its empty line) {
  head_scanner x;
  const std::string head = "GET / HTTP/1.1\r\nHost: x\r\nA:\tb\r\n\r\n";
  CAF_CHECK(x.scan(head + "body\n\0", 16384) == result::complete);
  CAF_CHECK_EQUAL(x.length(), head.size());
  CAF_CHECK(scan(head) == result::complete);
  CAF_CHECK(scan(head.substr(0, head.size() - 1)) == result::incomplete);
  CAF_CHECK(scan("GET / HTTP/1.1\r\nX: \xc3\xa9\r\n\r\n") == result::complete);
}

CAF_TEST(bytes that no head may contain are refused at once) {
  for (std::string_view head :
       {"GET / HTTP/1.1\nHost: x\n\n", "GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", "GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\r\n\tfolded\r\n\r\n", "GET / HTTP/1.1\r\n A: b\r\n\r\n",
        " GET / HTTP/1.1\r\n\r\n", "GET\t/ HTTP/1.1\r\n\r\n", "GET /\x01 HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nA: \x7f\r\n\r\n", "\x16\x03\x01\x02", "\r\n\r\n"})
    CAF_CHECK(scan(head) == result::malformed);
  using namespace std::string_view_literals;
  CAF_CHECK(scan("GET / HTTP/1.1\r\nA: b\0c\r\n\r\n"sv) == result::malformed);
}

CAF_TEST(the limit tells a long request line from long headers) {
  CAF_CHECK(scan("GET /" + std::string(100, 'a'), 100) == result::target_too_long);
  CAF_CHECK(scan("GET / HTTP/1.1\r\nA: " + std::string(100, 'a'), 100) == result::too_large);
  const std::string exact = "GET / HTTP/1.1\r\nA: " + std::string(77, 'a') + "\r\n\r\n";
  CAF_CHECK(scan(exact, exact.size()) == result::complete);
  CAF_CHECK(scan(exact, exact.size() - 1) == result::too_large);
}
