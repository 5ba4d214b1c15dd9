#define CAF_SUITE subscription

#include "runtime/agentese/subscription.hpp"

#include <boost/json/parse.hpp>

#include <caf/test/dsl.hpp>

using namespace std::chrono_literals;
using namespace kgents;
using namespace kgents::runtime::agentese;
using kgents::agentese::parse_pattern;
using kgents::agentese::pattern;

namespace {

const auto start = subscription::clock::time_point{} + 1000h;

subscription_config wanting(std::string_view text) {
  subscription_config out;
  out.pattern = std::get<pattern>(parse_pattern(text));
  return out;
}

event_ptr event(int64_t seq, std::string path = "void.entropy", std::string data = "{}",
                agentese_event_type type = agentese_event_type::invoked) {
  auto out = std::make_shared<agentese_event>();
  out->seq = seq;
  out->event_id.bytes[15] = static_cast<uint8_t>(seq);
  out->event_id.bytes[14] = static_cast<uint8_t>(seq >> 8);
  out->type = type;
  out->path = std::move(path);
  out->aspect = "sip";
  out->archetype = "poet";
  out->timestamp = "2026-01-05T09:00:00.000000+00:00";
  out->data = std::move(data);
  return out;
}

/// What comes out at one moment: seqs, gaps as `from-to`, `!` for what comes again.
std::string drain(subscription& x, subscription::clock::time_point now = start) {
  std::string out;
  while (const auto next = x.next(now)) {
    if (next->gap)
      out += '(' + std::to_string(next->gap->from_seq) + '-' + std::to_string(next->gap->to_seq) +
             ':' + std::to_string(next->gap->dropped) + ") ";
    if (next->event != nullptr)
      out += std::to_string(next->event->seq) + (next->again ? "! " : " ");
  }
  return out;
}

std::string heard(std::string_view pattern, std::string_view path) {
  subscription x{wanting(pattern), nullptr};
  x.offer(event(1, std::string{path}));
  return drain(x);
}

}  // namespace

CAF_TEST(each kind of pattern hears what it names) {
  CAF_CHECK_EQUAL(heard("void.entropy", "void.entropy"), "1 ");
  CAF_CHECK_EQUAL(heard("void.entropy", "void.entropy.pool"), "");
  CAF_CHECK_EQUAL(heard("self.*", "self.memory"), "1 ");
  CAF_CHECK_EQUAL(heard("self.*", "self.memory.crystal"), "");
  CAF_CHECK_EQUAL(heard("self.**", "self.memory.crystal"), "1 ");
  CAF_CHECK_EQUAL(heard("self.**", "world.house"), "");
  CAF_CHECK_EQUAL(heard("*", "world.house.kitchen"), "1 ");
  CAF_CHECK_EQUAL(heard("**", "world.house.kitchen"), "1 ");
}

CAF_TEST(the filter is for the aspect as it is shown) {
  auto config = wanting("*");
  config.aspect_filter = "error";
  subscription x{std::move(config), nullptr};
  x.offer(event(1));
  x.offer(event(2, "void.entropy", "{}", agentese_event_type::error));
  CAF_CHECK_EQUAL(drain(x), "2 ");
}

CAF_TEST(a full buffer drops what is new and tells the gap before what follows it) {
  auto config = wanting("*");
  config.buffer_size = 2;
  subscription x{std::move(config), nullptr};
  using offered = subscription::offered;
  CAF_CHECK(x.offer(event(1)) == offered::accepted);
  CAF_CHECK(x.offer(event(2)) == offered::accepted);
  CAF_CHECK(x.offer(event(3)) == offered::dropped);
  CAF_CHECK(x.offer(event(4)) == offered::dropped);
  const auto first = x.next(start);
  CAF_CHECK_EQUAL(first->event->seq, 1);
  CAF_CHECK(x.offer(event(5)) == offered::accepted);
  CAF_CHECK_EQUAL(drain(x), "2 (3-4:2) 5 ");
}

CAF_TEST(a gap at the end is told alone) {
  auto config = wanting("*");
  config.buffer_size = 1;
  subscription x{std::move(config), nullptr};
  x.offer(event(1));
  x.offer(event(2));
  CAF_CHECK_EQUAL(drain(x), "1 (2-2:1) ");
  CAF_CHECK_EQUAL(drain(x), "");
}

