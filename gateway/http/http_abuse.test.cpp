#define CAF_SUITE http_abuse

#include "gateway/http/test_server.test.hpp"

#include <caf/test/dsl.hpp>  // last: it defines macros named expect, allow, inject

using namespace kgents::gateway::http;
using namespace kgents::gateway::http::testing;

namespace {

struct abused : fixture {
  abused() : fixture{{.max_header_bytes = 4096, .max_body_bytes = 100'000}} {}

  // Refused with `status`, then closed: what follows a malformed request cannot be told from its
  // body. The next client is served as ever.
  void refuses(std::string_view bytes, unsigned status, unsigned or_status = 0) {
    auto c = connect();
    c.send(bytes);
    const auto x = c.response();
    if (x.status != status && x.status != or_status)
      CAF_ERROR(x.status << " for " << std::string{bytes.substr(0, 100)});
    CAF_CHECK(x.has("\r\nConnection: close\r\n"));
    CAF_CHECK_EQUAL(c.rest(), "");
    CAF_CHECK(!c.was_reset());
    CAF_CHECK_EQUAL(ask(get()).status, 200u);
  }
};

const std::string smuggled = get("/smuggled");

}  // namespace

CAF_TEST(what is too large) {
  abused f;
  f.refuses(get("/" + std::string(5000, 'a')), 414);
  f.refuses("GET /" + std::string(5000, 'a'), 414);
  f.refuses(get("/", "A: " + std::string(5000, 'a') + "\r\n"), 431);
  std::string many;
  for (int i = 0; i < 300; ++i)
    many += "a:b\r\n";
  f.refuses(get("/", many), 431);
  f.refuses(post("Content-Length: 100001\r\n", "x"), 413);
  f.refuses(post("Content-Length: 18446744073709551618\r\n", "x"), 413, 400);
  std::string chunks;
  for (int i = 0; i < 100'001; ++i)
    chunks += "1\r\nx\r\n";
  f.refuses(post("Transfer-Encoding: chunked\r\n", chunks + "0\r\n\r\n"), 413);
  f.refuses(post("Transfer-Encoding: chunked\r\n", "1;" + std::string(50'000, 'e')), 400);
  f.refuses(post("Transfer-Encoding: chunked\r\n", "0\r\nA: " + std::string(50'000, 't')), 400);
}

CAF_TEST(lengths that can be read in two ways) {
  abused f;
  for (std::string lines :
       {"Content-Length: 2\r\nContent-Length: 3\r\n", "Content-Length: 2, 2\r\n",
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n"})
    f.refuses(post(lines, "{}" + smuggled), 400);
  for (std::string coding : {"gzip", "gzip, chunked", "chunked, chunked", "x"})
    f.refuses(post("Transfer-Encoding: " + coding + "\r\n", "0\r\n\r\n" + smuggled), 501, 400);
  for (std::string chunks : {"zz\r\n", "0x2\r\n{}\r\n", "2\n{}\r\n", "2\r\n{}X\r\n"})
    f.refuses(post("Transfer-Encoding: chunked\r\n", chunks + smuggled), 400);
}

CAF_TEST(bytes that do not belong into a head) {
  abused f;
  f.refuses("GET / HTTP/1.1\nHost: x\n\n" + smuggled, 400);
  f.refuses(get("/", "A: b\r\n folded\r\n") + smuggled, 400);
  f.refuses(get("/", std::string("A: b\0c\r\n", 8)) + smuggled, 400);
  f.refuses("GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n", 400);
  f.refuses("\x16\x03\x01\x02\x01", 400);
}

CAF_TEST(requests that are none) {
  abused f;
  f.refuses("GET / HTTP/1.1\r\n\r\n" + smuggled, 400);
  f.refuses("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n" + smuggled, 400);
  f.refuses("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n" + smuggled, 400);
  f.refuses("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
  f.refuses("GET / HTTP/9.9\r\nHost: x\r\n\r\n", 505);
  f.refuses("nonsense\r\n\r\n", 400);
  f.refuses(get("/", "Expect: miracles\r\n"), 417);
}

CAF_TEST(targets reach the application as they were sent) {
  abused f;
  for (std::string path :
       {"/../x", "/%2e%2e/x", "//x", "/./x", "/a/../x", "/..%2fx", "/%00", "/%zz"})
    CAF_CHECK_EQUAL(f.ask(get(path)).body, "GET " + path + " ");
  CAF_CHECK_EQUAL(f.ask("GET http://other/x?y HTTP/1.1\r\nHost: x\r\n\r\n").body, "GET /x y");
}

CAF_TEST(empty lines before a request are skipped) {
  abused f;
  CAF_CHECK_EQUAL(f.ask("\r\n\r\n" + get("/a")).body, "GET /a ");
}

CAF_TEST(connections cut in the middle of everything leave nothing behind) {
  abused f;
  const std::string pieces[] = {get().substr(0, 10), get(), post("Content-Length: 50\r\n", "{"),
                                post("Transfer-Encoding: chunked\r\n", "5\r\nab"),
                                post("Content-Length: 5\r\nExpect: 100-continue\r\n", "")};
  for (int i = 0; i < 200; ++i) {
    auto c = f.connect();
    c.send(pieces[i % 5]);
    i % 2 ? c.reset() : c.hang_up();
  }
  f.wait_for([](auto n) { return n.connections == 0; });
  CAF_CHECK_EQUAL(f.ask(get()).status, 200u);
}
