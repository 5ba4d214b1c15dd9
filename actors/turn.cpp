#include "actors/turn.hpp"

#include <boost/asio/post.hpp>
#include <caf/actor_cast.hpp>

namespace kgents::actors {

namespace {

/// A turn whose session left and never called from a new home is nobody's: the answer is continued
/// by another model call then.
constexpr auto homeless_for = std::chrono::seconds{10};

struct homeless_check {
  uint32_t round = 0;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, homeless_check& x) {
  return f(x.round);
}

}  // namespace

turn::turn(caf::actor_config& config, runtime::io_unit* unit, runtime::io_thread& thread, task what)
    : pinned_actor(config, unit), thread_{thread}, task_{std::move(what)} {}

caf::behavior turn::make_behavior() {
  set_default_handler(caf::drop);
  monitor(task_.session);
  set_down_handler([this](const caf::down_msg& down) {
    if (!task_.session || down.source != task_.session.address())
      return;
    if (!held_)
      quit();
  });

  llm::sink out;
  // Called only while stream_ lives, so `this` does too.
  out.delta = [this](std::string text) {
    pending_.push_back(std::move(text));
    // What one read of the socket brought goes in one message.
    if (std::exchange(flushing_, true))
      return;
    boost::asio::post(thread_.context(), [this, keep = caf::strong_actor_ptr{ctrl()}] { flush(); });
  };
  out.done = [this](llm::completion x) {
    turn_finished last;
    last.finish_reason = std::move(x.finish_reason);
    last.model = std::move(x.model);
    last.tokens_in = x.tokens.tokens_in;
    last.tokens_out = x.tokens.tokens_out;
    finish(std::move(last));
  };
  out.failed = [this](llm::failure x) {
    turn_finished last;
    last.error_type = llm::to_string(x.type);
    last.error = std::move(x.message);
    last.retry_after_seconds = x.retry_after_seconds;
    finish(std::move(last));
  };
  stream_ = task_.provider->start(thread_, std::move(task_.ask), std::move(out));
  return {
      [this](const turn_credit& x) {
        if (stream_ != nullptr)
          stream_->grant(x.chunks);
      },
      [this](runtime::turn_hold) {
        held_ = true;
        ++holds_;
        if (task_.session)
          send(task_.session, runtime::turn_held{task_.id, task_.epoch});
        delayed_send(this, homeless_for, homeless_check{holds_});
      },
      [this](const runtime::turn_home& x) { go_home(x.session); },
      [](runtime::turn_let_go) {},  // it was held before; its session's end finds it so
      [this](homeless_check x) {
        if (held_ && x.round == holds_)
          quit();
      },
  };
}

void turn::flush() {
  flushing_ = false;
  if (!held_ && !pending_.empty() && task_.session)
    send(task_.session, turn_chunks{task_.id, task_.epoch, std::exchange(pending_, {})});
}

void turn::finish(turn_finished last) {
  flush();
  last.turn = task_.id;
  last.epoch = task_.epoch;
  if (held_)
    last_ = std::move(last);
  else
    send(task_.session, std::move(last));
}

void turn::go_home(const caf::actor& session) {
  if (task_.session)
    demonitor(task_.session);
  task_.session = session;
  monitor(task_.session);
  held_ = false;
  flush();
  if (last_)
    send(task_.session, *std::exchange(last_, std::nullopt));
}

void turn::on_exit() {
  stream_.reset();
  pending_.clear();
  task_.session = nullptr;
  task_.provider.reset();
}

}  // namespace kgents::actors
