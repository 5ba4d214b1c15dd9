#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "gateway/http/exchange.hpp"
#include "gateway/http/response_head.hpp"
#include "gateway/http/server.hpp"
#include "gateway/http/tls_context.hpp"
#include "runtime/io_thread.hpp"

namespace kgents::gateway::http {

class connection;

/// What all threads of a server share. Any thread.
struct server_state {
  server_state(server_options o, application& a) : options{std::move(o)}, app{a} {}

  const server_options options;
  application& app;
  std::atomic<size_t> connections =
      0;  ///< counted when accepted, before its thread has heard of it
  std::atomic<size_t> streams = 0;
  std::atomic<size_t> sockets = 0;
  std::atomic<bool> stopping = false;  ///< keep no connection alive after its answer

  [[nodiscard]] std::shared_ptr<const tls_context> tls() const {
    const std::lock_guard lock{mutex_};
    return tls_;
  }
  void tls(std::shared_ptr<const tls_context> x) {
    const std::lock_guard lock{mutex_};
    tls_ = std::move(x);
  }

private:
  mutable std::mutex mutex_;
  std::shared_ptr<const tls_context> tls_;
};

/// What the connections of one I/O thread share: buffers that are only used within one call, so
/// that an idle connection has none, and the list of those that have something to write. Its thread
/// only.
class thread_state : public std::enable_shared_from_this<thread_state> {
public:
  thread_state(runtime::io_thread& t, std::shared_ptr<server_state> s)
      : thread{t}, server{std::move(s)} {}
  ~thread_state();

  runtime::io_thread& thread;
  const std::shared_ptr<server_state> server;
  std::array<char, 64 * 1024> input;  ///< valid from a read to the end of the same handler
  std::string head;                   ///< an answer's head while it is made and written
  write_batch batch;                  ///< taken (moved from) while a connection pulls
  date_text date;

  /// `x` is pumped soon; what happens before that rides in the same write.
  void ready(std::shared_ptr<connection> x);

  void add(connection& x) noexcept;
  void remove(connection& x) noexcept;
  void close_idle();
  void stop();

private:
  void run_ready();

  connection* first_ = nullptr;
  std::vector<std::shared_ptr<connection>> ready_;
  std::vector<std::shared_ptr<connection>> running_;
  bool posted_ = false;
};

}  // namespace kgents::gateway::http
