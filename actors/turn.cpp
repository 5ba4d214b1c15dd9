#include "actors/turn.hpp"

#include <boost/asio/post.hpp>
#include <caf/actor_cast.hpp>

namespace kgents::actors {

turn::turn(caf::actor_config& config, runtime::io_unit* unit, runtime::io_thread& thread, task what)
    : pinned_actor(config, unit), thread_{thread}, task_{std::move(what)} {}

caf::behavior turn::make_behavior() {
  set_default_handler(caf::drop);
  monitor(task_.session);
  set_down_handler([this](const caf::down_msg&) { quit(); });

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
  return {[this](const turn_credit& x) {
    if (stream_ != nullptr)
      stream_->grant(x.chunks);
  }};
}

void turn::flush() {
  flushing_ = false;
  if (!pending_.empty() && task_.session)
    send(task_.session, turn_chunks{task_.id, task_.epoch, std::exchange(pending_, {})});
}

void turn::finish(turn_finished last) {
  flush();
  last.turn = task_.id;
  last.epoch = task_.epoch;
  send(task_.session, std::move(last));
}

void turn::on_exit() {
  stream_.reset();
  pending_.clear();
  task_.session = nullptr;
  task_.provider.reset();
}

}  // namespace kgents::actors
