#define CAF_SUITE embedded_provider

#include "actors/llm/embedded_provider.hpp"

#include "actors/llm/stand_in.test.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents::llm;
using namespace kgents::llm::testing;
using namespace std::chrono_literals;
using kgents::runtime::io_thread;

namespace {

constexpr uint32_t plenty = 1'000'000;

struct fixture {
  io_thread thread{0, "test"};
  std::shared_ptr<provider> fast = make_embedded_provider(0);

  outcome answer(prompt ask) {
    outcome out;
    auto running = fast->start(thread, std::move(ask), out.into());
    running->grant(plenty);
    CAF_CHECK(run_until(thread, [&] { return out.over(); }));
    CAF_CHECK(!out.fault);
    return out;
  }
};

std::string joined(const std::vector<std::string>& parts, size_t from, size_t to) {
  std::string out;
  for (size_t i = from; i < to; ++i)
    out += parts[i];
  return out;
}

}  // namespace

CAF_TEST_FIXTURE_SCOPE(embedded_provider_tests, fixture)

CAF_TEST(an answer has words and usage and a reason) {
  const auto x = answer(hello());
  CAF_CHECK(x.deltas.size() > 10);
  CAF_CHECK_EQUAL(x.end->finish_reason, "stop");
  CAF_CHECK_EQUAL(x.end->tokens.tokens_out, x.deltas.size());
  CAF_CHECK_EQUAL(x.end->tokens.tokens_in, 3u);
  CAF_CHECK(!x.end->tokens.estimated);
}

CAF_TEST(behind every prefix the same answer goes on and costs the same) {
  const auto whole = answer(hello());
  for (size_t cut = 0; cut <= whole.deltas.size(); ++cut) {
    auto ask = hello();
    ask.prefix = joined(whole.deltas, 0, cut);
    const auto rest = answer(ask);
    CAF_CHECK_EQUAL(rest.text(), joined(whole.deltas, cut, whole.deltas.size()));
    CAF_CHECK_EQUAL(rest.end->tokens.tokens_out, whole.end->tokens.tokens_out);
  }
  auto ask = hello();
  ask.prefix = whole.deltas[0].substr(0, 1);  // inside a chunk
  CAF_CHECK_EQUAL(ask.prefix + answer(ask).text(), whole.text());
}

CAF_TEST(behind the text of another model it begins a paragraph and goes on from there as well) {
  const auto whole = answer(hello());
  auto ask = hello();
  const std::string foreign = "Quite another\n\nbeginning, cut";
  ask.prefix = foreign;
  const auto added = answer(ask);
  CAF_CHECK_EQUAL(added.text(), "\n\n" + whole.text());
  for (size_t cut = 1; cut <= added.deltas.size(); ++cut) {
    ask.prefix = foreign + joined(added.deltas, 0, cut);
    CAF_CHECK_EQUAL(ask.prefix + answer(ask).text(), foreign + added.text());
  }
}

CAF_TEST(max_tokens ends it with length and counts the prefix) {
  const auto whole = answer(hello());
  auto ask = hello();
  ask.max_tokens = 7;
  CAF_CHECK_EQUAL(answer(ask).text(), joined(whole.deltas, 0, 7));
  CAF_CHECK(answer(ask).end->finish_reason == "length");
  ask.prefix = joined(whole.deltas, 0, 5);
  CAF_CHECK_EQUAL(answer(ask).text(), joined(whole.deltas, 5, 7));
  ask.prefix = whole.text();
  CAF_CHECK_EQUAL(answer(ask).text(), "");
}

CAF_TEST(nothing comes without credit and no more than was granted) {
  outcome out;
  auto running = fast->start(thread, hello(), out.into());
  run_while_busy(thread, 5ms);
  CAF_CHECK(out.deltas.empty());
  running->grant(3);
  CAF_CHECK(out.deltas.empty());  // not from inside grant
  run_while_busy(thread, 5ms);
  CAF_CHECK_EQUAL(out.deltas.size(), 3u);
  running->grant(1);
  run_while_busy(thread, 5ms);
  CAF_CHECK_EQUAL(out.deltas.size(), 4u);
}

CAF_TEST(a turn of the event loop delivers at most 64 deltas) {
  auto ask = hello();
  ask.messages.back().content = "Write about 1000 words, please.";
  outcome out;
  auto running = fast->start(thread, ask, out.into());
  running->grant(plenty);
  size_t before = 0;
  while (!out.over()) {
    CAF_REQUIRE(thread.context().run_one_for(1s) == 1);
    CAF_CHECK(out.deltas.size() - before <= 64);
    before = out.deltas.size();
  }
  CAF_CHECK(before > 900);
}

CAF_TEST(the pace is kept and a pause of the reader is not made up for) {
  const auto paced = make_embedded_provider(200);  // one in 5 ms
  outcome out;
  auto running = paced->start(thread, hello(), out.into());
  const auto began = std::chrono::steady_clock::now();
  running->grant(11);
  CAF_REQUIRE(run_until(thread, [&] { return out.deltas.size() == 11; }));
  const auto took = std::chrono::steady_clock::now() - began;
  CAF_CHECK(took >= 50ms);
  run_while_busy(thread, 50ms);
  const auto resumed = std::chrono::steady_clock::now();
  running->grant(plenty);
  CAF_REQUIRE(run_until(thread, [&] { return out.deltas.size() == 21; }));
  CAF_CHECK(std::chrono::steady_clock::now() - resumed >= 45ms);
}

CAF_TEST(a destroyed answer calls nothing even by its own delta) {
  for (uint32_t pace : {0u, 1000u}) {
    outcome out;
    std::unique_ptr<stream> running;
    auto into = out.into();
    into.delta = [&](std::string x) {
      out.deltas.push_back(std::move(x));
      if (out.deltas.size() == 2)
        running.reset();
    };
    running = make_embedded_provider(pace)->start(thread, hello(), into);
    running->grant(plenty);
    CAF_REQUIRE(run_until(thread, [&] { return !running; }));
    run_while_busy(thread, 10ms);
    CAF_CHECK_EQUAL(out.deltas.size(), 2u);
    CAF_CHECK(!out.over());
    CAF_CHECK_EQUAL(thread.wheel().armed(), 0u);
  }
}

CAF_TEST_FIXTURE_SCOPE_END()
