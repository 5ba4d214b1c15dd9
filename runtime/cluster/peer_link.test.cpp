#define CAF_SUITE peer_link

#include "runtime/cluster/linked_nodes.test.hpp"

#include <caf/test/dsl.hpp>  // last: it defines macros named expect, allow, inject

using namespace kgents;
using namespace kgents::runtime;
using namespace kgents::runtime::cluster;
using namespace kgents::runtime::cluster::testing;

namespace {

std::string number(uint32_t i) { return {reinterpret_cast<const char*>(&i), sizeof(i)}; }

// Sends numbers to `to` until `total` went, never with more than high water unsent.
struct pump {
  pump(node& from, uint64_t to, uint32_t total) : to{to}, total{total} {
    from.on_writable = [this](transport& t, node_id) { go(t); };
  }
  void go(transport& t) {
    while (next < total && t.unsent({to}) <= transport_options{}.high_water)
      if (!t.send({to}, number(next++) + std::string(96, 'x')))
        return;
  }
  uint64_t to;
  uint32_t total;
  uint32_t next = 0;
};

// Counts numbers that come in order.
struct counter {
  counter(node& at, uint32_t total) {
    at.on_frame = [this, total](transport&, node_id, std::span<const char> f) {
      uint32_t i = 0;
      std::copy_n(f.data(), std::min(f.size(), sizeof(i)), reinterpret_cast<char*>(&i));
      if (f.size() != 100 || i != next)
        return done.set_value(false);
      if (++next == total)
        done.set_value(true);
    };
  }
  bool all_in_order() {
    auto x = done.get_future();
    return x.wait_for(60s) == std::future_status::ready && x.get();
  }
  uint32_t next = 0;
  std::promise<bool> done;
};

void exchange_numbers(const transport_options& options) {
  constexpr uint32_t total = 100'000;
  node low{5, options};
  node high{9, options};
  counter at_low{low, total};
  counter at_high{high, total};
  pump from_low{low, 9, total};
  pump from_high{high, 5, total};
  introduce(low, high);
  CAF_REQUIRE(low.told({"up 9"}));
  CAF_REQUIRE(high.told({"up 5"}));
  low.run([&](transport& t) { from_low.go(t); });
  high.run([&](transport& t) { from_high.go(t); });
  CAF_CHECK(at_low.all_in_order());
  CAF_CHECK(at_high.all_in_order());
  CAF_CHECK_EQUAL(low.run([](transport& t) { return t.unsent({9}); }), 0u);
}

void exchange_large_frames(const transport_options& options) {
  node low{5, options};
  node high{9, options};
  introduce(low, high);
  CAF_REQUIRE(high.told({"up 5"}));
  std::vector<std::string> sent;
  for (size_t i = 0; i < 30; ++i) {
    // Sizes around those of buffers and records, and the largest of all.
    static constexpr size_t sizes[] = {1, 16'384, 65'532, 65'533, 300'000, 1024 * 1024};
    std::string x(sizes[i % std::size(sizes)], static_cast<char>('a' + i));
    x.back() = '.';
    sent.push_back(x);
    CAF_REQUIRE(high.send(5, std::move(x)));
  }
  CAF_CHECK(low.frames(sent.size()) == sent);
}

}  // namespace

CAF_TEST(100000 frames each way arrive in order) { exchange_numbers(quick()); }

CAF_TEST(100000 frames each way arrive in order over TLS) {
  authority ca;
  ca.issue("node");
  exchange_numbers(quick(&ca));
}

CAF_TEST(large frames arrive whole) {
  authority ca;
  ca.issue("node");
  exchange_large_frames(quick());
  exchange_large_frames(quick(&ca));
}

CAF_TEST(a frame that the link could not carry is not taken) {
  node low{5};
  node high{9};
  introduce(low, high);
  CAF_REQUIRE(high.told({"up 5"}));
  const auto refused = [&](std::string frame) {
    try {
      high.send(5, std::move(frame));
    } catch (const std::length_error&) {
      return true;
    }
    return false;
  };
  CAF_CHECK(refused(std::string(1024 * 1024 + 1, 'x')));
  CAF_CHECK(refused(""));
  CAF_CHECK(high.send(5, "fine"));
  CAF_CHECK(!high.send(6, "nobody"));
  CAF_CHECK_EQUAL(low.first_frame(), "fine");
}

