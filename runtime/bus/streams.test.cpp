#define CAF_SUITE streams

#include "runtime/bus/streams.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <caf/test/dsl.hpp>

using namespace kgents::runtime::bus;
namespace json = boost::json;

namespace {

stream sessions() { return all_streams("kgent-events", 1).front(); }

json::object request_for(const stream& x) { return json::parse(create_request(x)).as_object(); }

}  // namespace

CAF_TEST(the request for the stream of session events has its age in nanoseconds once) {
  const auto text = create_request(sessions());
  CAF_CHECK(text.find(R"("max_age":604800000000000,)") != text.npos);
  CAF_CHECK(text.find(R"("max_msgs_per_subject":10000,)") != text.npos);
  CAF_CHECK(text.find(R"("duplicate_window":120000000000,)") != text.npos);
  CAF_CHECK(text.find(R"("subjects":["kgent.>"])") != text.npos);
}

CAF_TEST(there are four streams with the replicas that were asked for) {
  const auto all = all_streams("other-name", 3);
  CAF_REQUIRE_EQUAL(all.size(), 4u);
  CAF_CHECK_EQUAL(all[0].name, "other-name");
  CAF_CHECK_EQUAL(all[1].name, "AGENTESE");
  CAF_CHECK_EQUAL(all[2].name, "EVENTS");
  CAF_CHECK_EQUAL(all[3].name, "BILLING");
  for (const auto& x : all)
    CAF_CHECK_EQUAL(request_for(x)["num_replicas"].as_int64(), 3);
  CAF_CHECK_EQUAL(request_for(all[1])["max_msgs"].as_int64(), 1'000'000);
  CAF_CHECK_EQUAL(request_for(all[1])["max_age"].as_int64(), 0);
  CAF_CHECK_EQUAL(request_for(all[2])["max_age"].as_int64(), 604'800'000'000'000);
  CAF_CHECK_EQUAL(request_for(all[3])["max_age"].as_int64(), 2'592'000'000'000'000);
}

CAF_TEST(a stream that is as it should be is left alone) {
  const auto found = compare(sessions(), request_for(sessions()));
  CAF_CHECK(!found.update);
  CAF_CHECK(found.left.empty());
}

CAF_TEST(what is missing is added and the rest of the configuration kept) {
  auto has = request_for(sessions());
  has["subjects"] = json::array{"other.>"};
  has["max_age"] = 1'000'000'000;
  has["description"] = "ours";
  const auto found = compare(sessions(), has);
  CAF_REQUIRE(found.update);
  const auto update = json::parse(*found.update).as_object();
  CAF_CHECK_EQUAL(json::serialize(update.at("subjects")), R"(["other.>","kgent.>"])");
  CAF_CHECK_EQUAL(update.at("max_age").as_int64(), 604'800'000'000'000);
  CAF_CHECK(update.at("description").as_string() == "ours");
  CAF_CHECK(found.left.empty());
}

CAF_TEST(a limit wider than ours or another kind of stream is told of and left) {
  auto has = request_for(sessions());
  has["max_age"] = 0;
  has["max_msgs_per_subject"] = 20'000;
  has["storage"] = "memory";
  const auto found = compare(sessions(), has);
  CAF_CHECK(!found.update);
  CAF_CHECK_EQUAL(found.left.size(), 3u);
}

CAF_TEST(an acknowledgement says stored refused for now or rejected for good) {
  using kind = acknowledgement::kind;
  CAF_CHECK(parse_acknowledgement(R"({"stream":"kgent-events","seq":7})").what == kind::stored);
  const auto again = parse_acknowledgement(R"({"stream":"A","seq":7,"duplicate":true})");
  CAF_CHECK(again.what == kind::stored && again.duplicate);
  const auto full = parse_acknowledgement(
      R"({"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"}})");
  CAF_CHECK(full.what == kind::refused);
  CAF_CHECK_EQUAL(full.error, "maximum messages exceeded");
  CAF_CHECK(parse_acknowledgement(R"({"error":{"code":400,"err_code":10054}})").what ==
            kind::rejected);
  for (const char* bad : {"", "{}", "[]", "{\"error\":", "+OK"})
    CAF_CHECK(parse_acknowledgement(bad).what == kind::refused);
}

CAF_TEST(the answer of the API is the stream or why not) {
  const auto missing = parse_api_answer(
      R"({"type":"x","error":{"code":404,"err_code":10059,"description":"stream not found"}})");
  CAF_CHECK_EQUAL(missing.code, 404);
  CAF_CHECK_EQUAL(missing.error, "stream not found");
  CAF_CHECK_EQUAL(parse_api_answer(R"({"config":{}})").code, 0);
  CAF_CHECK_EQUAL(parse_api_answer("nonsense").code, 500);
}
