#define CAF_SUITE kwargs

#include "gateway/program/kg/kwargs.hpp"

#include <boost/json/serialize.hpp>

#include <caf/test/dsl.hpp>

using namespace kgents::kg;

namespace {

std::string read(std::vector<std::string> words) {
  const auto out = read_kwargs(words);
  if (const auto* wrong = std::get_if<bad_usage>(&out))
    return "wrong: " + wrong->message;
  return boost::json::serialize(std::get<boost::json::object>(out));
}

}  // namespace

CAF_TEST(values are what they look like) {
  CAF_CHECK_EQUAL(read({"--depth", "3", "--deep", "true", "--none", "null", "--less", "-4"}),
                  R"({"depth":3,"deep":true,"none":null,"less":-4})");
  CAF_CHECK_EQUAL(read({"--tags", R"(["a","b"])", "--change", R"({"roof":"slate"})"}),
                  R"({"tags":["a","b"],"change":{"roof":"slate"}})");
  CAF_CHECK_EQUAL(read({"--text", "two words", "--id", "007", "--said", R"("3")"}),
                  R"({"text":"two words","id":"007","said":"3"})");
}

CAF_TEST(an option alone is true and an equals sign binds what begins with dashes) {
  CAF_CHECK_EQUAL(read({"--urgent", "--note=--x", "--empty="}),
                  R"({"urgent":true,"note":"--x","empty":""})");
  CAF_CHECK_EQUAL(read({"--max-depth", "2"}), R"({"max_depth":2})");
}

CAF_TEST(kwargs give any name and must be an object) {
  CAF_CHECK_EQUAL(read({"--a", "1", "--kwargs", R"({"json":true,"key":"x"})"}),
                  R"({"a":1,"json":true,"key":"x"})");
  CAF_CHECK(read({"--kwargs", "[1]"}).starts_with("wrong: --kwargs takes a JSON object"));
}

CAF_TEST(what is no option is bad usage) {
  for (const auto* word : {"stray", "-x", "--", "--=3"})
    CAF_CHECK(read({word}).starts_with("wrong: '"));
}
