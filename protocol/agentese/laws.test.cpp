#define CAF_SUITE laws

#include "protocol/agentese/laws.hpp"

#include <boost/json/parse.hpp>
#include <caf/test/dsl.hpp>

using boost::json::parse;
using kgents::agentese::is_one_unit;
using kgents::agentese::same_value;
using kgents::agentese::type_name;

CAF_TEST(values are the same whatever their times and the order of their members) {
  CAF_CHECK(same_value(parse(R"({"a":1,"b":[{"timestamp":1,"x":2}],"span_id":"q"})"),
                       parse(R"({"b":[{"x":2,"created_at":5}],"updated_at":null,"a":1})")));
  CAF_CHECK(same_value(parse("[1,2]"), parse("[1,2]")));
  CAF_CHECK(same_value(parse("1"), parse("1.0")));
  CAF_CHECK(same_value(parse("18446744073709551615"), parse("18446744073709551615")));
  CAF_CHECK(same_value(parse(R"({"timestamp":1})"), parse("{}")));
}

CAF_TEST(values that differ anywhere else differ) {
  const std::pair<const char*, const char*> table[] = {
      {"1", "2"},
      {"1", "\"1\""},
      {"null", "false"},
      {"[1,2]", "[2,1]"},
      {"[1]", "[1,1]"},
      {R"({"a":1})", R"({"a":2})"},
      {R"({"a":1})", R"({"b":1})"},
      {R"({"a":1})", R"({"a":1,"b":null})"},
      {R"({"a":null,"timestamp":1})", R"({"b":null,"timestamp":1})"},
      {"18446744073709551615", "18446744073709551614"},
      {"9007199254740993", "9007199254740992.0"},
      {"-1", "18446744073709551615"},
      {R"({"a":{"b":[{"c":1}]}})", R"({"a":{"b":[{"c":2}]}})"},
  };
  for (const auto& [a, b] : table) {
    CAF_CHECK(!same_value(parse(a), parse(b)));
    CAF_CHECK(!same_value(parse(b), parse(a)));
  }
}

CAF_TEST(one unit is anything but an array) {
  for (auto text : {"1", "null", "true", R"("x")", "{}", R"({"a":[1,2]})"})
    CAF_CHECK(is_one_unit(parse(text)));
  CAF_CHECK(!is_one_unit(parse("[]")));
  CAF_CHECK(!is_one_unit(parse("[1]")));
}

CAF_TEST(types have the names of JSON) {
  CAF_CHECK_EQUAL(type_name(parse("{}")), "object");
  CAF_CHECK_EQUAL(type_name(parse("[]")), "array");
  CAF_CHECK_EQUAL(type_name(parse("1.5")), "number");
  CAF_CHECK_EQUAL(type_name(parse("18446744073709551615")), "number");
  CAF_CHECK_EQUAL(type_name(parse("true")), "boolean");
  CAF_CHECK_EQUAL(type_name(parse("null")), "null");
  CAF_CHECK_EQUAL(type_name(parse(R"("")")), "string");
}
