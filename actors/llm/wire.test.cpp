#define CAF_SUITE wire

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "actors/llm/anthropic_wire.hpp"
#include "actors/llm/http_url.hpp"
#include "actors/llm/openai_wire.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents::llm;
using namespace std::chrono_literals;

namespace {

prompt asked() {
  prompt out;
  out.system = "Be brief.";
  out.messages = {{"user", "One?"}, {"assistant", "Yes."}, {"user", "\"Two\"?"}};
  out.temperature = 1.4;
  out.max_tokens = 77;
  return out;
}

// What a decoder makes of a list of (name, data); text of all events joined.
struct told {
  std::string text;
  std::optional<failure> error;
  bool over = false;
  bool good = true;
};

told tell(answer_decoder& decoder, const std::vector<std::string>& events) {
  told out;
  for (const auto& data : events) {
    decoded x;
    out.good = decoder.event({{}, data}, x);
    if (!out.good)
      break;
    out.text += x.text;
    out.over = out.over || x.over;
    if (x.error)
      out.error = x.error;
  }
  return out;
}

error_type reported(std::string_view kind, unsigned status = 0) {
  return failure_of_report("p", kind, status).type;
}

}  // namespace

CAF_TEST(the OpenAI request carries everything and asks to go on behind a prefix) {
  auto ask = asked();
  auto body = boost::json::parse(openai_request(ask, "gpt-x")).as_object();
  CAF_CHECK(body["model"] == "gpt-x");
  CAF_CHECK(body["stream"] == true);
  CAF_CHECK(body["stream_options"].at("include_usage") == true);
  CAF_CHECK(body["temperature"] == 1.4);
  CAF_CHECK(body["max_tokens"] == 77);
  CAF_CHECK_EQUAL(boost::json::serialize(body["messages"]),
                  R"([{"role":"system","content":"Be brief."},{"role":"user","content":"One?"},)"
                  R"({"role":"assistant","content":"Yes."},{"role":"user","content":"\"Two\"?"}])");
  ask.prefix = "Two is ";
  body = boost::json::parse(openai_request(ask, "gpt-x")).as_object();
  const auto& messages = body["messages"].as_array();
  CAF_REQUIRE_EQUAL(messages.size(), 6u);
  CAF_CHECK(messages[4].at("role") == "assistant");
  CAF_CHECK(messages[4].at("content") == "Two is ");
  CAF_CHECK(messages[5].at("role") == "user");
}

CAF_TEST(the Anthropic request prefills the prefix without its trailing white space) {
  auto ask = asked();
  ask.prefix = "Two is \n";
  auto body = boost::json::parse(anthropic_request(ask, "claude-x")).as_object();
  CAF_CHECK(body["system"] == "Be brief.");
  CAF_CHECK(body["temperature"] == 1.0);  // its range ends there
  CAF_CHECK(body["max_tokens"] == 77);
  CAF_CHECK(body["stream"] == true);
  CAF_REQUIRE_EQUAL(body["messages"].as_array().size(), 4u);
  CAF_CHECK(body["messages"].as_array()[3].at("role") == "assistant");
  CAF_CHECK(body["messages"].as_array()[3].at("content") == "Two is");
  ask.prefix = " \n";
  body = boost::json::parse(anthropic_request(ask, "claude-x")).as_object();
  CAF_CHECK_EQUAL(body["messages"].as_array().size(), 3u);
}

CAF_TEST(an OpenAI stream gives text and usage and reason) {
  const auto decoder = openai_decoder();
  const auto x = tell(
      *decoder, {R"({"model":"gpt-y","choices":[{"delta":{"role":"assistant","content":""}}]})",
                 R"({"choices":[{"delta":{"content":"Hel"}}]})",
                 R"({"choices":[{"delta":{"content":"lo"},"finish_reason":null}]})",
                 R"({"choices":[{"delta":{},"finish_reason":"length"}]})",
                 R"({"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2}})", "[DONE]"});
  CAF_CHECK(x.good && x.over && !x.error);
  CAF_CHECK_EQUAL(x.text, "Hello");
  CAF_CHECK_EQUAL(decoder->end.finish_reason, "length");
  CAF_CHECK_EQUAL(decoder->end.model, "gpt-y");
  CAF_CHECK_EQUAL(decoder->end.tokens.tokens_in, 9u);
  CAF_CHECK_EQUAL(decoder->end.tokens.tokens_out, 2u);
  CAF_CHECK(!decoder->end.tokens.estimated);
}

CAF_TEST(whatever an OpenAI compatible server leaves out is no error) {
  const auto decoder = openai_decoder();
  const auto x = tell(
      *decoder, {"{}", R"({"choices":null})", R"({"choices":[]})", R"({"choices":[{}]})",
                 R"({"choices":[{"delta":null}]})", R"({"choices":[{"delta":{"content":null}}]})",
                 R"({"choices":[{"delta":{"content":7},"finish_reason":7}],"usage":null})",
                 R"({"choices":[7],"model":7,"usage":{"prompt_tokens":-1}})", "[DONE]"});
  CAF_CHECK(x.good && x.over && !x.error);
  CAF_CHECK_EQUAL(x.text, "");
  CAF_CHECK_EQUAL(decoder->end.finish_reason, "stop");
  CAF_CHECK(decoder->end.tokens.estimated);
}

