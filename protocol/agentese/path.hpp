#pragma once

// The grammar of agentese.md section 1.1. Pure: no I/O, no clock, nothing thrown for bad input; may
// be called from any thread. Linear in the length of the text, which is bounded before anything is
// looked at.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace kgents::agentese {

constexpr size_t max_path_bytes = 512;
constexpr size_t max_segments = 16;

/// The five there are; no other is ever added. Names that are C++ keywords end in `_`.
enum class context : uint8_t { world, self, concept_, void_, time };

/// In the order of the enumeration.
inline constexpr std::array<std::string_view, 5> context_names{"world", "self", "concept", "void",
                                                               "time"};

[[nodiscard]] std::optional<context> parse_context(std::string_view name) noexcept;
[[nodiscard]] std::string_view to_string(context x) noexcept;

/// `[a-z][a-z0-9_]*`, of any length.
[[nodiscard]] bool is_identifier(std::string_view text) noexcept;

/// Why a text is not what was asked for. Texts are safe to show: control characters are escaped.
struct syntax_error {
  enum class kind : uint8_t {
    malformed,        ///< breaks the grammar
    incomplete,       ///< too few segments for what was asked
    unknown_context,  ///< well-formed, but its first segment is not one of the five: "not found"
  };

  kind what = kind::malformed;
  std::string message;     ///< one of the patterns of section 1.2
  std::string locus;       ///< the part of the text that is wrong
  size_t position = 0;     ///< byte offset of `locus` in the text
  std::string suggestion;  ///< a next step, never empty
};

class owned_path;

/// A parsed path. Its members view the parsed text, which has to outlive it (or string literals).
struct path {
  std::string_view node;    ///< world.house.kitchen
  std::string_view holon;   ///< the second segment: house
  std::string_view aspect;  ///< empty after needs::node
  agentese::context context = agentese::context::world;
  uint8_t segments = 0;  ///< of `node`, 2 to 16

  /// The canonical form: parsing it gives an equal path.
  [[nodiscard]] std::string text() const;

  /// A copy that views nothing.
  [[nodiscard]] owned_path owned() const;

  friend bool operator==(const path&, const path&) = default;
};

/// A path with its text.
class owned_path {
public:
  explicit owned_path(const path& x);

  /// Views into this object: valid until it is moved from, assigned to or destroyed.
  [[nodiscard]] path view() const noexcept;
  [[nodiscard]] const std::string& text() const noexcept { return text_; }
  [[nodiscard]] std::string_view node() const noexcept { return {text_.data(), node_size_}; }
  [[nodiscard]] std::string_view aspect() const noexcept;

  friend bool operator==(const owned_path&, const owned_path&) = default;

private:
  std::string text_;
  uint16_t node_size_;
  agentese::context context_;
  uint8_t segments_;
};

/// What the caller wants to do with the path.
enum class needs : uint8_t {
  aspect,   ///< invoke, compose: three segments or more, the last is the aspect
  node,     ///< resolve, affordances: two or more, all of them the node path
  lenient,  ///< as `aspect`, but two segments get the aspect `manifest`
};

/// Parses a core path, after alias expansion and without legacy modifiers (see legacy.hpp). What
/// breaks the grammar anywhere is reported before an unknown context. Success allocates nothing.
[[nodiscard]] std::variant<path, syntax_error> parse_path(std::string_view text,
                                                          needs what = needs::aspect);

/// Splits a node path at its last segment: {"world.house", "kitchen"}; {text, ""} if it has one
/// segment.
[[nodiscard]] std::pair<std::string_view, std::string_view> split_last(
    std::string_view text) noexcept;

/// The text before the first dot.
[[nodiscard]] std::string_view first_segment(std::string_view text) noexcept;

/// `text` for messages: at most `most` bytes, control characters and bytes that are no UTF-8 as
/// \xNN.
[[nodiscard]] std::string printable(std::string_view text, size_t most = 128);

}  // namespace kgents::agentese
