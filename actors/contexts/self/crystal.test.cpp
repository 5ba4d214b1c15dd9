#define CAF_SUITE crystal

#include "actors/contexts/self/crystal.hpp"

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <caf/test/dsl.hpp>

using namespace kgents::actors::self_memory;
namespace json = boost::json;

namespace {

json::array turns(int n) {
  json::array out;
  for (int i = 0; i < n; ++i)
    out.emplace_back(json::object{{"role", "user"},
                                  {"content", "Turn " + std::to_string(i) + ". And more of it."}});
  return out;
}

}  // namespace

CAF_TEST(the newest turns are preserved and the rest is summarised) {
  const auto x = crystallize(turns(25));
  CAF_CHECK_EQUAL(x.preserved.size(), newest_turns);
  CAF_CHECK_EQUAL(x.dropped, 15u);
  CAF_CHECK(x.summary.starts_with("Turn 0. Turn 1."));
  CAF_CHECK_EQUAL(x.preserved.front().at("content").as_string(), "Turn 15. And more of it.");
}

CAF_TEST(a turn that asks to be preserved stays however old) {
  auto all = turns(25);
  all[0].as_object()["preserve"] = true;
  all[1].as_object()["role"] = "system";
  const auto x = crystallize(json::object{{"turns", all}});
  CAF_CHECK_EQUAL(x.preserved.size(), newest_turns + 2);
  CAF_CHECK(x.preserved[0].at("preserve").as_bool());
}

CAF_TEST(what is no list is one turn) {
  CAF_CHECK_EQUAL(crystallize("just a text").preserved.size(), 1u);
  CAF_CHECK_EQUAL(crystallize(json::array{}).preserved.size(), 0u);
}

CAF_TEST(a crystal is never larger than its bound) {
  json::array all;
  for (int i = 0; i < 10; ++i)
    all.emplace_back(std::string(60'000, 'x'));
  const auto x = crystallize(all);
  CAF_CHECK_EQUAL(x.preserved.size(), 4u);
  CAF_CHECK_EQUAL(x.dropped, 6u);
}

CAF_TEST(what comes back fits the tokens and has no hole) {
  auto all = turns(6);
  all[0].as_object()["pinned"] = true;
  const auto whole = restore(all, 1'000);
  CAF_CHECK(!whole.truncated);
  CAF_CHECK_EQUAL(whole.window.size(), 6u);
  const auto some = restore(all, 7 * 3);
  CAF_CHECK(some.truncated);
  CAF_REQUIRE_EQUAL(some.window.size(), 3u);
  CAF_CHECK(some.window[0].at("pinned").as_bool());
  CAF_CHECK_EQUAL(some.window[2].at("content").as_string(), "Turn 5. And more of it.");
  CAF_CHECK(restore(all, 0).window.empty());
}

CAF_TEST(a key is relative and goes nowhere else) {
  for (const auto* right : {"a", "notes/2026.md", "A-b_c.d"})
    CAF_CHECK(is_memory_key(right));
  for (const auto* wrong : {"", "/etc/passwd", "../x", "a/../b", "a b", "a\\b", "ä", "a\nb"})
    CAF_CHECK(!is_memory_key(wrong));
  CAF_CHECK(!is_memory_key(std::string(most_key_bytes + 1, 'a')));
}

CAF_TEST(a value without a key is called what it calls itself) {
  CAF_CHECK_EQUAL(key_for(json::parse(R"({"concept":"summary"})")), "summary");
  CAF_CHECK_EQUAL(key_for(json::parse(R"({"handle":"world.doc"})")), "doc");
  const auto by_content = key_for("text");
  CAF_CHECK(is_memory_key(by_content));
  CAF_CHECK_EQUAL(by_content, key_for("text"));
  CAF_CHECK(by_content != key_for("other"));
}
