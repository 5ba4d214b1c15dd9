#include "protocol/agentese/query.hpp"

#include <algorithm>

#include "protocol/agentese/scan.hpp"

namespace kgents::agentese {
namespace {

constexpr std::string_view form_hint =
    "the form is ?context.holon.aspect, as in ?world.* or ?self.memory.?";

bool is_literal(std::string_view part) noexcept { return part.find('*') == part.npos; }

/// Where `word` begins in `text`, by Knuth, Morris and Pratt: a naive search would be quadratic for
/// a hostile glob, and it runs over every node there is.
size_t find_linear(std::string_view text, std::string_view word) noexcept {
  std::array<uint16_t, max_query_bytes> border;  // of each prefix of the word
  border[0] = 0;
  for (size_t i = 1, k = 0; i < word.size(); ++i) {
    while (k > 0 && word[i] != word[k])
      k = border[k - 1];
    if (word[i] == word[k])
      ++k;
    border[i] = static_cast<uint16_t>(k);
  }
  for (size_t i = 0, k = 0; i < text.size(); ++i) {
    while (k > 0 && text[i] != word[k])
      k = border[k - 1];
    if (text[i] == word[k])
      ++k;
    if (k == word.size())
      return i + 1 - k;
  }
  return std::string_view::npos;
}

/// Parts of one query; the error of the first that is none.
std::optional<error> check_part(std::string_view all, size_t begin, std::string_view part,
                                bool last) {
  if (last && part == "?")
    return std::nullopt;
  for (size_t i = 0; i < part.size(); ++i)
    if (!scan::in_identifier(part[i]) && part[i] != '*')
      return errors::query_syntax(all, scan::unexpected(all, begin + i).message,
                                  std::string{form_hint});
  if (is_literal(part) && !is_identifier(part))
    return errors::query_syntax(all, "Invalid query part: '" + printable(part) + "'",
                                std::string{form_hint});
  return std::nullopt;
}

std::string_view rest_of(std::string_view node) noexcept {
  const auto dot = node.find('.');
  return dot == node.npos ? std::string_view{} : node.substr(dot + 1);
}

}  // namespace

std::string query::text() const {
  std::string result = "?";
  for (size_t i = 0; i < given; ++i)
    result.append(i == 0 ? "" : ".").append(parts[i]);
  return result;
}

std::variant<query, error> parse_query(std::string_view text) {
  if (text.empty() || text == "?")
    return errors::query_syntax(text, "Empty query pattern", std::string{form_hint});
  if (text.size() > max_query_bytes)
    return errors::query_syntax(text.substr(0, 64),
                                scan::too_long("Query", text.size(), max_query_bytes).message,
                                std::string{form_hint});
  if (text.front() != '?')
    return errors::query_syntax(text, "Query pattern must start with '?'",
                                "write '?" + printable(text) + "'");
  const auto dots = static_cast<size_t>(std::count(text.begin(), text.end(), '.'));
  if (dots > 2)
    return errors::query_syntax(
        text, "Query pattern too deep: " + std::to_string(dots + 1) + " parts, at most 3",
        std::string{form_hint});
  query result;
  result.given = static_cast<uint8_t>(dots + 1);
  size_t begin = 1;
  for (size_t i = 0; i <= dots; ++i) {
    const auto part = text.substr(begin, std::min(text.find('.', begin), text.size()) - begin);
    if (auto failure = check_part(text, begin, part, i == 2))
      return std::move(*failure);
    result.parts[i] = part;
    begin += part.size() + 1;
  }
  return result;
}

bool glob_matches(std::string_view glob, std::string_view text) noexcept {
  if (glob.size() > max_query_bytes)
    return false;
  const auto star = glob.find('*');
  if (star == glob.npos)
    return glob == text;
  if (!text.starts_with(glob.substr(0, star)))
    return false;
  text.remove_prefix(star);
  glob.remove_prefix(star + 1);
  // The leftmost place of each word between two stars is as good as any later one.
  for (auto next = glob.find('*'); next != glob.npos; next = glob.find('*')) {
    const auto word = glob.substr(0, next);
    glob.remove_prefix(next + 1);
    if (word.empty())
      continue;
    const auto found = find_linear(text, word);
    if (found == text.npos)
      return false;
    text.remove_prefix(found + word.size());
  }
  return text.ends_with(glob);
}

bool match(const query& q, std::string_view node) noexcept {
  return glob_matches(q.parts[0], first_segment(node)) && glob_matches(q.parts[1], rest_of(node));
}

bool match(const query& q, std::string_view node, std::string_view aspect) noexcept {
  return match(q, node) && (q.parts[2] == "?" || glob_matches(q.parts[2], aspect));
}

double cost_estimate(const query& q) noexcept {
  if (!is_literal(q.parts[0]))
    return 500 / 1000.0;
  if (!is_literal(q.parts[1]))
    return 50 / 1000.0;
  return (q.asks_aspects() ? 1 : 10) / 1000.0;
}

std::variant<query_page, error> checked_page(int64_t limit, int64_t offset) {
  if (limit > max_query_limit)
    return errors::query_bound({}, "Max limit is 1000. Use pagination.");
  return clamped_page(limit, offset);
}

query_page clamped_page(int64_t limit, int64_t offset) noexcept {
  return {std::clamp<int64_t>(limit, 1, max_query_limit), std::max<int64_t>(offset, 0)};
}

}  // namespace kgents::agentese
