#define CAF_SUITE http_websocket

#include "gateway/http/test_server.test.hpp"
#include "gateway/http/websocket_frames.hpp"
#include "gateway/http/websocket_session.hpp"

#include <caf/test/dsl.hpp>  // last: it defines macros named expect, allow, inject

using namespace kgents::gateway::http;
using namespace kgents::gateway::http::testing;
using namespace std::chrono_literals;

namespace {

// Echoes.
struct echo : socket_handler {
  explicit echo(std::shared_ptr<exchange> x) : x{std::move(x)} {}
  void opened() override { out.push_back("welcome"); }
  void message(std::string_view text) override {
    out.emplace_back(text);
    x->wake();
  }
  byte_source::state pull(write_batch& to) override {
    while (!out.empty() && !to.full()) {
      to.add(std::move(out.front()));
      out.erase(out.begin());
    }
    return ended         ? byte_source::state::end
           : out.empty() ? byte_source::state::idle
                         : byte_source::state::more;
  }
  std::pair<uint16_t, std::string> close_code() const override { return {4401, "revoked"}; }
  void closed(close_reason why) override {
    x.reset();
    closed_with.set(why);
  }

  std::shared_ptr<exchange> x;
  std::vector<std::string> out;
  bool ended = false;
  slot<close_reason> closed_with;
};

const std::string handshake_lines =
    "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

std::string masked(int first, std::string_view payload) {
  char header[max_frame_header_bytes];
  std::string out{header, put_frame_header(header, websocket_opcode::text, payload.size())};
  out[0] = static_cast<char>(first);
  out[1] = static_cast<char>(out[1] | 0x80);
  out.append(4, '\0');
  return out += payload;
}

struct socket_fixture : fixture {
  explicit socket_fixture(server_options options = {}) : fixture{std::move(options)} {
    app.on_head = [this](std::shared_ptr<exchange> x) {
      if (x->in().path != "/ws")
        return x->respond(scripted::text(200, x->in().path));
      auto h = std::make_shared<echo>(x);
      x->upgrade(h, "kgents.v1", "X-Request-ID: 7\r\n");
      handler.set(h);
    };
  }
  slot<std::shared_ptr<echo>> handler;
};

struct socket_client : client {
  explicit socket_client(socket_fixture& f) : client{f.start()} {
    send(get("/ws", handshake_lines));
    head = until("\r\n\r\n");
  }
  // The next frame: first byte and payload.
  std::pair<int, std::string> frame() {
    const auto start = exactly(2);
    size_t size = static_cast<unsigned char>(start[1]);
    if (size == 126 || size == 127) {
      const auto extended = exactly(size == 126 ? 2 : 8);
      size = 0;
      for (char c : extended)
        size = size << 8 | static_cast<unsigned char>(c);
    }
    return {static_cast<unsigned char>(start[0]), exactly(size)};
  }
  std::string text() {
    auto [first, payload] = frame();
    CAF_CHECK_EQUAL(first, 0x81);
    return payload;
  }
  int close_code() {
    auto [first, payload] = frame();
    while (first != 0x88)
      std::tie(first, payload) = frame();
    return static_cast<unsigned char>(payload.at(0)) << 8 |
           static_cast<unsigned char>(payload.at(1));
  }
  std::string head;
};

}  // namespace

