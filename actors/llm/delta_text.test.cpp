#define CAF_SUITE delta_text

#include "actors/llm/delta_text.hpp"

#include "actors/llm/provider.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents::llm;

namespace {

std::string drain(delta_text& from) {
  std::string out;
  while (auto x = from.next())
    out += *x;
  return out;
}

const std::string sample = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z";  // 1, 2, 3, 4 and 1 bytes

}  // namespace

CAF_TEST(a code point that was cut between two pieces is joined wherever it was cut) {
  for (size_t cut = 0; cut <= sample.size(); ++cut) {
    delta_text text{1000};
    CAF_CHECK(text.push(sample.substr(0, cut)) == delta_text::verdict::ok);
    auto out = drain(text);
    CAF_CHECK(!utf8_extent_of(out).malformed && utf8_extent_of(out).valid == out.size());
    CAF_CHECK(text.push(sample.substr(cut)) == delta_text::verdict::ok);
    out += drain(text);
    CAF_CHECK_EQUAL(out, sample);
    CAF_CHECK(!text.inside_code_point());
  }
}

CAF_TEST(bytes that no UTF - 8 text has are refused) {
  for (const std::string bad :
       {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xC3(", "\xE2\x82(", "\xF0\x9F\x98("}) {
    delta_text whole{1000};
    CAF_CHECK(whole.push("ok " + bad) == delta_text::verdict::malformed);
    delta_text in_bytes{1000};
    auto verdict = delta_text::verdict::ok;
    for (char c : bad)
      if (verdict == delta_text::verdict::ok)
        verdict = in_bytes.push(std::string_view{&c, 1});
    CAF_CHECK(verdict == delta_text::verdict::malformed);
  }
}

CAF_TEST(a large piece leaves as deltas that end between code points) {
  std::string large;
  while (large.size() < 3 * max_delta_bytes)
    large += sample;
  delta_text text{large.size()};
  CAF_REQUIRE(text.push(large) == delta_text::verdict::ok);
  std::string joined;
  while (auto x = text.next()) {
    CAF_CHECK(x->size() <= max_delta_bytes);
    CAF_CHECK(utf8_extent_of(*x).valid == x->size());
    joined += *x;
  }
  CAF_CHECK(joined == large);
}

CAF_TEST(the total is cut between code points and says so) {
  delta_text text{5};
  CAF_CHECK(text.push(sample.substr(0, 3)) == delta_text::verdict::ok);
  CAF_CHECK(text.push(sample.substr(3)) == delta_text::verdict::full);
  CAF_CHECK_EQUAL(drain(text), sample.substr(0, 3));
}

CAF_TEST(NUL becomes the replacement character) {
  delta_text text{100};
  CAF_CHECK(text.push(std::string_view{"a\0b", 3}) == delta_text::verdict::ok);
  CAF_CHECK_EQUAL(drain(text),
                  "a\xEF\xBF\xBD"
                  "b");
}

CAF_TEST(words are counted across pieces) {
  word_counter words;
  for (auto piece : {"One tw", "o", "  three\n", "", "fo", "ur."})
    words.add(piece);
  CAF_CHECK_EQUAL(words.words, 4u);
}
