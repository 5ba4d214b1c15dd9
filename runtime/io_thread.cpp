#include "runtime/io_thread.hpp"

#include <pthread.h>

#include <boost/asio/post.hpp>

namespace kgents::runtime {

io_thread::io_thread(size_t index, std::string name)
    : work_{boost::asio::make_work_guard(context_)},
      wheel_{timer_wheel::clock::now()},
      alarm_{context_},
      index_{index},
      name_{std::move(name)} {
  wheel_.on_nearer = [this] { rearm(); };
}

io_thread::~io_thread() {
  stop();
  join();
}

void io_thread::rearm() {
  const auto due = wheel_.next_due();
  if (due >= alarm_at_)
    return;
  alarm_at_ = due;
  alarm_.expires_at(due);
  alarm_.async_wait([this](boost::system::error_code ec) {
    if (ec)
      return;  // moved nearer: another wait is under way
    alarm_at_ = timer_wheel::clock::time_point::max();
    wheel_.advance(timer_wheel::clock::now());
    rearm();
  });
}

void io_thread::start() {
  thread_ = std::thread{[this] {
    pthread_setname_np(pthread_self(), name_.c_str());
    context_.run();
  }};
}

void io_thread::stop() {
  boost::asio::post(context_, [this] {
    alarm_.cancel();
    work_.reset();
    context_.stop();
  });
}

void io_thread::join() {
  if (thread_.joinable())
    thread_.join();
}

io_threads::io_threads(size_t count) {
  for (size_t i = 0; i < count; ++i)
    threads_.push_back(std::make_unique<io_thread>(i, "io-" + std::to_string(i)));
}

io_threads::~io_threads() { stop_and_join(); }

void io_threads::start() {
  for (auto& x : threads_)
    x->start();
}

void io_threads::stop_and_join() {
  for (auto& x : threads_)
    x->stop();
  for (auto& x : threads_)
    x->join();
}

std::vector<io_thread*> io_threads::all() const {
  std::vector<io_thread*> out;
  for (const auto& x : threads_)
    out.push_back(x.get());
  return out;
}

}  // namespace kgents::runtime
