#define CAF_SUITE text

#include "actors/persona/text.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents::persona;

CAF_TEST(white space of any script is trimmed and nothing else is) {
  CAF_CHECK_EQUAL(trimmed(" \t\r\n a b \n"), "a b");
  CAF_CHECK_EQUAL(trimmed("\u00a0\u3000\u2003x\u2028"), "x");
  CAF_CHECK_EQUAL(trimmed("\u3000\u00a0 "), "");
  CAF_CHECK_EQUAL(trimmed("\u200bx"), "\u200bx");
  CAF_CHECK_EQUAL(trimmed("\xa0"), "\xa0");
  CAF_CHECK_EQUAL(trimmed(""), "");
}

CAF_TEST(text is cut between code points only) {
  CAF_CHECK_EQUAL(first_code_points("aé€😀z", 4), "aé€😀");
  CAF_CHECK_EQUAL(first_code_points("ab", 9), "ab");
  CAF_CHECK_EQUAL(first_bytes("aé€😀", 2), "a");
  CAF_CHECK_EQUAL(first_bytes("aé€😀", 3), "aé");
  CAF_CHECK_EQUAL(first_bytes("aé€😀", 9), "aé€");
  CAF_CHECK_EQUAL(first_bytes("aé€😀", 10), "aé€😀");
}

CAF_TEST(bytes that are no UTF - 8 are seen one by one) {
  for (auto bad : {"\xff", "\x80", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                   "\xe2\x82", "\xf8\x88\x80\x80\x80"}) {
    const auto c = decode_at(bad, 0);
    CAF_CHECK(!c.valid);
    CAF_CHECK_EQUAL(static_cast<int>(c.length), 1);
  }
  CAF_CHECK_EQUAL(decode_at("😀", 0).value, 0x1f600u);
  CAF_CHECK_EQUAL(static_cast<int>(decode_at("a", 1).length), 0);
}

CAF_TEST(words stand between white space) {
  CAF_CHECK(words_of("  one\u3000two,\nthree ") ==
            (std::vector<std::string_view>{"one", "two,", "three"}));
  CAF_CHECK(words_of("a b c", 2) == (std::vector<std::string_view>{"a", "b"}));
  CAF_CHECK(words_of(" ").empty());
  CAF_CHECK_EQUAL(word_count(" a  b\u00a0c\n"), 3u);
  CAF_CHECK_EQUAL(word_count(""), 0u);
}

CAF_TEST(a whole word has no letter digit or underscore beside it) {
  CAF_CHECK(has_whole("i am done.", "done"));
  CAF_CHECK(has_whole("abandoned, then done", "done"));
  CAF_CHECK(!has_whole("abandoned", "done"));
  CAF_CHECK(!has_whole("done_it", "done"));
  CAF_CHECK(has_whole("thank you!", "thank you"));
}

CAF_TEST(a quotation is one clean line) {
  CAF_CHECK_EQUAL(quotable("  a\n\n b\tc  ", 80), "a b c");
  CAF_CHECK_EQUAL(quotable("a\x01\x1b[31m\u202e\u200b\xff z", 80), "a[31m z");
  CAF_CHECK_EQUAL(quotable("äöü xyz", 5), "äöü x…");
  CAF_CHECK_EQUAL(quotable("äöü", 3), "äöü");
  CAF_CHECK_EQUAL(quotable("äöü   ", 3), "äöü");
}
