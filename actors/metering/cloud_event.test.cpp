#define CAF_SUITE cloud_event

#include "actors/metering/cloud_event.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <caf/test/dsl.hpp>

using namespace kgents;
using namespace kgents::metering;
namespace json = boost::json;

namespace {

sql::usage_record row(std::string type, std::string source = "kgent") {
  sql::usage_record out;
  out.id = *usage_id::parse("01890000-0000-7000-8000-000000000001");
  out.tenant = *tenant_id::parse("00000000-0000-0000-0000-000000000002");
  out.type = std::move(type);
  out.source = std::move(source);
  out.time = "2026-01-02T03:04:05.000006+00:00";
  return out;
}

std::string data_of(const cloud_event& x) {
  return json::serialize(json::parse(x.body).at("data"));
}

/// `type data` of each event.
std::vector<std::string> told(const sql::usage_record& x) {
  std::vector<std::string> out;
  for (const auto& each : events_of(x))
    out.push_back(each.type + " " + data_of(each));
  return out;
}

using texts = std::vector<std::string>;

const auto session = *session_id::parse("00000000-0000-0000-0000-000000000003");

}  // namespace

CAF_TEST(an event has the envelope of CloudEvents and the row its id) {
  auto x = row("session_create");
  x.session = session;
  const auto events = events_of(x);
  CAF_REQUIRE_EQUAL(events.size(), 1u);
  CAF_CHECK_EQUAL(events[0].body,
                  R"({"specversion":"1.0","id":"01890000-0000-7000-8000-000000000001",)"
                  R"("source":"kgents-api","type":"session.create",)"
                  R"("subject":"00000000-0000-0000-0000-000000000002",)"
                  R"("time":"2026-01-02T03:04:05.000006+00:00","datacontenttype":"application/json",)"
                  R"("data":{"session_id":"00000000-0000-0000-0000-000000000003","agent_type":"kgent"}})");
}

CAF_TEST(an answer gives tokens and a message under two ids) {
  auto x = row("llm_call");
  x.tokens_in = 7;
  x.tokens_out = 4'294'967'295;
  x.session = session;
  x.message_length = 12;
  const auto events = events_of(x);
  CAF_REQUIRE_EQUAL(events.size(), 2u);
  CAF_CHECK_EQUAL(events[0].id, "01890000-0000-7000-8000-000000000001");
  CAF_CHECK_EQUAL(events[1].id, "01890000-0000-7000-8000-000000000001:session.message");
  CAF_CHECK_EQUAL(told(x), (texts{R"(llm.tokens {"tokens_in":7,"tokens_out":4294967295,)"
                                  R"("tokens_total":4294967302,"model":"kgent",)"
                                  R"("session_id":"00000000-0000-0000-0000-000000000003"})",
                                  R"(session.message {)"
                                  R"("session_id":"00000000-0000-0000-0000-000000000003",)"
                                  R"("message_length":12,"role":"assistant"})"}));
  const auto again = events_of(x);
  CAF_CHECK_EQUAL(again[1].id, events[1].id);
}

CAF_TEST(requests are counted by route and accepted messages are no requests) {
  auto x = row("api_call", "api");
  x.endpoint = "/v1/kgent/sessions/{id}";
  x.method = "GET";
  x.status_code = 404;
  x.quantity = 5;
  CAF_CHECK_EQUAL(told(x), (texts{R"(api.request {"endpoint":"/v1/kgent/sessions/{id}",)"
                                  R"("method":"GET","status_code":404,"count":5})"}));
  CAF_CHECK_EQUAL(told(row("api_call", "soul")), (texts{R"(session.message {"role":"user"})"}));
  CAF_CHECK_EQUAL(told(row("api_call", "agentese")), texts{});
}

CAF_TEST(an invocation tells its path and its tokens when a model was asked) {
  auto x = row("agentese_invoke", "agentese");
  x.agentese_path = "self.memory.recall";
  CAF_CHECK_EQUAL(told(x), (texts{R"(agentese.invoke {"path":"self.memory.recall",)"
                                  R"("context":"self","aspect":"recall","tokens_used":0})"}));
  x.tokens_out = 3;
  const auto both = events_of(x);
  CAF_REQUIRE_EQUAL(both.size(), 2u);
  CAF_CHECK_EQUAL(both[1].id, "01890000-0000-7000-8000-000000000001:llm.tokens");
}

CAF_TEST(storage and processors are told and what is our own cost is not) {
  auto x = row("storage_write", "api");
  x.storage_bytes = 5'000'000'000;
  CAF_CHECK_EQUAL(told(x), (texts{R"(storage.write {"bytes":5000000000})"}));
  auto y = row("gpu_seconds", "api");
  y.compute_ms = 1500;
  CAF_CHECK_EQUAL(told(y),
                  (texts{R"(compute.gpu_seconds {"duration_seconds":1.5E0,"gpu_type":"unknown"})"}));
  CAF_CHECK_EQUAL(told(row("embedding", "system")), texts{});
}

CAF_TEST(events of Stripe keep their ids and come from the bridge) {
  const auto x = event_of({.id = "substart:sub_1",
                           .tenant = std::nullopt,
                           .type = "subscription.started",
                           .subject = "cus_1",
                           .time = "2026-01-02T03:04:05+00:00",
                           .data = R"({"stripe_event_id": "evt_1"})"});
  const auto whole = json::parse(x.body).as_object();
  CAF_CHECK_EQUAL(x.id, "substart:sub_1");
  CAF_CHECK_EQUAL(whole.at("source").as_string(), "kgents-stripe-bridge");
  CAF_CHECK_EQUAL(whole.at("subject").as_string(), "cus_1");
  CAF_CHECK_EQUAL(data_of(x), R"({"stripe_event_id":"evt_1"})");
}

CAF_TEST(a batch is an array) {
  CAF_CHECK_EQUAL(batch_of({}), "[]");
  std::vector<cloud_event> two(2);
  two[0].body = "{}";
  two[1].body = "{\"a\":1}";
  CAF_CHECK_EQUAL(batch_of(two), "[{},{\"a\":1}]");
}