CAF_TEST(what is no JSON object is refused) {
  for (const std::string bad : {"", "[]", "7", "{", "{\"choices\":[{\"delta\":{\"content\":\"cut",
                                "[DONE] and more", "{} {}", "\xFF\xFE"}) {
    CAF_CHECK(!tell(*openai_decoder(), {bad}).good);
    CAF_CHECK(!tell(*anthropic_decoder(""), {bad}).good);
  }
  std::string deep;
  for (int i = 0; i < 1000; ++i)
    deep += "{\"a\":";
  CAF_CHECK(!tell(*openai_decoder(), {deep}).good);
}

CAF_TEST(bytes of a cut character pass the decoder) {
  const auto x = tell(*openai_decoder(), {"{\"choices\":[{\"delta\":{\"content\":\"\xE2\x82\"}}]}",
                                          "{\"choices\":[{\"delta\":{\"content\":\"\xAC\"}}]}"});
  CAF_CHECK(x.good);
  CAF_CHECK_EQUAL(x.text, "\xE2\x82\xAC");
}

CAF_TEST(an error inside an OpenAI stream has its type) {
  const auto type_of = [](const std::string& error) {
    return tell(*openai_decoder(), {R"({"error":)" + error + "}"}).error.value().type;
  };
  CAF_CHECK(type_of(R"({"type":"server_error"})") == error_type::provider_unavailable);
  CAF_CHECK(type_of(R"({"code":"rate_limit_exceeded"})") == error_type::provider_rate_limited);
  CAF_CHECK(type_of(R"({"code":429,"message":"m"})") == error_type::provider_rate_limited);
  CAF_CHECK(type_of(R"({"code":401})") == error_type::provider_rejected);
  CAF_CHECK(type_of(R"("boom")") == error_type::provider_unavailable);
  CAF_CHECK(!tell(*openai_decoder(), {R"({"error":null})"}).error);
  CAF_CHECK(tell(*openai_decoder(), {R"({"choices":[{"finish_reason":"error"}]})"}).error);
}

CAF_TEST(a JSON answer instead of a stream is understood) {
  const auto decoder = openai_decoder();
  decoded x;
  CAF_REQUIRE(decoder->document(R"({"model":"m","choices":[{"message":{"content":"Hi"},)"
                                R"("finish_reason":"stop"}],"usage":{"prompt_tokens":1,)"
                                R"("completion_tokens":2}})",
                                x));
  CAF_CHECK(x.over);
  CAF_CHECK_EQUAL(x.text, "Hi");
  CAF_CHECK_EQUAL(decoder->end.tokens.tokens_out, 2u);
  decoded none;
  CAF_CHECK(!openai_decoder()->document("{}", none));
  CAF_CHECK(!openai_decoder()->document("<html>", none));
  const auto other = anthropic_decoder("");
  decoded y;
  CAF_REQUIRE(other->document(R"({"type":"message","content":[{"type":"text","text":"Hi"}],)"
                              R"("stop_reason":"max_tokens","usage":{"input_tokens":3,)"
                              R"("output_tokens":4}})",
                              y));
  CAF_CHECK_EQUAL(y.text, "Hi");
  CAF_CHECK_EQUAL(other->end.finish_reason, "length");
  CAF_CHECK_EQUAL(other->end.tokens.tokens_in, 3u);
  CAF_CHECK(!anthropic_decoder("")->document("{}", none));
}

CAF_TEST(an Anthropic stream gives text and usage and reason) {
  const auto decoder = anthropic_decoder("");
  const auto x = tell(
      *decoder,
      {R"({"type":"message_start","message":{"model":"claude-y","usage":{"input_tokens":25,"output_tokens":1}}})",
       R"({"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}})",
       R"({"type":"ping"})",
       R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hel"}})",
       R"({"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}})",
       R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"lo"}})",
       R"({"type":"content_block_stop","index":0})", R"({"type":"something_new"})",
       R"({"type":"message_delta","delta":{"stop_reason":"max_tokens"},"usage":{"output_tokens":15}})",
       R"({"type":"message_stop"})"});
  CAF_CHECK(x.good && x.over && !x.error);
  CAF_CHECK_EQUAL(x.text, "Hello");
  CAF_CHECK_EQUAL(decoder->end.finish_reason, "length");
  CAF_CHECK_EQUAL(decoder->end.model, "claude-y");
  CAF_CHECK_EQUAL(decoder->end.tokens.tokens_in, 25u);
  CAF_CHECK_EQUAL(decoder->end.tokens.tokens_out, 15u);
}

