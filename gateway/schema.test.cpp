#define CAF_SUITE schema

#include "gateway/schema.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <caf/test/dsl.hpp>

using namespace kgents::gateway;

namespace json = boost::json;

namespace {

constexpr std::string_view colours[] = {"red", "green"};

constexpr field fields[] = {
    {.name = "text", .required = true, .max_bytes = 5},
    {.name = "colour",
     .default_json = R"("red")",
     .meaning = "what it looks like",
     .one_of = colours},
    {.name = "title", .nullable = true},
    {.name = "count", .type = value_type::integer, .least = 1, .most = 10},
    {.name = "limit",
     .type = value_type::integer,
     .default_json = "50",
     .least = 1,
     .most = 100,
     .clamp = true},
    {.name = "ratio", .type = value_type::number, .least = 0, .most = 1},
    {.name = "deep", .type = value_type::boolean, .default_json = "false"},
    {.name = "extra", .type = value_type::object},
    {.name = "list", .type = value_type::array},
};
constexpr schema shape{"thing", fields};

struct fixture {
  violations wrong;

  json::object body(std::string_view text) {
    wrong.clear();
    return parse_body(shape, text, wrong);
  }

  json::object query(std::string_view text) {
    wrong.clear();
    static constexpr field some[] = {fields[1], fields[3], fields[4], fields[6]};
    return parse_query(some, text, wrong);
  }

