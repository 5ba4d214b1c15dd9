#define CAF_SUITE turn_view

#include "gateway/program/kg/turn_view.hpp"

#include "protocol/ids.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents;
using namespace kgents::kg;
using kind = turn_news::kind;

namespace {

const std::string ours = uuid::random().text();
const std::string theirs = uuid::random().text();

llm::sse_event chunk(const std::string& turn, int index, const std::string& text, int epoch = 1) {
  return {"chunk", R"({"text":")" + text + R"(","index":)" + std::to_string(index) + "}",
          turn + ":" + std::to_string(epoch) + ":" + std::to_string(index)};
}

llm::sse_event complete(const std::string& turn, int chunks, const std::string& text) {
  return {"complete", R"({"text":")" + text + R"(","tokens_used":3,"finish_reason":"stop"})",
          turn + ":1:" + std::to_string(chunks)};
}

}  // namespace

CAF_TEST(what comes twice is shown once whatever epoch tells it) {
  turn_view view;
  CAF_CHECK_EQUAL(view.take(chunk(ours, 0, "a")).text, "a");
  CAF_CHECK_EQUAL(view.take(chunk(ours, 1, "b")).text, "b");
  CAF_CHECK(view.take(chunk(ours, 0, "a", 2)).what == kind::nothing);
  CAF_CHECK(view.take(chunk(ours, 1, "b", 2)).what == kind::nothing);
  CAF_CHECK_EQUAL(view.take(chunk(ours, 2, "c", 2)).text, "c");
  const auto end = view.take(complete(ours, 3, "abc"));
  CAF_CHECK(end.what == kind::complete);
  CAF_CHECK_EQUAL(end.text, "");
  CAF_CHECK_EQUAL(end.reason, "stop");
  CAF_CHECK_EQUAL(view.last_id(), ours + ":1:3");
}

CAF_TEST(another turn of the session is not this answer) {
  turn_view view;
  CAF_CHECK(view.take(chunk(ours, 0, "a")).what == kind::text);
  CAF_CHECK(view.take(chunk(theirs, 0, "x")).what == kind::nothing);
  CAF_CHECK(view.take(complete(theirs, 1, "x")).what == kind::nothing);
  CAF_CHECK_EQUAL(view.turn(), ours);
  CAF_CHECK_EQUAL(view.shown(), "a");
}

CAF_TEST(a hole is told and what is stored fills it) {
  turn_view view;
  CAF_CHECK(view.take(chunk(ours, 0, "a")).what == kind::text);
  CAF_CHECK(view.take(chunk(ours, 3, "d")).what == kind::hole);
  CAF_CHECK_EQUAL(view.catch_up("abcd", 4), "bcd");
  CAF_CHECK_EQUAL(view.take(chunk(ours, 4, "e")).text, "e");
  CAF_CHECK_EQUAL(view.take(complete(ours, 6, "abcdef")).text, "f");
  CAF_CHECK_EQUAL(view.shown(), "abcdef");
}

CAF_TEST(errors end the answer and a drain does not ) {
  turn_view view;
  CAF_CHECK(view.take({"reconnect", "{}", ""}).what == kind::reconnect);
  CAF_CHECK(view.take({"heartbeat", "{}", ""}).what == kind::nothing);
  const auto revoked =
      view.take({"error", R"({"error":"The API key was revoked.","type":"key_revoked"})", ""});
  CAF_CHECK(revoked.what == kind::error);
  CAF_CHECK_EQUAL(revoked.reason, "key_revoked");
  CAF_CHECK(view.take({"chunk", "not json", ours + ":1:0"}).what == kind::text);
}
