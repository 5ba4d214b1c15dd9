#define CAF_SUITE store

#include "runtime/idempotency/store.hpp"

#include <prometheus/registry.h>

#include <boost/asio/post.hpp>
#include <caf/test/unit_test.hpp>
#include <future>

#include "runtime/idempotency/redis_server.test.hpp"
#include "runtime/io_thread.hpp"

using namespace kgents;
using namespace kgents::runtime;
using namespace kgents::runtime::idempotency;

namespace {

constexpr auto patience = 20s;

/// One node's store with its thread.
struct node {
  io_thread thread{0, "redis"};
  prometheus::Registry registry;
  redis_metrics counted{registry};
  store known;

  explicit node(const std::string& url) : known{thread.context(), secret{url}, counted} {
    thread.start();
  }
  ~node() {
    known.stop();
    thread.stop();
    thread.join();
  }

  claimed claim(const std::string& id, std::chrono::seconds for_at_most = hold) {
    auto answer = std::make_shared<std::promise<claimed>>();
    known.claim(id, for_at_most, [answer](claimed x) { answer->set_value(std::move(x)); });
    auto heard = answer->get_future();
    CAF_REQUIRE(heard.wait_for(patience) == std::future_status::ready);
    return heard.get();
  }

  /// What was given away before has been sent.
  void settle() {
    std::promise<void> done;
    boost::asio::post(thread.context(), [&] { done.set_value(); });
    done.get_future().wait();
  }

  void until_connected(bool wanted) {
    const auto give_up = std::chrono::steady_clock::now() + patience;
    while (known.status().connected != wanted) {
      CAF_REQUIRE(std::chrono::steady_clock::now() < give_up);
      ::poll(nullptr, 0, 5);
    }
  }
};

}  // namespace

CAF_TEST(without a URL this process remembers) {
  node alone{""};
  CAF_CHECK(!alone.known.status().configured);
  const auto first = alone.claim("a");
  CAF_CHECK(first.state == claim_state::fresh);
  CAF_CHECK(alone.claim("a").state == claim_state::in_progress);
  alone.known.complete("a", first.token, "text", 60s);
  const auto again = alone.claim("a");
  CAF_CHECK(again.state == claim_state::done);
  CAF_CHECK_EQUAL(again.answer, "text");
  CAF_CHECK_EQUAL(alone.counted.errors.Value(), 0.0);
}

CAF_TEST(nodes share claims and answers through Redis) {
  redis_server redis;
  node one{redis.url()};
  node two{redis.url()};
  one.until_connected(true);
  two.until_connected(true);
  const auto first = one.claim("a");
  CAF_CHECK(first.state == claim_state::fresh);
  CAF_CHECK(two.claim("a").state == claim_state::in_progress);
  two.known.complete("a", "a stranger's token", "wrong", 60s);
  two.claim("something after it");
  // Bytes of all kinds come back as they were.
  const std::string text{"{\"x\":\"\0\r\n\xc3\xa4\"}", 13};
  one.known.complete("a", first.token, text, 60s);
  one.claim("something else after it");
  CAF_CHECK_EQUAL(two.claim("b").state == claim_state::fresh, true);
  node three{redis.url()};
  three.until_connected(true);
  const auto known = three.claim("a");
  CAF_CHECK(known.state == claim_state::done);
  CAF_CHECK(known.answer == text);
}

CAF_TEST(of concurrent claims on two nodes one wins) {
  redis_server redis;
  node one{redis.url()};
  node two{redis.url()};
  one.until_connected(true);
  two.until_connected(true);
  for (int round = 0; round < 50; ++round) {
    const auto id = "race " + std::to_string(round);
    std::vector<std::future<claimed>> heard;
    for (int i = 0; i < 8; ++i) {
      auto answer = std::make_shared<std::promise<claimed>>();
      heard.push_back(answer->get_future());
      (i % 2 == 0 ? one : two).known.claim(id, hold, [answer](claimed x) {
        answer->set_value(std::move(x));
      });
    }
    int winners = 0;
    for (auto& x : heard) {
      CAF_REQUIRE(x.wait_for(patience) == std::future_status::ready);
      winners += x.get().state == claim_state::fresh ? 1 : 0;
    }
    CAF_CHECK_EQUAL(winners, 1);
  }
}

