#define CAF_SUITE frames

#include "runtime/cluster/frames.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents;
using namespace kgents::runtime::cluster;

namespace {

const turn_id turn{uuid::random()};
const message_id message{uuid::random()};
const std::string text = "\"quoted\" \\ gr\xc3\xbc\xc3\x9f\n";

/// As it is on the other node.
event_ptr carried(const event_ptr& x) {
  wire_event out;
  CAF_REQUIRE(decode(encode(wire_event{*x}), out));
  return out.make();
}

void check_equal(const event_ptr& x) {
  const auto y = carried(x);
  CAF_CHECK(y->kind() == x->kind());
  CAF_CHECK(y->place() == x->place());
  CAF_CHECK_EQUAL(y->http_chunk(), x->http_chunk());
  CAF_CHECK_EQUAL(y->sse(), x->sse());
  CAF_CHECK_EQUAL(y->websocket_text(), x->websocket_text());
  CAF_CHECK_EQUAL(y->data(), x->data());
  CAF_CHECK_EQUAL(y->text, x->text);
  CAF_CHECK_EQUAL(y->end != nullptr, x->end != nullptr);
}

turn_end last() { return {message, text, "2024-01-31T12:00:00Z", 42, "stop", "", "", 0}; }

}  // namespace

CAF_TEST(an event of every kind is made again as it was) {
  check_equal(make_turn_event(turn, 3, message, "reflect"));
  check_equal(make_chunk_event(turn, 3, 7, text));
  check_equal(make_chunk_event(turn, 3, 0, ""));
  check_equal(make_complete_event(turn, 3, 8, last()));
  check_equal(make_gap_event({turn, 4, cursor::turn_event}));
  auto end = last();
  end.error = "The provider is busy.";
  end.error_type = "overloaded";
  end.retry_after_seconds = 30;
  check_equal(make_error_event(turn, 3, 8, end));
}

CAF_TEST(who waits for the whole answer gets all of the end on the other node too) {
  auto said = last();
  said.error = "broken";
  said.error_type = "internal";
  said.retry_after_seconds = 5;
  const auto end = carried(make_error_event(turn, 3, 8, said))->end;
  CAF_REQUIRE(end != nullptr);
  CAF_CHECK(end->answer == message);
  CAF_CHECK_EQUAL(end->text, text);
  CAF_CHECK_EQUAL(end->created_at, "2024-01-31T12:00:00Z");
  CAF_CHECK_EQUAL(end->tokens_used, 42);
  CAF_CHECK_EQUAL(end->finish_reason, "stop");
  CAF_CHECK_EQUAL(end->error, "broken");
  CAF_CHECK_EQUAL(end->error_type, "internal");
  CAF_CHECK_EQUAL(end->retry_after_seconds, 5u);
}

CAF_TEST(a frame begins with its kind) {
  CAF_CHECK_EQUAL(to_bytes(view_changed_frame{}), std::string(1, '\x0c'));
  const auto bytes = to_bytes(close_feed_frame{258});
  CAF_CHECK_EQUAL(bytes, std::string("\x0a\x02\x01\0\0\0\0\0\0", 9));
}
