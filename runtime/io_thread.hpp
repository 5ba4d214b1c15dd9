#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "runtime/timer_wheel.hpp"

namespace kgents::runtime {

/// One thread with its own io_context and timer wheel. What is created on it stays on it for life:
/// connections, provider streams, the actors pinned to it.
class io_thread {
public:
  io_thread(size_t index, std::string name);
  ~io_thread();
  io_thread(const io_thread&) = delete;
  io_thread& operator=(const io_thread&) = delete;

  [[nodiscard]] boost::asio::io_context& context() noexcept { return context_; }
  /// Only on this thread.
  [[nodiscard]] timer_wheel& wheel() noexcept { return wheel_; }
  [[nodiscard]] size_t index() const noexcept { return index_; }

  void start();
  /// Lets the thread end once it has run what is queued; from any thread.
  void stop();
  void join();

private:
  void rearm();

  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  timer_wheel wheel_;
  boost::asio::steady_timer alarm_;
  timer_wheel::clock::time_point alarm_at_ = timer_wheel::clock::time_point::max();
  size_t index_;
  std::string name_;
  std::thread thread_;
};

/// The I/O threads of a node. Each connection is given to one of them and stays there.
class io_threads {
public:
  explicit io_threads(size_t count);
  ~io_threads();

  void start();
  void stop_and_join();

  [[nodiscard]] size_t size() const noexcept { return threads_.size(); }
  [[nodiscard]] io_thread& operator[](size_t i) noexcept { return *threads_[i]; }
  [[nodiscard]] std::vector<io_thread*> all() const;

private:
  std::vector<std::unique_ptr<io_thread>> threads_;
};

}  // namespace kgents::runtime