CAF_TEST(a claim that is released or whose holder died can be made again) {
  redis_server redis;
  node one{redis.url()};
  node two{redis.url()};
  one.until_connected(true);
  two.until_connected(true);
  const auto first = one.claim("a");
  one.known.release("a", first.token);
  one.claim("after it");
  CAF_CHECK(two.claim("a").state == claim_state::fresh);
  CAF_CHECK(one.claim("short", 1s).state == claim_state::fresh);
  const auto give_up = std::chrono::steady_clock::now() + patience;
  while (two.claim("short").state != claim_state::fresh) {
    CAF_REQUIRE(std::chrono::steady_clock::now() < give_up);
    ::poll(nullptr, 0, 20);
  }
}

CAF_TEST(a Redis that dies is replaced by memory and taken back when it returns) {
  redis_server redis;
  node one{redis.url()};
  one.until_connected(true);
  const auto before = one.claim("before");
  redis.kill();
  one.until_connected(false);
  CAF_CHECK(one.counted.errors.Value() >= 1);
  CAF_CHECK(!one.known.status().error.empty());
  // What was claimed there is completed here, and known.
  one.known.complete("before", before.token, "text", 60s);
  CAF_CHECK_EQUAL(one.claim("before").answer, "text");
  const auto during = one.claim("during");
  CAF_CHECK(during.state == claim_state::fresh);
  CAF_CHECK(one.claim("during").state == claim_state::in_progress);
  redis.start();
  one.until_connected(true);
  CAF_CHECK(one.known.status().error.empty());
  CAF_CHECK(one.claim("during").state == claim_state::in_progress);
  one.known.complete("during", during.token, "other", 60s);
  one.settle();
  node two{redis.url()};
  two.until_connected(true);
  CAF_CHECK(one.claim("flush").state == claim_state::fresh);
  CAF_CHECK_EQUAL(two.claim("during").answer, "other");
}

CAF_TEST(a Redis that hangs costs one deadline and then nothing) {
  redis_server redis;
  node one{redis.url()};
  one.until_connected(true);
  redis.signal(SIGSTOP);
  CAF_CHECK(one.claim("first").state == claim_state::fresh);
  one.until_connected(false);
  const auto errors = one.counted.errors.Value();
  // Were each to wait for its deadline, these took 25 s; errors would grow with them.
  std::vector<std::future<claimed>> heard;
  for (int i = 0; i < 100; ++i)
    CAF_CHECK(one.claim("x" + std::to_string(i)).state == claim_state::fresh);
  CAF_CHECK(one.counted.errors.Value() <= errors + 1);
  redis.signal(SIGCONT);
  one.until_connected(true);
}

CAF_TEST(a password is needed and a wrong one is told without showing it) {
  redis_server redis{{"--requirepass", "topsecret"}};
  const auto at = "127.0.0.1:" + std::to_string(redis.port());
  node right{"redis://:topsecret@" + at + "/2"};
  right.until_connected(true);
  CAF_CHECK(right.claim("a").state == claim_state::fresh);
  node wrong{"redis://:guess@" + at};
  const auto give_up = std::chrono::steady_clock::now() + patience;
  while (wrong.known.status().error.empty()) {
    CAF_REQUIRE(std::chrono::steady_clock::now() < give_up);
    ::poll(nullptr, 0, 5);
  }
  CAF_CHECK_EQUAL(wrong.known.status().error, "refused: WRONGPASS");
  CAF_CHECK(wrong.claim("a").state == claim_state::fresh);
  // Another database is another world.
  node elsewhere{"redis://:topsecret@" + at + "/3"};
  elsewhere.until_connected(true);
  CAF_CHECK(elsewhere.claim("a").state == claim_state::fresh);
}

CAF_TEST(a Redis that refuses to write is counted and memory answers) {
  redis_server redis{{"--maxmemory", "1", "--maxmemory-policy", "noeviction"}};
  node one{redis.url()};
  one.until_connected(true);
  CAF_CHECK(one.claim("a").state == claim_state::fresh);
  CAF_CHECK(one.claim("a").state == claim_state::in_progress);
  CAF_CHECK(one.counted.errors.Value() >= 1);
  CAF_CHECK(one.known.status().connected);
}

CAF_TEST(after its end every claim is fresh) {
  redis_server redis;
  auto one = std::make_unique<node>(redis.url());
  one->until_connected(true);
  one->known.stop();
  CAF_CHECK(one->claim("a").state == claim_state::fresh);
  CAF_CHECK(one->claim("a").state == claim_state::fresh);
}
