#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ssl/context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "actors/llm/http_url.hpp"
#include "actors/llm/sse_decoder.hpp"

/// HTTP for kg: one thread, one connection a request, no proxies.
namespace kgents::kg {

using steady = std::chrono::steady_clock;

/// What happens to the program: answers, signals, typed lines. Run by hand, on the main thread.
class event_loop {
public:
  [[nodiscard]] boost::asio::io_context& context() noexcept { return io_; }

  /// Handles what happens until `done()` holds; false: the deadline came first. Not to be called
  /// from a handler.
  bool until(const std::function<bool()>& done,
             steady::time_point deadline = steady::time_point::max());

private:
  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      io_.get_executor()};
};

struct http_request {
  std::string method = "GET";
  std::string target{};        ///< below the server's URL, escaped
  std::string body{};          ///< JSON; empty: none
  std::string header_lines{};  ///< whole lines, each ended by CRLF
};

struct http_answer {
  unsigned status = 0;
  std::chrono::seconds retry_after{0};  ///< 0: the server did not say
  std::string body{};
};

/// Why there is no answer.
enum class failure { unresolved, refused, tls, cut, malformed, silent, too_large };

/// What the server has not got: it may be asked again without doubt.
[[nodiscard]] constexpr bool never_sent(failure x) noexcept {
  return x == failure::unresolved || x == failure::refused || x == failure::tls;
}

/// One request and its answer, whole or as events. Fills while the loop runs; the answer is read
/// no faster than `next` takes it, so TCP pushes back. Closed when it goes.
class exchange {
public:
  virtual ~exchange() = default;

  /// The answer has begun, has ended, or is not going to come.
  [[nodiscard]] virtual bool streaming() const = 0;  ///< it is 200 and events
  [[nodiscard]] virtual bool ended() const = 0;      ///< nothing more comes; events may be left
  [[nodiscard]] virtual std::optional<failure> failed() const = 0;
  [[nodiscard]] virtual const http_answer& answer() const = 0;  ///< when not streaming

  [[nodiscard]] virtual bool has_event() const = 0;
  /// The next event, asking for more of them when that was the last one here.
  [[nodiscard]] virtual std::optional<llm::sse_event> next() = 0;
};

class http_client {
public:
  http_client(event_loop& loop, llm::http_url server, std::string key);

  /// Starts a request. Without a byte for `silence` it fails.
  [[nodiscard]] std::unique_ptr<exchange> begin(const http_request& what,
                                                std::chrono::seconds silence) const;

  /// One request, whole. Runs the loop.
  [[nodiscard]] std::variant<http_answer, failure> call(const http_request& what,
                                                        std::chrono::seconds silence) const;

  [[nodiscard]] event_loop& loop() const noexcept { return loop_; }

private:
  event_loop& loop_;
  const llm::http_url server_;
  const std::string key_;
  std::shared_ptr<boost::asio::ssl::context> tls_;
};

/// As a component of a URL (RFC 3986: everything but unreserved characters is escaped).
[[nodiscard]] std::string escaped(std::string_view text);

}  // namespace kgents::kg
