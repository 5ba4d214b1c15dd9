#define CAF_SUITE frames

#include "gateway/agentese/frames.hpp"

#include <boost/json/parse.hpp>
#include <caf/test/dsl.hpp>

#include "gateway/agentese/envelope.hpp"

using namespace kgents;
using namespace kgents::gateway;

namespace json = boost::json;

namespace {

/// The data of a frame, which has to be one line.
json::value data_of(std::string_view frame) {
  const auto at = frame.find("data: ");
  const auto end = frame.find('\n', at);
  CAF_REQUIRE(frame.ends_with("\n\n") && end == frame.size() - 2);
  return json::parse(std::string_view{frame}.substr(at + 6, end - at - 6));
}

json::value member_of(std::string_view frame, std::string_view name) {
  return data_of(frame).at(name);
}

turn_end finished(std::string text) {
  turn_end out;
  out.text = std::move(text);
  out.finish_reason = "stop";
  return out;
}

}  // namespace

CAF_TEST(a whole result is one piece and a dialectic three) {
  const auto one = pieces_of(R"({"response":"yes","mode":"reflect"})");
  CAF_REQUIRE_EQUAL(one.size(), 1u);
  CAF_CHECK_EQUAL(one[0].content, "yes");
  CAF_CHECK(!one[0].partial);
  CAF_CHECK_EQUAL(pieces_of(R"({"a":1})")[0].content, R"({"a":1})");
  CAF_CHECK_EQUAL(pieces_of(R"("text")")[0].content, "text");
  const auto three = pieces_of(R"({"thesis":"t","antithesis":"a","synthesis":"s"})");
  CAF_REQUIRE_EQUAL(three.size(), 3u);
  CAF_CHECK_EQUAL(three[1].type, "thinking");
  CAF_CHECK(three[1].partial);
  CAF_CHECK_EQUAL(three[2].content, "s");
  CAF_CHECK(!three[2].partial);
}

CAF_TEST(frames are named on / api / v1 and unnamed on / agentese) {
  const stream_piece piece{"response", "a\nb", true};
  const auto named = chunk_frame(stream_dialect::universal, piece, 2, "x:1:2");
  CAF_CHECK(named.starts_with("event: chunk\nid: x:1:2\ndata: "));
  const auto value = data_of(named);
  CAF_CHECK_EQUAL(value.at("content"), "a\nb");
  CAF_CHECK_EQUAL(value.at("index"), 2);
  CAF_CHECK(chunk_frame(stream_dialect::gateway, piece, 2, "").starts_with("data: "));
  const stream_end end{R"({"a":[1]})", "00ff", 3, 7};
  const auto done = data_of(done_frame(stream_dialect::universal, end, ""));
  CAF_CHECK_EQUAL(done.at("result").at("a").as_array().size(), 1u);
  CAF_CHECK_EQUAL(done.at("chunks_count"), 3);
  CAF_CHECK(!done.as_object().contains("type"));
  CAF_CHECK_EQUAL(member_of(done_frame(stream_dialect::gateway, end, ""), "type"), "done");
}

CAF_TEST(a turn is shown as a stream of its aspect with the ids of its events) {
  const turn_id turn{uuid::time_ordered()};
  aspect_framing framing{stream_dialect::universal, "self.soul.challenge"};
  CAF_CHECK(framing.frame(*make_turn_event(turn, 1, message_id{}, "challenge")).empty());
  const auto chunk = make_chunk_event(turn, 1, 0, "Why?");
  const auto first = framing.frame(*chunk);
  CAF_CHECK(first.find("id: " + chunk->place().text()) != std::string::npos);
  CAF_CHECK_EQUAL(member_of(first, "content"), "Why?");
  CAF_CHECK_EQUAL(member_of(first, "partial"), true);
  const auto done = framing.frame(*make_complete_event(turn, 1, 1, finished("Why?")));
  CAF_CHECK(done.starts_with("event: done\n"));
  CAF_CHECK_EQUAL(member_of(done, "result"), "Why?");
  CAF_CHECK_EQUAL(member_of(done, "span_id").as_string().size(), 16u);
  turn_end failed;
  failed.error = "It took too long.";
  failed.error_type = "provider_timeout";
  const auto error = framing.frame(*make_error_event(turn, 1, 1, failed));
  CAF_CHECK(error.starts_with("event: error\n"));
  CAF_CHECK_EQUAL(member_of(error, "code"), "TIMEOUT");
}

CAF_TEST(results go into their envelopes as they are) {
  actors::invoked x;
  x.result = json::value{};
  x.body = R"({"type":"blueprint"})";
  x.tokens_in = 3;
  x.tokens_out = 4;
  x.span_id = "0123456789abcdef";
  x.duration_ms = 12;
  const auto v1 = json::parse(v1_envelope("world.house.manifest", x));
  CAF_CHECK_EQUAL(v1.at("result").at("type"), "blueprint");
  CAF_CHECK_EQUAL(v1.at("tokens_used"), 7);
  CAF_CHECK_EQUAL(v1.at("cached"), false);
  const auto all = json::parse(universal_envelope("world.house.manifest", "a \"b\"", x));
  CAF_CHECK_EQUAL(all.at("meta").at("observer"), "a \"b\"");
  CAF_CHECK_EQUAL(all.at("meta").at("span_id"), "0123456789abcdef");
  CAF_CHECK_EQUAL(all.at("meta").at("duration_ms"), 12);
  const auto gateway = json::parse(gateway_envelope("world.house", "manifest", x));
  CAF_CHECK_EQUAL(gateway.at("aspect"), "manifest");
}

CAF_TEST(times are told in UTC to the microsecond) {
  std::string out;
  append_timestamp(
      out, std::chrono::system_clock::time_point{std::chrono::microseconds{1'765'800'000'012'345}});
  CAF_CHECK_EQUAL(out, "\"2025-12-15T12:00:00.012345+00:00\"");
}
