#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace kgents::llm {

struct sse_event {
  std::string name{};  ///< of `event:`; empty: "message"
  std::string data{};  ///< several `data:` lines joined by LF
  std::string id{};    ///< of its own `id:`; empty: none
};

/// The largest event a provider may send; its rest is not read.
constexpr size_t max_sse_event_bytes = 1024 * 1024;

/// Server-sent events from bytes that arrive in any portions (WHATWG HTML, 9.2.6): LF, CRLF and CR,
/// comments, byte order mark. Pulled, not pushed, so that a reader without credit leaves the rest
/// undecoded. No I/O.
class sse_decoder {
public:
  void feed(std::string_view bytes);

  enum class result { event, need_more, too_large };

  [[nodiscard]] result next(sse_event& out);

  /// The body ended: an event without its closing blank line counts too, since some providers leave
  /// it out.
  [[nodiscard]] result last(sse_event& out);

private:
  void line(std::string_view text);
  [[nodiscard]] bool dispatch(sse_event& out);

  std::string buffer_;
  size_t at_ = 0;       // start of the current line
  size_t scanned_ = 0;  // no line end before this
  sse_event event_;
  bool has_data_ = false;
  bool after_cr_ = false;  // an LF that comes now belongs to the CR before
  bool first_line_ = true;
};

}  // namespace kgents::llm
