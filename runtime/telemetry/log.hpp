#pragma once

#include <atomic>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "runtime/settings.hpp"

/// Logging: one JSON object a line on standard error (operations.md section 5), or text for people.
///
/// A call formats the line on the caller's thread and hands it to one writer thread over a bounded
/// queue; a full queue drops its oldest line, so a slow reader of standard error never stalls an
/// actor or an I/O thread. Any thread.
///
/// Keys, tokens, connection URLs and the text of messages never go in here, at no level.
namespace kgents::log {

using runtime::log_form;
using runtime::log_severity;

/// A named value of one line; it only views text, so it must not outlive the call.
class field {
public:
  enum class kind : uint8_t { text, integer, natural, real, boolean, json };

  /// `value` is JSON text already: it goes in as it is.
  [[nodiscard]] static field json(std::string_view name, std::string_view value) {
    field out{name, value};
    out.kind_ = kind::json;
    return out;
  }

  template <class Text>
  requires std::convertible_to<const Text&, std::string_view> field(std::string_view name,
                                                                    const Text& value)
      : name_{name}, text_{static_cast<std::string_view>(value)}, kind_{kind::text} {}
  field(std::string_view name, bool value) : name_{name}, kind_{kind::boolean} {
    value_.boolean = value;
  }
  template <std::signed_integral Int>
  field(std::string_view name, Int value) : name_{name}, kind_{kind::integer} {
    value_.integer = value;
  }
  template <std::unsigned_integral Int>
  requires(!std::same_as<Int, bool>) field(std::string_view name, Int value)
      : name_{name}, kind_{kind::natural} {
    value_.natural = value;
  }
  template <std::floating_point Real>
  field(std::string_view name, Real value) : name_{name}, kind_{kind::real} {
    value_.real = value;
  }

  void append_json(std::string& out) const;  ///< `"name":value`
  void append_text(std::string& out) const;  ///< `name=value`

private:
  void append_value(std::string& out) const;

  std::string_view name_;
  std::string_view text_;
  union {
    int64_t integer;
    uint64_t natural;
    double real;
    bool boolean;
  } value_{};
  kind kind_;
};

using fields = std::initializer_list<field>;

struct options {
  log_severity level = log_severity::info;
  log_form form = log_form::json;
  std::string_view service = "kgentsd";
};

/// Starts the writer thread; before it, and after `stop`, lines are written by the caller,
/// unbuffered.
void start(const options& how);

/// Writes what is queued and ends the writer thread; gives up after two seconds when nobody reads
/// standard error.
void stop();

namespace detail {
extern std::atomic<log_severity> threshold;
}

[[nodiscard]] inline bool enabled(log_severity level) noexcept {
  return level >= detail::threshold.load(std::memory_order_relaxed);
}

void write(log_severity level, std::string_view message, fields values);

inline void debug(std::string_view message, fields values = {}) {
  if (enabled(log_severity::debug))
    write(log_severity::debug, message, values);
}
inline void info(std::string_view message, fields values = {}) {
  if (enabled(log_severity::info))
    write(log_severity::info, message, values);
}
inline void warn(std::string_view message, fields values = {}) {
  if (enabled(log_severity::warn))
    write(log_severity::warn, message, values);
}
inline void error(std::string_view message, fields values = {}) {
  if (enabled(log_severity::error))
    write(log_severity::error, message, values);
}

/// `text` as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. For those who
/// build a line of their own.
void append_json_string(std::string& out, std::string_view text);

/// One whole line without its newline, as `write` would make it at `unix_nanoseconds`: what the
/// tests read.
[[nodiscard]] std::string format_line(const options& how, log_severity level,
                                      std::string_view message, fields values,
                                      int64_t unix_nanoseconds);

}  // namespace kgents::log
