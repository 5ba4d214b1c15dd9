#include "runtime/telemetry/log.hpp"

#include <spdlog/async.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <charconv>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <ctime>
#include <memory>
#include <mutex>
#include <thread>

namespace kgents::log {

namespace detail {
std::atomic<log_severity> threshold{log_severity::info};
}

namespace {

// 4,096 lines of about 300 bytes: a burst of a second at full load, and little memory while nobody
// reads.
constexpr size_t queue_lines = 4096;
constexpr auto stop_deadline = std::chrono::seconds{2};
constexpr size_t max_text_bytes = 4096;  // of one value: a log is no place for documents

struct state {
  options how;
  std::shared_ptr<spdlog::details::thread_pool> writer;
  std::shared_ptr<spdlog::logger> logger;
};

// Replaced as a whole by start and stop; readers keep what they got. A global, since every line of
// code may log and a parameter for it through every function would say nothing.
std::atomic<std::shared_ptr<state>> current;

std::string_view name_of(log_severity level) noexcept {
  switch (level) {
    case log_severity::debug:
      return "debug";
    case log_severity::info:
      return "info";
    case log_severity::warn:
      return "warn";
    case log_severity::error:
      return "error";
  }
  return "error";
}

template <class Number>
void append_number(std::string& out, Number value) {
  char digits[32];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, value);
  out.append(digits, error == std::errc{} ? end : digits);
}

/// Length of the well-formed UTF-8 sequence at the start of `text`, 0 if there is none (Unicode 15,
/// table 3-7).
size_t sequence_length(std::string_view text) noexcept {
  const auto at = [text](size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto lead = at(0);
  size_t length = 0;
  unsigned char low = 0x80;
  unsigned char high = 0xbf;
  if (lead >= 0xc2 && lead <= 0xdf) {
    length = 2;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    length = 3;
    low = lead == 0xe0 ? 0xa0 : low;
    high = lead == 0xed ? 0x9f : high;
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    length = 4;
    low = lead == 0xf0 ? 0x90 : low;
    high = lead == 0xf4 ? 0x8f : high;
  }
  if (length == 0 || text.size() < length || at(1) < low || at(1) > high)
    return 0;
  for (size_t i = 2; i < length; ++i)
    if (at(i) < 0x80 || at(i) > 0xbf)
      return 0;
  return length;
}

void append_escaped(std::string& out, std::string_view text) {
  constexpr std::string_view replacement = "\xef\xbf\xbd";
  constexpr char hex[] = "0123456789abcdef";
  while (!text.empty()) {
    const auto c = static_cast<unsigned char>(text.front());
    size_t length = 1;
    if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c < 0x20 || c == 0x7f) {
      out += "\\u00";
      out += hex[c >> 4];
      out += hex[c & 15];
    } else if (c < 0x80) {
      out += static_cast<char>(c);
    } else if (length = sequence_length(text); length > 0) {
      out += text.substr(0, length);
    } else {
      out += replacement;
      length = 1;
    }
    text.remove_prefix(length);
  }
}

std::string_view clipped(std::string_view text) noexcept { return text.substr(0, max_text_bytes); }

void append_time(std::string& out, int64_t unix_nanoseconds) {
  const std::time_t seconds = unix_nanoseconds / 1'000'000'000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[48];
  const int length = std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%09lldZ",
                                   parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                                   parts.tm_hour, parts.tm_min, parts.tm_sec,
                                   static_cast<long long>(unix_nanoseconds % 1'000'000'000));
  out.append(text, static_cast<size_t>(length));
}

std::string json_line(const options& how, log_severity level, std::string_view message,
                      fields values, int64_t unix_nanoseconds) {
  std::string line;
  line.reserve(256);
  line += R"({"time":")";
  append_time(line, unix_nanoseconds);
  line += R"(","level":")";
  line += name_of(level);
  line += R"(","msg":)";
  append_json_string(line, clipped(message));
  line += R"(,"service":)";
  append_json_string(line, how.service);
  line += R"(,"version":")" KGENTS_VERSION "\"";
  for (const auto& value : values) {
    line += ',';
    value.append_json(line);
  }
  line += '}';
  return line;
}

std::string text_line(log_severity level, std::string_view message, fields values,
                      int64_t unix_nanoseconds) {
  std::string time;
  append_time(time, unix_nanoseconds);
  std::string line =
      time.substr(11, 12);  // the time of day in milliseconds: a person knows the date
  line += ' ';
  line += name_of(level);
  line.resize(19, ' ');
  append_escaped(line, clipped(message));
  for (const auto& value : values) {
    line += "  ";
    value.append_text(line);
  }
  return line;
}

int64_t unix_now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  append_escaped(out, text);
  out += '"';
}

void field::append_json(std::string& out) const {
  append_json_string(out, name_);
  out += ':';
  append_value(out);
}

void field::append_text(std::string& out) const {
  append_escaped(out, name_);
  out += '=';
  if (kind_ == kind::text)
    append_escaped(out, clipped(text_));
  else
    append_value(out);
}

void field::append_value(std::string& out) const {
  switch (kind_) {
    case kind::text:
      append_json_string(out, clipped(text_));
      break;
    case kind::integer:
      append_number(out, value_.integer);
      break;
    case kind::natural:
      append_number(out, value_.natural);
      break;
    case kind::real:
      if (std::isfinite(value_.real))
        append_number(out, value_.real);
      else
        out += "null";  // JSON has no other word for it
      break;
    case kind::boolean:
      out += value_.boolean ? "true" : "false";
      break;
    case kind::json:
      out += text_;
      break;
  }
}

std::string format_line(const options& how, log_severity level, std::string_view message,
                        fields values, int64_t unix_nanoseconds) {
  return how.form == log_form::json ? json_line(how, level, message, values, unix_nanoseconds)
                                    : text_line(level, message, values, unix_nanoseconds);
}

void start(const options& how) {
  auto next = std::make_shared<state>();
  next->how = how;
  next->writer = std::make_shared<spdlog::details::thread_pool>(queue_lines, 1);
  next->logger = std::make_shared<spdlog::async_logger>(
      "kgents", std::make_shared<spdlog::sinks::stderr_sink_mt>(), next->writer,
      spdlog::async_overflow_policy::overrun_oldest);
  next->logger->set_pattern("%v");
  next->logger->set_level(spdlog::level::trace);  // enabled() has judged already
  detail::threshold.store(how.level, std::memory_order_relaxed);
  current.store(std::move(next));
}

void stop() {
  auto last = current.exchange(nullptr);
  if (!last)
    return;
  struct handshake {
    std::mutex mutex;
    std::condition_variable changed;
    bool done = false;
  };
  auto end = std::make_shared<handshake>();
  // The pool's destructor writes what is queued and joins; a reader that never reads must not keep
  // the program alive.
  std::thread{[end, last = std::move(last)]() mutable {
    last->logger->flush();
    last.reset();
    std::lock_guard guard{end->mutex};
    end->done = true;
    end->changed.notify_one();
  }}.detach();
  std::unique_lock guard{end->mutex};
  end->changed.wait_for(guard, stop_deadline, [&end] { return end->done; });
}

void write(log_severity level, std::string_view message, fields values) {
  const auto now = unix_now();
  if (const auto active = current.load()) {
    active->logger->log(spdlog::level::info, format_line(active->how, level, message, values, now));
    return;
  }
  auto line = format_line({}, level, message, values, now);
  line += '\n';
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace kgents::log
