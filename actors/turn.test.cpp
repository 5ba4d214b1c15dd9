#define CAF_SUITE turn

#include "actors/turn.hpp"

#include <stdexcept>

#include <caf/test/dsl.hpp>

using namespace kgents;
using actors::turn;

namespace {

/// What the test and the provider's stream share.
struct stage {
  llm::prompt ask;
  llm::sink out;
  uint32_t granted = 0;
  int started = 0;
  int alive = 0;
  bool broken = false;
};

class scripted_stream : public llm::stream {
public:
  explicit scripted_stream(stage& s) : stage_{s} { ++stage_.alive; }
  ~scripted_stream() override { --stage_.alive; }
  void grant(uint32_t n) override { stage_.granted += n; }

private:
  stage& stage_;
};

class scripted_provider : public llm::provider {
public:
  explicit scripted_provider(stage& s) : stage_{s} {}
  std::string_view name() const noexcept override { return "scripted"; }
  std::unique_ptr<llm::stream> start(runtime::io_thread&, llm::prompt ask, llm::sink out) override {
    ++stage_.started;
    if (stage_.broken)
      throw std::runtime_error("made up by the test");
    stage_.ask = std::move(ask);
    stage_.out = std::move(out);
    return std::make_unique<scripted_stream>(stage_);
  }

private:
  stage& stage_;
};

/// What a session hears of its turn, as one line.
caf::behavior listener(caf::event_based_actor* self, std::string* heard, turn_id* whose) {
  self->set_down_handler([heard](const caf::down_msg&) { *heard += "down "; });
  return {
      [=](const turn_chunks& x) {
        CAF_CHECK_EQUAL(x.epoch, 3u);
        *whose = x.turn;
        for (const auto& text : x.texts)
          *heard += text;
        *heard += "| ";
      },
      [=](const turn_finished& x) {
        CAF_CHECK_EQUAL(x.epoch, 3u);
        *whose = x.turn;
        *heard += x.finish_reason + x.error_type + x.error + " ";
        if (x.tokens_out > 0)
          *heard += x.model + std::to_string(x.tokens_in) + std::to_string(x.tokens_out) + " ";
      },
      [=](const runtime::turn_held& x) {
        CAF_CHECK_EQUAL(x.epoch, 3u);
        *whose = x.turn;
        *heard += "held ";
      },
      [=](const caf::actor& worker) { self->monitor(worker); },
  };
}

struct fixture : test_coordinator_fixture<> {
  runtime::io_thread thread{0, "io"};  // never started: the test runs what is posted
  runtime::io_unit unit{sys, thread};
  stage model;
  const turn_id id{uuid::random()};
  std::string heard;
  turn_id whose;
  std::string heard_next;
  caf::actor session = sys.spawn(listener, &heard, &whose);
  caf::actor next = sys.spawn(listener, &heard_next, &whose);  // where the session moves to
  caf::actor worker;

  ~fixture() {
    caf::anon_send_exit(worker, caf::exit_reason::kill);
    caf::anon_send_exit(session, caf::exit_reason::kill);
    caf::anon_send_exit(next, caf::exit_reason::kill);
    settle();
  }

  void tell(auto message) {
    caf::anon_send(worker, std::move(message));
    settle();
  }

  void say(std::string text) {
    model.out.delta(std::move(text));
    settle();
  }

  void wait(caf::timespan time) {
    advance_time(time);
    settle();
  }

  /// As on a node, pinned to the thread of its stream: it also sends from what the stream calls
  /// there.
  void spawn() {
    turn::task task;
    task.id = id;
    task.epoch = 3;
    task.ask.prefix = "so far";
    task.session = session;
    task.provider = std::make_shared<scripted_provider>(model);
    worker = sys.spawn<turn>(&unit, thread, std::move(task));
    caf::anon_send(session, worker);
    consume_messages();
  }

  void start() {
    spawn();
    settle();
  }

  void settle() {
    while (thread.context().poll() + consume_messages() > 0) {
    }
  }