  /// The violations as `type at loc`.
  std::string why() const {
    std::string out;
    for (const auto& x : wrong)
      out += (out.empty() ? "" : " ") + std::string{x.at("type").as_string()} + " at " +
             json::serialize(x.at("loc"));
    return out;
  }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(schema_tests, fixture)

CAF_TEST(a body that fits gets its defaults and loses what nobody knows) {
  const auto x = body(R"({"text": "hi", "count": 3, "title": null, "unknown": 1})");
  CAF_CHECK_EQUAL(why(), "");
  CAF_CHECK_EQUAL(json::serialize(x),
                  R"({"text":"hi","colour":"red","title":null,"count":3,"limit":50,"deep":false})");
}

CAF_TEST(a missing body and a missing member are told apart) {
  body("");
  CAF_CHECK_EQUAL(why(), R"(missing at ["body"])");
  body("{}");
  CAF_CHECK_EQUAL(why(), R"(missing at ["body","text"])");
  CAF_CHECK(wrong[0].at("msg") == "Field required");
}

CAF_TEST(a body of another kind than an object is named) {
  for (const auto* text : {"[]", "1", "null", R"("text")"}) {
    body(text);
    CAF_CHECK_EQUAL(why(), R"(model_attributes_type at ["body"])");
  }
}

CAF_TEST(what is not JSON is told with its place) {
  for (const auto* text : {"{", R"({"text": })", "{} {}", "{}x", "nope", R"({"text": "\xff"})",
                           R"({"text": "hi", "extra": {"a": [1e999]}})"}) {
    body(text);
    CAF_REQUIRE_EQUAL(wrong.size(), 1u);
    CAF_CHECK(wrong[0].at("type") == "json_invalid");
    CAF_CHECK(wrong[0].at("loc").at(1).is_number());
    CAF_CHECK(!wrong[0].at("ctx").at("error").as_string().empty());
  }
  body("{\"text\":\"hi\"} \r\n\t");
  CAF_CHECK_EQUAL(why(), "");
}

CAF_TEST(text that is not UTF - 8 is not JSON) {
  body("{\"text\": \"\xff\"}");
  CAF_CHECK_EQUAL(wrong.size(), 1u);
}

CAF_TEST(a body that nests too deep is refused) {
  std::string deep = R"({"text":"hi","extra":)";
  for (int i = 0; i < 100; ++i)
    deep += "{\"x\":";
  deep += "1" + std::string(101, '}');
  body(deep);
  CAF_REQUIRE_EQUAL(wrong.size(), 1u);
  CAF_CHECK(wrong[0].at("type") == "json_invalid");
}

CAF_TEST(every member of a wrong type is named with what it was) {
  body(
      R"({"text": 1, "title": 2, "count": "3", "ratio": "x", "deep": "maybe", "extra": [], "list": {}})");
  CAF_CHECK_EQUAL(why(), R"(string_type at ["body","text"] string_type at ["body","title"] )"
                         R"(int_type at ["body","count"] float_type at ["body","ratio"] )"
                         R"(bool_parsing at ["body","deep"] dict_type at ["body","extra"] )"
                         R"(list_type at ["body","list"])");
  CAF_CHECK(wrong[2].at("input") == "3");
}

CAF_TEST(null is a value only where it may be one) {
  body(R"({"text": null})");
  CAF_CHECK_EQUAL(why(), R"(string_type at ["body","text"])");
  body(R"({"text": "hi", "count": null})");
  CAF_CHECK_EQUAL(why(), R"(int_type at ["body","count"])");
}

CAF_TEST(a string has a length and no NUL) {
  body(R"({"text": "12345"})");
  CAF_CHECK_EQUAL(why(), "");
  body(R"({"text": "123456"})");
  CAF_CHECK_EQUAL(why(), R"(string_too_long at ["body","text"])");
  CAF_CHECK(wrong[0].at("input").is_null());  // not megabytes back
  CAF_CHECK(wrong[0].at("ctx").at("max_length") == 5);
  body(R"({"text": "a\u0000"})");
  CAF_CHECK_EQUAL(why(), R"(string_nul at ["body","text"])");
}

CAF_TEST(a number has bounds) {
  body(R"({"text": "hi", "count": 0, "ratio": 1.5})");
  CAF_CHECK_EQUAL(why(),
                  R"(greater_than_equal at ["body","count"] less_than_equal at ["body","ratio"])");
  CAF_CHECK(wrong[0].at("ctx").at("ge") == 1);
  CAF_CHECK(wrong[1].at("ctx").at("le") == 1);
  body(R"({"text": "hi", "count": 10, "ratio": 0})");
  CAF_CHECK_EQUAL(why(), "");
  body(R"({"text": "hi", "count": 1.5})");
  CAF_CHECK_EQUAL(why(), R"(int_type at ["body","count"])");
  body(R"({"text": "hi", "count": 99999999999999999999})");
  CAF_CHECK_EQUAL(wrong.size(), 1u);
}

CAF_TEST(what is clamped is brought to its bounds but not from below zero) {
  CAF_CHECK(query("limit=1000").at("limit") == 100);
  CAF_CHECK(query("limit=0").at("limit") == 1);
  CAF_CHECK_EQUAL(why(), "");
  query("limit=-1");
  CAF_CHECK_EQUAL(why(), R"(greater_than_equal at ["query","limit"])");
}

CAF_TEST(booleans are read as people write them) {
  for (const auto* yes : {"true", "1", "yes", "ON", "t", "Y"})
    CAF_CHECK(query(std::string{"deep="} + yes).at("deep") == true);
  for (const auto* no : {"false", "0", "no", "Off", "f", "N"})
    CAF_CHECK(query(std::string{"deep="} + no).at("deep") == false);
  query("deep=2");
  CAF_CHECK_EQUAL(why(), R"(bool_parsing at ["query","deep"])");
  CAF_CHECK(body(R"({"text": "hi", "deep": 1})").at("deep") == true);
  body(R"({"text": "hi", "deep": 2})");
  CAF_CHECK_EQUAL(why(), R"(bool_parsing at ["body","deep"])");
}

CAF_TEST(a query is read with its escapes and gets its defaults) {
  const auto x = query("colour=a%20b+c&count=7&other=1");
  CAF_CHECK(x.at("colour") == "a b c");
  CAF_CHECK(x.at("count") == 7);
  CAF_CHECK(x.at("limit") == 50);
  CAF_CHECK(x.at("deep") == false);
  for (const auto* text : {"count=x", "count=", "count", "count=1x", "count=1.0", "count=%31%"}) {
    query(text);
    CAF_CHECK_EQUAL(why(), R"(int_parsing at ["query","count"])");
  }
  CAF_CHECK(query("count=%31").at("count") == 1);
  query("colour=%00");
  CAF_CHECK_EQUAL(why(), R"(string_nul at ["query","colour"])");
}

CAF_TEST(a query that is not UTF - 8 is refused and not repeated) {
  for (const auto* text : {"colour=%FF", "colour=a%C3", "colour=\xed\xa0\x80"}) {
    query(text);
    CAF_CHECK_EQUAL(why(), R"(string_unicode at ["query","colour"])");
    CAF_CHECK(wrong[0].at("input").is_null());
  }
  query("limit=%FF&deep=%80");
  CAF_CHECK_EQUAL(why(),
                  R"(string_unicode at ["query","limit"] string_unicode at ["query","deep"])");
  CAF_CHECK(query("colour=%C3%A9").at("colour") == "\xc3\xa9");
}

CAF_TEST(percent escapes are decoded or refused) {
  CAF_CHECK_EQUAL(percent_decoded("a%2Fb%c3%A9", false).value_or("?"), "a/b\xc3\xa9");
  CAF_CHECK_EQUAL(percent_decoded("a+b", true).value_or("?"), "a b");
  CAF_CHECK_EQUAL(percent_decoded("a+b", false).value_or("?"), "a+b");
  for (const auto* text : {"%", "a%2", "%zz", "%2 ", "%-1", "% 1", "%+1"})
    CAF_CHECK(!percent_decoded(text, false));
}

CAF_TEST(one parameter is found in a query whatever stands beside it) {
  CAF_CHECK_EQUAL(query_value("a=1&b=2&b=3", "b").value_or("?"), "2");
  CAF_CHECK_EQUAL(query_value("a=1&&b", "b").value_or("?"), "");
  CAF_CHECK_EQUAL(query_value("%61=1", "a").value_or("?"), "1");
  CAF_CHECK_EQUAL(query_value("a=x=y", "a").value_or("?"), "x=y");
  CAF_CHECK_EQUAL(query_value("a=%zz+1", "a").value_or("?"), "%zz+1");
  CAF_CHECK(!query_value("ab=1", "a"));
  CAF_CHECK(!query_value("", "a"));
}

CAF_TEST(the document of a shape says what the check does) {
  const auto x = to_json_schema(shape);
  CAF_CHECK(x.at("type") == "object");
  CAF_CHECK_EQUAL(json::serialize(x.at("required")), R"(["text"])");
  const auto& all = x.at("properties").as_object();
  CAF_CHECK_EQUAL(json::serialize(all.at("text")), R"({"type":"string","maxLength":5})");
  CAF_CHECK_EQUAL(json::serialize(all.at("colour")),
                  R"({"type":"string","description":"what it looks like","default":"red",)"
                  R"("examples":["red","green"]})");
  CAF_CHECK_EQUAL(json::serialize(all.at("title")), R"({"type":["string","null"]})");
  CAF_CHECK_EQUAL(json::serialize(all.at("count")),
                  R"({"type":"integer","minimum":1,"maximum":10})");
  CAF_CHECK_EQUAL(json::serialize(all.at("limit")),
                  R"({"type":"integer","default":50,"minimum":1})");
  CAF_CHECK_EQUAL(json::serialize(all.at("list")), R"({"type":"array","items":{}})");
}

CAF_TEST_FIXTURE_SCOPE_END()