CAF_TEST(large events fill the buffer by their bytes) {
  subscription x{wanting("*"), nullptr};
  const std::string large = '"' + std::string(limits::buffer_bytes / 2, 'x') + '"';
  CAF_CHECK(x.offer(event(1, "a.b", large)) == subscription::offered::accepted);
  CAF_CHECK(x.offer(event(2, "a.b", large)) == subscription::offered::accepted);
  CAF_CHECK(x.offer(event(3, "a.b", "1")) == subscription::offered::dropped);
  CAF_CHECK_EQUAL(drain(x), "1 2 (3-3:1) ");
  CAF_CHECK(x.offer(event(4, "a.b", large)) == subscription::offered::accepted);
}

CAF_TEST(what was offered before is ignored and what is missing between is told) {
  subscription x{wanting("*"), nullptr};
  x.begin_behind(4);
  x.offer(event(4));
  x.offer(event(5));
  x.offer(event(5));
  x.offer(event(9));
  CAF_CHECK_EQUAL(drain(x), "5 (6-8:0) 9 ");
  CAF_CHECK_EQUAL(x.position(), 9);
}

CAF_TEST(a gap says what is known) {
  const event_gap full{event_gap::cause::buffer_full, 2, 3, 4};
  CAF_CHECK_EQUAL(full.json(),
                  R"({"reason":"buffer_full","dropped":2,"from_seq":3,"to_seq":4})");
  const event_gap unknown{event_gap::cause::unknown_event, 0, 0, 0};
  CAF_CHECK_EQUAL(unknown.json(),
                  R"({"reason":"unknown_event","dropped":null,"from_seq":null,"to_seq":null})");
}

CAF_TEST(at least once comes again until it is acknowledged) {
  auto config = wanting("*");
  config.delivery = delivery_mode::at_least_once;
  subscription x{std::move(config), nullptr};
  const auto one = event(1);
  const auto two = event(2);
  x.offer(one);
  x.offer(two);
  CAF_CHECK(!x.acknowledge(one->event_id));  // it was not delivered yet
  CAF_CHECK_EQUAL(drain(x), "1 2 ");
  CAF_CHECK_EQUAL(x.pending(), 2u);
  CAF_CHECK(x.acknowledge(two->event_id));
  CAF_CHECK(!x.acknowledge(two->event_id));
  CAF_CHECK_EQUAL(x.check_redelivery(start + 29s), 0u);
  CAF_CHECK_EQUAL(drain(x, start + 29s), "");
  CAF_CHECK_EQUAL(x.check_redelivery(start + 30s), 0u);
  CAF_CHECK_EQUAL(drain(x, start + 30s), "1! ");
  CAF_CHECK_EQUAL(x.check_redelivery(start + 59s), 0u);
  CAF_CHECK_EQUAL(drain(x, start + 59s), "");
  CAF_CHECK(x.acknowledge(one->event_id));
  CAF_CHECK_EQUAL(x.check_redelivery(start + 200s), 0u);
  CAF_CHECK_EQUAL(drain(x, start + 200s), "");
  CAF_CHECK_EQUAL(x.pending(), 0u);
}

CAF_TEST(after three redeliveries an event is given up) {
  auto config = wanting("*");
  config.delivery = delivery_mode::at_least_once;
  subscription x{std::move(config), nullptr};
  const auto one = event(1);
  x.offer(one);
  CAF_CHECK_EQUAL(drain(x), "1 ");
  for (int i = 1; i <= 3; ++i) {
    CAF_CHECK_EQUAL(x.check_redelivery(start + i * 30s), 0u);
    CAF_CHECK_EQUAL(drain(x, start + i * 30s), "1! ");
  }
  CAF_CHECK_EQUAL(x.check_redelivery(start + 120s), 1u);
  CAF_CHECK_EQUAL(drain(x, start + 120s), "");
  CAF_CHECK(!x.acknowledge(one->event_id));
  CAF_CHECK_EQUAL(x.pending(), 0u);
}

CAF_TEST(what waits to be redelivered may be acknowledged still) {
  auto config = wanting("*");
  config.delivery = delivery_mode::at_least_once;
  subscription x{std::move(config), nullptr};
  const auto one = event(1);
  x.offer(one);
  drain(x);
  x.check_redelivery(start + 30s);
  CAF_CHECK(x.acknowledge(one->event_id));
  CAF_CHECK_EQUAL(drain(x, start + 30s), "");
}

