#define CAF_SUITE http_stream

#include "gateway/http/test_server.test.hpp"

#include <caf/test/dsl.hpp>  // last: it defines macros named expect, allow, inject

using namespace kgents::gateway::http;
using namespace kgents::gateway::http::testing;
using namespace std::chrono_literals;

namespace {

// A stream fed by the test: lines are shared, as a log's frames are.
struct feed : byte_source {
  struct line {
    std::string plain;
    std::string chunk;
  };
  static std::shared_ptr<const line> make(std::string text) {
    char size[20];
    std::snprintf(size, sizeof(size), "%zx\r\n", text.size());
    auto chunk = size + text + "\r\n";
    return std::make_shared<const line>(line{std::move(text), std::move(chunk)});
  }

  state pull(write_batch& out, bool chunked) override {
    ++pulls;
    while (!out.full() && at < lines.size()) {
      const auto& x = lines[at++];
      out.add(x, chunked ? x->chunk : x->plain);
    }
    most = std::max(most, out.pieces().size());
    return at < lines.size() ? state::more : ended ? state::end : state::idle;
  }
  void closed(close_reason why) override { closed_with.set(why); }

  std::vector<std::shared_ptr<const line>> lines;
  size_t at = 0;
  size_t most = 0;
  int pulls = 0;
  bool ended = false;
  slot<close_reason> closed_with;
};

struct streaming : fixture {
  explicit streaming(server_options options = {}) : fixture{std::move(options)} {
    app.on_head = [this](std::shared_ptr<exchange> x) {
      if (x->in().path != "/stream")
        return x->respond(scripted::text(200, x->in().path));
      x->stream({.content_type = "text/event-stream"}, source);
      opened.set(std::move(x));
    };
  }
  void say(std::string text) {
    run([&] {
      source->lines.push_back(feed::make(std::move(text)));
      opened.get()->wake();
    });
  }

  std::shared_ptr<feed> source = std::make_shared<feed>();
  slot<std::shared_ptr<exchange>> opened;
};

}  // namespace

CAF_TEST(frames go out as they come and the head before the first) {
  streaming f;
  auto c = f.connect();
  c.send(get("/stream"));
  const auto head = c.until("\r\n\r\n");
  CAF_CHECK(head.find("\r\nTransfer-Encoding: chunked\r\n") != head.npos);
  CAF_CHECK(head.find("Content-Length") == head.npos);
  CAF_CHECK_EQUAL(f.it->open().streams, 1u);
  f.say("one");
  CAF_CHECK_EQUAL(c.chunk().value_or(""), "one");
  f.say("two");
  CAF_CHECK_EQUAL(c.chunk().value_or(""), "two");
  f.run([&] {
    f.source->ended = true;
    f.opened.get()->wake();
  });
  CAF_CHECK(!c.chunk().has_value());
  CAF_CHECK(f.source->closed_with.get() == close_reason::finished);
  CAF_CHECK_EQUAL(f.it->open().streams, 0u);
  // The connection goes on.
  CAF_CHECK_EQUAL(c.send(get("/next")).response().body, "/next");
}

CAF_TEST(what gathers before the write goes out in one) {
  streaming f;
  auto c = f.connect();
  c.send(get("/stream"));
  c.until("\r\n\r\n");
  int pulls = 0;
  f.run([&] {
    pulls = f.source->pulls;
    for (int i = 0; i < 60; ++i) {
      f.source->lines.push_back(feed::make("x"));
      f.opened.get()->wake();
    }
    CAF_CHECK_EQUAL(f.source->pulls, pulls);
  });
  for (int i = 0; i < 60; ++i)
    c.chunk();
  f.run([&] { CAF_CHECK_EQUAL(f.source->pulls, pulls + 1); });
  CAF_CHECK_EQUAL(f.source->most, 60u);
}

CAF_TEST(a backlog goes out in full batches) {
  streaming f;
  for (int i = 0; i < 1000; ++i)
    f.source->lines.push_back(feed::make(std::to_string(i)));
  f.source->ended = true;
  auto c = f.connect();
  c.send(get("/stream") + get("/next"));
  c.until("\r\n\r\n");
  int right = 0;
  for (int i = 0; i < 1000; ++i)
    right += c.chunk().value_or("") == std::to_string(i);
  CAF_CHECK_EQUAL(right, 1000);
  CAF_CHECK(!c.chunk());
  CAF_CHECK_EQUAL(f.source->most, write_batch::max_frames);
  CAF_CHECK_EQUAL(c.response().body, "/next");
}

