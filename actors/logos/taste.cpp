#include "actors/logos/taste.hpp"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <set>

#include "actors/persona/text.hpp"

namespace kgents::actors::taste {

namespace json = boost::json;

namespace {

/// What a critique reads of a text: more would cost more than it could tell.
constexpr size_t most_read_bytes = 64 * 1024;

double ratio_distance(size_t output, size_t prior) {
  if (prior == 0)
    return output == 0 ? 0.0 : 1.0;
  return std::min(std::abs(1.0 - static_cast<double>(output) / static_cast<double>(prior)), 1.0);
}

template <class Set>
double jaccard_distance(const Set& a, const Set& b) {
  if (a.empty() && b.empty())
    return 0.0;
  size_t both = 0;
  for (const auto& x : a)
    both += b.count(x);
  return 1.0 - static_cast<double>(both) / static_cast<double>(a.size() + b.size() - both);
}

struct letters {
  size_t count = 0;
  std::set<uint32_t> distinct;
};

letters letters_of(std::string_view text) {
  letters out;
  for (size_t at = 0; at < text.size();) {
    const auto x = persona::decode_at(text, at);
    const bool capital = x.value >= 'A' && x.value <= 'Z';
    out.distinct.insert(capital ? x.value + 32 : x.value);
    ++out.count;
    at += std::max<size_t>(x.length, 1);
  }
  return out;
}

double text_surprise(std::string_view output, std::string_view prior) {
  if (output.empty() || prior.empty())
    return output == prior ? 0.0 : 0.5;
  const auto a = letters_of(output);
  const auto b = letters_of(prior);
  return (ratio_distance(a.count, b.count) + jaccard_distance(a.distinct, b.distinct)) / 2;
}

std::set<std::string_view> keys_of(const json::object& x) {
  std::set<std::string_view> out;
  for (const auto& member : x)
    out.insert(member.key());
  return out;
}

double number_surprise(double output, double prior) {
  if (prior == 0)
    return output == 0 ? 0.0 : 1.0;
  return std::min(std::abs(output - prior) / std::abs(prior), 1.0);
}

std::string text_of(const json::value& x) {
  auto text = x.is_string() ? std::string{x.get_string()} : json::serialize(x);
  return std::string{persona::first_bytes(text, most_read_bytes)};
}

/// Folded, without punctuation at their ends.
std::set<std::string> keywords_of(std::string_view text, size_t least_letters) {
  std::set<std::string> out;
  const auto low = persona::folded(text);
  std::string word;
  const auto end_word = [&] {
    if (word.size() >= least_letters)
      out.insert(word);
    word.clear();
  };
  for (const char c : low) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80 || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
      word.push_back(c);
    else
      end_word();
  }
  end_word();
  return out;
}

size_t sentences_in(std::string_view text) {
  size_t n = 0;
  bool after_word = false;
  for (const char c : text) {
    const bool stop = c == '.' || c == '!' || c == '?';
    n += stop && after_word ? 1 : 0;
    after_word = !stop && (after_word || static_cast<unsigned char>(c) > ' ');
    if (stop)
      after_word = false;
  }
  return n;
}

double novelty_of(const critique_request& ask) {
  const auto& artifact = *ask.artifact;
  if (ask.prior_work != nullptr && !ask.prior_work->is_null()) {
    const auto* several = ask.prior_work->if_array();
    if (several == nullptr)
      return structural_surprise(artifact, ask.prior_work);
    double most = several->empty() ? 0.5 : 0.0;
    for (const auto& x : *several)
      most = std::max(most, structural_surprise(artifact, &x));
    return most;
  }
  const auto text = text_of(artifact);
  const auto length = static_cast<double>(letters_of(text).count);
  const auto distinct = static_cast<double>(keywords_of(text, 1).size());
  return (std::min(1.0, length / 1000) + std::min(1.0, distinct / 50)) / 2;
}

double utility_of(const critique_request& ask) {
  const auto& artifact = *ask.artifact;
  if (!persona::trimmed(ask.purpose).empty()) {
    auto wanted = keywords_of(ask.purpose, 4);
    if (wanted.empty())
      wanted = keywords_of(ask.purpose, 1);
    if (wanted.empty())
      return 0.3;
    const auto text = persona::folded(text_of(artifact));
    size_t found = 0;
    for (const auto& x : wanted)
      found += text.find(x) != std::string::npos ? 1 : 0;
    const auto share = static_cast<double>(found) / static_cast<double>(wanted.size());
    return std::min(1.0, 0.3 + 0.7 * share);
  }
  const auto by_size = [](size_t n) {
    return n == 0 ? 0.2 : std::min(1.0, 0.5 + 0.05 * static_cast<double>(n));
  };
  if (artifact.is_object())
    return by_size(artifact.get_object().size());
  if (artifact.is_array())
    return by_size(artifact.get_array().size());
  const auto text = artifact.is_null() ? std::string{} : text_of(artifact);
  if (persona::trimmed(text).empty())
    return 0.1;
  const auto sentences = sentences_in(text);
  return sentences == 0 ? 0.4 : std::min(1.0, 0.5 + 0.05 * static_cast<double>(sentences));
}

std::string_view in_words(double score) {
  return score < 0.3 ? "low" : score < 0.7 ? "moderate" : "high";
}

constexpr double weak = 0.3;

}  // namespace

