#pragma once

#include <coroutine>
#include <functional>
#include <optional>

#include "actors/contexts/task.hpp"

namespace kgents::cdc {

using actors::task;

/// What a callback brings, for a coroutine to await: `begin` is called with a callback that it
/// calls once, later, on the coroutine's own thread.
template <class T>
class arriving {
public:
  using callback = std::function<void(T)>;

  explicit arriving(std::function<void(callback)> begin) : begin_{std::move(begin)} {}

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiting) {
    begin_([this, waiting](T x) {
      value_.emplace(std::move(x));
      waiting.resume();
    });
  }
  T await_resume() { return std::move(*value_); }

private:
  std::function<void(callback)> begin_;
  std::optional<T> value_;
};

}  // namespace kgents::cdc
