#define CAF_SUITE codec

#include "runtime/cluster/codec.hpp"

#include "runtime/cluster/frames.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents;
using namespace kgents::runtime;
using namespace kgents::runtime::cluster;

namespace {

const turn_id turn{*uuid::parse("0193a5b0-0000-7000-8000-000000000001")};
const message_id message{*uuid::parse("0193a5b0-0000-7000-8000-000000000002")};
const entity_id session =
    session_entity(tenant_id{*uuid::parse("0193a5b0-0000-7000-8000-000000000003")},
                   session_id{*uuid::parse("0193a5b0-0000-7000-8000-000000000004")});
const api_key_id key{uuid::random()};
const refusal no{503, "Try again.", 7, "moving"};
const std::string text{"gr\xc3\xbc\xc3\x9f\0e", 8};

moving_turn moving() { return {session, turn, 5, {6}, 7, 8, 9, 10}; }

wire_event event(event_kind kind) {
  wire_event out;
  out.kind = kind;
  out.place = {turn, 3, kind == event_kind::turn ? cursor::turn_event : 4};
  if (kind == event_kind::complete || kind == event_kind::error)
    out.end = {message, text, "2024-01-31", 11, "stop", "broken", "overloaded", 12};
  else
    out.body = kind == event_kind::chunk ? text : "{\"a\":1}";
  return out;
}

send_message question() {
  send_message out;
  out.turn = turn;
  out.text = text;
  out.mode = "reflect";
  out.budget = "deep";
  out.if_busy = when_busy::interrupt;
  out.cancel_on_disconnect = true;
  out.key = key;
  out.tier = "pro";
  out.idempotency_key = "again";
  out.request_hash = "hash";
  return out;
}

session_view view() {
  return {session_id{session.key}, session.tenant, true, "title", "kgent", "active", "2024", -1, 2};
}

/// Calls `use` with one of everything that travels, each member other than its default.
template <class F>
void each(F use) {
  use(ask_frame{1, session, 2, 3, text});
  use(answer_frame{1, text});
  for (auto x : {turn_order::what::credit, turn_order::what::hold, turn_order::what::resume,
                 turn_order::what::stop})
    use(turn_order{turn, x, 3});
  for (auto x : {turn_word::what::chunks, turn_word::what::finished, turn_word::what::held,
                 turn_word::what::gone})
    use(turn_word{turn, x, text});
  use(adopt_frame{turn});
  use(open_feed_frame{1, session, cursor{turn, 2, 3}});
  use(open_feed_frame{1, session, std::nullopt});
  use(feed_opened_frame{1, 2, cursor{turn, 2, cursor::before_turn}});
  use(feed_closed_frame{1, no, {2}, 3});
  use(close_feed_frame{1});
  use(handed_over_frame{{{shard_id{0}, 1}, {shard_id{shard_count - 1}, ~lease_epoch{0}}},
                        {moving(), moving()}});
  use(view_changed_frame{});
  feed_events_frame events;
  for (auto x : {event_kind::turn, event_kind::chunk, event_kind::complete, event_kind::error,
                 event_kind::gap})
    events.items.push_back({1, event(x)});
  use(events);
  use(get_session{});
  use(update_session{true, true, "title", "closed"});
  use(remove_session{});
  use(question());
  use(cancel_turn{turn});
  use(attach_reader{false, {turn, 2, 3}, true});
  use(answer<session_view>{view()});
  use(answer<session_view>{no});
  use(answer<accepted>{accepted{turn, message, 3, true}});
  use(answer<canceled>{canceled{turn}});
  use(answer<placed>{placed{{event(event_kind::turn), event(event_kind::chunk)}}});
  use(turn_chunks{turn, 2, {text, "", "b"}});
  use(turn_finished{turn, 2, "stop", "type", "error", "model", 3, 4, 5});
  use(turn_held{turn, 2});
  use(turn_credit{3});
}

}  // namespace

CAF_TEST(everything that travels comes back as the same bytes) {
  each([](auto x) {
    const auto bytes = encode(x);
    decltype(x) back;
    CAF_REQUIRE(decode(bytes, back));
    CAF_CHECK(encode(back) == bytes);
  });
}

