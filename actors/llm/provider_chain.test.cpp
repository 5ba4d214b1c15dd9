#define CAF_SUITE provider_chain

#include "actors/llm/provider_chain.hpp"

#include <atomic>
#include <deque>
#include <future>

#include "actors/llm/collect.hpp"
#include "actors/llm/embedded_provider.hpp"
#include "actors/llm/stand_in.test.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents::llm;
using namespace kgents::llm::testing;
using namespace std::chrono_literals;
using kgents::runtime::breaker_state;
using kgents::runtime::io_thread;

namespace {

// A provider that does what it is told, when it is told: the test plays the model.
class puppet final : public provider {
public:
  struct call {
    sink out;
    prompt ask;
    uint32_t credit = 0;
    bool destroyed = false;
  };

  explicit puppet(std::string name) : name_{std::move(name)} {}
  std::string_view name() const noexcept override { return name_; }
  std::string_view model() const noexcept override { return "model"; }

  std::unique_ptr<stream> start(io_thread&, prompt ask, sink out) override {
    calls.push_back(std::make_shared<call>(call{std::move(out), std::move(ask)}));
    return std::make_unique<handle>(calls.back());
  }

  call& last() { return *calls.back(); }
  void fail(error_type type, bool of_request = false) {
    last().out.failed({type, name_ + " failed", 0, of_request});
  }

  std::vector<std::shared_ptr<call>> calls;

private:
  struct handle final : stream {
    explicit handle(std::shared_ptr<call> x) : mine{std::move(x)} {}
    ~handle() override { mine->destroyed = true; }
    void grant(uint32_t n) override { mine->credit += n; }
    std::shared_ptr<call> mine;
  };

  std::string name_;
};

struct fixture {
  io_thread thread{0, "test"};
  std::shared_ptr<puppet> first = std::make_shared<puppet>("first");
  std::shared_ptr<puppet> second = std::make_shared<puppet>("second");
  std::chrono::steady_clock::time_point now{};
  std::vector<std::string> observed;
  provider_chain chain{{first, second},
                       [this](std::string_view provider, std::string_view model,
                              std::string_view outcome, double seconds) {
                         observed.push_back(std::string{provider} + ' ' + std::string{model} + ' ' +
                                            std::string{outcome} + ' ' +
                                            std::to_string(static_cast<int>(seconds)));
                       },
                       {},
                       [this] { return now; }};
  outcome result;
  std::unique_ptr<stream> answer;

  void ask() {
    result = {};
    answer = chain.start(thread, hello(), result.into());
    answer->grant(10);
  }
  void settle() { thread.context().poll(); }

  // One answer that both providers fail.
  void fail_both(error_type type = error_type::provider_unavailable) {
    ask();
    first->fail(type);
    settle();
    second->last().out.done({"stop", {}, "model"});
  }

