#define CAF_SUITE context

#include "actors/contexts/context.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <deque>

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

sql::query<int64_t> one_number(std::string_view text) {
  sql::query<int64_t> out;
  out.work.statements.push_back({text, {}});
  out.parse = [](std::vector<sql::rows>& all) { return all[0].integer(0, 0); };
  return out;
}

task<outcome> echo(aspect_call& c) {
  co_return json::object{{"said", c.text("text")}, {"name", c.name()}};
}
task<outcome> look(aspect_call& c) {
  const auto n = co_await c.read(one_number("SELECT look"));
  co_return json::object{{"number", n}};
}
task<outcome> keep(aspect_call& c) {
  json::object change;
  change["what"] = "number";
  const auto n = co_await c.write(one_number("UPDATE keep"), std::move(change));
  co_return json::object{{"number", n}};
}
task<outcome> give_up(aspect_call& c) {
  const auto n = co_await c.read(one_number("SELECT look"));
  if (n == 0)
    co_await c.fail(agentese::errors::unavailable(c.full_path(), "nothing to look at"));
  co_return json::object{{"number", n}};
}
task<outcome> in_turn(aspect_call& c) {
  const auto held = co_await c.lock("thing");
  const auto before = co_await c.read(one_number("SELECT look"));
  const auto after = co_await c.write(one_number("UPDATE keep"));
  co_return json::object{{"before", before}, {"after", after}};
}
task<outcome> think(aspect_call& c) {
  llm::prompt ask;
  ask.messages.push_back({"user", c.text("text")});
  const auto got = co_await c.model(std::move(ask));
  if (const auto* text = std::get_if<llm::collected>(&got))
    co_return json::object{{"thought", text->text}};
  co_return json::object{{"thought", "nothing"}};
}
task<outcome> ask_other(aspect_call& c) {
  json::object kwargs;
  kwargs["amount"] = 1;
  auto got = co_await c.invoke("void.entropy.sip", std::move(kwargs));
  co_return got;
}
task<outcome> decline(aspect_call& c) {
  co_return agentese::refused{c.full_path(), "not today", {}, {}, {}};
}
task<outcome> explode(aspect_call&) {
  throw std::runtime_error{"a secret of the inside"};
  co_return json::object{};
}

constexpr argument text_args[] = {{.name = "text", .required = true, .max_bytes = 20}};
constexpr std::string_view colours[] = {"red", "blue"};
constexpr argument number_args[] = {
    {.name = "amount", .type = argument_type::number, .default_json = "0.5", .least = 0, .most = 1},
    {.name = "colour", .one_of = colours}};

using enum aspect_category;
constexpr aspect_spec aspects[] = {
    {.name = "echo", .run = echo, .args = text_args},
    {.name = "look", .run = look, .args = number_args},
    {.name = "keep", .category = mutation, .run = keep},
    {.name = "sneak", .category = perception, .run = keep},
    {.name = "give_up", .run = give_up},
    {.name = "in_turn", .category = mutation, .run = in_turn},
    {.name = "think", .category = generation, .run = think, .args = text_args},
    {.name = "ask_other", .run = ask_other},
    {.name = "decline", .run = decline},
    {.name = "explode", .run = explode},
};
constexpr node_spec thing{
    .path = "self.thing", .description = "for tests", .aspects = aspects, .common = "*"};

struct model_question {
  llm::prompt ask;
  std::function<void(llm::collect_result)> done;
};

using replied = reply<agentese::aspect_answer>;

struct fixture : test_coordinator_fixture<> {
  const entity_id id = context_entity(entity_kind::self, tenant_id{uuid::random()});
  static constexpr lease_epoch lease = 7;
  registry nodes;
  std::shared_ptr<script> db = std::make_shared<script>();
  std::vector<std::vector<sql::statement>> ran;
  std::shared_ptr<context_services> services = std::make_shared<context_services>();
  std::deque<model_question> asked;
  std::deque<std::pair<context_services::nested,
                       std::function<void(context_services::nested_answer)>>>
      invoked;
  bool may_retire = true;
  int64_t number = 42;
  std::vector<cell> budget{{}, "0", {}, {}, {}, "f"};  // of tokens: no limit
  std::vector<std::string> kept;  // of what was held back, when the model had answered
  caf::actor database = sys.spawn<scripted_database>(db);
  caf::actor one;

