#define CAF_SUITE port

#include "runtime/port.hpp"

#include <caf/event_based_actor.hpp>
#include <map>

#include <caf/test/dsl.hpp>

using namespace std::chrono_literals;
using namespace kgents;
using namespace kgents::runtime;

namespace {

using view = answer<session_view>;

/// Answers `get_session` with its own title, or keeps the promises of those who asked.
struct scripted_entity : caf::event_based_actor {
  scripted_entity(caf::actor_config& config, bool silent)
      : caf::event_based_actor(config), silent_{silent} {}

  caf::behavior make_behavior() override {
    return {[this](const get_session&) -> caf::result<view> {
              if (silent_)
                return make_response_promise<view>();
              session_view out;
              out.title = "found";
              return view{out};
            },
            [](const remove_session&) -> caf::result<view> {
              return view{refusal{404, "Session not found", 0, ""}};
            },
            [](const update_session&) -> caf::result<view> {
              return caf::make_error(caf::sec::runtime_error);
            }};
  }

  bool silent_;
};

entity_id some_session() {
  return session_entity(tenant_id{uuid::random()}, session_id{uuid::random()});
}

/// The I/O thread is never started: the test runs what is posted to it.
struct fixture : test_coordinator_fixture<> {
  io_thread thread{0, "io"};
  io_unit unit{sys, thread};
  bool silent = false;
  std::vector<entity_id> crashed;
  cluster::routes where;
  region entities{{2, 100},
                  {[](entity_kind, int) {},
                   [this](const entity_id& id, const caf::error&) { crashed.push_back(id); }},
                  where};
  caf::actor handle;
  port* here = nullptr;
  const entity_id id = some_session();
  std::vector<view> answers;

  fixture() {
    entities.serve(entity_kind::session, [this](const entity_id&, lease_epoch) -> caf::actor {
      return sys.spawn<scripted_entity>(silent);
    });
    open(10s);
  }

  ~fixture() {
    entities.stop();
    close();
  }

  void open(std::chrono::milliseconds deadline) {
    handle = sys.spawn<port>(&unit, entities, nullptr, deadline);
    here = caf::actor_cast<port*>(handle);
    settle();
  }

  void close() {
    caf::anon_send_exit(handle, caf::exit_reason::user_shutdown);
    settle();
  }

  void settle() {
    while (thread.context().poll() + consume_messages() > 0) {
    }
  }

  template <class Message>
  void ask(const entity_id& to, Message message) {
    boost::asio::post(thread.context(), [this, to, message] {
      here->ask<session_view>(to, message, [this](view x) { answers.push_back(std::move(x)); });
    });
    settle();
  }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(port_tests, fixture)

CAF_TEST(an answer comes back on the thread and the permit is free again) {
  ask(id, get_session{});
  CAF_REQUIRE_EQUAL(answers.size(), 1u);
  CAF_CHECK(answers[0].ok());
  CAF_CHECK_EQUAL(answers[0].value.title, "found");
  CAF_CHECK_EQUAL(here->waiting(), 0u);
  CAF_CHECK_EQUAL(entities.in_flight(), 0u);
}

CAF_TEST(the refusal of an entity is passed on) {
  ask(id, remove_session{});
  CAF_REQUIRE_EQUAL(answers.size(), 1u);
  CAF_CHECK_EQUAL(answers[0].wrong.status, 404);
  CAF_CHECK_EQUAL(entities.in_flight(), 0u);
}

CAF_TEST(what is not admitted is refused at once) {
  silent = true;
  ask(id, get_session{});
  ask(id, get_session{});
  CAF_CHECK(answers.empty());
  ask(id, get_session{});
  CAF_REQUIRE_EQUAL(answers.size(), 1u);
  CAF_CHECK_EQUAL(answers[0].wrong.status, 503);
  CAF_CHECK_EQUAL(answers[0].wrong.code, "overloaded");
  CAF_CHECK_EQUAL(answers[0].wrong.retry_after_seconds, 1u);
  CAF_CHECK_EQUAL(here->waiting(), 2u);
  entities.stop();
  ask(some_session(), get_session{});
  CAF_REQUIRE(answers.size() >= 2u);
  CAF_CHECK_EQUAL(answers.back().wrong.code, "stopping");
}

CAF_TEST(an error of the entity is a request that was lost) {
  ask(id, update_session{});
  CAF_REQUIRE_EQUAL(answers.size(), 1u);
  CAF_CHECK_EQUAL(answers[0].wrong.status, 503);
  CAF_CHECK_EQUAL(answers[0].wrong.code, "restarted");
  CAF_CHECK_EQUAL(entities.in_flight(), 0u);
}

CAF_TEST(those who wait for an entity that is lost are told and others are not) {
  silent = true;
  const auto other = some_session();
  ask(id, get_session{});
  ask(id, get_session{});
  ask(other, get_session{});
  here->entity_lost(id, false);
  settle();
  CAF_REQUIRE_EQUAL(answers.size(), 2u);
  CAF_CHECK_EQUAL(answers[0].wrong.code, "restarted");
  CAF_CHECK_EQUAL(answers[1].wrong.code, "restarted");
  CAF_CHECK_EQUAL(here->waiting(), 1u);
  CAF_CHECK_EQUAL(entities.in_flight(), 1u);
}

CAF_TEST(a message that finds its entity ended is answered) {
  ask(id, get_session{});
  const auto actor = std::get<region::permit>(entities.admit(id)).actor();
  // Asked while the entity's end is on its way to it: the message is in a mailbox that nobody reads
  // any more.
  caf::anon_send_exit(actor, caf::exit_reason::unhandled_exception);
  ask(id, get_session{});
  CAF_CHECK_EQUAL(crashed.size(), 1u);
  CAF_REQUIRE_EQUAL(answers.size(), 2u);
  CAF_CHECK_EQUAL(answers[1].wrong.code, "restarted");
  ask(id, get_session{});
  CAF_REQUIRE_EQUAL(answers.size(), 3u);
  CAF_CHECK(answers[2].ok());
}

CAF_TEST(a request past its deadline is answered once and gives its permit back) {
  close();
  open(20ms);
  silent = true;
  ask(id, get_session{});
  CAF_CHECK(answers.empty());
  const auto give_up = std::chrono::steady_clock::now() + 20s;
  while (answers.empty() && std::chrono::steady_clock::now() < give_up)
    thread.context().run_one_for(1s);
  CAF_REQUIRE_EQUAL(answers.size(), 1u);
  CAF_CHECK_EQUAL(answers[0].wrong.status, 504);
  CAF_CHECK_EQUAL(answers[0].wrong.code, "timeout");
  CAF_CHECK_EQUAL(here->waiting(), 0u);
  CAF_CHECK_EQUAL(entities.in_flight(), 0u);
  here->entity_lost(id, false);
  settle();
  CAF_CHECK_EQUAL(answers.size(), 1u);
}

CAF_TEST_FIXTURE_SCOPE_END()
