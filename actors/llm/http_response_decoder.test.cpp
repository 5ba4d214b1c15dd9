#define CAF_SUITE http_response_decoder

#include "actors/llm/http_response_decoder.hpp"

#include <caf/test/dsl.hpp>

using kgents::llm::http_response_decoder;

namespace {

struct fed {
  bool good = true;
  bool complete = false;
  unsigned status = 0;
  std::string body;
};

fed feed(const std::string& text, size_t cut) {
  http_response_decoder decoder;
  fed out;
  out.good =
      decoder.feed(text.substr(0, cut), out.body) && decoder.feed(text.substr(cut), out.body);
  out.complete = out.good && decoder.end_of_stream();
  out.status = decoder.header().status;
  return out;
}

void check(const std::string& text, bool good, bool complete, const std::string& body) {
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    const auto x = feed(text, cut);
    CAF_CHECK_EQUAL(x.good, good);
    CAF_CHECK_EQUAL(x.complete, complete);
    if (good)
      CAF_CHECK_EQUAL(x.body, body);
  }
}

}  // namespace

CAF_TEST(every framing of a body is understood however it is cut) {
  check(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n"
      "Trailer: t\r\n\r\n",
      true, true, "hello world");
  check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", true, true, "hello");
  check("HTTP/1.0 200 OK\r\n\r\nhello", true, true, "hello");
  check(
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
      true, true, "hi");
  check("HTTP/1.1 204 No Content\r\n\r\n", true, true, "");
}

CAF_TEST(a response that ends early is told from a whole one) {
  check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", true, false, "hel");
  check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", true, false,
        "hello");
  check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", true, false, "hell");
  check("HTTP/1.1 200 OK\r\nContent-Le", true, false, "");
  check("", true, false, "");
}

CAF_TEST(what is no HTTP is refused) {
  check("SSH-2.0-OpenSSH_9.2\r\n\r\n", false, false, "");
  check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nhello\r\n", false, false, "");
  check("HTTP/1.1 101 Switching Protocols\r\n\r\n", false, false, "");
}

CAF_TEST(a header beyond 32 KiB and a chunk header without an end are refused) {
  for (const std::string start :
       {"HTTP/1.1 200 OK\r\nX: ", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;"}) {
    http_response_decoder decoder;
    std::string body;
    bool good = decoder.feed(start, body);
    size_t fed = 0;
    const std::string block(1024, 'a');
    while (good && fed < 1024 * 1024) {
      good = decoder.feed(block, body);
      fed += block.size();
    }
    CAF_CHECK(!good);
    CAF_CHECK(fed <= 64 * 1024);
  }
}

CAF_TEST(the fields that matter are kept) {
  http_response_decoder decoder;
  std::string body;
  CAF_REQUIRE(
      decoder.feed("HTTP/1.1 429 Too Many\r\nretry-after: 12\r\nContent-Type: "
                   "Text/Event-Stream; charset=utf-8\r\nContent-Encoding: GZIP\r\n"
                   "Content-Length: 0\r\n\r\n",
                   body));
  CAF_CHECK_EQUAL(decoder.header().status, 429u);
  CAF_CHECK_EQUAL(decoder.header().retry_after, "12");
  CAF_CHECK_EQUAL(decoder.header().content_type, "text/event-stream; charset=utf-8");
  CAF_CHECK_EQUAL(decoder.header().content_encoding, "gzip");
}