  fixture() {
    nodes.add(thing);
    const auto answer = [this](const sql::transaction& work) {
      ran.push_back(work.statements);
      std::vector<sql::rows> all;
      for (size_t i = 0; i < work.statements.size(); ++i)
        all.push_back(make_rows(1, {{std::to_string(number)}}));
      return sql::outcome{std::move(all)};
    };
    db->on("read", "transaction_read_only", answer);
    db->on("look", "SELECT look", answer);
    db->on("keep", "UPDATE keep", answer);
    db->on("hold", "kg.reserve_tokens", [this](const auto&) { return one_result(6, {budget}); });
    const auto kept_one = [this](const sql::transaction& work) {
      kept.push_back(work.statements.front().params.size() > 1 ? *work.statements.front().params[1]
                                                               : "nothing");
      return one_result(0, {});
    };
    db->on("kept", "UPDATE kg.token_reservations", kept_one);
    db->on("released", "DELETE FROM kg.token_reservations", kept_one);
    services->database = database;
    services->nodes = &nodes;
    services->ask_model = [this](llm::prompt ask, size_t, auto done) {
      asked.push_back({std::move(ask), std::move(done)});
    };
    services->invoke = [this](context_services::nested x, auto done) {
      invoked.emplace_back(std::move(x), std::move(done));
    };
    services->retire = [this](const entity_id&, const caf::actor_addr&) { return may_retire; };
    one = sys.spawn<context>(id, services, lease);
    consume_messages();
  }

  ~fixture() {
    db->clear();
    caf::anon_send_exit(one, caf::exit_reason::user_shutdown);
    caf::anon_send_exit(database, caf::exit_reason::user_shutdown);
    consume_messages();
  }

  replied ask(std::string aspect, std::string kwargs = "{}", std::string origin = "gateway") {
    agentese::invoke_aspect x;
    x.node = "self.thing";
    x.aspect = std::move(aspect);
    x.kwargs = std::move(kwargs);
    x.origin = std::move(origin);
    x.who.archetype = "developer";
    auto out = std::make_shared<std::optional<answer<agentese::aspect_answer>>>();
    sys.spawn(asker<agentese::aspect_answer, agentese::invoke_aspect>, one, x, out);
    consume_messages();
    return out;
  }

