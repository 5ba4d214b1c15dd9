#pragma once

#include <boost/json/object.hpp>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kgents::persona {

/// The six axes of the persona's character.
enum class axis : uint8_t { aesthetic, categorical, gratitude, heterarchy, generativity, joy };

inline constexpr std::array all_axes{axis::aesthetic,  axis::categorical,  axis::gratitude,
                                     axis::heterarchy, axis::generativity, axis::joy};

[[nodiscard]] std::string_view name(axis x) noexcept;
[[nodiscard]] std::optional<axis> parse_axis(std::string_view name) noexcept;  ///< any case

struct axis_poles {
  std::string_view low;
  std::string_view high;
};

[[nodiscard]] axis_poles poles(axis x) noexcept;

/// Where a soul stands on one axis; both numbers are in [0, 1].
struct axis_position {
  double value = 0.5;
  double confidence = 0.5;
  friend bool operator==(const axis_position&, const axis_position&) = default;
};

/// One change of an axis; `absolute` beats `delta`.
struct axis_change {
  std::optional<double> delta{};
  std::optional<double> absolute{};
  double confidence_delta = 0;
};

/// The position of one soul on all axes. Colours the style of answers, never what is true. A value
/// type.
class eigenvectors {
public:
  /// The persona's own numbers (agentese.md 18.2).
  eigenvectors() noexcept;

  [[nodiscard]] const axis_position& operator[](axis x) const noexcept {
    return positions_[static_cast<size_t>(x)];
  }

  /// Applies the change, clamped to [0, 1]. False, and nothing changed, for an unknown name or a
  /// number that is not finite.
  bool modify(std::string_view axis_name, const axis_change& change) noexcept;

  /// For readers: "strongly minimalist", "slightly minimalist", "neutral", "slightly baroque",
  /// "strongly baroque".
  [[nodiscard]] std::string describe(axis x) const;

  /// For prompts: "strongly minimalist", "leans minimalist", "balanced", "leans baroque", "strongly
  /// baroque".
  [[nodiscard]] std::string tendency(axis x) const;

  /// `{name: value}`.
  [[nodiscard]] boost::json::object values() const;

  /// `{name: {value, confidence}}`.
  [[nodiscard]] boost::json::object full() const;

  /// Takes both forms, clamped; unknown names and what is no number are ignored. Returns how many
  /// axes were set.
  size_t import(const boost::json::object& from) noexcept;

  friend bool operator==(const eigenvectors&, const eigenvectors&) = default;

private:
  std::array<axis_position, all_axes.size()> positions_;
};

}  // namespace kgents::persona
