#pragma once

#include <boost/asio/signal_set.hpp>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "gateway/program/kg/http.hpp"

namespace kgents::kg {

/// Lines of standard input, read by a thread of their own, so that an answer goes on streaming
/// while somebody types. (Not by the loop: it would make the terminal non-blocking, for the shell
/// behind us too.) Reads a line only when one is asked for.
class line_reader {
public:
  explicit line_reader(event_loop& loop);
  line_reader(const line_reader&) = delete;
  line_reader& operator=(const line_reader&) = delete;
  ~line_reader();

  /// Asks for a line, once at a time.
  void ask();
  [[nodiscard]] bool has_line() const noexcept { return line_.has_value(); }
  [[nodiscard]] std::optional<std::string> take();
  [[nodiscard]] bool ended() const noexcept { return ended_; }

private:
  void run();
  [[nodiscard]] bool read_more();

  event_loop& loop_;
  bool asked_ = false;  // these three: main thread
  std::optional<std::string> line_;
  bool ended_ = false;

  std::mutex guard_;
  std::condition_variable wanted_;
  bool want_ = false;
  bool stop_ = false;
  int stopped_fd_ = -1;
  std::string buffer_;  // the reader's
  std::thread thread_;
};

/// Counts Ctrl-C instead of ending the program.
class interrupts {
public:
  explicit interrupts(event_loop& loop);
  [[nodiscard]] unsigned count() const noexcept { return count_; }

private:
  void wait();

  boost::asio::signal_set signals_;
  unsigned count_ = 0;
};

/// A line of standard input without its end, from a terminal without showing it; none: there is
/// none. Ctrl-C ends the program.
[[nodiscard]] std::optional<std::string> read_secret(std::string_view prompt);

}  // namespace kgents::kg