CAF_TEST(no member is left behind) {
  const auto carried = [](const auto& x) {
    std::decay_t<decltype(x)> out;
    CAF_REQUIRE(decode(encode(x), out));
    return out;
  };
  const auto ask = carried(ask_frame{1, session, 2, 3, text});
  CAF_CHECK(ask.ticket == 1 && ask.to == session && ask.tag == 2 && ask.forwards == 3);
  CAF_CHECK(ask.body == text);
  const auto order = carried(turn_order{turn, turn_order::what::resume, 3});
  CAF_CHECK(order.turn == turn && order.order == turn_order::what::resume && order.chunks == 3);
  const auto open = carried(open_feed_frame{1, session, cursor{turn, 2, -1}});
  CAF_CHECK(open.feed == 1 && open.session == session && open.from == (cursor{turn, 2, -1}));
  const auto opened = carried(feed_opened_frame{1, 2, std::nullopt});
  CAF_CHECK(opened.feed == 1 && opened.lease == 2 && !opened.anchor);
  const auto closed = carried(feed_closed_frame{1, no, {2}, 3});
  CAF_CHECK(closed.owner == node_id{2} && closed.lease == 3);
  CAF_CHECK(closed.why.status == 503 && closed.why.detail == no.detail &&
            closed.why.retry_after_seconds == 7 && closed.why.code == no.code);
  const auto moved = carried(handed_over_frame{{{shard_id{9}, 10}}, {moving()}});
  CAF_REQUIRE(moved.shards.size() == 1 && moved.turns.size() == 1);
  CAF_CHECK(moved.shards[0].first == shard_id{9} && moved.shards[0].second == 10);
  const auto& x = moved.turns[0];
  CAF_CHECK(x.session == session && x.turn == turn && x.epoch == 5 && x.worker == node_id{6});
  CAF_CHECK(x.credit == 7 && x.prompt_words == 8 && x.inherited == 9 && x.elapsed_ms == 10);
  const auto said = carried(question());
  CAF_CHECK(said.turn == turn && said.text == text && said.if_busy == when_busy::interrupt);
  CAF_CHECK(said.cancel_on_disconnect && said.key == key && said.tier == "pro");
  CAF_CHECK(said.mode == "reflect" && said.budget == "deep");
  CAF_CHECK(said.idempotency_key == "again" && said.request_hash == "hash");
  const auto last = carried(turn_finished{turn, 2, "stop", "type", "error", "model", 3, 4, 5});
  CAF_CHECK(last.turn == turn && last.epoch == 2 && last.finish_reason == "stop");
  CAF_CHECK(last.error_type == "type" && last.error == "error" && last.model == "model");
  CAF_CHECK(last.tokens_in == 3 && last.tokens_out == 4 && last.retry_after_seconds == 5);
  const auto at = carried(attach_reader{false, {turn, 2, 3}, true});
  CAF_CHECK(!at.live && at.place == (cursor{turn, 2, 3}) && at.this_turn);
}

CAF_TEST(what is cut at any byte or has one too many is refused) {
  each([](auto x) {
    const auto bytes = encode(x);
    for (size_t n = 0; n < bytes.size(); ++n) {
      decltype(x) cut;
      CAF_REQUIRE(!decode(std::span{bytes.data(), n}, cut));
    }
    decltype(x) longer;
    CAF_CHECK(!decode(bytes + '\0', longer));
  });
}

CAF_TEST(whatever a byte is changed to nothing breaks) {
  each([](auto x) {
    const auto bytes = encode(x);
    for (size_t i = 0; i < bytes.size(); ++i)
      for (const int value : {0, 1, 2, 5, 0x7f, 0x80, 0xff}) {
        auto wrong = bytes;
        wrong[i] = static_cast<char>(value);
        decltype(x) out;
        if (decode(wrong, out))
          CAF_REQUIRE(encode(out) == wrong);
      }
  });
}

CAF_TEST(a length beyond what has arrived is refused and nothing is allocated for it) {
  for (const uint32_t size : {5u, 1000u, 0x7fffffffu, 0xffffffffu}) {
    const auto bytes = encode(size) + "four";
    std::string some;
    CAF_CHECK(!decode(bytes, some));
    CAF_CHECK(some.capacity() < 100);
    std::vector<std::string> many;
    CAF_CHECK(!decode(bytes, many));
    CAF_CHECK(many.capacity() < 100);
  }
}

CAF_TEST(a count that the bytes could bear but do not is refused at the first that is missing) {
  // Each of the 10,000 announced could be a byte long; none is.
  auto bytes = encode(uint32_t{10'000});
  bytes.append(10'000, '\xff');
  std::vector<wire_event> many;
  CAF_CHECK(!decode(bytes, many));
  CAF_CHECK(many.capacity() < 100);
}

CAF_TEST(a bool or an enum of a value that nobody wrote is refused) {
  auto order = encode(turn_order{turn, turn_order::what::stop, 3});
  order[16] = 4;
  turn_order x;
  CAF_CHECK(!decode(order, x));
  auto who = encode(session);
  who[0] = static_cast<char>(entity_kind::traffic) + 1;  // would be looked up among the kinds of entities
  entity_id id;
  CAF_CHECK(!decode(who, id));
  auto at = encode(attach_reader{});
  at[0] = 2;
  attach_reader reader;
  CAF_CHECK(!decode(at, reader));
}

CAF_TEST(a shard that does not exist is refused) {
  handed_over_frame out;
  CAF_CHECK(decode(encode(handed_over_frame{{{shard_id{shard_count - 1}, 1}}, {}}), out));
  CAF_CHECK(!decode(encode(handed_over_frame{{{shard_id{shard_count}, 1}}, {}}), out));
}