CAF_TEST(the handshake is RFC 6455) {
  CAF_CHECK_EQUAL(websocket_accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  socket_fixture f;
  socket_client c{f};
  for (auto line : {"HTTP/1.1 101 ", "\r\nConnection: Upgrade\r\n", "\r\nUpgrade: websocket\r\n",
                    "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
                    "\r\nSec-WebSocket-Protocol: kgents.v1\r\n", "\r\nX-Request-ID: 7\r\n"})
    CAF_CHECK(c.head.find(line) != c.head.npos);
  CAF_CHECK(c.head.find("Content-") == c.head.npos);
  CAF_CHECK_EQUAL(c.text(), "welcome");
  CAF_CHECK_EQUAL(f.it->open().sockets, 1u);
}

CAF_TEST(handshakes that are none get an HTTP answer and the connection goes on) {
  socket_fixture f;
  auto c = f.connect();
  auto without = [](std::string_view line) {
    auto lines = handshake_lines;
    const auto at = lines.find(line);
    return lines.erase(at, lines.find("\r\n", at) + 2 - at);
  };
  CAF_CHECK_EQUAL(c.send(get("/ws")).response().status, 426u);
  CAF_CHECK_EQUAL(c.send(get("/ws", without("Upgrade: "))).response().status, 426u);
  CAF_CHECK_EQUAL(c.send(get("/ws", without("Connection: "))).response().status, 426u);
  const auto old = c.send(get("/ws", without("Sec-WebSocket-Version: "))).response();
  CAF_CHECK_EQUAL(old.status, 426u);
  CAF_CHECK(old.has("\r\nSec-WebSocket-Version: 13\r\n"));
  CAF_CHECK_EQUAL(c.send(get("/ws", without("Sec-WebSocket-Key: "))).response().status, 400u);
  CAF_CHECK_EQUAL(c.send(get("/next")).response().body, "/next");
  CAF_CHECK_EQUAL(f.it->open().sockets, 0u);
}

CAF_TEST(messages of every size come back) {
  socket_fixture f;
  socket_client c{f};
  c.text();
  for (size_t size : {1u, 125u, 126u, 65535u, 65536u, 1024u * 1024u}) {
    const std::string text(size, 't');
    c.send(masked(0x81, text));
    CAF_CHECK(c.text() == text);
  }
}

CAF_TEST(a flood is answered in order) {
  socket_fixture f;
  socket_client c{f};
  c.text();
  std::string flood;
  for (int i = 0; i < 5000; ++i)
    flood += masked(0x81, std::to_string(i));
  std::thread sender{[&] { c.send(flood); }};
  int right = 0;
  for (int i = 0; i < 5000; ++i)
    right += c.text() == std::to_string(i);
  sender.join();
  CAF_CHECK_EQUAL(right, 5000);
}

CAF_TEST(frames sent with the handshake are not lost) {
  socket_fixture f;
  auto c = f.connect();
  c.send(get("/ws", handshake_lines) + masked(0x81, "early"));
  c.until("early");
}

CAF_TEST(pings are answered between fragments) {
  socket_fixture f;
  socket_client c{f};
  c.text();
  c.send(masked(0x01, "he") + masked(0x89, "beat"));
  CAF_CHECK(c.frame() == std::pair(0x8a, std::string{"beat"}));
  c.send(masked(0x80, "llo"));
  CAF_CHECK_EQUAL(c.text(), "hello");
}

CAF_TEST(each close has its code) {
  struct {
    std::string bytes;
    int code;
  } const cases[] = {{masked(0x88, std::string("\x03\xe8", 2)), 1000},
                     {masked(0x88, ""), 1000},
                     {std::string("\x81\x01x", 3), 1002},
                     {masked(0x83, "x"), 1002},
                     {masked(0x82, "x"), 1003},
                     {masked(0x81, "\xc3\x28"), 1007},
                     {masked(0x81, std::string(1024 * 1024 + 1, 'x')), 1009}};
  for (auto& [bytes, code] : cases) {
    socket_fixture f;
    socket_client c{f};
    c.send(bytes);
    CAF_CHECK_EQUAL(c.close_code(), code);
    CAF_CHECK_EQUAL(c.rest(), "");
    const auto why = f.handler.get()->closed_with.get();
    CAF_CHECK(why == (code == 1000 ? close_reason::peer_gone : close_reason::finished));
    CAF_CHECK_EQUAL(f.it->open().sockets, 0u);
  }
}

CAF_TEST(the handler closes with its own code) {
  socket_fixture f;
  socket_client c{f};
  const auto h = f.handler.get();
  boost::asio::post(f.threads[0].context(), [h] {
    h->out.push_back("last words");
    h->ended = true;
    h->x->wake();
  });
  CAF_CHECK_EQUAL(c.text(), "welcome");
  CAF_CHECK_EQUAL(c.text(), "last words");
  CAF_CHECK_EQUAL(c.close_code(), 4401);
  CAF_CHECK(h->closed_with.get() == close_reason::finished);
}

CAF_TEST(a revoked socket and a stopping server say so) {
  socket_fixture f;
  socket_client cut{f};
  const auto h = f.handler.get();
  CAF_CHECK_EQUAL(cut.text(), "welcome");
  boost::asio::post(f.threads[0].context(), [h] {
    h->out.push_back("last words");
    h->x->close();
  });
  CAF_CHECK_EQUAL(cut.text(), "last words");
  CAF_CHECK_EQUAL(cut.close_code(), 4401);
  socket_client stopped{f};
  f.it->stop();
  CAF_CHECK_EQUAL(stopped.close_code(), 1012);
}

CAF_TEST(a socket that answers no ping is closed with 1008 and one that does is not ) {
  socket_fixture f{{.ping_interval = 50ms}};
  socket_client lively{f};
  lively.text();
  for (int i = 0; i < 6; ++i) {
    CAF_CHECK_EQUAL(lively.frame().first, 0x89);
    lively.send(masked(0x8a, ""));
  }
  socket_client silent{f};
  silent.text();
  CAF_CHECK_EQUAL(silent.frame().first, 0x89);
  CAF_CHECK_EQUAL(silent.frame().first, 0x89);
  CAF_CHECK_EQUAL(silent.close_code(), 1008);
}

CAF_TEST(a socket that does not read is closed after the write timeout) {
  socket_fixture f{{.write_timeout = 200ms}};
  socket_client c{f};
  const auto h = f.handler.get();
  boost::asio::post(f.threads[0].context(), [h] {
    for (int i = 0; i < 100; ++i)
      h->out.push_back(std::string(1'000'000, 'x'));
    h->x->wake();
  });
  CAF_CHECK(h->closed_with.get() == close_reason::write_timeout);
}

CAF_TEST(a socket that does not read is not read either) {
  socket_fixture f;
  socket_client c{f};
  const auto message = masked(0x81, std::string(100'000, 'm'));
  CAF_CHECK_LESS(send_until_stuck(c, message, 64'000'000), 64'000'000u);
}