CAF_TEST(a peer that announces too much is cut) {
  node low{5};
  low.keep({{{9}, "raw", "127.0.0.1", 1}});
  raw_peer x{low.port()};
  CAF_REQUIRE(x.greet(9, 5));
  x.send(framed("small")).send(std::string{"\x00\x10\x00\x01", 4});
  CAF_CHECK(x.ended());
  CAF_CHECK(low.told({"up 9", "down 9 it announced a frame of 1048577 bytes"}));
  CAF_CHECK_EQUAL(low.first_frame(), "small");
}

CAF_TEST(pings keep an idle link) {
  auto options = quick();
  options.ping_every = 20ms;
  options.silent_after = 400ms;
  node low{5, options};
  low.keep({{{9}, "raw", "127.0.0.1", 1}});
  raw_peer x{low.port()};
  CAF_REQUIRE(x.greet(9, 5));
  const auto start = std::chrono::steady_clock::now();
  size_t pings = 0;
  while (std::chrono::steady_clock::now() - start < 1s && x.frame(true) == "") {
    ++pings;
    x.send(framed(""));
  }
  CAF_CHECK(pings >= 5);
  CAF_CHECK(low.linked(9));
  CAF_CHECK(low.told({"up 9"}));
}

CAF_TEST(a link between idle nodes stays) {
  auto options = quick();
  options.ping_every = 20ms;
  options.silent_after = 400ms;
  node low{5, options};
  node high{9, options};
  introduce(low, high);
  CAF_REQUIRE(high.told({"up 5"}));
  // A timer of the same thread: by then the silence would have been noticed twice.
  std::promise<void> later;
  wheel_timer alarm{[&] { later.set_value(); }};
  high.run([&](transport&) { high.thread().wheel().arm(alarm, 1s); });
  later.get_future().wait();
  CAF_CHECK(low.told({"up 9"}));
  CAF_CHECK(high.told({"up 5"}));
}

CAF_TEST(a peer that falls silent is down in time) {
  auto options = quick();
  options.silent_after = 300ms;
  node low{5, options};
  low.keep({{{9}, "raw", "127.0.0.1", 1}});
  raw_peer x{low.port()};
  CAF_REQUIRE(x.greet(9, 5));
  const auto start = std::chrono::steady_clock::now();
  CAF_CHECK(low.told({"up 9", "down 9 silent for 300 ms"}));
  const auto took = std::chrono::steady_clock::now() - start;
  CAF_CHECK(took > 250ms);
  CAF_CHECK(took < 2s);
  CAF_CHECK(x.ended());
}

CAF_TEST(a node whose thread stands still is down and comes back) {
  auto options = quick();
  options.silent_after = 300ms;
  node low{5, options};
  node high{9, options};
  introduce(low, high);
  CAF_REQUIRE(low.told({"up 9"}));
  CAF_REQUIRE(high.told({"up 5"}));
  std::promise<void> go_on;
  boost::asio::post(low.thread().context(), [x = go_on.get_future().share()] { x.wait(); });
  CAF_CHECK(high.told({"up 5", "down 5 silent"}));
  go_on.set_value();
  CAF_CHECK(high.told({"up 5", "down 5", "up 5"}));
  CAF_CHECK(low.told({"up 9", "down 9", "up 9"}));
}

CAF_TEST(a stalled thread does not blame its peer) {
  auto options = quick();
  options.silent_after = 20s;
  node high{9, options};
  options.silent_after = 400ms;
  node low{5, options};
  introduce(low, high);
  CAF_REQUIRE(low.told({"up 9"}));
  CAF_REQUIRE(high.told({"up 5"}));
  // The stall itself, not a wait for something: the peer's pings of that time are in the socket
  // when the overdue timer looks.
  low.run([](transport&) { std::this_thread::sleep_for(600ms); });
  CAF_CHECK(high.send(5, "still here"));
  CAF_CHECK_EQUAL(low.first_frame(), "still here");
  CAF_CHECK(low.told({"up 9"}));
}

