#define CAF_SUITE payloads

#include "runtime/bus/payloads.hpp"

#include <boost/json/parse.hpp>
#include <caf/test/dsl.hpp>

#include "runtime/bus/connection.hpp"
#include "runtime/bus/limits.hpp"

using namespace kgents;
using namespace kgents::runtime::bus;
using namespace std::chrono_literals;
namespace json = boost::json;

namespace {

const auto tenant = *tenant_id::parse("0b1e8c1e-6a51-4d1e-9a57-3f7d6b0f2a11");
const auto session = *session_id::parse("11111111-6a51-4d1e-9a57-3f7d6b0f2a11");
const auto turn = *turn_id::parse("22222222-6a51-4d1e-9a57-3f7d6b0f2a11");
const auto answer = *message_id::parse("33333333-6a51-4d1e-9a57-3f7d6b0f2a11");
const wall_time at{1765708200123456us};

json::object payload_of(const event_ptr& x) {
  return json::parse(session_payload(session_entity(tenant, session), *x, at)).as_object();
}

std::string_view text(const json::object& x, std::string_view name) {
  return x.at(name).as_string();
}

event_ptr complete(std::string said) {
  turn_end end;
  end.answer = answer;
  end.text = std::move(said);
  end.tokens_used = 9;
  end.finish_reason = "stop";
  return make_complete_event(turn, 1, 2, std::move(end), answer);
}

}  // namespace

CAF_TEST(times are in UTC with microseconds) {
  CAF_CHECK_EQUAL(iso_time(at), "2025-12-14T10:30:00.123456+00:00");
  CAF_CHECK_EQUAL(iso_time(wall_time{1s}), "1970-01-01T00:00:01.000000+00:00");
}

CAF_TEST(a chunks payload says whose it is and which) {
  const auto x = make_chunk_event(turn, 1, 7, "na\xC3\xAFve \"\n\xF0\x9F\x8C\xB1", answer);
  CAF_CHECK_EQUAL(session_message_id(*x), "33333333-6a51-4d1e-9a57-3f7d6b0f2a11:7");
  const auto got = payload_of(x);
  CAF_CHECK_EQUAL(text(got, "type"), "chunk");
  CAF_CHECK_EQUAL(got.at("v").as_int64(), 1);
  CAF_CHECK_EQUAL(text(got, "tenant_id"), tenant.text());
  CAF_CHECK_EQUAL(text(got, "session_id"), session.text());
  CAF_CHECK_EQUAL(text(got, "message_id"), answer.text());
  CAF_CHECK_EQUAL(text(got, "text"), "na\xC3\xAFve \"\n\xF0\x9F\x8C\xB1");
  CAF_CHECK_EQUAL(got.at("index").as_int64(), 7);
  CAF_CHECK_EQUAL(text(got, "timestamp"), "2025-12-14T10:30:00.123456+00:00");
}

CAF_TEST(the last event of a turn has the whole answer or the error) {
  CAF_CHECK_EQUAL(type_of(event_kind::complete), "complete");
  const auto done = complete("all of it");
  CAF_CHECK_EQUAL(session_message_id(*done), "33333333-6a51-4d1e-9a57-3f7d6b0f2a11:end");
  const auto got = payload_of(done);
  CAF_CHECK_EQUAL(text(got, "type"), "complete");
  CAF_CHECK_EQUAL(text(got, "text"), "all of it");
  CAF_CHECK_EQUAL(got.at("tokens_used").as_int64(), 9);
  CAF_CHECK_EQUAL(got.at("chunks").as_int64(), 2);

  turn_end end;
  end.error = "The model did not answer.";
  end.error_type = "provider_timeout";
  const auto failed = payload_of(make_error_event(turn, 1, 2, std::move(end), answer));
  CAF_CHECK_EQUAL(text(failed, "type"), "error");
  CAF_CHECK_EQUAL(text(failed, "error"), "The model did not answer.");
  CAF_CHECK_EQUAL(text(failed, "error_type"), "provider_timeout");
}

CAF_TEST(an answer that the broker would refuse for its length is not in the last event) {
  const std::string longest(runtime::limits::bus_text_bytes, '\x01');
  const auto at_most = session_payload(session_entity(tenant, session), *complete(longest), at);
  CAF_CHECK(at_most.size() < runtime::limits::bus_event_bytes);
  CAF_CHECK(payload_of(complete(longest)).at("text").is_string());
  CAF_CHECK(payload_of(complete(longest + "x")).at("text").is_null());
}

CAF_TEST(the first event of a turn has an envelope of its own) {
  const auto x = make_turn_event(turn, 1, message_id{}, "reflect", answer);
  CAF_CHECK_EQUAL(session_message_id(*x), "33333333-6a51-4d1e-9a57-3f7d6b0f2a11:start");
  const auto got = payload_of(x);
  CAF_CHECK_EQUAL(text(got, "type"), "dialogue_start");
  CAF_CHECK_EQUAL(text(got.at("payload").as_object(), "mode"), "reflect");
  CAF_CHECK(type_of(event_kind::gap).empty());
}

CAF_TEST(an invocations payload has no text of anybody) {
  sql::agentese_mark x;
  x.tenant = tenant;
  x.node = "void.entropy";
  x.aspect = "sip";
  x.data = R"({"secret":"words"})";
  x.tokens = 4;
  x.at = at;
  const auto payload = invocation_payload(x);
  CAF_CHECK(payload.find("words") == payload.npos);
  const auto got = json::parse(payload).as_object();
  CAF_CHECK_EQUAL(text(got, "path"), "void.entropy.sip");
  CAF_CHECK_EQUAL(text(got, "tenant_id"), tenant.text());
  CAF_CHECK_EQUAL(text(got, "type"), "invoked");
  CAF_CHECK_EQUAL(got.at("tokens").as_int64(), 4);
}

CAF_TEST(attempts to connect come from one second to half a minute apart not in step) {
  CAF_CHECK(reconnect_delay(0, 0) == 1000ms);
  CAF_CHECK(reconnect_delay(0, 1) == 1000ms);
  CAF_CHECK(reconnect_delay(2, 0) == 2000ms);
  CAF_CHECK(reconnect_delay(2, 1) == 4000ms);
  CAF_CHECK(reconnect_delay(50, 0) == 15'000ms);
  CAF_CHECK(reconnect_delay(50, 1) == 30'000ms);
  CAF_CHECK(reconnect_delay(-1, 1) == 1000ms);
}

CAF_TEST(a servers credentials are shown nowhere) {
  CAF_CHECK_EQUAL(without_credentials("nats://token@host:4222"), "nats://host:4222");
  CAF_CHECK_EQUAL(without_credentials("nats://u:p@ss@host:4222"), "nats://host:4222");
  CAF_CHECK_EQUAL(without_credentials("nats://host:4222"), "nats://host:4222");
}
