#define CAF_SUITE http_provider

#include "actors/llm/http_provider.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/json/parse.hpp>

#include "actors/llm/stand_in.test.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents::llm;
using namespace kgents::llm::testing;
using namespace std::chrono_literals;
using kgents::runtime::io_thread;
using kgents::runtime::secret;

namespace {

constexpr uint32_t plenty = 1'000'000;

// One answer of a stand-in; the event loop runs on the test's thread.
struct fixture {
  io_thread thread{0, "test"};
  http_provider_options options{
      .base_url = {},
      .api_key = secret{"sk-very-secret"},
      .model = "test-model",
      .limits = {.connect = 2s, .first_chunk = 2s, .between_chunks = 2s, .whole = 5s},
      .ca_file = {}};
  std::unique_ptr<stand_in> server;
  outcome result;
  std::unique_ptr<stream> answer;

  void serve(std::function<void(stand_in::connection&)> behaviour) {
    server = std::make_unique<stand_in>(thread.context(), std::move(behaviour));
    options.base_url = server->url();
  }

  void serve(std::string response, bool then_close = true) {
    serve([response, then_close](stand_in::connection& x) {
      x.send(response, [&x, then_close] {
        if (then_close)
          x.close();
      });
    });
  }

  void ask(uint32_t credit = plenty, prompt what = hello()) {
    answer = make_openai_provider(options)->start(thread, std::move(what), result.into());
    answer->grant(credit);
  }

  bool finish() {
    return run_until(thread, [this] { return result.over(); });
  }

