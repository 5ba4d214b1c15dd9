#define CAF_SUITE live_keys

#include "gateway/stream/live_keys.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents;
using namespace kgents::gateway;
using namespace std::chrono_literals;

namespace {

struct fixture {
  /// Never started: what is posted runs when a test says so.
  runtime::io_thread thread{0, "test"};
  live_keys subject;
  std::vector<std::pair<std::string, std::string>> ended;
  const std::chrono::system_clock::time_point now{1'000'000s};

  static credential_ptr credential_of(api_key_id key, bool reads = true) {
    auto out = std::make_shared<credential>();
    out->key.key = key;
    out->key.scopes.read = reads;
    return out;
  }
  std::shared_ptr<void> open(const credential_ptr& who, std::string name, bool acts = false) {
    return subject.watch(who, thread, acts, [this, name](end_reason why) {
      ended.emplace_back(name, to_string(why));
    });
  }
  std::string run() {
    thread.context().poll();
    std::string out;
    for (const auto& [name, why] : std::exchange(ended, {}))
      out += name + " " + why + " ";
    return out;
  }
};

const api_key_id one{uuid::random()};
const api_key_id other{uuid::random()};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(live_keys_tests, fixture)

CAF_TEST(the streams of a key end for its reason and no others) {
  const auto a = open(credential_of(one), "a");
  const auto b = open(credential_of(one), "b");
  const auto c = open(credential_of(other), "c");
  CAF_CHECK_EQUAL(subject.all().size(), 2u);
  subject.end({{one, sql::unfit::user_deactivated}, {api_key_id{uuid::random()}, {}}});
  CAF_CHECK_EQUAL(run(), "a user_deactivated b user_deactivated ");
  subject.end({{other, sql::unfit::tenant_inactive}});
  CAF_CHECK_EQUAL(run(), "c tenant_inactive ");
}

CAF_TEST(what only changed ends nothing and what may not be read any more ends what reads) {
  const auto a = open(credential_of(one), "a");
  const auto b = open(credential_of(one, false), "b");
  subject.end({{one, sql::unfit::changed}});
  CAF_CHECK_EQUAL(run(), "");
  subject.end({{one, sql::unfit::unreadable}});
  CAF_CHECK_EQUAL(run(), "a key_revoked ");
}

CAF_TEST(who acts on what a key could do before it changed comes back) {
  const auto changed = std::chrono::steady_clock::time_point{10s};
  const auto asked = [](std::chrono::seconds when) {
    auto out = std::make_shared<credential>(*credential_of(one));
    out->asked_at = std::chrono::steady_clock::time_point{when};
    return out;
  };
  const auto before = open(asked(9s), "before", true);
  const auto listener = open(asked(9s), "listener");
  const auto after = open(asked(11s), "after", true);
  subject.renew(other, changed);
  CAF_CHECK_EQUAL(run(), "");
  subject.renew(one, changed);
  CAF_CHECK_EQUAL(run(), "before rights_changed ");
}

CAF_TEST(a stream that closed meanwhile is not told) {
  auto a = open(credential_of(one), "a");
  auto b = open(credential_of(one), "b");
  subject.end({{one, sql::unfit::key_revoked}});
  a.reset();
  CAF_CHECK_EQUAL(run(), "b key_revoked ");
  b.reset();
  CAF_CHECK(subject.all().empty());
}

CAF_TEST(a credential with a time of its own ends then) {
  credential key;
  key.key.key = one;
  key.key.expires_at = now;
  credential token = key;
  token.signed_in = true;
  const auto a = open(std::make_shared<credential>(key), "a");
  const auto b = open(std::make_shared<credential>(token), "b");
  const auto c = open(credential_of(one), "c");
  subject.expire(now);
  CAF_CHECK_EQUAL(run(), "");
  subject.expire(now + 1ms);
  CAF_CHECK_EQUAL(run(), "a key_expired b token_expired ");
}

CAF_TEST(the last words are what clients read) {
  CAF_CHECK_EQUAL(last_words(end_reason::key_revoked),
                  R"({"error":"The API key was revoked.","type":"key_revoked"})");
}

CAF_TEST_FIXTURE_SCOPE_END()
