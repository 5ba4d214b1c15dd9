#define CAF_SUITE log

#include "runtime/telemetry/log.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <boost/json.hpp>

#include <limits>
#include <sstream>

#include <caf/test/dsl.hpp>  // last: it defines macros named expect, allow, inject

using namespace kgents;
namespace json = boost::json;

namespace {

constexpr int64_t moment = 1'700'000'000'123'456'789;  // 2023-11-14T22:13:20.123456789Z

/// Boost.JSON refuses what is not UTF-8, too.
bool is_json(const std::string& line) {
  boost::system::error_code error;
  (void)json::parse(line, error);
  return !error;
}

json::object parsed(std::string_view message, log::fields values) {
  const auto line = log::format_line({}, log::log_severity{}, message, values, moment);
  return json::parse(line).as_object();
}

/// What a child process wrote to standard error while it ran `body`.
template <class Body>
std::string standard_error_of(Body body) {
  int ends[2];
  CAF_REQUIRE_EQUAL(::pipe(ends), 0);
  const auto child = ::fork();
  if (child == 0) {
    ::dup2(ends[1], STDERR_FILENO);
    body();
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string out;
  char piece[65536];
  for (ssize_t n; (n = ::read(ends[0], piece, sizeof piece)) > 0;)
    out.append(piece, static_cast<size_t>(n));
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  CAF_CHECK_EQUAL(status, 0);
  return out;
}

}  // namespace

CAF_TEST(a field of JSON goes in as it is) {
  const auto line = parsed("shards", {log::field::json("nodes", R"({"a":1,"b":[2]})")});
  CAF_CHECK(line.at("nodes") == json::parse(R"({"a":1,"b":[2]})"));
}

CAF_TEST(a line has the contractual members and its typed fields) {
  const std::string route = "/v1/kgent/sessions";
  const auto x = parsed("request", {{"route", route},
                                    {"status", 200},
                                    {"duration_ms", 1.5},
                                    {"bytes", uint64_t{18'446'744'073'709'551'615u}},
                                    {"delta", -3},
                                    {"cached", true},
                                    {"tenant_id", "t"}});
  CAF_CHECK_EQUAL(json::value_to<std::string>(x.at("time")), "2023-11-14T22:13:20.123456789Z");
  CAF_CHECK_EQUAL(json::value_to<std::string>(x.at("level")), "debug");
  CAF_CHECK_EQUAL(json::value_to<std::string>(x.at("msg")), "request");
  CAF_CHECK_EQUAL(json::value_to<std::string>(x.at("service")), "kgentsd");
  CAF_CHECK(x.contains("version"));
  CAF_CHECK_EQUAL(json::value_to<std::string>(x.at("route")), route);
  CAF_CHECK_EQUAL(x.at("status").as_int64(), 200);
  CAF_CHECK_EQUAL(x.at("duration_ms").as_double(), 1.5);
  CAF_CHECK_EQUAL(x.at("bytes").as_uint64(), std::numeric_limits<uint64_t>::max());
  CAF_CHECK_EQUAL(x.at("delta").as_int64(), -3);
  CAF_CHECK(x.at("cached").as_bool());
}

CAF_TEST(whatever the text holds the line stays one line of JSON) {
  std::string all;
  for (int c = 0; c < 256; ++c)
    all += static_cast<char>(c);
  const auto line = log::format_line({}, log::log_severity::info, all, {{"error", all}}, moment);
  CAF_CHECK_EQUAL(line.find('\n'), std::string::npos);
  CAF_CHECK(is_json(line));
  CAF_CHECK_EQUAL(json::value_to<std::string>(parsed("\"\\\n\x01 ü €", {}).at("msg")),
                  "\"\\\n\x01 ü €");
  for (auto broken : {"\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\x80"})
    CAF_CHECK(is_json(log::format_line({}, log::log_severity::info, broken, {}, moment)));
}

CAF_TEST(numbers that JSON has no word for become null) {
  CAF_CHECK(
      parsed("x", {{"ratio", std::numeric_limits<double>::quiet_NaN()}}).at("ratio").is_null());
}

CAF_TEST(the form for people is short) {
  const auto line = log::format_line({.form = log::log_form::text}, log::log_severity::warn, "slow",
                                     {{"ms", 12}, {"who", "a\nb"}}, moment);
  CAF_CHECK_EQUAL(line, "22:13:20.123 warn  slow  ms=12  who=a\\nb");
}

CAF_TEST(lines below the level are not written and braces are no format) {
  const auto out = standard_error_of([] {
    log::start({.level = log::log_severity::warn});
    log::info("quiet");
    log::warn("{} {0} %v", {{"a", 1}});
    log::stop();
  });
  CAF_CHECK_EQUAL(out.find("quiet"), std::string::npos);
  CAF_CHECK_EQUAL(json::value_to<std::string>(json::parse(out).as_object().at("msg")), "{} {0} %v");
}

CAF_TEST(everything written before stop is on standard error after it) {
  const auto out = standard_error_of([] {
    log::start({});
    for (int i = 0; i < 1000; ++i)
      log::info("line", {{"i", i}});
    log::stop();
  });
  CAF_CHECK_EQUAL(std::count(out.begin(), out.end(), '\n'), 1000);
}

CAF_TEST(nobody waits for a standard error that is not read) {
  int ends[2];
  CAF_REQUIRE_EQUAL(::pipe(ends), 0);
  const auto child = ::fork();
  if (child == 0) {
    ::dup2(ends[1], STDERR_FILENO);
    ::alarm(60);  // the child of a broken implementation would stay for ever
    log::start({});
    for (int i = 0; i < 100'000; ++i)
      log::info("a line that nobody reads");
    log::stop();
    ::_exit(0);
  }
  int status = 1;
  ::waitpid(child, &status, 0);
  CAF_CHECK_EQUAL(status, 0);
  ::close(ends[0]);
  ::close(ends[1]);
}
