#define CAF_SUITE request_parser

#include "gateway/http/request_parser.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents::gateway::http;

namespace {

struct parsed {
  refusal bad;
  request in;
  head_facts facts;
};

parsed parse(std::string_view head) {
  parsed x;
  x.bad = parse_head(head, x.in, x.facts);
  return x;
}

parsed with(std::string_view lines) {
  return parse("POST /p HTTP/1.1\r\nHost: x\r\n" + std::string{lines} + "\r\n");
}

// Decodes in pieces of `step` bytes, as they might come from a socket.
std::pair<body_decoder::state, std::string> decode(std::string_view lines, std::string_view body,
                                                   size_t step, uint64_t limit = 1000) {
  auto x = with(lines);
  CAF_REQUIRE(x.facts.body != nullptr);
  x.facts.body->limit(limit);
  std::string out;
  std::string pending;
  auto now = body_decoder::state::more;
  while (now == body_decoder::state::more && !body.empty()) {
    pending += body.substr(0, step);
    body.remove_prefix(std::min(step, body.size()));
    pending.erase(0, x.facts.body->take(pending, &out, now));
  }
  return {now, out};
}

}  // namespace

CAF_TEST(a request is taken apart) {
  auto x = parse("GET /a/%2e?q=1?2 HTTP/1.1\r\nHost: x:1\r\nX-Key:  v w \r\nx-key: second\r\n\r\n");
  CAF_CHECK_EQUAL(x.bad.status, 0u);
  CAF_CHECK_EQUAL(x.in.method, "GET");
  CAF_CHECK_EQUAL(x.in.path, "/a/%2e");
  CAF_CHECK_EQUAL(x.in.query, "q=1?2");
  CAF_CHECK_EQUAL(x.in.header("x-key"), "v w");
  CAF_CHECK(!x.in.has_header("x-other"));
  CAF_CHECK(x.facts.keep_alive && x.facts.http11 && !x.facts.body);
}

CAF_TEST(keep - alive follows version and Connection) {
  CAF_CHECK(!parse("GET / HTTP/1.0\r\n\r\n").facts.keep_alive);
  CAF_CHECK(parse("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").facts.keep_alive);
  CAF_CHECK(!with("Connection: x, Close\r\n").facts.keep_alive);
}

CAF_TEST(the forms of a target) {
  CAF_CHECK_EQUAL(parse("GET http://h:1/a?b HTTP/1.1\r\nHost: x\r\n\r\n").in.path, "/a");
  CAF_CHECK_EQUAL(parse("GET HTTPS://h HTTP/1.1\r\nHost: x\r\n\r\n").in.path, "/");
  CAF_CHECK_EQUAL(parse("GET http://h?q HTTP/1.1\r\nHost: x\r\n\r\n").in.query, "q");
  CAF_CHECK_EQUAL(parse("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n").in.path, "*");
  CAF_CHECK_EQUAL(parse("GET /../a//b HTTP/1.1\r\nHost: x\r\n\r\n").in.path, "/../a//b");
  for (std::string target : {"*", "a", "/a#b", "http://", "http://u@h/", "ftp://h/", "x:443", "?"})
    CAF_CHECK_EQUAL(parse("GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n").bad.status, 400u);
}

CAF_TEST(request lines that are none) {
  for (std::string line : {"GET", "GET /", "GET  / HTTP/1.1", "GET / HTTP/1.1 ", "GET / http/1.1",
                           "G(T / HTTP/1.1", "GET /  HTTP/1.1", "GET / HTTP/x"})
    CAF_CHECK(parse(line + "\r\nHost: x\r\n\r\n").bad.status >= 400);
  for (std::string version : {"2.0", "9.9", "0.9", "1.2"})
    CAF_CHECK_EQUAL(parse("GET / HTTP/" + version + "\r\nHost: x\r\n\r\n").bad.status, 505u);
}

CAF_TEST(Host must name one host) {
  CAF_CHECK_EQUAL(parse("GET / HTTP/1.1\r\n\r\n").bad.status, 400u);
  CAF_CHECK_EQUAL(parse("GET / HTTP/1.0\r\n\r\n").bad.status, 0u);
  CAF_CHECK_EQUAL(with("Host: x\r\n").bad.status, 400u);
  for (auto host : {"x", "x:1", "127.0.0.1:80", "[::1]:80", "[::1]", "a-b_c.example.", "x:"})
    CAF_CHECK(valid_host(host));
  for (auto host : {"", "a b", "a/b", "a,b", "user@x", "x:port", "[::1", "x:99999", "x:999999",
                    "[]", ":80", "[::1]x", "a\"b", "x:1:2"})
    CAF_CHECK(!valid_host(host));
}

