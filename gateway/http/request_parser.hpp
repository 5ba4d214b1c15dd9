#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/http/exchange.hpp"

namespace kgents::gateway::http {

/// Headers of one request; more are 431. Each costs 64 bytes beside its text, so 16 KiB of tiny
/// ones would cost 250 KiB.
inline constexpr size_t max_request_headers = 200;

/// The body of one request, decoded as its bytes come in. Content-Length or chunked; extensions and
/// trailers are bounded by the caller's buffer and ignored.
class body_decoder {
public:
  enum class state : uint8_t { more, done, too_large, malformed };

  virtual ~body_decoder() = default;

  /// Takes what it can from `in` (the rest must be offered again with more behind it) and appends
  /// to `out`, or drops it when `out` is null.
  virtual size_t take(std::string_view in, std::string* out, state& now) = 0;

  /// At most so many more bytes of body: `too_large` beyond.
  virtual void limit(uint64_t bytes) noexcept = 0;
};

/// What the connection must know of a head.
struct head_facts {
  bool http11 = true;
  bool keep_alive = true;
  bool is_head = false;
  bool expects_continue = false;
  std::optional<uint64_t> content_length;  ///< of a body that is not chunked
  std::unique_ptr<body_decoder> body;      ///< none: no body
};

/// Why a head was refused; status 0: it was not.
struct refusal {
  unsigned status = 0;
  std::string_view why;
};

/// Parses a whole head (as found by head_scanner). Refuses what RFC 9112 lets or makes a server
/// refuse: 400 for malformed ones and ambiguous lengths, 417, 431, 501 for transfer codings, 505.
refusal parse_head(std::string_view head, request& out, head_facts& facts);

/// A `Host` that names a host: letters, digits, `-._~%`, or a bracketed address, and perhaps a
/// port.
[[nodiscard]] bool valid_host(std::string_view host) noexcept;

}  // namespace kgents::gateway::http
