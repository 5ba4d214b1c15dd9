#define CAF_SUITE governance

#include "actors/persona/governance.hpp"

#include <boost/json/serialize.hpp>

#include <caf/test/dsl.hpp>

using namespace kgents::persona;

namespace {

governance_request asking(std::string action, std::string reason = "") {
  return {.action = std::move(action), .reason = std::move(reason), .token_id = "api_u_x"};
}

verdict keywords(std::string action) {
  return evaluate_keywords(asking(std::move(action)), default_seed());
}

std::string answer(std::string_view advice, std::string_view confidence) {
  return "RECOMMENDATION: " + std::string(advice) + "\nCONFIDENCE: " + std::string(confidence) +
         "\nPRINCIPLES: tasteful, joy, ethical, generative\nREASONING: It fits.";
}

bool near(double a, double b) { return std::abs(a - b) < 1e-9; }

}  // namespace

CAF_TEST(every dangerous word escalates in any case) {
  for (auto text :
       {"Delete it", "REMOVE",      "drop table", "truncate", "destroy",     "rm x",
        "rm -rf /",  "rmdir",       "del x",      "model y",  "production",  "a product",
        "enforce",   "--force",     "tar -fx",    "sudo",     "passwords",   "secret",
        "token",     "credentials", "api_key",    "ApiKey",   "information", "wipe",
        "purge",     "erase"}) {
    const auto result = evaluate_danger(asking(text));
    CAF_REQUIRE(result.has_value());
    CAF_CHECK(!result->handled());
    CAF_CHECK(result->advice == recommendation::escalate);
    CAF_CHECK_EQUAL(result->confidence, 0.0);
    CAF_CHECK(result->principles == std::vector<std::string>{"SAFETY_OVERRIDE"});
    CAF_CHECK(result->reasoning.find("cannot be auto-approved") != std::string::npos);
    CAF_CHECK(!result->was_deep);
  }
  for (auto text : {"", "paint the wall", "rename x", "models", "farm"})
    CAF_CHECK(!evaluate_danger(asking(text)).has_value());
}

CAF_TEST(the annotation quotes the first fifty code points) {
  const auto plain = evaluate_danger(asking("rm -rf /"));
  CAF_REQUIRE(plain.has_value());
  CAF_CHECK_EQUAL(plain->annotation, "DANGEROUS OPERATION: 'rm -rf /...' requires human review.");
  std::string umlauts;
  for (int i = 0; i < 60; ++i)
    umlauts += "ä";
  const auto clipped = evaluate_danger(asking(umlauts + " sudo"));
  CAF_REQUIRE(clipped.has_value());
  CAF_CHECK_EQUAL(clipped->annotation, "DANGEROUS OPERATION: '" + umlauts.substr(0, 100) +
                                           "...' requires human review.");
}

CAF_TEST(the model is asked coolly and gets the action as data) {
  const auto ask = verdict_question(asking("paint zebras", "they look dull"), eigenvectors{});
  CAF_CHECK_EQUAL(ask.temperature, 0.2);
  CAF_CHECK_EQUAL(ask.max_tokens, 500u);
  CAF_CHECK(ask.user.find("paint zebras") != std::string::npos);
  CAF_CHECK(ask.user.find("they look dull") != std::string::npos);
  CAF_CHECK(ask.user.find("50%") != std::string::npos);
  CAF_CHECK(ask.system.find("zebras") == std::string::npos);
  for (auto label : {"RECOMMENDATION:", "CONFIDENCE:", "PRINCIPLES:", "REASONING:"})
    CAF_CHECK(ask.system.find(label) != std::string::npos);
}

CAF_TEST(four lines become a verdict) {
  const auto result = parse_verdict(answer("approve", "0.85"));
  CAF_CHECK(result.handled());
  CAF_CHECK_EQUAL(result.confidence, 0.85);
  CAF_CHECK(result.principles == (std::vector<std::string>{"tasteful", "joy", "ethical"}));
  CAF_CHECK_EQUAL(result.reasoning, "It fits.");
  CAF_CHECK(result.was_deep);
  const auto rejected = parse_verdict(answer("Reject", "0.3"));
  CAF_CHECK(rejected.advice == recommendation::reject);
  CAF_CHECK_EQUAL(rejected.confidence, 0.3);
  CAF_CHECK_EQUAL(rejected.reasoning, "It fits.");
}

CAF_TEST(spelling of labels is forgiven) {
  const auto result = parse_verdict(
      "Here you go:\r\n- **Recommendation:** approve.\r\n- **Confidence**: 85%\r\n"
      "Principles: none\r\nReasoning: first line\r\nsecond line\r\n");
  CAF_CHECK(result.handled());
  CAF_CHECK_EQUAL(result.confidence, 0.85);
  CAF_CHECK(result.principles.empty());
  CAF_CHECK_EQUAL(result.reasoning, "first line second line");
}

CAF_TEST(confidence is clamped) {
  CAF_CHECK_EQUAL(parse_verdict(answer("approve", "7")).confidence, 1.0);
  CAF_CHECK_EQUAL(parse_verdict(answer("reject", "-0.5")).confidence, 0.0);
}

CAF_TEST(an approval below seven tenths is escalated and says why) {
  const auto result = parse_verdict(answer("approve", "0.65"));
  CAF_CHECK(!result.handled());
  CAF_CHECK(result.advice == recommendation::escalate);
  CAF_CHECK_EQUAL(result.confidence, 0.65);
  CAF_CHECK_EQUAL(result.reasoning, "Confidence too low for auto-approve. It fits.");
  CAF_CHECK(parse_verdict(answer("approve", "0.7")).handled());
}

