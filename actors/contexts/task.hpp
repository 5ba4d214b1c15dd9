#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

namespace kgents::actors {

/// A coroutine that begins when it is awaited and resumes who awaits it with its value. Aspects are
/// written as these: what waits for the database or a model reads like what does not.
///
/// A task lives on its actor's mailbox: it is resumed by the actor's handlers only, so between two
/// awaits nothing else of the actor runs. Destroying it at a suspension ends it there: its locals
/// are destroyed, nothing after it runs.
///
/// Await into a local of its own, `const auto x = co_await …;`, and give what is awaited no
/// temporary that is an aggregate (`{}` for a struct, a lambda): GCC 12 rejects awaits inside braced
/// lists and destroys such temporaries twice (its bug 99576).
template <class T>
class [[nodiscard]] task {
public:
  struct promise_type {
    std::optional<T> value;
    std::exception_ptr thrown;
    std::coroutine_handle<> awaiting = std::noop_coroutine();

    task get_return_object() noexcept { return task{handle::from_promise(*this)}; }
    std::suspend_always initial_suspend() noexcept { return {}; }
    auto final_suspend() noexcept {
      struct back {
        bool await_ready() noexcept { return false; }
        std::coroutine_handle<> await_suspend(
            std::coroutine_handle<promise_type> done) noexcept {
          return done.promise().awaiting;
        }
        void await_resume() noexcept {}
      };
      return back{};
    }
    template <class U>
    void return_value(U&& x) {
      value.emplace(std::forward<U>(x));
    }
    void unhandled_exception() noexcept { thrown = std::current_exception(); }
  };

  using handle = std::coroutine_handle<promise_type>;

  task(task&& x) noexcept : handle_{std::exchange(x.handle_, {})} {}
  task& operator=(task&& x) noexcept {
    std::swap(handle_, x.handle_);
    return *this;
  }
  ~task() {
    if (handle_)
      handle_.destroy();
  }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) noexcept {
    handle_.promise().awaiting = awaiting;
    return handle_;
  }
  T await_resume() {
    auto& x = handle_.promise();
    if (x.thrown)
      std::rethrow_exception(x.thrown);
    return std::move(*x.value);
  }

  /// For who is no coroutine: begins it. It has come to its end when `done`.
  void start() { handle_.resume(); }
  [[nodiscard]] bool done() const noexcept { return handle_.done(); }
  /// At its end: its value, or what it threw.
  [[nodiscard]] T take() { return await_resume(); }

private:
  explicit task(handle x) noexcept : handle_{x} {}
  handle handle_;
};

}  // namespace kgents::actors
