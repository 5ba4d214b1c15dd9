#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace kgents::gateway::http {

/// Finds the end of a request's head and refuses, byte by byte, what no head may contain: bare CR
/// or LF, folded lines, control bytes. It does so before the parser proper sees the head, since
/// parsers are lenient here and two lenient ones in a row are what request smuggling lives on (RFC
/// 9112 sections 2.2, 5.2, 11.2).
///
/// Incremental: bytes that were scanned are not scanned again, so a client that sends one byte at a
/// time costs no more.
class head_scanner {
public:
  enum class result : uint8_t { incomplete, complete, malformed, target_too_long, too_large };

  /// `in` is all there is of the head so far, the scanned part included.
  result scan(std::string_view in, size_t max_bytes) noexcept;

  /// Length of the head with its empty line, once complete.
  [[nodiscard]] size_t length() const noexcept { return at_; }
  [[nodiscard]] bool started() const noexcept { return at_ > 0; }
  void reset() noexcept { *this = {}; }

private:
  uint32_t at_ = 0;    // scanned so far
  uint32_t line_ = 0;  // where the current line begins
  bool first_line_ = true;
  bool after_cr_ = false;
};

}  // namespace kgents::gateway::http
