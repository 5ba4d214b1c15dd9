#define CAF_SUITE websocket_frames

#include "gateway/http/websocket_frames.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents::gateway::http;
using namespace std::string_literals;
using event = websocket_decoder::event;

namespace {

// A client's frame; `first` is its first byte.
std::string frame(int first, std::string_view payload, bool masked = true, int length_bytes = -1) {
  char header[max_frame_header_bytes];
  size_t size = put_frame_header(header, websocket_opcode::text, payload.size());
  std::string out{header, size};
  if (length_bytes == 2 && size == 2)
    out = {header[0], 126, 0, header[1]};
  out[0] = static_cast<char>(first);
  if (!masked)
    return out += payload;
  out[1] = static_cast<char>(out[1] | 0x80);
  const char mask[] = {0x12, 0x34, 0x56, 0x78};
  out.append(mask, 4);
  for (size_t i = 0; i < payload.size(); ++i)
    out += static_cast<char>(payload[i] ^ mask[i % 4]);
  return out;
}

// The events of `bytes`, the same in whatever pieces they come.
std::string events(std::string_view bytes) {
  std::string expected;
  for (size_t step : {bytes.size(), size_t{1}, size_t{3}}) {
    websocket_decoder x;
    std::string heard;
    for (auto rest = bytes; !rest.empty();) {
      auto in = rest.substr(0, step);
      rest.remove_prefix(in.size());
      while (!in.empty())
        switch (x.next(in)) {
          case event::need_more:
            break;
          case event::message:
            heard += "m:" + std::string{x.payload()} + ";";
            break;
          case event::ping:
            heard += "ping:" + std::string{x.payload()} + ";";
            break;
          case event::pong:
            heard += "pong;";
            break;
          case event::close:
            heard += "close:" + std::to_string(x.code()) + ";";
            break;
          case event::failed:
            heard += "failed:" + std::to_string(x.code()) + ";";
            break;
        }
    }
    if (expected.empty())
      expected = heard;
    CAF_CHECK_EQUAL(heard, expected);
  }
  return expected;
}

}  // namespace

CAF_TEST(messages whole and in fragments with control frames between) {
  CAF_CHECK_EQUAL(events(frame(0x81, "hello") + frame(0x81, "")), "m:hello;m:;");
  CAF_CHECK_EQUAL(events(frame(0x01, "he") + frame(0x89, "beat") + frame(0x00, "l") +
                         frame(0x8a, "") + frame(0x80, "lo") + frame(0x81, "next")),
                  "ping:beat;pong;m:hello;m:next;");
  const std::string middle(200, 'm');
  const std::string large(70000, 'l');
  CAF_CHECK_EQUAL(events(frame(0x81, middle) + frame(0x81, large)),
                  "m:" + middle + ";m:" + large + ";");
}

CAF_TEST(what breaks the protocol is 1002) {
  for (auto& bytes :
       {frame(0x81, "x", false), frame(0x83, "x"), frame(0x8b, "x"), frame(0xc1, "x"),
        frame(0x91, "x"), frame(0x09, "x"), frame(0x08, ""), frame(0x89, std::string(126, 'x')),
        frame(0x80, "x"), frame(0x01, "a") + frame(0x81, "b"), frame(0x88, "x"),
        frame(0x88, "\x03\xe7"s), frame(0x88, "\x03\xed"s), frame(0x88, "\x13\x88"s),
        frame(0x81, "short", true, 2)})
    CAF_CHECK_EQUAL(events(bytes), "failed:1002;");
}

CAF_TEST(text must be UTF - 8 and binary is not spoken) {
  CAF_CHECK_EQUAL(events(frame(0x81, "\xc3\x28")), "failed:1007;");
  CAF_CHECK_EQUAL(events(frame(0x01, "\xf0\x9f") + frame(0x80, "x")), "failed:1007;");
  CAF_CHECK_EQUAL(events(frame(0x01, "\xf0\x9f") + frame(0x80, "\x8c\x8a")), "m:\xf0\x9f\x8c\x8a;");
  CAF_CHECK_EQUAL(events(frame(0x88, "\x03\xe8\xc3\x28"s)), "failed:1007;");
  CAF_CHECK_EQUAL(events(frame(0x82, "x")), "failed:1003;");
}

CAF_TEST(a message beyond the limit is 1009 before its bytes come) {
  auto announced = [](uint64_t size) {
    std::string x{'\x81', '\xff'};
    for (int i = 7; i >= 0; --i)
      x += static_cast<char>(size >> (8 * i));
    return x + "mask";
  };
  CAF_CHECK_EQUAL(events(announced(2 * 1024 * 1024)), "failed:1009;");
  CAF_CHECK_EQUAL(events(announced(uint64_t{1} << 62)), "failed:1009;");
  CAF_CHECK_EQUAL(events(announced(uint64_t{1} << 63)), "failed:1002;");
  std::string fragments = frame(0x01, std::string(65000, 'x'));
  for (int i = 0; i < 17; ++i)
    fragments += frame(0x00, std::string(65000, 'x'));
  CAF_CHECK_EQUAL(events(fragments), "failed:1009;");
}

CAF_TEST(close frames say why) {
  CAF_CHECK_EQUAL(events(frame(0x88,
                               "\x03\xe8"
                               "done"s) +
                         frame(0x81, "late")),
                  "close:1000;");
  CAF_CHECK_EQUAL(events(frame(0x88, "")), "close:1005;");
  CAF_CHECK_EQUAL(events(frame(0x88, "\x0f\xa1"s)), "close:4001;");
}

CAF_TEST(UTF - 8 as Unicode has it) {
  for (auto text :
       {"", "plain ascii, long enough for words", "\xc2\x80", "\xe0\xa0\x80", "\xed\x9f\xbf",
        "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "12345678\xc3\xa9"})
    CAF_CHECK(valid_utf8(text));
  for (auto text :
       {"\x80", "\xc0\x80", "\xc1\xbf", "\xc3", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xe2\x82",
        "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "1234567\xc3"})
    CAF_CHECK(!valid_utf8(text));
}