CAF_TEST(a reader that stalls is not pulled for and closed after the write timeout) {
  streaming f{{.write_timeout = 200ms}};
  const auto block = feed::make(std::string(100'000, 'b'));
  for (int i = 0; i < 1000; ++i)
    f.source->lines.push_back(block);
  client c{f.start(), 4096};
  c.send(get("/stream"));
  CAF_CHECK(f.source->closed_with.get() == close_reason::write_timeout);
  CAF_CHECK(f.source->at < 200);
  CAF_CHECK_EQUAL(f.it->open().connections, 0u);
}

CAF_TEST(a reader that is slow and steady is kept) {
  // The first batch alone takes longer than the timeout.
  streaming f{{.write_timeout = 400ms}};
  const auto block = feed::make(std::string(20'000, 'b'));
  for (int i = 0; i < 100; ++i)
    f.source->lines.push_back(block);
  f.source->ended = true;
  client c{f.start(), 4096};
  c.send(get("/stream"));
  c.until("\r\n\r\n");
  size_t got = 0;
  pollfd never{-1, 0, 0};
  while (const auto chunk = c.chunk()) {
    got += chunk->size();
    ::poll(&never, 0, 10);  // the pace of the reader
  }
  CAF_CHECK_EQUAL(got, 2'000'000u);
}

CAF_TEST(a reader that catches up gets every byte) {
  streaming f;
  const auto block = feed::make(std::string(10'000, 'b'));
  for (int i = 0; i < 1000; ++i)
    f.source->lines.push_back(block);
  f.source->ended = true;
  client c{f.start(), 4096};
  c.send(get("/stream"));
  c.until("\r\n\r\n");
  size_t got = 0;
  while (const auto chunk = c.chunk())
    got += chunk->size();
  CAF_CHECK_EQUAL(got, 10'000'000u);
}

CAF_TEST(a stream hears when its reader goes away) {
  for (bool hard : {false, true}) {
    streaming f;
    auto c = f.connect();
    c.send(get("/stream"));
    c.until("\r\n\r\n");
    hard ? c.reset() : c.hang_up();
    CAF_CHECK(f.source->closed_with.get() == close_reason::peer_gone);
    CAF_CHECK(f.opened.get()->gone());
    f.run([&] { f.opened.get()->wake(); });
    CAF_CHECK_EQUAL(f.it->open().connections, 0u);
  }
}

CAF_TEST(an HTTP/1.0 reader gets plain bytes and the close for an end) {
  streaming f;
  f.source->lines.push_back(feed::make("one"));
  f.source->lines.push_back(feed::make("two"));
  f.source->ended = true;
  auto c = f.connect();
  c.send("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  const auto head = c.until("\r\n\r\n");
  CAF_CHECK(head.find("Transfer-Encoding") == head.npos);
  CAF_CHECK(head.find("\r\nConnection: close\r\n") != head.npos);
  CAF_CHECK_EQUAL(c.rest(), "onetwo");
}

CAF_TEST(HEAD of a stream is its head) {
  streaming f;
  auto c = f.connect();
  c.send("HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n" + get("/next"));
  CAF_CHECK(c.response(true).has("\r\nContent-Type: text/event-stream\r\n"));
  CAF_CHECK_EQUAL(c.response().body, "/next");
  CAF_CHECK(f.source->closed_with.get() == close_reason::finished);
}

CAF_TEST(a stream that is cut has no proper end) {
  streaming f;
  auto c = f.connect();
  c.send(get("/stream"));
  c.until("\r\n\r\n");
  f.run([&] {
    f.source->lines.push_back(feed::make("last"));
    f.opened.get()->close();
  });
  CAF_CHECK_EQUAL(c.rest(), "4\r\nlast\r\n");
  CAF_CHECK(f.source->closed_with.get() == close_reason::finished);
}

CAF_TEST(a stopping server tells its streams) {
  streaming f;
  auto c = f.connect();
  c.send(get("/stream"));
  c.until("\r\n\r\n");
  f.it->stop();
  CAF_CHECK(f.source->closed_with.get() == close_reason::server_stopping);
  c.rest();
}

CAF_TEST(a client may not send without end while it listens) {
  streaming f;
  auto c = f.connect();
  c.send(get("/stream"));
  c.until("\r\n\r\n");
  // Far less than this fits into the kernel's buffers and ours.
  CAF_CHECK_LESS(send_until_stuck(c, std::string(1'000'000, 'j'), 64'000'000), 64'000'000u);
  f.say("still");
  CAF_CHECK_EQUAL(c.chunk().value_or(""), "still");
}
