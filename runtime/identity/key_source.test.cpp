#define CAF_SUITE key_source

#include "runtime/identity/key_source.hpp"

#include "runtime/identity/signer.test.hpp"

#include <caf/test/dsl.hpp>

using namespace std::chrono_literals;
using namespace kgents::runtime::identity;

namespace {

struct fixture {
  key_source::clock::time_point now{1000s};
  std::vector<key_source::fetched> asked;  // what the provider has not answered yet
  size_t fetches = 0;
  bool last_good = false;
  size_t gone = 0;
  std::string a = signer::p256("a").jwk();
  std::string b = signer::p256("b").jwk();
  key_source source{[this](key_source::fetched done) {
                      ++fetches;
                      asked.push_back(std::move(done));
                    },
                    [this](bool good, size_t, bool some_gone) {
                      last_good = good;
                      gone += some_gone;
                    },
                    [this] { return now; }};

  void answer(std::optional<std::string> keys) {
    CAF_REQUIRE_EQUAL(asked.size(), 1u);
    const auto done = std::move(asked.back());
    asked.clear();
    done(keys ? std::optional{"{\"keys\":[" + *keys + "]}"} : std::nullopt);
  }
  bool knows(const std::string& id) {
    return source.keys()->find(algorithm::es256, &id) != nullptr;
  }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(key_source_tests, fixture)

CAF_TEST(keys are read at the start and again every five minutes) {
  source.tick();
  source.tick();
  CAF_CHECK_EQUAL(fetches, 1u);
  answer(a);
  CAF_CHECK(knows("a"));
  now += 299s;
  source.tick();
  CAF_CHECK_EQUAL(fetches, 1u);
  now += 1s;
  source.tick();
  CAF_CHECK_EQUAL(fetches, 2u);
}

CAF_TEST(a new key is there for the first token of it and an old one goes with the provider) {
  source.tick();
  answer(a);
  now += 10s;
  bool told = false;
  source.renew([&] { told = knows("b"); });
  CAF_CHECK_EQUAL(fetches, 2u);
  answer(a + "," + b);
  CAF_CHECK(told);
  CAF_CHECK(knows("a") && knows("b"));
  CAF_CHECK_EQUAL(gone, 0u);
  now += 300s;
  source.tick();
  answer(b);
  CAF_CHECK(!knows("a") && knows("b"));
  CAF_CHECK_EQUAL(gone, 1u);
  // The same name for another key is another key.
  now += 300s;
  source.tick();
  answer(signer::p256("b").jwk());
  CAF_CHECK_EQUAL(gone, 2u);
}

CAF_TEST(a provider that is away for an hour changes nothing) {
  source.tick();
  answer(a);
  size_t good = 0;
  for (const auto end = now + 1h; now < end; now += 1s) {
    source.tick();
    if (!asked.empty()) {
      answer(fetches % 3 == 0 ? std::nullopt
                              : std::optional<std::string>{fetches % 3 == 1 ? "}" : ""});
      good += last_good;
    }
    CAF_REQUIRE(knows("a"));
  }
  CAF_CHECK_EQUAL(good, 0u);
  CAF_CHECK(fetches > 100 && fetches < 362);  // it is asked again every ten seconds
  CAF_CHECK_EQUAL(gone, 0u);
  while (asked.empty()) {
    source.tick();
    now += 1s;
  }
  answer(b);
  CAF_CHECK(knows("b"));
  CAF_CHECK(!knows("a"));
}

CAF_TEST(a flood of unknown keys asks the provider once in ten seconds) {
  source.tick();
  answer(a);
  size_t told = 0;
  size_t asks = 0;
  const auto from = fetches;
  for (int ms = 0; ms < 60'000; ms += 5) {
    source.renew([&] { ++told; });
    ++asks;
    if (!asked.empty() && ms % 100 == 95)
      answer(a);
    now += 5ms;
  }
  if (!asked.empty())
    answer(a);
  CAF_CHECK_EQUAL(told, asks);
  CAF_CHECK(fetches - from <= 6u);
  CAF_CHECK(fetches - from >= 5u);
}

CAF_TEST(few wait for a provider that does not answer) {
  source.tick();
  size_t told = 0;
  for (size_t i = 0; i < key_source::most_waiting + 50; ++i)
    source.renew([&] { ++told; });
  CAF_CHECK_EQUAL(told, 50u);
  answer(std::nullopt);
  CAF_CHECK_EQUAL(told, key_source::most_waiting + 50);
}

CAF_TEST_FIXTURE_SCOPE_END()
