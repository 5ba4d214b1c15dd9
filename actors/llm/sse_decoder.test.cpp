#define CAF_SUITE sse_decoder

#include "actors/llm/sse_decoder.hpp"

#include <vector>

#include <caf/test/dsl.hpp>

using namespace kgents::llm;

namespace {

using events = std::vector<std::pair<std::string, std::string>>;

void drain(sse_decoder& decoder, events& out) {
  sse_event x;
  while (decoder.next(x) == sse_decoder::result::event)
    out.emplace_back(x.name, x.data);
}

events decode(const std::vector<std::string>& pieces) {
  sse_decoder decoder;
  events out;
  for (const auto& piece : pieces) {
    decoder.feed(piece);
    drain(decoder, out);
  }
  sse_event x;
  if (decoder.last(x) == sse_decoder::result::event)
    out.emplace_back(x.name, x.data);
  return out;
}

}  // namespace

CAF_TEST(lines end in LF or CRLF or CR and events may be cut anywhere) {
  const std::string body =
      "\xEF\xBB\xBF: hello\r\n\r\nevent: first\r\ndata: one\r\ndata:two\r\n\r\nid: 7\ndata:  "
      "three\n\n"
      "data\rdata: four\r\rretry: 1\nevent: lost\n\ndata: five";
  const events expected{{"first", "one\ntwo"}, {"", " three"}, {"", "\nfour"}, {"", "five"}};
  CAF_CHECK(decode({body}) == expected);
  for (size_t cut = 0; cut <= body.size(); ++cut)
    CAF_CHECK(decode({body.substr(0, cut), body.substr(cut)}) == expected);
  std::vector<std::string> bytes;
  for (char c : body)
    bytes.emplace_back(1, c);
  CAF_CHECK(decode(bytes) == expected);
}

CAF_TEST(comments and events without data are no events) {
  CAF_CHECK(decode({": OPENROUTER PROCESSING\n\n: again\n\nevent: ping\n\n"}).empty());
}

CAF_TEST(an event has the id of its own lines and of no other event) {
  sse_decoder decoder;
  decoder.feed("id: a:1:0\ndata: x\n\ndata: y\n\nid: lost\n\nevent: z\ndata: z\n\n");
  std::vector<std::string> ids;
  sse_event x;
  while (decoder.next(x) == sse_decoder::result::event)
    ids.push_back(x.id);
  CAF_CHECK_EQUAL(ids, (std::vector<std::string>{"a:1:0", "", ""}));
}

CAF_TEST(an event of more than a mebibyte is refused before it is held whole) {
  for (const std::string line : {"data: ", ": ", "data: x\ndata: "}) {
    sse_decoder decoder;
    sse_event x;
    decoder.feed(line);
    const std::string block(16 * 1024, 'a');
    size_t fed = 0;
    auto result = sse_decoder::result::need_more;
    while (fed < 4 * max_sse_event_bytes && result == sse_decoder::result::need_more) {
      decoder.feed(block);
      fed += block.size();
      result = decoder.next(x);
    }
    CAF_CHECK(result == sse_decoder::result::too_large);
    CAF_CHECK(fed <= max_sse_event_bytes + block.size());
  }
  sse_decoder many_lines;
  sse_event x;
  auto result = sse_decoder::result::need_more;
  for (int i = 0; i < 2000 && result == sse_decoder::result::need_more; ++i) {
    many_lines.feed("data: " + std::string(1024, 'a') + "\n");
    result = many_lines.next(x);
  }
  CAF_CHECK(result == sse_decoder::result::too_large);
}

CAF_TEST(what was not pulled stays for later) {
  sse_decoder decoder;
  decoder.feed("data: 1\n\ndata: 2\n\nda");
  sse_event x;
  CAF_REQUIRE(decoder.next(x) == sse_decoder::result::event);
  CAF_CHECK_EQUAL(x.data, "1");
  decoder.feed("ta: 3\n\n");
  events rest;
  drain(decoder, rest);
  CAF_CHECK(rest == (events{{"", "2"}, {"", "3"}}));
}
