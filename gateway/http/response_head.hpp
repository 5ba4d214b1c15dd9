#pragma once

#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/http/exchange.hpp"

namespace kgents::gateway::http {

/// How the end of an answer's body is told.
enum class framing : uint8_t {
  none,  ///< there cannot be a body: 1xx, 204, 304
  content_length,
  chunked,
  until_close,  ///< streams to HTTP/1.0 clients
};

/// What of the head the connection decides.
struct head_options {
  framing how = framing::content_length;
  size_t content_length = 0;
  bool http11 = true;  ///< the request's version; the answer says HTTP/1.1 in any case
  bool keep_alive = true;
  std::string_view date;  ///< IMF-fixdate
};

void append_head(std::string& to, const response& x, const head_options& how);

[[nodiscard]] std::string_view reason_phrase(unsigned status) noexcept;

/// `Sun, 06 Nov 1994 08:49:37 GMT`, made once a second.
class date_text {
public:
  [[nodiscard]] std::string_view now();
  [[nodiscard]] static std::string format(std::time_t t);

private:
  std::time_t at_ = -1;
  std::string text_;
};

}  // namespace kgents::gateway::http