  breaker_state state_of_first() { return chain.states()[0].breaker; }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(provider_chain_tests, fixture)

CAF_TEST(the first provider answers and the others are not asked) {
  ask();
  CAF_CHECK_EQUAL(first->last().credit, 10u);
  answer->grant(5);
  CAF_CHECK_EQUAL(first->last().credit, 15u);
  first->last().out.delta("Hi");
  now += 3s;
  first->last().out.done({"stop", {1, 2, false}, "model"});
  CAF_CHECK_EQUAL(result.text(), "Hi");
  CAF_REQUIRE(result.end);
  CAF_CHECK_EQUAL(result.end->tokens.tokens_out, 2u);
  CAF_CHECK(second->calls.empty());
  answer.reset();
  CAF_CHECK(observed == std::vector<std::string>{"first model ok 3"});
}

CAF_TEST(every failure before the first chunk goes on to the next provider with all credit) {
  for (auto type : {error_type::provider_unavailable, error_type::provider_timeout,
                    error_type::provider_rejected, error_type::provider_rate_limited,
                    error_type::provider_protocol, error_type::overloaded}) {
    now += 1h;
    ask();
    first->fail(type);
    CAF_CHECK(!result.over());
    answer->grant(7);  // while the next one is about to be asked
    settle();
    CAF_CHECK(first->last().destroyed);
    CAF_CHECK_EQUAL(second->last().credit, 17u);
    CAF_CHECK_EQUAL(second->last().ask.system, hello().system);
    second->last().out.delta("Hi");
    second->last().out.done({"stop", {}, "model"});
    CAF_CHECK(result.end);
    CAF_CHECK_EQUAL(result.text(), "Hi");
    answer.reset();
  }
}

CAF_TEST(the last failure is the answer when all have failed) {
  ask();
  first->fail(error_type::provider_timeout);
  settle();
  second->fail(error_type::provider_rate_limited);
  settle();
  CAF_REQUIRE(result.fault);
  CAF_CHECK(result.fault->type == error_type::provider_rate_limited);
  CAF_CHECK(observed == (std::vector<std::string>{"first model provider_timeout 0",
                                                  "second model provider_rate_limited 0"}));
}

CAF_TEST(a failure behind the first chunk is final) {
  ask();
  first->last().out.delta("Hel");
  first->fail(error_type::provider_protocol);
  settle();
  CAF_REQUIRE(result.fault);
  CAF_CHECK(result.fault->type == error_type::provider_protocol);
  CAF_CHECK(second->calls.empty());
}

CAF_TEST(after five failures the provider is passed over for thirty seconds) {
  for (int i = 0; i < 5; ++i)
    fail_both();
  CAF_CHECK(state_of_first() == breaker_state::open);
  CAF_CHECK_EQUAL(first->calls.size(), 5u);
  observed.clear();
  ask();
  CAF_CHECK_EQUAL(first->calls.size(), 5u);
  CAF_CHECK_EQUAL(second->calls.size(), 6u);
  CAF_CHECK(observed == std::vector<std::string>{"first model open 0"});
  now += 30s;
  ask();
  CAF_CHECK_EQUAL(first->calls.size(), 6u);
  CAF_CHECK(state_of_first() == breaker_state::half_open);
}

CAF_TEST(answers that are cut each time open the breaker too) {
  for (int i = 0; i < 5; ++i) {
    ask();
    first->last().out.delta("Hel");
    first->fail(error_type::provider_protocol);
  }
  CAF_CHECK(state_of_first() == breaker_state::open);
}

CAF_TEST(requests that the provider rightly refuses do not open it) {
  for (int i = 0; i < 20; ++i) {
    ask();
    first->fail(error_type::provider_rejected, true);
    settle();
    second->last().out.done({"stop", {}, "model"});
  }
  CAF_CHECK(state_of_first() == breaker_state::closed);
  CAF_CHECK_EQUAL(first->calls.size(), 20u);
}

CAF_TEST(a probe counts at its first chunk and three of them close the breaker) {
  for (int i = 0; i < 5; ++i)
    fail_both();
  now += 30s;
  std::deque<std::unique_ptr<stream>> long_answers;
  for (int i = 0; i < 3; ++i) {
    ask();
    CAF_REQUIRE_EQUAL(first->calls.size(), 6u + i);
    first->last().out.delta("a long answer begins");
    long_answers.push_back(std::move(answer));
  }
  CAF_CHECK(state_of_first() == breaker_state::closed);
}

CAF_TEST(while one probe is under way the others go to the next provider) {
  for (int i = 0; i < 5; ++i)
    fail_both();
  now += 30s;
  ask();
  auto probe = std::move(answer);
  const auto before = second->calls.size();
  outcome other;
  auto next = chain.start(thread, hello(), other.into());
  CAF_CHECK_EQUAL(second->calls.size(), before + 1);
  probe.reset();  // given up before its first chunk
  CAF_CHECK(state_of_first() == breaker_state::open);
}

CAF_TEST(when every breaker is open the answer fails at once and not inside start) {
  for (int i = 0; i < 5; ++i) {
    ask();
    first->fail(error_type::provider_unavailable);
    settle();
    second->fail(error_type::provider_unavailable);
    settle();
  }
  ask();
  CAF_CHECK(!result.over());
  settle();
  CAF_REQUIRE(result.fault);
  CAF_CHECK(result.fault->type == error_type::provider_unavailable);
  CAF_CHECK_EQUAL(first->calls.size(), 5u);
}

CAF_TEST(a cancelled answer is observed once and calls nothing) {
  ask();
  first->last().out.delta("Hel");
  answer.reset();
  CAF_CHECK(first->last().destroyed);
  CAF_CHECK(!result.over());
  CAF_CHECK(observed == std::vector<std::string>{"first model canceled 0"});
  ask();
  first->fail(error_type::provider_unavailable);
  answer.reset();  // between two providers
  settle();
  CAF_CHECK(second->calls.empty());
  CAF_CHECK(!result.over());
}

CAF_TEST(the answer may be destroyed by its own delta and by its own end) {
  for (bool at_end : {false, true}) {
    auto into = result.into();
    into.delta = [&](std::string) {
      if (!at_end)
        answer.reset();
    };
    into.done = [&](completion) { answer.reset(); };
    answer = chain.start(thread, hello(), into);
    const auto call = first->calls.back();
    call->out.delta("Hi");
    if (at_end)
      call->out.done({"stop", {}, "model"});
    CAF_CHECK(!answer);
    CAF_CHECK(call->destroyed);
  }
}

CAF_TEST(collecting gives the whole text or the failure) {
  std::optional<collect_result> got;
  auto asking =
      collect(*first, thread, hello(), 100, [&](collect_result x) { got = std::move(x); });
  first->last().out.delta("RECOMMENDATION: ");
  first->last().out.delta("approve");
  CAF_CHECK(!got);
  first->last().out.done({"stop", {3, 4, false}, "model"});
  CAF_REQUIRE(got && std::holds_alternative<collected>(*got));
  CAF_CHECK_EQUAL(std::get<collected>(*got).text, "RECOMMENDATION: approve");
  CAF_CHECK_EQUAL(std::get<collected>(*got).end.tokens.tokens_out, 4u);
  got.reset();
  asking = collect(*first, thread, hello(), 100, [&](collect_result x) { got = std::move(x); });
  first->fail(error_type::overloaded);
  CAF_REQUIRE(got && std::holds_alternative<failure>(*got));
  got.reset();
  asking = collect(*first, thread, hello(), 100, [&](collect_result x) { got = std::move(x); });
  asking.reset();
  CAF_CHECK(first->last().destroyed);
  CAF_CHECK(!got);
}

CAF_TEST(collecting ends with length at its bound) {
  std::optional<collect_result> got;
  auto asking = collect(*first, thread, hello(), 5, [&](collect_result x) { got = std::move(x); });
  const auto call = first->calls.back();
  call->out.delta("four");
  CAF_CHECK(!got);
  call->out.delta("\xE2\x82\xAC");
  CAF_REQUIRE(got && std::holds_alternative<collected>(*got));
  CAF_CHECK_EQUAL(std::get<collected>(*got).text, "four");
  CAF_CHECK_EQUAL(std::get<collected>(*got).end.finish_reason, "length");
  CAF_CHECK(call->destroyed);
}

CAF_TEST(collecting can be asked for from another thread) {
  std::optional<collect_result> got;
  std::thread{[&] {
    post_collect(make_embedded_provider(0), thread, hello(), 100'000,
                 [&](collect_result x) { got = std::move(x); });
  }}.join();
  CAF_CHECK(run_until(thread, [&] { return got.has_value(); }));
  CAF_CHECK(!std::get<collected>(*got).text.empty());
}

CAF_TEST(answers of several threads share one chain) {
  constexpr int answers = 200;
  kgents::runtime::io_threads threads{2};
  std::atomic<int> complete = 0, calls = 0;
  std::promise<void> all;
  const auto shared = std::make_shared<provider_chain>(
      std::vector<std::shared_ptr<provider>>{make_embedded_provider(0), make_embedded_provider(0)},
      [&](auto, auto, auto, double) { ++calls; });
  threads.start();
  for (size_t i = 0; i < answers; ++i)
    post_collect(shared, threads[i % 2], hello(), 100'000, [&](collect_result x) {
      if (std::holds_alternative<collected>(x) && ++complete == answers)
        all.set_value();
    });
  CAF_CHECK(all.get_future().wait_for(20s) == std::future_status::ready);
  threads.stop_and_join();
  CAF_CHECK_EQUAL(complete.load(), answers);
  CAF_CHECK_EQUAL(calls.load(), answers);
}

CAF_TEST_FIXTURE_SCOPE_END()