CAF_TEST(an error inside an Anthropic stream has its type) {
  const auto x =
      tell(*anthropic_decoder(""), {R"({"type":"error","error":{"type":"overloaded_error"}})"});
  CAF_CHECK(x.error.value().type == error_type::overloaded);
  CAF_CHECK(reported("rate_limit_error") == error_type::provider_rate_limited);
  CAF_CHECK(reported("authentication_error") == error_type::provider_rejected);
  CAF_CHECK(reported("invalid_request_error") == error_type::provider_rejected);
  CAF_CHECK(reported("timeout_error") == error_type::provider_timeout);
  CAF_CHECK(reported("api_error") == error_type::provider_unavailable);
}

CAF_TEST(white space that was not sent and comes again is dropped and other white space stays) {
  const auto rest = [](const std::string& prefix, const std::string& said) {
    std::string whole, in_bytes;
    decoded x;
    const auto at_once = anthropic_decoder(prefix);
    const auto text = [](const std::string& s) {
      return R"({"type":"content_block_delta","delta":{"type":"text_delta","text":)" +
             boost::json::serialize(boost::json::string{s}) + "}}";
    };
    whole = tell(*at_once, {text(said)}).text;
    std::vector<std::string> events;
    for (char c : said)
      events.push_back(text(std::string(1, c)));
    in_bytes = tell(*anthropic_decoder(prefix), events).text;
    CAF_CHECK_EQUAL(whole, in_bytes);
    return whole;
  };
  CAF_CHECK_EQUAL(rest("Two is ", " two"), "two");
  CAF_CHECK_EQUAL(rest("Two is ", "two"), "two");
  CAF_CHECK_EQUAL(rest("Two is", " two"), " two");
  CAF_CHECK_EQUAL(rest("Two.\n\n", "\n\nAnd three"), "And three");
  CAF_CHECK_EQUAL(rest("Two.\n", "\n\nAnd  three"), "\nAnd  three");
  CAF_CHECK_EQUAL(rest("Two. ", "\n\nAnd"), "\n\nAnd");
  CAF_CHECK_EQUAL(rest(" ", " And"), " And");
}

CAF_TEST(each status has its error type) {
  const auto now = std::chrono::system_clock::from_time_t(1'700'000'000);  // 2023-11-14 22:13:20
  const auto type_of = [&](unsigned status) {
    return failure_of_status("p", status, "", now).type;
  };
  for (unsigned status : {301u, 400u, 401u, 403u, 404u, 422u})
    CAF_CHECK(type_of(status) == error_type::provider_rejected);
  for (unsigned status : {500u, 502u, 503u, 504u})
    CAF_CHECK(type_of(status) == error_type::provider_unavailable);
  CAF_CHECK(type_of(408) == error_type::provider_timeout);
  CAF_CHECK(type_of(429) == error_type::provider_rate_limited);
  CAF_CHECK(type_of(529) == error_type::overloaded);
  CAF_CHECK(failure_of_status("p", 400, "", now).fault_of_request);
  CAF_CHECK(!failure_of_status("p", 401, "", now).fault_of_request);
  CAF_CHECK(failure_of_status("p", 503, "", now).message == "p answered 503");
}

CAF_TEST(Retry - After is seconds or a date) {
  const auto now = std::chrono::system_clock::from_time_t(1'700'000'000);
  const auto wait = [&](std::string_view x) {
    return failure_of_status("p", 429, x, now).retry_after_seconds;
  };
  CAF_CHECK_EQUAL(wait("17"), 17u);
  CAF_CHECK_EQUAL(wait("0"), 0u);
  CAF_CHECK_EQUAL(wait("99999999999999999999"), 86'400u);
  CAF_CHECK_EQUAL(wait("Tue, 14 Nov 2023 22:14:20 GMT"), 60u);
  CAF_CHECK_EQUAL(wait("Tue, 14 Nov 2023 22:00:00 GMT"), 1u);
  CAF_CHECK_EQUAL(wait(""), 0u);
  CAF_CHECK_EQUAL(wait("soon"), 0u);
  CAF_CHECK_EQUAL(wait("-5"), 0u);
}

CAF_TEST(a base URL is taken apart) {
  const auto plain = parse_http_url("http://localhost:11434/v1/").value();
  CAF_CHECK(!plain.tls);
  CAF_CHECK_EQUAL(plain.host, "localhost");
  CAF_CHECK_EQUAL(plain.port, "11434");
  CAF_CHECK_EQUAL(plain.path, "/v1");
  CAF_CHECK_EQUAL(plain.authority(), "localhost:11434");
  const auto secure = parse_http_url("https://api.example.com").value();
  CAF_CHECK(secure.tls);
  CAF_CHECK_EQUAL(secure.port, "443");
  CAF_CHECK_EQUAL(secure.authority(), "api.example.com");
  const auto six = parse_http_url("http://[::1]:8080/x").value();
  CAF_CHECK_EQUAL(six.host, "::1");
  CAF_CHECK_EQUAL(six.authority(), "[::1]:8080");
  for (auto bad : {"", "localhost", "ftp://x", "http://", "http://x:0", "http://x:65536",
                   "http://x:", "http://u@x", "http://x/?q", "http://x/a b", "http://x\r\nA: b",
                   "http://[::1"})
    CAF_CHECK(!parse_http_url(bad));
}