  void end(const caf::actor& x) {
    caf::anon_send_exit(x, caf::exit_reason::user_shutdown);
    settle();
  }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(turn_tests, fixture)

CAF_TEST(what one read of the socket brings goes in one message) {
  start();
  CAF_CHECK_EQUAL(model.ask.prefix, "so far");
  for (const auto* text : {"A", "B", "C"})
    model.out.delta(text);
  CAF_CHECK_EQUAL(heard, "");
  settle();
  CAF_CHECK_EQUAL(heard, "ABC| ");
  CAF_CHECK(whose == id);
  model.out.delta("D");
  settle();
  CAF_CHECK_EQUAL(heard, "ABC| D| ");
}

CAF_TEST(credit goes to the stream) {
  start();
  CAF_CHECK_EQUAL(model.granted, 0u);
  caf::anon_send(worker, turn_credit{64});
  caf::anon_send(worker, turn_credit{5});
  settle();
  CAF_CHECK_EQUAL(model.granted, 69u);
}

CAF_TEST(the end comes behind everything that was said) {
  start();
  model.out.delta("A");
  model.out.done({"length", {3, 4, false}, "m"});
  settle();
  CAF_CHECK_EQUAL(heard, "A| length m34 ");
  CAF_CHECK(whose == id);
}

CAF_TEST(a failure comes behind everything that was said and has a stable name) {
  start();
  model.out.delta("A");
  llm::failure why;
  why.type = llm::error_type::provider_timeout;
  why.message = " too late";
  model.out.failed(why);
  settle();
  CAF_CHECK_EQUAL(heard, "A| provider_timeout too late ");
}

CAF_TEST(a turn that is told to end closes its stream and says nothing more) {
  start();
  CAF_CHECK_EQUAL(model.alive, 1);
  caf::anon_send_exit(worker, caf::exit_reason::user_shutdown);
  model.out.delta("A");  // before the turn has seen it
  settle();
  CAF_CHECK_EQUAL(model.alive, 0);
  CAF_CHECK_EQUAL(heard, "down ");
}

CAF_TEST(a turn ends with its session) {
  start();
  end(session);
  CAF_CHECK_EQUAL(model.alive, 0);
}

CAF_TEST(a turn whose session ended before it began ends too) {
  end(session);
  start();
  settle();
  CAF_CHECK_EQUAL(model.alive, 0);
}

CAF_TEST(a provider that throws ends its turn and nothing else) {
  model.broken = true;
  start();
  settle();
  CAF_CHECK_EQUAL(model.started, 1);
  CAF_CHECK_EQUAL(heard, "down ");
}

CAF_TEST(a turn lives on the thread of its stream) {
  spawn();
  CAF_CHECK_EQUAL(model.started, 0);  // not on a worker of the scheduler
  CAF_CHECK_EQUAL(thread.context().poll(), 1u);
  CAF_CHECK_EQUAL(model.started, 1);
  model.out.delta("A");
  settle();
  CAF_CHECK_EQUAL(heard, "A| ");
  caf::anon_send(worker, turn_credit{64});
  consume_messages();
  CAF_CHECK_EQUAL(model.granted, 0u);
  settle();
  CAF_CHECK_EQUAL(model.granted, 64u);
  end(session);
  CAF_CHECK_EQUAL(model.alive, 0);
}

CAF_TEST(a held turn keeps what it has for the new home of its session) {
  start();
  say("A");
  tell(runtime::turn_hold{});
  CAF_CHECK_EQUAL(heard, "A| held ");
  say("B");
  say("C");
  model.out.done({"stop", {3, 4, false}, "m"});
  settle();
  CAF_CHECK_EQUAL(heard, "A| held ");
  tell(runtime::turn_home{next});
  CAF_CHECK_EQUAL(heard, "A| held ");
  CAF_CHECK_EQUAL(heard_next, "BC| stop m34 ");
  CAF_CHECK(whose == id);
}

CAF_TEST(a turn talks to its new home as it did to the old one) {
  start();
  tell(runtime::turn_hold{});
  tell(runtime::turn_home{next});
  tell(turn_credit{7});
  CAF_CHECK_EQUAL(model.granted, 7u);
  say("A");
  CAF_CHECK_EQUAL(heard_next, "A| ");
  end(session);
  CAF_CHECK_EQUAL(model.alive, 1);  // what becomes of the old home is nothing to it
  end(next);
  CAF_CHECK_EQUAL(model.alive, 0);
}

CAF_TEST(a turn whose session stays after all goes on there) {
  start();
  tell(runtime::turn_hold{});
  say("A");
  tell(runtime::turn_home{session});
  CAF_CHECK_EQUAL(heard, "held A| ");
  end(session);
  CAF_CHECK_EQUAL(model.alive, 0);
}

CAF_TEST(a held turn outlives its session until nobody wants it) {
  start();
  tell(runtime::turn_hold{});
  tell(runtime::turn_let_go{});
  end(session);
  wait(std::chrono::seconds{9});
  CAF_CHECK_EQUAL(model.alive, 1);
  wait(std::chrono::seconds{1});
  CAF_CHECK_EQUAL(model.alive, 0);
}

CAF_TEST(only the last hold counts for how long a turn is without one) {
  start();
  tell(runtime::turn_hold{});
  wait(std::chrono::seconds{6});
  tell(runtime::turn_home{next});
  tell(runtime::turn_hold{});
  wait(std::chrono::seconds{6});
  CAF_CHECK_EQUAL(model.alive, 1);
  tell(runtime::turn_home{next});
  wait(std::chrono::seconds{60});
  CAF_CHECK_EQUAL(model.alive, 1);
}

CAF_TEST_FIXTURE_SCOPE_END()