  // Asks and returns what it failed with; `internal` when it did not fail.
  failure fail() {
    ask();
    CAF_CHECK(finish());
    const auto out = result.fault.value_or(failure{});
    CAF_CHECK(out.message.find("secret") == std::string::npos);
    CAF_CHECK(out.message.starts_with("openai"));
    return out;
  }
};

std::string response(const std::string& status, const std::string& fields = {},
                     const std::string& body = {}) {
  return "HTTP/1.1 " + status + "\r\n" + fields + "Content-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

}  // namespace

CAF_TEST_FIXTURE_SCOPE(http_provider_tests, fixture)

CAF_TEST(an answer streams and ends with usage) {
  serve(event_stream + openai_delta("Hel") + chunked(": keep-alive\n\n") + openai_delta("lo") +
        openai_end);
  ask();
  CAF_REQUIRE(finish());
  CAF_REQUIRE(result.end);
  CAF_CHECK(result.deltas == (std::vector<std::string>{"Hel", "lo"}));
  CAF_CHECK_EQUAL(result.end->finish_reason, "stop");
  CAF_CHECK_EQUAL(result.end->tokens.tokens_in, 7u);
  CAF_CHECK_EQUAL(result.end->tokens.tokens_out, 3u);
  CAF_CHECK_EQUAL(result.end->model, "test-model");
  const auto& request = server->connections[0]->request;
  CAF_CHECK(request.starts_with("POST /chat/completions HTTP/1.1\r\n"));
  CAF_CHECK(request.find("\r\nAuthorization: Bearer sk-very-secret\r\n") != request.npos);
  CAF_CHECK(request.find("\r\nHost: 127.0.0.1:") != request.npos);
  const auto body = boost::json::parse(request.substr(request.find("\r\n\r\n") + 4));
  CAF_CHECK(body.at("model") == "test-model");
}

CAF_TEST(Anthropic gets its own path and headers) {
  serve(event_stream +
        chunked("event: content_block_delta\r\ndata: {\"type\":\"content_block_delta\",\"delta\":{"
                "\"type\":\"text_delta\",\"text\":\"Hi\"}}\r\n\r\n") +
        chunked("data: {\"type\":\"message_stop\"}\n\n"));
  answer = make_anthropic_provider(options)->start(thread, hello(), result.into());
  answer->grant(plenty);
  CAF_REQUIRE(finish());
  CAF_REQUIRE(result.end);
  CAF_CHECK_EQUAL(result.text(), "Hi");
  CAF_CHECK(result.end->tokens.estimated);
  CAF_CHECK_EQUAL(result.end->tokens.tokens_in, 6u);  // twice the words
  CAF_CHECK_EQUAL(result.end->tokens.tokens_out, 2u);
  const auto& request = server->connections[0]->request;
  CAF_CHECK(request.starts_with("POST /v1/messages HTTP/1.1\r\n"));
  CAF_CHECK(request.find("\r\nx-api-key: sk-very-secret\r\n") != request.npos);
  CAF_CHECK(request.find("\r\nanthropic-version: 2023-06-01\r\n") != request.npos);
}

CAF_TEST(a JSON answer and an undeclared event stream are answers too) {
  serve(response("200 OK", "Content-Type: application/json\r\n",
                 R"({"choices":[{"message":{"content":"Hi"},"finish_reason":"length"}]})"));
  ask();
  CAF_REQUIRE(finish());
  CAF_REQUIRE(result.end);
  CAF_CHECK_EQUAL(result.text(), "Hi");
  CAF_CHECK_EQUAL(result.end->finish_reason, "length");
  result = {};
  serve(
      "HTTP/1.0 200 OK\r\n\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"Ho\"}}]}\n\n"
      "data: [DONE]");
  ask();
  CAF_REQUIRE(finish());
  CAF_REQUIRE(result.end);
  CAF_CHECK_EQUAL(result.text(), "Ho");
}

CAF_TEST(refused and unresolvable are unavailable) {
  serve("");
  server.reset();  // its port is free now
  CAF_CHECK(fail().type == error_type::provider_unavailable);
  result = {};
  // A label of more than 63 characters: the resolver refuses it by itself, without asking anybody.
  options.base_url = "http://" + std::string(64, 'n') + ".invalid:1";
  CAF_CHECK(fail().type == error_type::provider_unavailable);
}

CAF_TEST(each refusal has its type and shows nothing of the body) {
  const std::pair<const char*, error_type> cases[] = {
      {"401 Unauthorized", error_type::provider_rejected},
      {"400 Bad Request", error_type::provider_rejected},
      {"302 Found", error_type::provider_rejected},
      {"500 Oops", error_type::provider_unavailable},
      {"529 Overloaded", error_type::overloaded}};
  for (const auto& [status, type] : cases) {
    result = {};
    serve(response(status, "", "{\"error\":\"the secret body\"}"));
    CAF_CHECK(fail().type == type);
    CAF_CHECK(result.deltas.empty());
  }
}

CAF_TEST(429 tells when to come back) {
  serve(response("429 Slow Down", "Retry-After: 17\r\n"));
  const auto x = fail();
  CAF_CHECK(x.type == error_type::provider_rate_limited);
  CAF_CHECK_EQUAL(x.retry_after_seconds, 17u);
}

CAF_TEST(a server that never accepts ends at the connect deadline) {
  // A listener whose queue is full: the kernel drops what else wants to connect.
  boost::asio::ip::tcp::acceptor full{thread.context()};
  full.open(boost::asio::ip::tcp::v4());
  full.bind({boost::asio::ip::address_v4::loopback(), 0});
  full.listen(0);
  boost::asio::ip::tcp::socket a{thread.context()}, b{thread.context()};
  a.connect(full.local_endpoint());
  b.async_connect(full.local_endpoint(), [](boost::system::error_code) {});
  options.base_url = "http://127.0.0.1:" + std::to_string(full.local_endpoint().port());
  options.limits.connect = 50ms;
  CAF_CHECK(fail().type == error_type::provider_timeout);
  b.close();
}

CAF_TEST(a slow first byte ends at the deadline of the first chunk) {
  options.limits.first_chunk = 50ms;
  serve([](stand_in::connection&) {});
  CAF_CHECK(fail().type == error_type::provider_timeout);
}

CAF_TEST(headers and keep - alives without a chunk end at the deadline of the first chunk) {
  options.limits.first_chunk = 50ms;
  serve([](stand_in::connection& x) {
    x.send(event_stream, [&x] { x.send_forever(chunked(": wait\n\n")); });
  });
  CAF_CHECK(fail().type == error_type::provider_timeout);
}

CAF_TEST(a stall between chunks ends at its deadline and keeps what came) {
  options.limits.between_chunks = 50ms;
  serve(event_stream + openai_delta("Hel") + openai_delta("lo"), false);
  CAF_CHECK(fail().type == error_type::provider_timeout);
  CAF_CHECK_EQUAL(result.text(), "Hello");
}

CAF_TEST(chunks that each come in time may take longer together) {
  options.limits.between_chunks = 300ms;
  boost::asio::steady_timer pause{thread.context()};
  std::function<void(stand_in::connection&, int)> drip = [&](auto& x, int left) {
    pause.expires_after(100ms);
    pause.async_wait([&, left](boost::system::error_code ec) {
      if (!ec)
        x.send(left > 0 ? openai_delta("d") : openai_end, [&, left] {
          if (left > 0)
            drip(x, left - 1);
        });
    });
  };
  serve([&](stand_in::connection& x) { x.send(event_stream, [&] { drip(x, 4); }); });
  ask();
  CAF_REQUIRE(finish());
  CAF_CHECK(result.end);
  CAF_CHECK_EQUAL(result.text(), "dddd");
}

CAF_TEST(a trickle ends at the whole deadline) {
  options.limits.whole = 100ms;
  serve([](stand_in::connection& x) {
    x.send(event_stream, [&x] { x.send_forever(openai_delta("z")); });
  });
  CAF_CHECK(fail().type == error_type::provider_timeout);
}

CAF_TEST(a cut before the first chunk is unavailable and one in mid - answer a protocol error) {
  serve([](stand_in::connection& x) { x.close(); });
  CAF_CHECK(fail().type == error_type::provider_unavailable);
  result = {};
  serve(event_stream + openai_delta("Hel") + openai_delta("lo").substr(0, 20));
  CAF_CHECK(fail().type == error_type::provider_protocol);
  CAF_CHECK_EQUAL(result.text(), "Hel");
  result = {};
  serve(event_stream + openai_delta("Hel") + last_chunk);  // framed well, but the answer has no end
  CAF_CHECK(fail().type == error_type::provider_protocol);
}

CAF_TEST(an answer that has its reason needs neither the end of the body nor usage) {
  serve(event_stream + openai_delta("Hi") +
        chunked("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"));
  ask();
  CAF_REQUIRE(finish());
  CAF_CHECK(result.end);
  result = {};
  options.limits.between_chunks = 50ms;
  serve(event_stream + openai_delta("Hi") +
            chunked("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"),
        false);
  ask();
  CAF_REQUIRE(finish());
  CAF_CHECK(result.end);
}

CAF_TEST(garbage of every kind is a protocol error) {
  for (const std::string& garbage :
       {std::string{"\x16\x03\x01 this is not HTTP\r\n\r\n"},
        response("200 OK", "Content-Type: text/html\r\n", "<html>no</html>"),
        response("200 OK", "Content-Type: application/json\r\n", "{\"choices\":"),
        response("200 OK", "Content-Type: text/event-stream\r\nContent-Encoding: gzip\r\n", "x"),
        response("200 OK"), event_stream + chunked("data: {\"choices\":[{\n\n") + last_chunk,
        event_stream + "zz\r\n", event_stream + chunked("\x01\x02\x03\n\n") + last_chunk,
        std::string{"HTTP/1.1 200 OK\r\nX: "} + std::string(64 * 1024, 'x')}) {
    result = {};
    serve(garbage);
    CAF_CHECK(fail().type == error_type::provider_protocol);
    CAF_CHECK(result.deltas.empty());
  }
}

CAF_TEST(bad UTF - 8 is a protocol error behind what was good) {
  for (const auto bad : {"\xC3(", "\xED\xA0\x80", "\xFF"}) {
    result = {};
    serve(event_stream + openai_delta("good ") + openai_delta(bad) + openai_end);
    CAF_CHECK(fail().type == error_type::provider_protocol);
    CAF_CHECK_EQUAL(result.text(), "good ");
  }
  result = {};
  serve(event_stream + openai_delta("half \xE2\x82") + openai_end);
  CAF_CHECK(fail().type == error_type::provider_protocol);
  CAF_CHECK_EQUAL(result.text(), "half ");
}

CAF_TEST(a character that two deltas share is joined) {
  serve(event_stream + openai_delta("\xE2\x82") + openai_delta("\xAC!") + openai_end);
  ask();
  CAF_REQUIRE(finish());
  CAF_CHECK(result.end);
  CAF_CHECK(result.deltas == std::vector<std::string>{"\xE2\x82\xAC!"});
}

CAF_TEST(an error inside the stream is what the answer ends with) {
  serve(event_stream + openai_delta("Hel") +
        chunked("data: {\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"secret\"}}\n\n"));
  CAF_CHECK(fail().type == error_type::provider_rate_limited);
  CAF_CHECK_EQUAL(result.text(), "Hel");
}

CAF_TEST(a huge delta leaves in pieces and a huge event is refused) {
  const std::string huge(300'000, 'h');
  serve(event_stream + openai_delta(huge) + openai_end);
  ask();
  CAF_REQUIRE(finish());
  CAF_REQUIRE(result.end);
  CAF_CHECK(result.text() == huge);
  for (const auto& x : result.deltas)
    CAF_CHECK(x.size() <= max_delta_bytes);
  result = {};
  serve(event_stream + openai_delta(std::string(1'100'000, 'h')) + openai_end);
  CAF_CHECK(fail().type == error_type::provider_protocol);
}

CAF_TEST(an endless answer ends with length at its cap) {
  serve([](stand_in::connection& x) {
    x.send(event_stream, [&x] { x.send_forever(openai_delta(std::string(8'000, 'e'))); });
  });
  auto what = hello();
  what.max_tokens = 10;
  ask(plenty, what);
  CAF_REQUIRE(finish());
  CAF_REQUIRE(result.end);
  CAF_CHECK_EQUAL(result.end->finish_reason, "length");
  CAF_CHECK_EQUAL(result.text().size(), 1024u * 1024u);
}

CAF_TEST(without credit nothing is read and the provider is held up) {
  options.limits.between_chunks = 100ms;  // the reader's silence is not the provider's
  serve([](stand_in::connection& x) {
    x.send(event_stream, [&x] { x.send_forever(openai_delta(std::string(1'000, 'c'))); });
  });
  ask(0);
  run_while_busy(thread, 300ms);
  CAF_CHECK(result.deltas.empty() && !result.over());
  answer->grant(3);
  run_while_busy(thread, 300ms);
  CAF_CHECK_EQUAL(result.deltas.size(), 3u);
  CAF_CHECK(!result.over());
  // What the server could send has gone into the two sockets' buffers: its own, of some megabytes,
  // and ours.
  const auto held_up_at = server->connections[0]->bytes_accepted;
  CAF_CHECK(held_up_at < 8 * 1024 * 1024);
  run_while_busy(thread, 50ms);
  CAF_CHECK_EQUAL(server->connections[0]->bytes_accepted, held_up_at);
  answer->grant(5);
  CAF_CHECK(run_until(thread, [&] { return result.deltas.size() == 8; }));
  CAF_CHECK(!result.over());
}

CAF_TEST(without credit not even the end of the stream is read) {
  serve(event_stream + openai_delta("Hel"));
  ask(0);
  run_while_busy(thread, 50ms);
  CAF_CHECK(!result.over());
  answer->grant(2);
  CAF_REQUIRE(finish());
  CAF_CHECK(result.fault);
}

CAF_TEST(the deadline between chunks begins anew when the reader comes back) {
  options.limits.between_chunks = 200ms;
  serve(event_stream + openai_delta("Hel"), false);
  ask(1);
  CAF_REQUIRE(run_until(thread, [&] { return result.deltas.size() == 1; }));
  run_while_busy(thread, 300ms);
  answer->grant(1);
  run_while_busy(thread, 50ms);
  server->connections[0]->send(openai_delta("lo"));
  CAF_REQUIRE(run_until(thread, [&] { return result.deltas.size() == 2 || result.over(); }));
  CAF_CHECK_EQUAL(result.text(), "Hello");
  CAF_CHECK(!result.over());
}

CAF_TEST(a destroyed answer closes the connection and calls nothing) {
  bool gone = false;
  serve([&](stand_in::connection& x) {
    x.on_gone([&] { gone = true; });
    x.send(event_stream + openai_delta("Hel"));
  });
  ask();
  CAF_REQUIRE(run_until(thread, [&] { return result.deltas.size() == 1; }));
  answer.reset();
  CAF_CHECK(run_until(thread, [&] { return gone; }));
  run_while_busy(thread, 20ms);
  CAF_CHECK(!result.over());
  CAF_CHECK_EQUAL(thread.wheel().armed(), 0u);
}

CAF_TEST(an answer may be destroyed at any moment) {
  serve([](stand_in::connection& x) { x.send(event_stream + openai_delta("Hel") + openai_end); });
  for (int turns = 0; turns < 12; ++turns) {
    result = {};
    ask();
    for (int i = 0; i < turns; ++i)
      thread.context().run_one_for(10ms);
    const auto before = result.deltas.size() + result.over();
    answer.reset();
    run_while_busy(thread, 10ms);
    CAF_CHECK_EQUAL(result.deltas.size() + result.over(), before);
  }
}

CAF_TEST(an answer may be destroyed by its own delta and by its own end) {
  serve(event_stream + openai_delta("a") + openai_delta("b") + openai_end);
  auto into = result.into();
  into.delta = [&](std::string x) {
    result.deltas.push_back(std::move(x));
    answer.reset();
  };
  answer = make_openai_provider(options)->start(thread, hello(), into);
  answer->grant(plenty);
  run_while_busy(thread, 50ms);
  CAF_CHECK(result.deltas == std::vector<std::string>{"a"});
  CAF_CHECK(!result.over());
  result = {};
  into = result.into();
  into.done = [&](completion x) {
    answer.reset();
    result.end = std::move(x);
  };
  answer = make_openai_provider(options)->start(thread, hello(), into);
  answer->grant(plenty);
  CAF_CHECK(finish());
}

CAF_TEST(options that cannot work are refused without showing the key) {
  const auto refused = [&](http_provider_options x) {
    try {
      (void)make_openai_provider(x);
      return false;
    } catch (const std::invalid_argument& e) {
      return std::string{e.what()}.find("secret") == std::string::npos;
    }
  };
  options.base_url = "http://127.0.0.1:1";
  CAF_CHECK(!refused(options));
  auto x = options;
  x.base_url = "localhost";
  CAF_CHECK(refused(x));
  x = options;
  x.api_key = secret{"secret\r\nX-Evil: 1"};
  CAF_CHECK(refused(x));
  x = options;
  x.model.clear();
  CAF_CHECK(refused(x));
}

CAF_TEST_FIXTURE_SCOPE_END()