CAF_TEST(unsent bytes are bounded and an overrun cuts the link) {
  auto options = quick();
  options.max_unsent_bytes = 4 * 1024 * 1024;
  options.silent_after = 20s;
  node low{5, options};
  low.keep({{{9}, "raw", "127.0.0.1", 1}});
  raw_peer x{low.port(), 4096};
  CAF_REQUIRE(x.greet(9, 5));
  CAF_REQUIRE(low.told({"up 9"}));
  bool down_within_send = false;
  bool sending = false;
  low.on_down = [&](transport&, node_id) { down_within_send = sending; };
  size_t most = 0;
  size_t taken = 0;
  low.run([&](transport& t) {
    sending = true;
    while (t.send({9}, std::string(100'000, 'x')))
      most = std::max(most, t.unsent({9})), ++taken;
    sending = false;
    CAF_CHECK(!t.linked({9}));
    CAF_CHECK_EQUAL(t.unsent({9}), 0u);
  });
  CAF_CHECK(low.told({"up 9", "down 9 overrun"}));
  CAF_CHECK(!down_within_send);
  CAF_CHECK(most <= options.max_unsent_bytes);
  CAF_CHECK_EQUAL(taken, 41u);
}

CAF_TEST(a slow peer is told of by water marks) {
  auto options = quick();
  options.high_water = 200'000;
  options.low_water = 100'000;
  options.silent_after = 20s;
  node low{5, options};
  low.keep({{{9}, "raw", "127.0.0.1", 1}});
  raw_peer x{low.port(), 4096};
  CAF_REQUIRE(x.greet(9, 5));
  low.run([](transport& t) {
    for (int i = 0; i < 80; ++i)  // more than the kernel's buffers take
      t.send({9}, std::string(100'000, 'x'));
  });
  CAF_CHECK(low.told({"up 9"}));
  CAF_CHECK(low.run([](transport& t) { return t.unsent({9}); }) > 200'000);
  for (int i = 0; i < 80; ++i)
    CAF_CHECK_EQUAL(x.frame().value_or("").size(), 100'000u);
  CAF_CHECK(low.told({"up 9", "writable 9"}));
}

CAF_TEST(handlers may call anything) {
  node low{5};
  node high{9};
  // Answers come from within the handler; the third frame makes it leave.
  low.on_frame = [](transport& t, node_id from, std::span<const char> f) {
    const std::string text{f.data(), f.size()};
    t.send(from, "heard " + text);
    if (text == "three")
      t.keep({});
    t.send(from, "and more of " + text);
  };
  low.on_down = [](transport& t, node_id) { t.identify({6}); };
  introduce(low, high);
  CAF_REQUIRE(high.told({"up 5"}));
  high.run([](transport& t) {
    for (const auto* x : {"one", "two", "three", "four"})
      t.send({5}, x);
  });
  CAF_CHECK(low.told({"up 9", "down 9"}));
  CAF_CHECK(high.told({"up 5", "down 5"}));
  CAF_CHECK(!low.linked(9));
}

CAF_TEST(stopping from within a handler is the last that is heard) {
  node low{5};
  node high{9};
  size_t heard = 0;
  low.on_frame = [&](transport& t, node_id, std::span<const char>) {
    ++heard;
    t.stop();
  };
  introduce(low, high);
  CAF_REQUIRE(high.told({"up 5"}));
  high.run([](transport& t) {
    t.send({5}, "one");
    t.send({5}, "two");
  });
  CAF_CHECK(high.told({"up 5", "down 5"}));
  CAF_CHECK_EQUAL(low.run([&](transport&) { return heard; }), 1u);
  CAF_CHECK(low.told({"up 9"}));
}

CAF_TEST(what was sent before a stop still arrives) {
  node high{9};
  {
    node low{5};
    introduce(low, high);
    CAF_REQUIRE(low.told({"up 9"}));
    low.run([](transport& t) {
      for (int i = 0; i < 100; ++i)
        t.send({9}, "last words");
      t.stop();
    });
  }
  CAF_CHECK_EQUAL(high.frames(100).size(), 100u);
  CAF_CHECK(high.told({"up 5", "down 5 it closed the connection"}));
}
