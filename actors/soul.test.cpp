#define CAF_SUITE soul

#include "actors/soul.hpp"

#include <bit>
#include <boost/json/parse.hpp>

#include "actors/ask.test.hpp"
#include "actors/scripted_database.test.hpp"
#include "runtime/limits.hpp"

#include <caf/test/dsl.hpp>

using namespace std::chrono_literals;
using namespace kgents;
using namespace kgents::actors;
using namespace kgents::actors::test;

namespace json = boost::json;

using kind = sql::failure::kind;

namespace {

/// What the soul asked of the model.
struct question {
  llm::prompt ask;
  std::function<void(llm::collect_result)> done;
};

struct fixture : test_coordinator_fixture<> {
  const entity_id id{entity_kind::soul, tenant_id{uuid::random()}, uuid::random()};
  const api_key_id key{uuid::random()};
  std::shared_ptr<script> db = std::make_shared<script>();
  std::vector<sql::statement> charged;  // of the last transaction
  std::vector<cell> held;               // what was to be held back, at last
  std::vector<cell> budget{{}, "0", {}, {}, {}, "f"};  // what PostgreSQL says of that: no limit
  int released = 0;
  std::shared_ptr<soul_services> services = std::make_shared<soul_services>();
  std::deque<question> asked;
  std::vector<std::string> audit;
  bool may_retire = true;
  std::vector<caf::actor> all;
  caf::actor database = sys.spawn<scripted_database>(db);
  caf::actor one;

  fixture() {
    db->on("charge", "INSERT INTO kg.usage_events", [this](const sql::transaction& work) {
      charged = work.statements;
      return one_result(1, {{"1"}});
    });
    db->on("hold", "kg.reserve_tokens", [this](const sql::transaction& work) {
      held = work.statements.front().params;
      return one_result(6, {budget});
    });
    db->on("release", "DELETE FROM kg.token_reservations",
           [this](const sql::transaction&) { return ++released, one_result(0, {}); });
    services->database = database;
    services->ask = [this](llm::prompt ask, size_t, auto done) {
      asked.push_back({std::move(ask), std::move(done)});
    };
    services->retire = [this](const entity_id&, const caf::actor_addr&) { return may_retire; };
    services->audit = [this](tenant_id who, const persona::audit_entry& x) {
      CAF_CHECK(who == id.tenant);
      audit.push_back(x.operation);
    };
    one = sys.spawn<soul>(id, services);
    consume_messages();
  }

  ~fixture() override {
    all.push_back(one);
    all.push_back(database);
    for (auto& x : all)
      caf::anon_send_exit(x, caf::exit_reason::kill);
    consume_messages();
    db->clear();
  }

  template <class Message>
  reply<soul_answer> ask(Message message) {
    auto out = std::make_shared<std::optional<answer<soul_answer>>>();
    all.push_back(sys.spawn(asker<soul_answer, Message>, one, message, out));
    consume_messages();
    return out;
  }

  reply<soul_answer> say(std::string text, std::string mode = "", std::string budget = "dialogue") {
    return ask(soul_dialogue{std::move(text), std::move(mode), std::move(budget), key});
  }

  reply<soul_answer> govern(std::string action) {
    return ask(soul_governance{std::move(action), "", std::bit_cast<uint64_t>(0.5), "user", key});
  }

  void reply_with(llm::collect_result x) {
    asked.back().done(std::move(x));
    consume_messages();
  }

  static llm::collected text(std::string x) {
    return {std::move(x), {"stop", {30, 12, false}, "m"}};
  }

  static json::object body(const reply<soul_answer>& x) {
    CAF_REQUIRE(x->has_value());
    CAF_REQUIRE_EQUAL((*x)->wrong.detail, "");
    return json::parse((*x)->value.body).as_object();
  }

  static refusal wrong(const reply<soul_answer>& x) {
    CAF_REQUIRE(x->has_value());
    return (*x)->wrong;
  }

  bool alive() {
    return !caf::actor_cast<caf::monitorable_actor*>(one)->getf(
        caf::abstract_actor::is_terminated_flag);
  }
};

const std::string open_question = "Why do rivers meander through a plain?";

}  // namespace

CAF_TEST_FIXTURE_SCOPE(soul_tests, fixture)

CAF_TEST(a greeting is answered without a model and counts as one call) {
  const auto out = say("hello");
  CAF_CHECK(asked.empty());
  const auto x = body(out);
  CAF_CHECK(!x.at("response").as_string().empty());
  CAF_CHECK(x.at("tokens_used") == 0);
  CAF_CHECK(x.at("mode") == "reflect");
  CAF_REQUIRE_EQUAL(charged.size(), 1u);
  CAF_CHECK_EQUAL(*charged[0].params[2], "api_call");
  CAF_CHECK_EQUAL(*charged[0].params[9], key.text());
  CAF_CHECK_EQUAL(*charged[0].params[12], "/v1/soul/dialogue");
}

