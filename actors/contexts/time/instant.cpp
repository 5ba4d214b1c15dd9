#include "actors/contexts/time/instant.hpp"

#include <charconv>
#include <cstdio>

namespace kgents::actors {

using namespace std::chrono;

namespace {

constexpr seconds longest = hours{24 * 3653};

/// Reads what is at the front of a text.
class reader {
public:
  explicit reader(std::string_view text) : rest_{text} {}

  [[nodiscard]] bool done() const noexcept { return rest_.empty(); }
  bool take(char x) {
    if (rest_.empty() || rest_.front() != x)
      return false;
    rest_.remove_prefix(1);
    return true;
  }
  /// Exactly so many digits.
  std::optional<int> digits(size_t n) {
    if (rest_.size() < n)
      return std::nullopt;
    int out = 0;
    for (size_t i = 0; i < n; ++i) {
      if (rest_[i] < '0' || rest_[i] > '9')
        return std::nullopt;
      out = out * 10 + (rest_[i] - '0');
    }
    rest_.remove_prefix(n);
    return out;
  }
  /// Digits behind a point, as microseconds; further ones are cut off.
  std::optional<microseconds> fraction() {
    int64_t out = 0;
    size_t n = 0;
    for (; n < rest_.size() && rest_[n] >= '0' && rest_[n] <= '9'; ++n)
      if (n < 6)
        out = out * 10 + (rest_[n] - '0');
    if (n == 0)
      return std::nullopt;
    for (size_t i = n; i < 6; ++i)
      out *= 10;
    rest_.remove_prefix(n);
    return microseconds{out};
  }

private:
  std::string_view rest_;
};

/// Since midnight.
std::optional<microseconds> time_of_day(reader& in) {
  const auto hour = in.digits(2);
  if (!hour || *hour > 23 || !in.take(':'))
    return std::nullopt;
  const auto minute = in.digits(2);
  if (!minute || *minute > 59)
    return std::nullopt;
  microseconds out = hours{*hour} + minutes{*minute};
  if (!in.take(':'))
    return out;
  const auto second = in.digits(2);
  if (!second || *second > 59)
    return std::nullopt;
  out += seconds{*second};
  if (in.take('.')) {
    const auto part = in.fraction();
    if (!part)
      return std::nullopt;
    out += *part;
  }
  return out;
}

/// How far the zone at the end of a time is ahead of UTC.
std::optional<minutes> zone(reader& in) {
  if (in.done() || in.take('Z') || in.take('z'))
    return minutes{0};
  const bool ahead = in.take('+');
  if (!ahead && !in.take('-'))
    return std::nullopt;
  const auto hour = in.digits(2);
  in.take(':');
  const auto minute = in.done() ? std::optional{0} : in.digits(2);
  if (!hour || !minute || *hour > 23 || *minute > 59)
    return std::nullopt;
  const auto out = hours{*hour} + minutes{*minute};
  return ahead ? minutes{out} : -minutes{out};
}

}  // namespace

std::optional<instant> parse_instant(std::string_view text, instant now) {
  if (text == "now")
    return now;
  reader in{text};
  const auto y = in.digits(4);
  if (!y || !in.take('-'))
    return std::nullopt;
  const auto m = in.digits(2);
  if (!m || !in.take('-'))
    return std::nullopt;
  const auto d = in.digits(2);
  if (!d)
    return std::nullopt;
  const year_month_day date{year{*y}, month{static_cast<unsigned>(*m)},
                            day{static_cast<unsigned>(*d)}};
  if (!date.ok() || *y < 1970)
    return std::nullopt;
  instant out = sys_days{date};
  if (in.done())
    return out;
  if (!in.take('T') && !in.take('t') && !in.take(' '))
    return std::nullopt;
  const auto time = time_of_day(in);
  if (!time)
    return std::nullopt;
  const auto ahead = zone(in);
  if (!ahead || !in.done())
    return std::nullopt;
  return out + *time - *ahead;
}

std::string to_text(instant x) {
  const auto day = floor<days>(x);
  const year_month_day date{day};
  const hh_mm_ss time{x - day};
  char out[48];
  std::snprintf(out, sizeof out, "%04d-%02u-%02uT%02d:%02d:%02d.%06d+00:00",
                static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                static_cast<unsigned>(date.day()), static_cast<int>(time.hours().count()),
                static_cast<int>(time.minutes().count()), static_cast<int>(time.seconds().count()),
                static_cast<int>(time.subseconds().count()));
  return out;
}

std::optional<seconds> parse_duration(std::string_view text) {
  double amount = 0;
  const auto* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, amount, std::chars_format::fixed);
  if (read.ec != std::errc{} || end - read.ptr > 1)
    return std::nullopt;
  double unit = 1;
  if (read.ptr != end) {
    switch (*read.ptr) {
      case 's': unit = 1; break;
      case 'm': unit = 60; break;
      case 'h': unit = 3600; break;
      case 'd': unit = 86'400; break;
      case 'w': unit = 604'800; break;
      default: return std::nullopt;
    }
  }
  const auto all = amount * unit;
  if (!(all >= 1) || all > static_cast<double>(longest.count()))
    return std::nullopt;
  return seconds{static_cast<int64_t>(all)};
}

instant now_instant() { return floor<microseconds>(system_clock::now()); }

}  // namespace kgents::actors
