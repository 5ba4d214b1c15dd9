#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kgents::llm {

/// How far a text is well-formed UTF-8 (Unicode 15, table 3-7). What follows `valid` is the
/// beginning of a code point unless `malformed`.
struct utf8_extent {
  size_t valid = 0;
  bool malformed = false;
};

[[nodiscard]] utf8_extent utf8_extent_of(std::string_view text) noexcept;

/// The largest prefix of at most `limit` bytes of a well-formed text that ends between two code
/// points.
[[nodiscard]] std::string_view utf8_head(std::string_view text, size_t limit) noexcept;

/// Counts the words of a text that comes in pieces, which may end inside a word.
struct word_counter {
  uint32_t words = 0;
  bool inside = false;

  void add(std::string_view piece) noexcept;
};

/// Turns a provider's text pieces into deltas: joins code points that were cut between two pieces,
/// refuses bad UTF-8, cuts large pieces, ends at a total. NUL becomes U+FFFD, since PostgreSQL's
/// text cannot hold it. No I/O.
class delta_text {
public:
  enum class verdict {
    ok,
    malformed,  ///< not UTF-8: the answer cannot go on
    full,       ///< cut at `max_total_bytes`: the answer ends here
  };

  explicit delta_text(size_t max_total_bytes) : room_{max_total_bytes} {}

  [[nodiscard]] verdict push(std::string_view piece);

  [[nodiscard]] bool empty() const noexcept { return taken_ == ready_.size(); }

  /// The next delta, at most `max_delta_bytes`.
  [[nodiscard]] std::optional<std::string> next();

  /// Whether the last piece ended inside a code point.
  [[nodiscard]] bool inside_code_point() const noexcept { return !tail_.empty(); }

private:
  std::string ready_;
  size_t taken_ = 0;  // of ready_
  std::string tail_;  // at most 3 bytes
  size_t room_;
};

}  // namespace kgents::llm