CAF_TEST(what cannot be read is escalated) {
  const auto twice = answer("approve", "0.9") + "\nRECOMMENDATION: reject";
  for (const auto& text :
       {std::string(), std::string("sure, go ahead"), answer("maybe", "0.9"),
        answer("approve", "high"), answer("approve", "nan"), answer("approve", "inf"),
        answer("approve", ""), std::string("RECOMMENDATION: approve"), twice,
        std::string("\0\xff\xfe", 3), std::string(1'000'000, ':')}) {
    const auto result = parse_verdict(text);
    CAF_CHECK(result.advice == recommendation::escalate);
    CAF_CHECK_EQUAL(result.confidence, 0.0);
    CAF_CHECK(!result.reasoning.empty());
    CAF_CHECK(result.was_deep);
  }
}

CAF_TEST(reasoning is never empty) {
  CAF_CHECK(!parse_verdict("RECOMMENDATION: reject\nCONFIDENCE: 1").reasoning.empty());
  CAF_CHECK(!keywords("").reasoning.empty());
  CAF_CHECK(!verdict_of_failure().reasoning.empty());
}

CAF_TEST(a model that fails means a person decides) {
  const auto result = verdict_of_failure();
  CAF_CHECK(!result.handled());
  CAF_CHECK(result.advice == recommendation::escalate);
  CAF_CHECK_EQUAL(result.confidence, 0.0);
  CAF_CHECK(result.principles == std::vector<std::string>{"ERROR_FALLBACK"});
}

CAF_TEST(keywords count as the axis they belong to) {
  CAF_CHECK(keywords("simple minimalist aesthetic").principles ==
            std::vector<std::string>{"aesthetic"});
  CAF_CHECK(keywords("a PEER in a hierarchy").principles == std::vector<std::string>{"heterarchy"});
  CAF_CHECK(keywords("generate abstract gratitude and joy").principles.size() == 3);
}

CAF_TEST(confidence grows with principles and patterns up to their shares) {
  CAF_CHECK_EQUAL(keywords("paint the wall").confidence, 0.0);
  CAF_CHECK(near(keywords("a simple wall").confidence, 0.25));
  CAF_CHECK(near(keywords("simple joy").confidence, 0.5));
  CAF_CHECK(near(keywords("simple joy, abstract").confidence, 0.6));
  CAF_CHECK(near(keywords("a prototype").confidence, 0.15));
  CAF_CHECK(near(keywords("a prototype of a working reversible wall").confidence, 0.4));
}

CAF_TEST(keywords approve from eight tenths on) {
  const auto exactly = keywords("a simple joy: prototype a reversible wall");
  CAF_CHECK(near(exactly.confidence, 0.8));
  CAF_CHECK(exactly.handled());
  CAF_CHECK(exactly.annotation.find("prototype early") != std::string::npos);
  const auto below = keywords("abstract simple joy: a prototype wall");
  CAF_CHECK(near(below.confidence, 0.75));
  CAF_CHECK(below.advice == recommendation::escalate);
  CAF_CHECK(!below.was_deep);
}

CAF_TEST(a reason does not speak for an action) {
  const auto result = evaluate_keywords(
      asking("paint", "simple joy abstract peer prototype reversible small"), default_seed());
  CAF_CHECK_EQUAL(result.confidence, 0.0);
}

CAF_TEST(each recommendation has its alternatives over HTTP) {
  verdict x;
  x.reasoning = "r";
  CAF_CHECK_EQUAL(boost::json::serialize(http_body(x, 7)),
                  R"({"approved":false,"reasoning":"r","alternatives":[)"
                  R"("Get explicit confirmation from stakeholders","Review in team meeting",)"
                  R"("Defer until more context available"],"confidence":0E0,"tokens_used":7,)"
                  R"("recommendation":"escalate","principles":[]})");
  x.advice = recommendation::reject;
  const auto rejected = http_body(x, 0);
  CAF_CHECK_EQUAL(rejected.at("alternatives").as_array().size(), 3u);
  CAF_CHECK(rejected.at("alternatives").as_array()[0] == "Consider using soft delete instead");
  CAF_CHECK(rejected.at("approved") == false);
  x.advice = recommendation::approve;
  const auto approved = http_body(x, 0);
  CAF_CHECK(approved.at("alternatives").as_array().empty());
  CAF_CHECK(approved.at("approved") == true);
  CAF_CHECK(approved.at("recommendation") == "approve");
}

CAF_TEST(an AGENTESE result has the seven members) {
  const auto result = agentese_result(parse_verdict(answer("approve", "0.9")));
  CAF_CHECK_EQUAL(result.size(), 7u);
  CAF_CHECK(result.at("handled") == true);
  CAF_CHECK(result.at("was_deep") == true);
  CAF_CHECK(result.at("annotation").is_string());
}

CAF_TEST(a token id holds user and the start of the action) {
  CAF_CHECK_EQUAL(governance_token("u1", "paint the wall in twenty colours"),
                  "api_u1_paint the wall in tw");
  CAF_CHECK_EQUAL(governance_token("u1", ""), "api_u1_");
}

CAF_TEST(an audit entry tells what was asked and what came of it) {
  auto ask = asking("paint");
  ask.severity = 0.75;
  const auto x = parse_verdict(answer("approve", "0.9"));
  const std::chrono::system_clock::time_point at{std::chrono::microseconds{1'765'792'800'123'456}};
  const auto entry = audit_of(ask, x, at);
  CAF_CHECK_EQUAL(boost::json::serialize(to_json(entry)),
                  R"({"timestamp":"2025-12-15T10:00:00.123456+00:00","token_id":"api_u_x",)"
                  R"("action":"paint","confidence":9E-1,"principles":["tasteful","joy","ethical"],)"
                  R"("reasoning":"It fits.","operation":"approve","severity":7.5E-1,)"
                  R"("was_deep":true})");
}
