#define CAF_SUITE http_server

#include <thread>

#include "gateway/http/test_server.test.hpp"

#include <caf/test/dsl.hpp>  // last: it defines macros named expect, allow, inject

using namespace kgents::gateway::http;
using namespace kgents::gateway::http::testing;
using namespace std::chrono_literals;

namespace {

template <class Exception, class F>
bool throws(F f) {
  try {
    f();
    return false;
  } catch (const Exception&) {
    return true;
  }
}

}  // namespace

CAF_TEST(a connection is kept for the next request) {
  fixture f;
  auto c = f.connect();
  for (int i = 0; i < 3; ++i) {
    const auto x = c.send(get("/a?b")).response();
    CAF_CHECK_EQUAL(x.status, 200u);
    CAF_CHECK_EQUAL(x.body, "GET /a b");
    CAF_CHECK(x.has("\r\nDate: ") && x.has(" GMT\r\n"));
  }
  CAF_CHECK_EQUAL(f.it->open().connections, 1u);
  c.send(get("/", "Connection: close\r\n"));
  CAF_CHECK(c.response().has("\r\nConnection: close\r\n"));
  CAF_CHECK_EQUAL(c.rest(), "");
  c.hang_up();
  f.wait_for([](auto n) { return n.connections == 0; });
}

CAF_TEST(pipelined requests are answered in order and one at a time) {
  fixture f;
  std::string all;
  for (int i = 0; i < 2000; ++i)
    all += get("/" + std::to_string(i));
  auto c = f.connect();
  std::thread sender{[&] { c.send(all); }};
  int right = 0;
  for (int i = 0; i < 2000; ++i)
    right += c.response().body == "GET /" + std::to_string(i) + " ";
  sender.join();
  CAF_CHECK_EQUAL(right, 2000);
}

CAF_TEST(an answer made later keeps pipelined requests waiting) {
  fixture f;
  slot<std::shared_ptr<exchange>> first;
  int heads = 0;
  f.app.on_head = [&](std::shared_ptr<exchange> x) {
    if (++heads == 1)
      return first.set(std::move(x));
    x->respond(scripted::text(200, "second"));
  };
  auto c = f.connect();
  c.send(get() + get());
  auto x = first.get();
  boost::asio::post(x->thread().context(), [x] { x->respond(scripted::text(200, "first")); });
  CAF_CHECK_EQUAL(c.response().body, "first");
  CAF_CHECK_EQUAL(c.response().body, "second");
}

CAF_TEST(HEAD gets the head of GET) {
  fixture f;
  auto c = f.connect();
  c.send("HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n" + get("/b"));
  const auto x = c.response(true);
  CAF_CHECK(x.has("\r\nContent-Length: 8\r\n"));
  CAF_CHECK_EQUAL(c.response().body, "GET /b ");
}

CAF_TEST(HTTP / 1.0 closes unless asked to keep alive) {
  fixture f;
  auto c = f.connect();
  c.send("GET / HTTP/1.0\r\n\r\n");
  CAF_CHECK_EQUAL(c.response().status, 200u);
  CAF_CHECK_EQUAL(c.rest(), "");
  auto kept = f.connect();
  for (int i = 0; i < 2; ++i)
    CAF_CHECK(kept.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
                  .response()
                  .has("\r\nConnection: keep-alive\r\n"));
}

