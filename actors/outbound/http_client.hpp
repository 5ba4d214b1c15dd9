#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "runtime/io_thread.hpp"

/// Calls of other services: OpenMeter, Stripe, Qdrant, an embeddings endpoint.
namespace kgents::outbound {

struct http_request {
  std::string method = "GET";
  std::string target;  ///< appended to the base URL: "/api/v1/events?x=1", already escaped
  /// Whole lines, each ended by CRLF; Host, User-Agent and Content-Length are added.
  std::string header_lines{};
  std::string body{};
  std::chrono::milliseconds deadline{10'000};
};

struct http_answer {
  unsigned status = 0;
  std::string content_type;  ///< lower case
  std::string retry_after;   ///< as it came; empty: none
  std::string body;
};

/// No answer: `reason` is unresolved, refused, tls, cut, malformed, timeout or too_large.
struct http_failure {
  std::string_view reason;
};

using http_result = std::variant<http_answer, http_failure>;

/// A service at one base URL. Each call has a connection of its own, TLS where the URL says so,
/// with chain and host name verified; the body is bounded. It repeats nothing: who calls decides
/// what may be sent again.
class http_client {
public:
  /// Throws std::invalid_argument when that is no http(s) URL.
  explicit http_client(std::string_view base_url, size_t max_answer_bytes = 4 * 1024 * 1024);
  ~http_client();

  /// From any thread. `done` is called once, on `thread`; not when that has been stopped before.
  void call(runtime::io_thread& thread, http_request what,
            std::function<void(http_result)> done) const;

private:
  struct parts;
  std::shared_ptr<const parts> parts_;
};

/// The seconds of a `Retry-After` (a number, or an HTTP date); 0 when it is none. At most an hour.
[[nodiscard]] std::chrono::seconds retry_after(std::string_view value,
                                               std::chrono::system_clock::time_point now);

/// As a component of a URL (RFC 3986: everything but unreserved characters is escaped).
[[nodiscard]] std::string url_escaped(std::string_view text);

}  // namespace kgents::outbound