  static json::value value(const replied& x) {
    CAF_REQUIRE(x->has_value());
    CAF_REQUIRE((*x)->ok());
    CAF_REQUIRE((*x)->value.kind == agentese::answer_kind::value);
    return json::parse((*x)->value.body);
  }
  static std::string code(const replied& x) {
    CAF_REQUIRE(x->has_value());
    CAF_REQUIRE((*x)->ok());
    CAF_REQUIRE((*x)->value.kind == agentese::answer_kind::error);
    return std::string{json::parse((*x)->value.body).at("code").as_string()};
  }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(context_tests, fixture)

CAF_TEST(an aspect answers a value) {
  CAF_CHECK(value(ask("echo", R"({"text":"hello"})")) ==
            json::parse(R"({"said":"hello","name":"thing"})"));
}

CAF_TEST(arguments are checked before the aspect runs) {
  CAF_CHECK_EQUAL(code(ask("echo")), "INVALID_ARGUMENT");
  CAF_CHECK(value(ask("echo", "{}", "v1")) == json::parse(R"({"error":"text required"})"));
  CAF_CHECK_EQUAL(code(ask("echo", R"({"text":5})")), "INVALID_ARGUMENT");
  CAF_CHECK_EQUAL(code(ask("echo", R"({"text":"longer than twenty bytes"})")), "INVALID_ARGUMENT");
  CAF_CHECK_EQUAL(code(ask("echo", R"({"text":"nul\u0000"})")), "INVALID_ARGUMENT");
  CAF_CHECK_EQUAL(code(ask("echo", "[]")), "INVALID_ARGUMENT");
  CAF_CHECK_EQUAL(code(ask("echo", "{")), "INVALID_ARGUMENT");
  CAF_CHECK_EQUAL(code(ask("look", R"({"amount":1.5})")), "INVALID_ARGUMENT");
  CAF_CHECK_EQUAL(code(ask("look", R"({"amount":"x"})")), "INVALID_ARGUMENT");
  CAF_CHECK_EQUAL(code(ask("look", R"({"colour":"green"})")), "INVALID_ARGUMENT");
  CAF_CHECK_EQUAL(value(ask("look", R"({"amount":"0.25"})")).at("number").as_int64(), 42);
}

CAF_TEST(a perception reads in a transaction that PostgreSQL keeps from writing) {
  CAF_CHECK_EQUAL(value(ask("look")).at("number").as_int64(), 42);
  CAF_REQUIRE_EQUAL(ran.size(), 1u);
  CAF_CHECK(ran[0][0].text.find("transaction_read_only") != std::string_view::npos);
  CAF_CHECK(!db->fences.back());
}

CAF_TEST(a mutation writes under the lease and tells of its change in the same transaction) {
  CAF_CHECK_EQUAL(value(ask("keep")).at("number").as_int64(), 42);
  CAF_REQUIRE_EQUAL(ran.size(), 1u);
  CAF_REQUIRE_EQUAL(ran[0].size(), 2u);
  CAF_CHECK_EQUAL(*ran[0][1].params[0], "self.thing");
  CAF_CHECK((db->fences.back() == sql::fence{shard_of(id), lease}));
}

CAF_TEST(a perception that writes is stopped by its transaction) {
  const auto refuse = [](const sql::transaction&) {
    return sql::outcome{sql::failure{kind::rejected, "25006", "cannot execute UPDATE"}};
  };
  auto fresh = std::make_shared<script>();
  fresh->on("read", "transaction_read_only", refuse);
  services->database = sys.spawn<scripted_database>(fresh);
  CAF_CHECK_EQUAL(code(ask("sneak")), "CATEGORY_VIOLATION");
  CAF_CHECK(!fresh->fences.back());
  caf::anon_send_exit(services->database, caf::exit_reason::user_shutdown);
}

CAF_TEST(a database that is away ends the aspect with an answer) {
  db->fail("keep", kind::unavailable);
  CAF_CHECK_EQUAL(code(ask("keep")), "UNAVAILABLE");
  db->fail("keep", kind::unknown_outcome);
  CAF_CHECK_EQUAL(code(ask("keep")), "UNAVAILABLE");
  CAF_CHECK_EQUAL(value(ask("keep")).at("number").as_int64(), 42);
}

CAF_TEST(an aspect that gives up ends where it waits) {
  number = 0;
  CAF_CHECK_EQUAL(code(ask("give_up")), "UNAVAILABLE");
  number = 1;
  CAF_CHECK_EQUAL(value(ask("give_up")).at("number").as_int64(), 1);
}

CAF_TEST(what an aspect throws is logged and not shown) {
  const auto out = ask("explode");
  CAF_CHECK_EQUAL(code(out), "INTERNAL_ERROR");
  CAF_CHECK((*out)->value.body.find("secret") == std::string::npos);
}

CAF_TEST(a refusal is an answer) {
  const auto out = ask("decline");
  CAF_REQUIRE(out->has_value());
  CAF_CHECK((*out)->value.kind == agentese::answer_kind::refused);
  CAF_CHECK(json::parse((*out)->value.body).at("reason") == "not today");
}

CAF_TEST(calls that lock the same thing take turns) {
  db->hold("keep");
  const auto first = ask("in_turn");
  const auto second = ask("in_turn");
  CAF_CHECK(!first->has_value());
  CAF_CHECK_EQUAL(db->count("keep"), 1u);  // the second has not even looked
  const auto looked = ran.size();
  caf::anon_send(database, release_held{"keep"});
  consume_messages();
  CAF_CHECK(first->has_value());
  CAF_CHECK(second->has_value());
  CAF_CHECK(ran.size() > looked);
}

CAF_TEST(a call whose time is up is answered and frees what it locked) {
  db->hold("keep");
  const auto first = ask("in_turn");
  const auto second = ask("in_turn");
  // Deadlines are of the steady clock: a call with none left is late at once.
  agentese::invoke_aspect late;
  late.node = "self.thing";
  late.aspect = "keep";
  late.kwargs = "{}";
  late.deadline_ms = 0;
  auto out = std::make_shared<std::optional<answer<agentese::aspect_answer>>>();
  sys.spawn(asker<agentese::aspect_answer, agentese::invoke_aspect>, one, late, out);
  consume_messages();
  sched.advance_time(1s);
  consume_messages();
  CAF_CHECK_EQUAL(code(out), "TIMEOUT");
  CAF_CHECK(!first->has_value());
  caf::anon_send(database, release_held{"keep"});
  consume_messages();
  CAF_CHECK(first->has_value() && second->has_value());
}

CAF_TEST(what the model says counts) {
  const auto out = ask("think", R"({"text":"why"})");
  CAF_REQUIRE_EQUAL(asked.size(), 1u);
  CAF_CHECK_EQUAL(asked[0].ask.messages.back().content, "why");
  llm::collected said;
  said.text = "because";
  said.end.tokens = {3, 4, false};
  asked[0].done(said);
  consume_messages();
  CAF_CHECK(value(out).at("thought") == "because");
  CAF_CHECK_EQUAL((*out)->value.tokens_in, 3u);
  CAF_CHECK_EQUAL((*out)->value.tokens_out, 4u);
}

CAF_TEST(what a question to the model costs stays held until its usage is written) {
  budget = {"5000", "9000", "0", "0", {}, "f"};
  const auto first = ask("think", R"({"text":"why"})");
  CAF_REQUIRE_EQUAL(asked.size(), 1u);
  llm::collected said;
  said.text = "because";
  said.end.tokens = {3, 4, false};
  asked[0].done(said);
  consume_messages();
  CAF_CHECK(first->has_value());
  ask("think", R"({"text":"why"})");
  asked[1].done(llm::failure{llm::error_type::internal, "no"});
  consume_messages();
  CAF_CHECK_EQUAL(kept, std::vector<std::string>({"7", "nothing"}));
}

CAF_TEST(beyond the budget of tokens an aspect ends before the model is asked) {
  budget = {"0", "1000", "990", "5", {}, "f"};
  CAF_CHECK_EQUAL(code(ask("think", R"({"text":"why"})")), "TOKENS_EXHAUSTED");
  CAF_CHECK(asked.empty());
}

CAF_TEST(an aspect that invokes another asks for the same observer) {
  const auto out = ask("ask_other");
  CAF_REQUIRE_EQUAL(invoked.size(), 1u);
  auto& [what, done] = invoked[0];
  CAF_CHECK_EQUAL(what.path, "void.entropy.sip");
  CAF_CHECK_EQUAL(what.who.archetype, "developer");
  CAF_CHECK_EQUAL(what.caller_path, "self.thing.ask_other");
  CAF_CHECK_EQUAL(what.depth, 1);
  done({json::object{{"amount", 1}}, 0, 0});
  consume_messages();
  CAF_CHECK(value(out).at("amount") == 1);
}

CAF_TEST(one whose shard another node owns ends instead of writing) {
  caf::error ended_with;
  one->attach_functor([&](const caf::error& why) { ended_with = why; });
  db->fail("keep", kind::fenced);
  const auto out = ask("keep");
  // Who asked is told by the port, which hears of the end: it asks the new owner.
  CAF_CHECK(!out->has_value());
  CAF_CHECK(ended_with == runtime::fenced_error());
}

CAF_TEST(when it is killed in mid-request nothing of it runs on) {
  db->hold("keep");
  const auto out = ask("in_turn");
  bool ended = false;
  one->attach_functor([&](const caf::error&) { ended = true; });
  caf::anon_send_exit(one, caf::exit_reason::kill);
  consume_messages();
  CAF_CHECK(ended);
  caf::anon_send(database, release_held{"keep"});
  consume_messages();
  CAF_CHECK(!out->has_value());
}

CAF_TEST(it leaves its node when what runs has ended) {
  db->hold("keep");
  const auto out = ask("keep");
  bool gone = false;
  sys.spawn([&gone, to = one](caf::event_based_actor* self) {
    self->request(to, caf::infinite, runtime::leave_node{})
        .then([&gone](const runtime::departed& x) { gone = !x.has_turn; });
  });
  consume_messages();
  CAF_CHECK(!gone);
  caf::anon_send(database, release_held{"keep"});
  consume_messages();
  sched.advance_time(10ms);
  consume_messages();
  CAF_CHECK(out->has_value());
  CAF_CHECK(gone);
}

CAF_TEST_FIXTURE_SCOPE_END()