CAF_TEST(a whisper costs fifty tokens without a model) {
  const auto out = say(open_question, "", "whisper");
  CAF_CHECK(asked.empty());
  CAF_CHECK(body(out).at("tokens_used") == 50);
  CAF_REQUIRE_EQUAL(charged.size(), 2u);
  CAF_CHECK_EQUAL(*charged[1].params[2], "llm_call");
  CAF_CHECK_EQUAL(*charged[1].params[5], "50");
}

CAF_TEST(a question goes to the model and its answer comes back with what it cost) {
  const auto out = say(open_question, "challenge");
  CAF_REQUIRE_EQUAL(asked.size(), 1u);
  CAF_CHECK_EQUAL(asked[0].ask.mode, "challenge");
  CAF_REQUIRE_EQUAL(asked[0].ask.messages.size(), 1u);
  CAF_CHECK(asked[0].ask.messages[0].content.find("rivers meander") != std::string::npos);
  CAF_CHECK(!out->has_value());
  CAF_CHECK(charged.empty());
  reply_with(text("Because water finds its way."));
  const auto x = body(out);
  CAF_CHECK(x.at("response") == "Because water finds its way.");
  CAF_CHECK(x.at("mode") == "challenge");
  CAF_CHECK(x.at("tokens_used") == 42);
  CAF_CHECK_EQUAL((*out)->value.tokens_used, 42u);
  CAF_REQUIRE_EQUAL(charged.size(), 2u);
  CAF_CHECK_EQUAL(*charged[1].params[4], "30");
  CAF_CHECK_EQUAL(*charged[1].params[5], "12");
}

CAF_TEST(a soul stays in the mode that was asked for) {
  say("hello", "challenge");
  CAF_CHECK(body(say("hello")).at("mode") == "challenge");
}

CAF_TEST(two questions at once each get their own answer) {
  const auto first = say(open_question);
  const auto second = say("Why is the sky so far away from us?");
  asked[1].done(text("second"));
  asked[0].done(text("first"));
  consume_messages();
  CAF_CHECK(body(first).at("response") == "first");
  CAF_CHECK(body(second).at("response") == "second");
}

CAF_TEST(what fails at the model has its own status and costs nothing) {
  using enum llm::error_type;
  const std::pair<llm::error_type, int> all[] = {
      {provider_timeout, 504},  {provider_unavailable, 502},  {provider_rejected, 502},
      {provider_protocol, 502}, {provider_rate_limited, 503}, {overloaded, 503},
      {internal, 500}};
  for (const auto& [type, status] : all) {
    const auto out = say(open_question);
    llm::failure why;
    why.type = type;
    why.message = "made up";
    reply_with(why);
    CAF_CHECK_EQUAL(static_cast<int>(wrong(out).status), status);
    CAF_CHECK_EQUAL(wrong(out).code, std::string{llm::to_string(type)});
    CAF_CHECK_EQUAL(wrong(out).retry_after_seconds, status == 503 ? 1u : 0u);
  }
  CAF_CHECK(charged.empty());
}

CAF_TEST(an answer that cannot be charged is not given) {
  db->fail("charge", kind::unavailable);
  CAF_CHECK_EQUAL(wrong(say("hello")).status, 503);
  db->fail("charge", kind::rejected);
  CAF_CHECK_EQUAL(wrong(say("hello")).status, 500);
}

CAF_TEST(a dangerous action is escalated whatever the model would say) {
  services->has_model = true;
  const auto x = body(govern("delete the production database"));
  CAF_CHECK(asked.empty());
  CAF_CHECK(x.at("approved") == false);
  CAF_CHECK(x.at("recommendation") == "escalate");
  CAF_CHECK_EQUAL(audit, std::vector<std::string>{"escalate"});
  CAF_REQUIRE_EQUAL(charged.size(), 2u);  // the record of the decision among them
  CAF_CHECK_EQUAL(*charged[1].params[1], "escalate");
  CAF_CHECK_EQUAL(charged[1].params[2]->find("production"), std::string::npos);
}

CAF_TEST(without a model keywords decide) {
  const auto x = body(govern("rename a variable"));
  CAF_CHECK(asked.empty());
  CAF_CHECK(x.at("approved") == false);
  CAF_CHECK_EQUAL(audit.size(), 1u);
}

