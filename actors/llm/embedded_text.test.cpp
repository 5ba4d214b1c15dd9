#define CAF_SUITE embedded_text

#include "actors/llm/embedded_text.hpp"

#include "actors/persona/prompts.hpp"
#include "actors/persona/random.hpp"
#include "actors/persona/text.hpp"

#include <caf/test/dsl.hpp>

#include <algorithm>
#include <set>

using namespace kgents;
using namespace kgents::llm;
using persona::mode;

namespace {

std::string joined(const std::vector<std::string>& chunks) {
  std::string result;
  for (const auto& chunk : chunks)
    result += chunk;
  return result;
}

std::string answer(std::string_view text, mode x = mode::reflect, bool deep = false,
                   uint32_t history = 0) {
  return joined(embedded_answer(text, x, deep, history));
}

size_t paragraphs(std::string_view text) {
  size_t result = 1;
  for (auto at = text.find("\n\n"); at != text.npos; at = text.find("\n\n", at + 2))
    ++result;
  return result;
}

bool is_utf8(std::string_view text) {
  for (size_t pos = 0; pos < text.size();) {
    const auto c = persona::decode_at(text, pos);
    if (!c.valid)
      return false;
    pos += c.length;
  }
  return true;
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

/// Messages of all kinds: ordinary, many short words, one endless word, other scripts, broken
/// bytes.
std::vector<std::string> messages() {
  std::vector<std::string> result{
      "Should I rewrite the composable parts of our scheduler with joy?",
      "a b c d e f g h i j k l m n o p q r s t u v w x y z",
      std::string(500, 'x'),
      "我该不该重写调度器？因为它很慢。",
      "Überlegungen zur Größe \u202e und 😀😀😀 und Straße",
      std::string("\xff\xfe broken \xe2\x82 bytes\0 inside", 26),
      "?",
      "",
      "intellectual ethical joy jargon first composable small prototype reversible peers question",
  };
  std::string emoji;
  for (int i = 0; i < 100; ++i)
    emoji += "😀";
  result.push_back(emoji);
  return result;
}

}  // namespace

CAF_TEST(equal arguments give equal chunks) {
  for (const auto& text : messages())
    for (auto x : persona::all_modes)
      CAF_CHECK(embedded_answer(text, x, true, 3) == embedded_answer(text, x, true, 3));
}

CAF_TEST(an answer stays the same from one build to the next) {
  // A changed value here means that answers cut by an upgrade cannot be continued. Fine when
  // wanted.
  uint64_t all = 0;
  for (const auto& text : messages())
    for (auto x : persona::all_modes)
      all = persona::hash_of(answer(text, x, false, 1), all);
  CAF_CHECK_EQUAL(all, 2931275450994071693u);
}

CAF_TEST(mode depth history and message all change the answer) {
  const std::string text = "How do I begin with the garden?";
  std::set<std::string> seen;
  for (auto x : persona::all_modes)
    for (auto deep : {false, true})
      for (uint32_t history : {0u, 2u, 4u})
        seen.insert(answer(text, x, deep, history));
  CAF_CHECK_EQUAL(seen.size(), 24u);
  CAF_CHECK(answer(text) != answer("How do I begin with the house?"));
}

CAF_TEST(the time of day in the prompt changes nothing) {
  for (auto x : persona::all_modes) {
    const auto night = persona::user_prompt("Why the garden?", x, {}, {.hour = 1, .weekday = 0});
    const auto noon = persona::user_prompt("Why the garden?", x, {}, {.hour = 13, .weekday = 4});
    CAF_CHECK_EQUAL(answer(night, x), answer("Why the garden?", x));
    CAF_CHECK_EQUAL(answer(noon, x), answer(night, x));
  }
}

CAF_TEST(a chunk is one word and its white space and always valid) {
  for (const auto& text : messages())
    for (auto x : persona::all_modes)
      for (auto deep : {false, true})
        for (const auto& chunk : embedded_answer(text, x, deep, 0)) {
          CAF_CHECK(!chunk.empty());
          CAF_CHECK(chunk.size() <= max_embedded_chunk_bytes);
          CAF_CHECK(is_utf8(chunk));
          CAF_CHECK(chunk.find_first_not_of(" \n", std::min(chunk.find_first_of(" \n"),
                                                            chunk.size())) == std::string::npos);
        }
}

CAF_TEST(an ordinary answer has forty to ninety words in one or two paragraphs) {
  size_t least = SIZE_MAX;
  size_t most = 0;
  for (const auto& text : messages())
    for (auto x : persona::all_modes)
      for (uint32_t history = 0; history < 50; ++history) {
        const auto full = answer(text, x, false, history);
        const auto words = persona::word_count(full);
        least = std::min(least, words);
        most = std::max(most, words);
        CAF_CHECK(paragraphs(full) <= 2);
        CAF_CHECK(full.ends_with('?') || full.ends_with('.'));
      }
  CAF_CHECK(least >= 40);
  CAF_CHECK(most <= 90);
}

CAF_TEST(a deep answer has three to six hundred words in four to seven paragraphs) {
  for (const auto& text : messages())
    for (auto x : persona::all_modes)
      for (uint32_t history = 0; history < 20; ++history) {
        const auto full = answer(text, x, true, history);
        const auto words = persona::word_count(full);
        CAF_CHECK(words >= 300 && words <= 600);
        CAF_CHECK(paragraphs(full) >= 4 && paragraphs(full) <= 7);
      }
}

CAF_TEST(asking for depth in words is enough) {
  for (auto text : {"Tell me in depth about gardens", "Every detail please", "An essay on tea",
                    "A long answer please", "Explain thoroughly", "Some paragraphs on tea",
                    "explain it in DETAIL"})
    CAF_CHECK(persona::word_count(answer(text)) >= 300);
  for (auto text : {"Where do I belong?", "Walk along the river", "essayist"})
    CAF_CHECK(persona::word_count(answer(text)) <= 90);
}

CAF_TEST(a number of words is kept to within twenty) {
  for (size_t n : {20u, 40u, 75u, 150u, 300u, 1'000u, 2'500u, 8'000u})
    for (auto x : persona::all_modes) {
      const auto chunks =
          embedded_answer("Write about " + std::to_string(n) + " words on gardens", x, false, 0);
      CAF_CHECK(chunks.size() + 20 >= n && chunks.size() <= n + 20);
    }
  CAF_CHECK(embedded_answer("1,000 tokens", mode::advise, false, 0).size() > 980);
  CAF_CHECK(embedded_answer("a 400-word essay", mode::advise, true, 0).size() < 421);
  CAF_CHECK(embedded_answer("99999999999999999999999 words", mode::advise, false, 0).size() <=
            max_embedded_words + 20);
  CAF_CHECK(!embedded_answer("1 word", mode::advise, false, 0).empty());
  CAF_CHECK(embedded_answer("0 words", mode::advise, false, 0).size() >= 40);
}

CAF_TEST(a long answer does not repeat itself soon) {
  const auto text = answer("Write 700 words on the garden", mode::explore);
  std::set<std::string> seen;
  size_t sentences = 0;
  for (size_t start = 0; start < text.size();) {
    const auto end = std::min(text.find_first_of(".?", start), text.size() - 1);
    seen.insert(text.substr(start, end + 1 - start));
    ++sentences;
    start = text.find_first_not_of(" \n", end + 1);
  }
  CAF_CHECK(sentences > 40);
  CAF_CHECK(seen.size() + 6 >= sentences);
}

CAF_TEST(reflection quotes what was stated before or asks what to examine) {
  for (uint32_t history = 0; history < 20; ++history) {
    const auto known =
        answer("Is it honesty to prototype in secret?", mode::reflect, false, history);
    CAF_CHECK(contains(known, "“intellectual honesty”"));
    CAF_CHECK(contains(known, "“prototype early, decide late”"));
    CAF_CHECK(contains(answer("Tea?", mode::reflect, false, history), "examine"));
  }
}

CAF_TEST(advice builds on a matched pattern or keeps the style of the persona) {
  for (uint32_t history = 0; history < 20; ++history) {
    CAF_CHECK(contains(answer("Should the prototype ship?", mode::advise, false, history),
                       "“prototype early, decide late”"));
    CAF_CHECK(contains(answer("Tea?", mode::advise, false, history), "It fits your liking for"));
  }
}

CAF_TEST(a challenge uses an extreme axis or advice to a friend) {
  std::set<std::string_view> seen;
  for (uint32_t history = 0; history < 60; ++history) {
    const auto text = answer("Tea is best.", mode::challenge, false, history);
    size_t found = 0;
    for (std::string_view sign : {"You like things bare", "You think in structures",
                                  "You trust peers over ranks", "Suppose a friend"})
      if (contains(text, sign)) {
        seen.insert(sign);
        ++found;
      }
    CAF_CHECK_EQUAL(found, 1u);
  }
  CAF_CHECK_EQUAL(seen.size(), 4u);
}

CAF_TEST(exploring connects two different interests) {
  for (uint32_t history = 0; history < 30; ++history) {
    const auto text = answer("Tea?", mode::explore, false, history);
    size_t found = 0;
    for (std::string_view interest : {"category theory", "scientific agents", "personal AI"})
      found += contains(text, interest);
    CAF_CHECK(found >= 2);
  }
}

CAF_TEST(the words of the user are taken up but clipped and cleaned) {
  CAF_CHECK(contains(answer("Why does Müller garden?"), "“Why does Müller garden?”"));
  const auto long_text = "one two three four five six seven eight nine ten eleven twelve thirteen";
  CAF_CHECK(contains(answer(long_text), "eleven twelve…”"));
  CAF_CHECK(!contains(answer(long_text), "thirteen”"));
  CAF_CHECK(!contains(answer("a\u202eb\x1b[2J"), "\u202e"));
  CAF_CHECK(!contains(answer("a\u202eb\x1b[2J"), "\x1b"));
  CAF_CHECK(contains(answer(std::string(500, 'x')), std::string(80, 'x') + "…"));
  CAF_CHECK(!contains(answer(std::string(500, 'x')), std::string(81, 'x')));
}

CAF_TEST(an answer can be continued behind every chunk) {
  const auto chunks = embedded_answer("Tell me about gardens", mode::advise, false, 0);
  std::string prefix;
  for (size_t i = 0; i < chunks.size(); ++i) {
    CAF_CHECK_EQUAL(chunk_at_prefix(chunks, prefix), i);
    prefix += chunks[i];
  }
  CAF_CHECK_EQUAL(chunk_at_prefix(chunks, prefix), chunks.size());
}

CAF_TEST(a prefix of something else is not continued) {
  const auto chunks = embedded_answer("Tell me about gardens", mode::advise, false, 0);
  const auto text = joined(chunks);
  CAF_CHECK_EQUAL(chunk_at_prefix(chunks, "Something else"), npos);
  CAF_CHECK_EQUAL(chunk_at_prefix(chunks, text + "more"), npos);
  CAF_CHECK_EQUAL(chunk_at_prefix(chunks, text.substr(0, chunks[0].size() + 1)), npos);
  CAF_CHECK_EQUAL(chunk_at_prefix({}, "x"), npos);
  CAF_CHECK_EQUAL(chunk_at_prefix({}, ""), 0u);
}
