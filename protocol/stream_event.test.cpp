#define CAF_SUITE stream_event

#include "protocol/stream_event.hpp"

#include <boost/json/parse.hpp>

#include <caf/test/dsl.hpp>

using namespace kgents;

namespace {

const turn_id turn{*uuid::parse("0193a5b0-0000-7000-8000-0000000000ff")};

}  // namespace

CAF_TEST(a chunk is one SSE frame in one HTTP chunk) {
  const auto e = make_chunk_event(turn, 3, 7, "Two \"things\"\n");
  const std::string frame =
      "event: chunk\nid: 0193a5b0-0000-7000-8000-0000000000ff:3:7\n"
      "data: {\"text\":\"Two \\\"things\\\"\\n\",\"index\":7}\n\n";
  CAF_CHECK_EQUAL(std::string{e->sse()}, frame);
  CAF_CHECK_EQUAL(std::string{e->http_chunk()}, as_http_chunk(frame));
}

CAF_TEST(a WebSocket text has type and id and turn and the members of the data) {
  const auto v = boost::json::parse(make_chunk_event(turn, 3, 7, "x")->websocket_text());
  CAF_CHECK(v.at("type") == "chunk");
  CAF_CHECK(v.at("id") == "0193a5b0-0000-7000-8000-0000000000ff:3:7");
  CAF_CHECK(v.at("turn_id") == "0193a5b0-0000-7000-8000-0000000000ff");
  CAF_CHECK(v.at("index") == 7);
  CAF_CHECK(v.at("text") == "x");
  const auto t = boost::json::parse(
      make_turn_event(turn, 1, message_id{uuid::random()}, "reflect")->websocket_text());
  CAF_CHECK(t.at("turn_id") == "0193a5b0-0000-7000-8000-0000000000ff");
  CAF_CHECK(t.at("mode") == "reflect");
}

CAF_TEST(every control character and every quote survives JSON) {
  std::string all;
  for (int c = 0; c < 128; ++c)
    all += static_cast<char>(c);
  all += "\xe2\x82\xac";
  std::string out;
  append_json_string(out, all);
  CAF_CHECK(boost::json::parse(out).as_string() == all);
}

CAF_TEST(a cursor survives its text and nothing else parses) {
  for (int64_t index : {cursor::turn_event, int64_t{0}, int64_t{4294967295}}) {
    const cursor x{turn, 18446744073709551615ull, index};
    CAF_CHECK(cursor::parse(x.text()) == x);
  }
  const auto good = cursor{turn, 1, 5}.text();
  for (auto bad : {std::string{}, std::string{"x"}, good + "x", good.substr(0, 38),
                   turn.text() + ":1:-1", turn.text() + ":1:4294967296", turn.text() + "::5",
                   turn.text() + ":1:", turn.text() + ":-1:5", turn.text() + ":1:+5"})
    CAF_CHECK(!cursor::parse(bad));
}
