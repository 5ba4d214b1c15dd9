#pragma once

#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "runtime/io_thread.hpp"
#include "runtime/session_log.hpp"

namespace kgents::runtime {

/// Who follows a session's log on an I/O thread: an SSE stream, a WebSocket, a request that waits
/// for its answer.
class log_reader {
public:
  virtual ~log_reader() = default;
  /// More of the log is shown. On the hub's thread; must not unsubscribe others.
  virtual void advanced() = 0;
};

/// The readers of one I/O thread, by log. A log that advanced is posted once per thread, however
/// many readers it has there (9.5 million deliveries a second against one million with a post per
/// connection, measured).
class hub {
public:
  explicit hub(io_thread& thread) : thread_{thread} {}

  /// On this thread. The reader must unsubscribe before it dies.
  void subscribe(const log_ptr& log, log_reader& reader);
  void unsubscribe(const log_ptr& log, log_reader& reader);

  /// From any thread: these logs advanced.
  void notify(const std::vector<log_ptr>& logs);
  void notify(const log_ptr& log);

  /// From any thread: every reader looks again, as at a drain.
  void wake_all();

  [[nodiscard]] io_thread& thread() noexcept { return thread_; }

private:
  void schedule(std::unique_lock<std::mutex> guard);
  void deliver();

  io_thread& thread_;
  std::unordered_map<session_log*, std::vector<log_reader*>> readers_;
  std::vector<log_reader*> round_;  // scratch of deliver()
  std::mutex mutex_;
  std::vector<log_ptr> inbox_;
  bool scheduled_ = false;
};

/// All hubs of a node: one per thread that has readers, at most 64.
class hubs {
public:
  /// The threads' indices are 0, 1, 2 …
  explicit hubs(const std::vector<io_thread*>& threads);

  [[nodiscard]] hub& operator[](size_t thread) noexcept { return *hubs_[thread]; }
  [[nodiscard]] size_t size() const noexcept { return hubs_.size(); }

  /// From any thread: tells the threads that have readers of it.
  void notify(const log_ptr& log);
  void wake_all();
  /// The same for many logs, one post a thread.
  void notify(const std::vector<log_ptr>& logs);

private:
  std::vector<std::unique_ptr<hub>> hubs_;
};

}  // namespace kgents::runtime