CAF_TEST(a subscriber that acknowledges nothing gets no more than its buffer) {
  auto config = wanting("*");
  config.delivery = delivery_mode::at_least_once;
  config.buffer_size = 2;
  subscription x{std::move(config), nullptr};
  for (int64_t i = 1; i <= 2; ++i)
    x.offer(event(i));
  CAF_CHECK_EQUAL(drain(x), "1 2 ");
  for (int64_t i = 3; i <= 5; ++i)
    x.offer(event(i));
  CAF_CHECK_EQUAL(drain(x), "");
  CAF_CHECK(x.acknowledge(event(1)->event_id));
  CAF_CHECK_EQUAL(drain(x), "3 ");
  CAF_CHECK(x.acknowledge(event(2)->event_id));
  CAF_CHECK(x.acknowledge(event(3)->event_id));
  CAF_CHECK_EQUAL(drain(x), "4 (5-5:1) ");
}

CAF_TEST(the data of an aspect that is not afforded is left out) {
  const auto afforded = std::make_shared<const afforded_check>(
      [](std::string_view node, std::string_view aspect) {
        return node == "void.entropy" || aspect == "manifest";
      });
  subscription x{wanting("*"), afforded};
  x.offer(event(1, "void.entropy", R"({"seed":1})"));
  x.offer(event(2, "self.memory", R"({"secret":1})"));
  x.offer(event(3, "self.memory", R"({"count":1})", agentese_event_type::changed));
  const auto shown = [&] {
    const auto next = x.next(start);
    return boost::json::parse(next->event->json(next->form)).as_object();
  };
  const auto first = shown();
  CAF_CHECK(first.at("data").is_object());
  CAF_CHECK(!first.contains("redacted"));
  const auto second = shown();
  CAF_CHECK(second.at("data").is_null());
  CAF_CHECK(second.at("redacted").as_bool());
  CAF_CHECK(shown().at("data").is_object());  // what manifest shows
}

CAF_TEST(an event shows what its kind shows) {
  const auto member = [](agentese_event_type type, std::string_view name) {
    const auto x = event(7, "void.entropy", "{\n}", type);
    const auto text = x->json({.with_seq = true});
    CAF_CHECK(text.find('\n') == std::string::npos);
    return std::string{boost::json::parse(text).as_object().at(name).as_string()};
  };
  using type = agentese_event_type;
  CAF_CHECK_EQUAL(member(type::invoked, "aspect"), "sip");
  CAF_CHECK_EQUAL(member(type::invoked, "observer_archetype"), "poet");
  CAF_CHECK_EQUAL(member(type::changed, "aspect"), "state");
  CAF_CHECK_EQUAL(member(type::error, "aspect"), "error");
  CAF_CHECK_EQUAL(member(type::refused, "aspect"), "refusal");
  CAF_CHECK_EQUAL(member(type::refused, "observer_archetype"), "system");
}

CAF_TEST(seq is shown under the global clock only) {
  for (const auto ordering : {ordering_mode::per_path_fifo, ordering_mode::global_clock}) {
    auto config = wanting("*");
    config.ordering = ordering;
    subscription x{std::move(config), nullptr};
    x.offer(event(1));
    const auto next = x.next(start);
    const auto shown = boost::json::parse(next->event->json(next->form)).as_object();
    CAF_CHECK_EQUAL(shown.contains("seq"), ordering == ordering_mode::global_clock);
  }
}

CAF_TEST(frames carry the type and id and are made once) {
  const auto x = event(258);
  const auto frame = x->sse({});
  CAF_CHECK(frame.starts_with("event: invoked\nid: 00000000-0000-0000-0000-000000000102\ndata: {"));
  CAF_CHECK(frame.ends_with("}\n\n"));
  CAF_CHECK(x->http_chunk({}).find(frame) != std::string_view::npos);
  CAF_CHECK(x->http_chunk({}).data() == x->http_chunk({}).data());
  CAF_CHECK(x->http_chunk({}).data() != x->http_chunk({.redacted = true}).data());
  const auto message = boost::json::parse(x->websocket_text({})).as_object();
  CAF_CHECK_EQUAL(std::string{message.at("type").as_string()}, "event");
  CAF_CHECK_EQUAL(std::string{message.at("event_type").as_string()}, "invoked");
}