CAF_TEST(a model judges and what it cost is counted) {
  services->has_model = true;
  const auto out = govern("rename a variable");
  CAF_REQUIRE_EQUAL(asked.size(), 1u);
  CAF_CHECK(asked[0].ask.messages[0].content.find("rename a variable") != std::string::npos);
  reply_with(
      text("RECOMMENDATION: approve\nCONFIDENCE: 0.9\nPRINCIPLES: composable\nREASONING: ok"));
  const auto x = body(out);
  CAF_CHECK(x.at("approved") == true);
  CAF_CHECK(x.at("tokens_used") == 42);
  CAF_CHECK_EQUAL(audit, std::vector<std::string>{"approve"});
  CAF_CHECK_EQUAL(charged.size(), 3u);  // the record of the decision among them
}

CAF_TEST(a model that fails to judge leaves it to a person) {
  services->has_model = true;
  const auto out = govern("rename a variable");
  reply_with(llm::failure{});
  CAF_CHECK(body(out).at("recommendation") == "escalate");
  CAF_CHECK_EQUAL(charged.size(), 2u);  // the record of the decision among them
}

CAF_TEST(an idle soul leaves memory but not while it waits for the model) {
  const auto pass = [this] {
    advance_time(runtime::limits::passivate_after);
    consume_messages();
  };
  const auto out = say(open_question);
  pass();
  pass();
  CAF_CHECK(alive());
  reply_with(text("late"));
  CAF_CHECK(out->has_value());
  may_retire = false;
  pass();
  pass();
  CAF_CHECK(alive());
  may_retire = true;
  pass();
  CAF_CHECK(!alive());
}

CAF_TEST(what a model may use is held back and the usage event has its id) {
  budget = {"1234", "2000", "0", "0", {}, "f"};
  const auto out = say(open_question);
  CAF_REQUIRE_EQUAL(asked.size(), 1u);
  CAF_CHECK_EQUAL(*held[1], key.text());
  CAF_CHECK(std::stoul(*held[2]) >= std::stoul(*held[3]) + 400);
  reply_with(text("They follow the least work."));
  CAF_CHECK_EQUAL(body(out).at("tokens_used").as_int64(), 42);
  CAF_REQUIRE_EQUAL(charged.size(), 2u);
  CAF_CHECK(charged[1].params[0] == held[0]);
  CAF_CHECK_EQUAL(released, 0);
}

CAF_TEST(an answer is made to fit into what could be held back) {
  say(open_question);
  const auto prompt = std::stoul(*held[2]) - asked.back().ask.max_tokens;
  budget = {std::to_string(prompt + 60), "2000", "0", "0", {}, "f"};
  all.push_back(one);
  one = sys.spawn<soul>(id, services);  // which does not know yet that there was no limit
  consume_messages();
  say(open_question);
  CAF_CHECK_EQUAL(asked.back().ask.max_tokens, 60u);
}

CAF_TEST(beyond the budget no model is asked and nothing is charged) {
  budget = {"0", "1000", "700", "290", {}, "f"};
  const auto out = wrong(say(open_question));
  CAF_CHECK_EQUAL(out.status, 429);
  CAF_CHECK_EQUAL(out.code, "quota_exceeded");
  CAF_CHECK_EQUAL(out.detail,
                  "Monthly token quota exceeded. 1000 tokens per month allowed, 990 used.");
  CAF_CHECK(out.retry_after_seconds >= 1);
  budget = {"0", "2000", "700", "0", "50", "t"};
  CAF_CHECK_EQUAL(wrong(say(open_question)).status, 413);
  CAF_CHECK(asked.empty());
  CAF_CHECK(charged.empty());
}

CAF_TEST(without a limit the next question costs no transaction) {
  say(open_question);
  reply_with(text("One."));
  const auto before = db->count("hold");
  CAF_CHECK_EQUAL(before, 1u);
  say(open_question);
  CAF_CHECK_EQUAL(db->count("hold"), before);
  sched.advance_time(6s);
  reply_with(text("Two."));
  say(open_question);
  CAF_CHECK_EQUAL(db->count("hold"), before + 1);
}

CAF_TEST(a model that fails gives back what was held) {
  budget = {"5000", "9000", "0", "0", {}, "f"};
  const auto out = say(open_question);
  reply_with(llm::failure{llm::error_type::provider_timeout, "no answer"});
  CAF_CHECK_EQUAL(wrong(out).status, 504);
  CAF_CHECK_EQUAL(released, 1);
}

CAF_TEST_FIXTURE_SCOPE_END()