CAF_TEST(header lines that are none) {
  for (auto lines : {"A : b\r\n", "nonsense\r\n", ": b\r\n", "A b: c\r\n", "A\"b: c\r\n"})
    CAF_CHECK_EQUAL(with(lines).bad.status, 400u);
  std::string many;
  for (size_t i = 0; i <= max_request_headers; ++i)
    many += "a:\r\n";
  CAF_CHECK_EQUAL(with(many).bad.status, 431u);
}

CAF_TEST(the length of a body is told once and in one way) {
  for (auto lines :
       {"Content-Length: 2\r\nContent-Length: 3\r\n", "Content-Length: 2\r\nContent-Length: 2\r\n",
        "Content-Length: 2, 2\r\n", "Content-Length: +2\r\n", "Content-Length: -2\r\n",
        "Content-Length: 0x2\r\n", "Content-Length: 2 3\r\n", "Content-Length:\r\n",
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"})
    CAF_CHECK_EQUAL(with(lines).bad.status, 400u);
  CAF_CHECK(with("Content-Length: 18446744073709551618\r\n").bad.status >= 400);
  CAF_CHECK(with("Content-Length: 7\r\n").facts.content_length == 7u);
  CAF_CHECK(with("Content-Length: 0\r\n").facts.body == nullptr);
}

CAF_TEST(chunked is the only transfer coding) {
  for (auto coding : {"gzip", "identity", "chunked, chunked", "chunked, gzip", "gzip, chunked",
                      "xchunked", "\"chunked\"", ""}) {
    const auto x = with("Transfer-Encoding: " + std::string{coding} + "\r\n");
    CAF_CHECK(x.bad.status == 501 || x.bad.status == 400);
  }
  CAF_CHECK(with("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n").bad.status >= 400);
  CAF_CHECK_EQUAL(parse("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").bad.status, 400u);
  CAF_CHECK(with("Transfer-Encoding: ChunKed\r\n").facts.body != nullptr);
}

CAF_TEST(expectations) {
  CAF_CHECK(with("Expect: 100-Continue\r\nContent-Length: 1\r\n").facts.expects_continue);
  CAF_CHECK_EQUAL(with("Expect: 200-maybe\r\n").bad.status, 417u);
  CAF_CHECK(!parse("POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").facts.expects_continue);
}

CAF_TEST(bodies are decoded whatever pieces they come in) {
  using state = body_decoder::state;
  for (size_t step : {1u, 2u, 3u, 7u, 1000u}) {
    CAF_CHECK(decode("Content-Length: 11\r\n", "hello world", step) ==
              std::pair(state::done, std::string{"hello world"}));
    CAF_CHECK(decode("Transfer-Encoding: chunked\r\n",
                     "5;n=v;o=\"q\"\r\nhello\r\n06\r\n world\r\n0;x\r\nT: 1\r\nHost: y\r\n\r\n",
                     step) == std::pair(state::done, std::string{"hello world"}));
    CAF_CHECK(decode("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n", step, 5)
                  .first == state::too_large);
    CAF_CHECK(decode("Content-Length: 6\r\n", "abcdef", step, 5).first == state::too_large);
  }
}

CAF_TEST(chunks that are none) {
  for (auto chunks : {"zz\r\n{}\r\n0\r\n\r\n", "-2\r\n{}\r\n0\r\n\r\n", "0x2\r\n{}\r\n0\r\n\r\n",
                      "\r\n{}\r\n0\r\n\r\n", "2 2\r\n{}\r\n0\r\n\r\n", "2\r\n{}X\r\n0\r\n\r\n",
                      "2\n{}\r\n0\r\n\r\n", "1ffffffffffffffff\r\n{}\r\n", "2\r\n{}\n0\r\n\r\n",
                      "+2\r\n{}\r\n0\r\n\r\n", "2;\x01\r\n{}\r\n0\r\n\r\n"})
    for (size_t step : {1u, 1000u}) {
      const auto state = decode("Transfer-Encoding: chunked\r\n", chunks, step).first;
      if (state != body_decoder::state::malformed && state != body_decoder::state::too_large)
        CAF_ERROR("taken: " << chunks);
    }
}
