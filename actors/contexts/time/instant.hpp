#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace kgents::actors {

using instant = std::chrono::time_point<std::chrono::system_clock, std::chrono::microseconds>;

/// ISO 8601: a date, or a date and time with `T` or a space between them, seconds, fraction and zone
/// optional (UTC without one); `now` is `now`. Nothing when it is none of these or no such day. From
/// the year 1970 to 9999.
[[nodiscard]] std::optional<instant> parse_instant(std::string_view text, instant now);

/// `YYYY-MM-DDTHH:MM:SS.ffffff+00:00`.
[[nodiscard]] std::string to_text(instant x);

/// A length of time: a number and one of s, m, h, d, w (`1d`, `90m`, `1.5h`), or seconds without
/// one. Nothing when it is none, not above zero, or longer than ten years.
[[nodiscard]] std::optional<std::chrono::seconds> parse_duration(std::string_view text);

[[nodiscard]] instant now_instant();

}  // namespace kgents::actors