double wundt(double novelty) noexcept { return 4 * novelty * (1 - novelty); }

thresholds calibrated(thresholds present, std::optional<double> low,
                      std::optional<double> high) noexcept {
  thresholds out{std::clamp(low.value_or(present.low), 0.0, 1.0),
                 std::clamp(high.value_or(present.high), 0.0, 1.0)};
  if (out.low >= out.high)
    out.high = std::min(out.low + 0.1, 1.0);
  return out;
}

std::string_view to_string(verdict x) noexcept {
  constexpr std::string_view names[] = {"boring", "interesting", "chaotic"};
  return names[static_cast<size_t>(x)];
}

verdict judge(double novelty, thresholds by) noexcept {
  return novelty < by.low    ? verdict::boring
         : novelty > by.high ? verdict::chaotic
                             : verdict::interesting;
}

double structural_surprise(const json::value& output, const json::value* prior) {
  if (prior == nullptr || prior->is_null())
    return 0.5;
  if (output.is_number() && prior->is_number())
    return number_surprise(output.to_number<double>(), prior->to_number<double>());
  if (output.kind() != prior->kind())
    return 0.9;
  if (output.is_string())
    return text_surprise(output.get_string(), prior->get_string());
  if (output.is_object())
    return jaccard_distance(keys_of(output.get_object()), keys_of(prior->get_object()));
  if (output.is_array())
    return ratio_distance(output.get_array().size(), prior->get_array().size());
  return output == *prior ? 0.0 : 0.5;
}

json::object tasted(double novelty, thresholds by) {
  const auto found = judge(novelty, by);
  return {{"novelty", novelty},
          {"complexity", 0.5},
          {"wundt_score", wundt(novelty)},
          {"verdict", to_string(found)},
          {"is_acceptable", found == verdict::interesting}};
}

bool weights::valid() const noexcept {
  return novelty >= 0 && utility >= 0 && surprise >= 0 &&
         std::abs(novelty + utility + surprise - 1.0) <= 0.001;
}

critique criticise(const critique_request& ask) {
  critique out;
  out.novelty = novelty_of(ask);
  out.utility = utility_of(ask);
  out.surprise = structural_surprise(*ask.artifact, ask.expected);
  out.overall =
      ask.by.novelty * out.novelty + ask.by.utility * out.utility + ask.by.surprise * out.surprise;
  out.reasoning.append("Novelty is ")
      .append(in_words(out.novelty))
      .append(ask.prior_work != nullptr ? " against the prior work" : " by length and vocabulary")
      .append(", utility is ")
      .append(in_words(out.utility))
      .append(ask.purpose.empty() ? " by its form" : " for the purpose given")
      .append(", surprise is ")
      .append(in_words(out.surprise))
      .append(".");
  if (out.novelty < weak)
    out.suggestions.emplace_back("Depart further from what is already there.");
  if (out.utility < weak)
    out.suggestions.emplace_back("Say more of what it is for, and make that usable.");
  if (out.surprise < weak)
    out.suggestions.emplace_back("Bring in something that was not expected.");
  if (out.surprise > 0.7 && out.utility < 0.5)
    out.suggestions.emplace_back("It surprises more than it serves: tie it to its purpose.");
  return out;
}

json::object to_json(const critique& x) {
  json::array suggestions;
  for (const auto& text : x.suggestions)
    suggestions.emplace_back(text);
  return {{"novelty", x.novelty},     {"utility", x.utility},
          {"surprise", x.surprise},   {"overall", x.overall},
          {"reasoning", x.reasoning}, {"suggestions", std::move(suggestions)}};
}

}  // namespace kgents::actors::taste
