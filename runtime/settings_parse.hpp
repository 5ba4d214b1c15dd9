#pragma once

#include <charconv>
#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// How the values of settings are written: small pure parsers, nullopt for what is malformed.
namespace kgents::runtime::parse {

[[nodiscard]] std::string lower(std::string_view text);
[[nodiscard]] std::string_view trimmed(std::string_view text) noexcept;

/// Comma-separated, trimmed, empty pieces dropped.
[[nodiscard]] std::vector<std::string> list(std::string_view text);

/// true, 1, yes, on and false, 0, no, off in any case.
[[nodiscard]] std::optional<bool> boolean(std::string_view text);

/// Digits only, no sign, within the bounds (inclusive).
[[nodiscard]] std::optional<uint64_t> number(std::string_view text, uint64_t least, uint64_t most);

/// Seconds with at most three decimals, above zero and at most a day: "30", "0.5".
[[nodiscard]] std::optional<std::chrono::milliseconds> seconds(std::string_view text);

/// scheme://authority[/path] with one of the schemes; without control characters or blanks.
[[nodiscard]] bool is_url(std::string_view text, std::initializer_list<std::string_view> schemes);

/// How many letters must be inserted, removed or replaced to get from one to the other
/// (Levenshtein, 1965).
[[nodiscard]] size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace kgents::runtime::parse
