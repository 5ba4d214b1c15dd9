#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "actors/contexts/task.hpp"
#include "runtime/port.hpp"

namespace kgents::actors {

/// A coroutine on a port's thread that asks entities. It lives as long as somebody will resume it:
/// when a port that stops drops its questions, what waited for their answers goes with them.
class flow : public std::enable_shared_from_this<flow> {
public:
  /// Runs it until it first waits; `work` gets this flow and keeps nothing of it beyond its end.
  static void start(runtime::port& on, const std::function<task<bool>(flow&)>& work) {
    auto self = std::shared_ptr<flow>(new flow{on});
    self->work_.emplace(work(*self));
    self->work_->start();
  }

  [[nodiscard]] runtime::port& port() const noexcept { return port_; }

  template <class T>
  class asking {
  public:
    using begin = std::function<void(std::function<void(T)>)>;
    asking(flow& self, begin how) : self_{self}, begin_{std::move(how)} {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) {
      // Answered at once, it would resume before it is suspended in the eyes of its caller; the
      // flow is kept by this frame until then.
      const auto keep = self_.shared_from_this();
      auto how = std::move(begin_);
      how([this, h, keep](T x) {
        value_.emplace(std::move(x));
        h.resume();
      });
    }
    T await_resume() { return std::move(*value_); }

  private:
    flow& self_;
    begin begin_;
    std::optional<T> value_;
  };

  /// Whatever calls back once on this thread.
  template <class T>
  [[nodiscard]] asking<T> wait(typename asking<T>::begin how) {
    return {*this, std::move(how)};
  }

  template <class T, class Message>
  [[nodiscard]] asking<answer<T>> ask(entity_id to, Message message) {
    return {*this, [this, to, message = std::move(message)](
                       std::function<void(answer<T>)> done) mutable {
              port_.template ask<T>(to, std::move(message), std::move(done));
            }};
  }

private:
  explicit flow(runtime::port& on) : port_{on} {}
  runtime::port& port_;
  std::optional<task<bool>> work_;
};

}  // namespace kgents::actors
