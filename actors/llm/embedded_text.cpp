#include "actors/llm/embedded_text.hpp"

#include "actors/persona/prompts.hpp"
#include "actors/persona/text.hpp"
#include "actors/persona/voice.hpp"

#include <algorithm>
#include <numeric>
#include <optional>

namespace kgents::llm {

namespace {

using namespace persona;

constexpr size_t words_per_long_paragraph = 85;

/// How many words, in how many paragraphs.
struct size_wanted {
  size_t words = 0;
  size_t paragraphs = 1;
};

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

/// The N of "N words" or "N tokens", clamped to 1 … max_embedded_words.
std::optional<size_t> words_asked_for(std::string_view folded_text) {
  for (size_t i = 0; i < folded_text.size(); ++i) {
    if (!is_digit(folded_text[i]))
      continue;
    size_t n = 0;
    for (; i < folded_text.size() && (is_digit(folded_text[i]) || folded_text[i] == ','); ++i)
      if (folded_text[i] != ',')
        n = std::min(n * 10 + static_cast<size_t>(folded_text[i] - '0'), max_embedded_words);
    const auto rest = folded_text.substr(i, 8);
    const auto unit = rest.substr(std::min(rest.find_first_not_of(" -"), rest.size()));
    if (n > 0 && (unit.starts_with("word") || unit.starts_with("token")))
      return n;
  }
  return std::nullopt;
}

bool asks_for_depth(std::string_view folded_text) {
  constexpr std::string_view signs[] = {
      "in depth", "in-depth",           "detail",   "details",    "detailed",  "essay", "long",
      "longer",   "explain thoroughly", "thorough", "thoroughly", "paragraphs"};
  return std::any_of(std::begin(signs), std::end(signs),
                     [&](std::string_view sign) { return has_whole(folded_text, sign); });
}

size_wanted size_of_answer(std::string_view message, bool deep, random_choice& random) {
  const auto low = folded(first_bytes(message, reading_window_bytes));
  if (const auto n = words_asked_for(low))
    return {*n, std::max<size_t>(1, *n / words_per_long_paragraph)};
  if (deep || asks_for_depth(low)) {
    const auto words = 340 + random.below(220);
    return {words, std::clamp<size_t>(words / words_per_long_paragraph, 4, 7)};
  }
  return {52 + random.below(26), 1 + random.below(2)};
}

/// Deals out sentences, each once before any comes again, in an order of its own each time round.
class deck {
public:
  deck(std::span<const std::string_view> own, std::span<const std::string_view> common,
       random_choice& random)
      : random_{random} {
    lines_.reserve(own.size() + common.size());
    lines_.insert(lines_.end(), own.begin(), own.end());
    lines_.insert(lines_.end(), common.begin(), common.end());
    left_ = lines_.size();
  }

  std::string_view next() {
    // Fisher–Yates, one step a draw: a short answer pays for the few sentences it uses. The last
    // one dealt ends up in front and is not the first of the next round.
    const size_t skip = left_ == 0 ? 1 : 0;
    if (left_ == 0)
      left_ = lines_.size();
    const auto i = skip + random_.below(left_ - skip);
    --left_;
    std::swap(lines_[i], lines_[left_]);
    return lines_[left_];
  }

private:
  random_choice& random_;
  std::vector<std::string_view> lines_;
  size_t left_ = 0;
};

/// Writes one answer: the opening, then sentences until there are enough words, then a question.
class writer {
public:
  writer(mode x, const subject& about, random_choice& random)
      : mode_{x},
        about_{about},
        random_{random},
        thoughts_{thoughts(x), common_thoughts(), random},
        turns_{paragraph_openers(), {}, random} {}

  std::string write(const size_wanted& size) {
    text_.reserve(size.words * 7 + 256);
    const auto question = random_.pick(closing_questions(mode_));
    const auto question_words = word_count(question);
    // Below this an opening would overshoot what was asked for.
    if (size.words >= 40)
      opening();
    else
      sentence(thoughts_.next());
    size_t paragraph = 1;
    // A sentence has some twelve words: stopping six before the end is right on average.
    const auto enough = size.words > question_words + 6 ? size.words - question_words - 6 : 0;
    while (words_ < enough) {
      if (paragraph < size.paragraphs && words_ >= paragraph * size.words / size.paragraphs) {
        ++paragraph;
        text_ += "\n\n";
        if (size.paragraphs > 2)
          sentence(turns_.next());
      }
      sentence(thoughts_.next());
    }
    if (enough > 0) {
      if (paragraph < size.paragraphs)
        text_ += "\n\n";
      sentence(question);
    }
    return std::move(text_);
  }

private:
  void opening() {
    append_opening(text_, mode_, about_, default_seed(), axes_, random_);
    words_ += word_count(text_);
  }

  void sentence(std::string_view line) {
    if (!text_.empty() && text_.back() != '\n')
      text_ += ' ';
    const auto before = text_.size();
    append_line(text_, line, about_, default_seed(), random_);
    words_ += word_count(std::string_view{text_}.substr(before));
  }

  mode mode_;
  const subject& about_;
  random_choice& random_;
  deck thoughts_;
  deck turns_;
  eigenvectors axes_;
  std::string text_;
  size_t words_ = 0;
};

std::vector<std::string> chunks_of(std::string_view text) {
  std::vector<std::string> result;
  result.reserve(text.size() / 5 + 1);
  while (!text.empty()) {
    const auto word = std::min(text.find_first_of(" \n"), text.size());
    const auto end = std::min(text.find_first_not_of(" \n", word), text.size());
    const auto chunk = first_bytes(text.substr(0, end), max_embedded_chunk_bytes);
    result.emplace_back(chunk);
    text.remove_prefix(chunk.size());
  }
  return result;
}

uint64_t seed_of(std::string_view message, mode x, bool deep, uint32_t history_length) {
  const auto seen = first_bytes(message, reading_window_bytes);
  random_choice mix{hash_of(seen) ^ message.size() << 40 ^ uint64_t{history_length} << 8 ^
                    static_cast<uint64_t>(x) << 1 ^ static_cast<uint64_t>(deep)};
  return mix.next();
}

}  // namespace

std::vector<std::string> embedded_answer(std::string_view user_text, mode x, bool deep,
                                         uint32_t history_length) {
  auto message = trimmed(message_of(user_text));
  if (message.empty())
    message = "…";  // a model is asked nothing blank by the persona, but it may be by others
  random_choice random{seed_of(message, x, deep, history_length)};
  const auto size = size_of_answer(message, deep, random);
  const auto about = subject_of(message, default_seed());
  return chunks_of(writer{x, about, random}.write(size));
}

size_t chunk_at_prefix(const std::vector<std::string>& chunks, std::string_view prefix) noexcept {
  size_t i = 0;
  for (; !prefix.empty(); ++i) {
    if (i == chunks.size() || !prefix.starts_with(chunks[i]))
      return npos;
    prefix.remove_prefix(chunks[i].size());
  }
  return i;
}

}  // namespace kgents::llm