CAF_TEST(bodies are read whole with a length or in chunks and in any pieces) {
  fixture f;
  auto c = f.connect();
  CAF_CHECK_EQUAL(c.send(post("Content-Length: 5\r\n", "hello")).response().body, "hello");
  CAF_CHECK_EQUAL(c.send(post("Transfer-Encoding: chunked\r\n", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"))
                      .response()
                      .body,
                  "hello");
  CAF_CHECK_EQUAL(c.send(post("Content-Length: 0\r\n", "")).response().body, "");
  for (char byte : post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"))
    c.send({&byte, 1});
  CAF_CHECK_EQUAL(c.response().body, "hello");
  const std::string large(700'000, 'l');
  CAF_CHECK(c.send(post("Content-Length: 700000\r\n", large)).response().body == large);
}

CAF_TEST(100 - continue is said when the body is wanted) {
  fixture f;
  auto c = f.connect();
  c.send(post("Content-Length: 5\r\nExpect: 100-continue\r\n", ""));
  CAF_CHECK_EQUAL(c.until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  CAF_CHECK_EQUAL(c.send("hello").response().body, "hello");
  c.send(post("Content-Length: 5000000\r\nExpect: 100-continue\r\n", ""));
  const auto x = c.response();
  CAF_CHECK_EQUAL(x.status, 413u);
  CAF_CHECK_EQUAL(c.rest(), "");
}

CAF_TEST(a body nobody wanted is skipped if it is small and else ends the connection) {
  fixture f;
  f.app.on_head = [](auto x) { x->respond(scripted::text(404, x->in().path)); };
  auto c = f.connect();
  c.send(post("Content-Length: 5\r\n", get("/").substr(0, 5)) + get("/next"));
  CAF_CHECK_EQUAL(c.response().body, "/echo");
  CAF_CHECK_EQUAL(c.response().body, "/next");
  c.send(post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n") + get("/again"));
  CAF_CHECK_EQUAL(c.response().body, "/echo");
  CAF_CHECK_EQUAL(c.response().body, "/again");
  // The client reads the answer although it sends far more than anybody reads.
  c.send(post("Content-Length: 3000000\r\n", std::string(3'000'000, 'x')));
  const auto x = c.response();
  CAF_CHECK_EQUAL(x.status, 404u);
  CAF_CHECK(x.has("\r\nConnection: close\r\n"));
  CAF_CHECK_EQUAL(c.rest(), "");
  CAF_CHECK(!c.was_reset());
  // It may or may not send what it has announced.
  auto waiting = f.connect();
  waiting.send(post("Content-Length: 5\r\nExpect: 100-continue\r\n", ""));
  CAF_CHECK(waiting.response().has("\r\nConnection: close\r\n"));
}

CAF_TEST(a large answer to a slow reader arrives whole) {
  fixture f;
  const std::string large(8'000'000, 'a');
  f.app.on_head = [&](auto x) { x->respond(scripted::text(200, large)); };
  client c{f.start(), 4096};
  c.send(get() + get());
  CAF_CHECK(c.response().body == large);
  CAF_CHECK(c.response().body == large);
}

CAF_TEST(slow heads and bodies are 408 and silent connections are closed without a word) {
  fixture f{{.header_timeout = 100ms, .body_timeout = 100ms, .idle_timeout = 100ms}};
  auto silent = f.connect();
  CAF_CHECK_EQUAL(silent.rest(), "");
  auto head = f.connect();
  CAF_CHECK_EQUAL(head.send("GET / HTTP/1.1\r\nHo").response().status, 408u);
  CAF_CHECK_EQUAL(head.rest(), "");
  auto body = f.connect();
  CAF_CHECK_EQUAL(body.send(post("Content-Length: 9\r\n", "abc")).response().status, 408u);
  CAF_CHECK_EQUAL(body.rest(), "");
  auto used = f.connect();
  CAF_CHECK_EQUAL(used.send(get()).response().status, 200u);
  CAF_CHECK_EQUAL(used.rest(), "");
}

CAF_TEST(a slow head is not rescued by more of it) {
  fixture f{{.header_timeout = 200ms}};
  auto c = f.connect();
  c.send("GET / HTTP/1.1\r\n");
  std::atomic<bool> done = false;
  const int fd = c.fd();
  std::thread drip{[&] {
    pollfd never{-1, 0, 0};
    while (!done) {
      ::send(fd, "A: b\r\n", 6, MSG_NOSIGNAL);
      ::poll(&never, 0, 20);
    }
  }};
  CAF_CHECK_EQUAL(c.response().status, 408u);
  done = true;
  drip.join();
}

CAF_TEST(a client that does not read its answers is closed) {
  fixture f{{.write_timeout = 100ms}};
  f.app.on_head = [](auto x) { x->respond(scripted::text(200, std::string(20'000'000, 'a'))); };
  client c{f.start(), 4096};
  c.send(get());
  f.wait_for([](auto n) { return n.connections == 1; });
  f.wait_for([](auto n) { return n.connections == 0; });
}

CAF_TEST(beyond the cap a connection is told 503) {
  fixture f{{.max_connections = 2}};
  auto a = f.connect();
  auto b = f.connect();
  CAF_CHECK_EQUAL(a.send(get()).response().status, 200u);
  CAF_CHECK_EQUAL(b.send(get()).response().status, 200u);
  auto c = f.connect();
  const auto x = c.send(get()).response();
  CAF_CHECK_EQUAL(x.status, 503u);
  CAF_CHECK(x.has("\r\nRetry-After: "));
  CAF_CHECK_EQUAL(c.rest(), "");
  a.hang_up();
  c.hang_up();
  f.wait_for([](auto n) { return n.connections == 1; });
  CAF_CHECK_EQUAL(f.ask(get()).status, 200u);
}

CAF_TEST(an application hears when the peer goes away before its answer) {
  fixture f;
  slot<bool> gone;
  slot<std::shared_ptr<exchange>> asked;
  f.app.on_head = [&](std::shared_ptr<exchange> x) {
    x->on_gone([&] { gone.set(true); });
    asked.set(std::move(x));
  };
  auto c = f.connect();
  c.send(get());
  auto x = asked.get();
  c.reset();
  CAF_CHECK(gone.get());
  slot<bool> answered;
  boost::asio::post(x->thread().context(), [&, x] {
    x->respond(scripted::text(200, "late"));  // a no-op
    answered.set(x->gone());
  });
  CAF_CHECK(answered.get());
}

CAF_TEST(a client that has closed its side only still gets its answers) {
  fixture f;
  auto c = f.connect();
  c.send(get("/1") + get("/2")).half_close();
  CAF_CHECK_EQUAL(c.response().body, "GET /1 ");
  CAF_CHECK_EQUAL(c.response().body, "GET /2 ");
  CAF_CHECK_EQUAL(c.rest(), "");
}

CAF_TEST(an exchange that is dropped is a 500) {
  fixture f;
  f.app.on_head = [](std::shared_ptr<exchange>) {};
  CAF_CHECK_EQUAL(f.ask(get()).status, 500u);
  f.app.on_head = [](std::shared_ptr<exchange> x) { x->read_body(10); };
  f.app.on_body = [](std::shared_ptr<exchange>) {};
  CAF_CHECK_EQUAL(f.ask(post("Content-Length: 1\r\n", "x")).status, 500u);
  // By another thread, too.
  std::thread elsewhere;
  f.app.on_head = [&](std::shared_ptr<exchange> x) {
    elsewhere = std::thread{[x = std::move(x)]() mutable { x.reset(); }};
  };
  CAF_CHECK_EQUAL(f.ask(get()).status, 500u);
  elsewhere.join();
}

CAF_TEST(a server that stops accepting finishes what it has begun) {
  fixture f{{}, 2};
  slot<std::shared_ptr<exchange>> asked;
  f.app.on_head = [&](std::shared_ptr<exchange> x) { asked.set(std::move(x)); };
  auto idle = f.connect();
  auto busy = f.connect();
  busy.send(get());
  auto x = asked.get();
  f.it->stop_accepting();
  CAF_CHECK_EQUAL(idle.rest(), "");
  boost::asio::post(x->thread().context(), [x] { x->respond(scripted::text(200, "done")); });
  CAF_CHECK_EQUAL(busy.response().body, "done");
  CAF_CHECK_EQUAL(busy.rest(), "");
  CAF_CHECK(throws<std::runtime_error>([&] { f.connect(); }));
}

CAF_TEST(out of descriptors a server waits and then goes on) {
  fixture f;
  f.start();
  std::vector<int> hoard;
  for (int fd = 0; (fd = ::dup(0)) >= 0;)
    hoard.push_back(fd);
  ::close(hoard.back());
  hoard.pop_back();
  auto c = f.connect();
  for (int i = 0; i < 3; ++i)  // its thread has tried to accept by then
    f.run([] {});
  for (int fd : hoard)
    ::close(fd);
  CAF_CHECK_EQUAL(c.send(get()).response().status, 200u);
}

CAF_TEST(two servers cannot have one port) {
  fixture f;
  fixture g{{.port = f.start()}};
  CAF_CHECK(throws<std::system_error>([&] { g.start(); }));
}

CAF_TEST(connections are dealt to the threads in turn) {
  fixture f{{}, 2};
  std::array<std::atomic<int>, 2> seen{};
  f.app.on_head = [&](std::shared_ptr<exchange> x) {
    ++seen[x->thread().index()];
    x->respond(scripted::text(200, {}));
  };
  for (int i = 0; i < 10; ++i)
    CAF_CHECK_EQUAL(f.ask(get()).status, 200u);
  CAF_CHECK_EQUAL(seen[0].load(), 5);
  CAF_CHECK_EQUAL(seen[1].load(), 5);
}
