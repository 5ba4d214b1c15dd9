#include "protocol/agentese/composition.hpp"

#include <algorithm>
#include <utility>

#include "protocol/agentese/scan.hpp"

namespace kgents::agentese {
namespace {

using parsed_stage = std::variant<stage, syntax_error>;

/// Where a place in the expanded text is in the text as it was given.
size_t unexpanded(size_t position, std::string_view given, std::string_view expanded) {
  const auto grown = static_cast<ptrdiff_t>(expanded.size()) - static_cast<ptrdiff_t>(given.size());
  const auto kept = given.size() - first_segment(given).size();
  if (position < expanded.size() - kept)
    return 0;
  return static_cast<size_t>(static_cast<ptrdiff_t>(position) - grown);
}

parsed_stage parse_stage(std::string_view text, const alias_table* aliases) {
  if (text == identity_name)
    return stage{};
  const auto expanded =
      aliases && text.size() <= max_path_bytes ? expand_alias(text, *aliases) : std::nullopt;
  auto parsed = parse_path(expanded ? std::string_view{*expanded} : text);
  if (auto* failure = std::get_if<syntax_error>(&parsed)) {
    if (expanded)
      failure->position = unexpanded(failure->position, text, *expanded);
    return std::move(*failure);
  }
  return stage{std::get<path>(parsed).owned()};
}

composition_error too_many(size_t stages) {
  return {max_stages,
          {},
          scan::wrong("Composition too long: " + std::to_string(stages) + " stages, at most " +
                          std::to_string(max_stages),
                      {}, 0, "compose in several requests")};
}

}  // namespace

std::string composition::text() const {
  std::string result;
  for (const auto& each : stages) {
    if (!result.empty())
      result += " >> ";
    result += each.text();
  }
  return result;
}

composition composition::flattened() const {
  composition result;
  std::copy_if(stages.begin(), stages.end(), std::back_inserter(result.stages),
               [](const stage& x) { return !x.is_identity(); });
  return result;
}

composition operator>>(composition f, const composition& g) {
  f.stages.insert(f.stages.end(), g.stages.begin(), g.stages.end());
  return f;
}

std::variant<composition, composition_error> parse_composition(std::string_view text,
                                                               const alias_table* aliases) {
  if (text.size() > max_composition_bytes)
    return composition_error{
        0, {}, scan::too_long("Composition", text.size(), max_composition_bytes)};
  composition result;
  for (size_t begin = 0;;) {
    const auto end = std::min(text.find(">>", begin), text.size());
    const auto given = scan::trimmed(text.substr(begin, end - begin));
    if (result.stages.size() == max_stages)
      return too_many(max_stages + 1);
    auto parsed = parse_stage(given, aliases);
    if (auto* failure = std::get_if<syntax_error>(&parsed)) {
      const auto offset = static_cast<size_t>(given.data() - text.data());
      return composition_error{result.stages.size(), printable(given),
                               scan::shifted(std::move(*failure), offset)};
    }
    result.stages.push_back(std::move(std::get<stage>(parsed)));
    if (end == text.size())
      return result;
    begin = end + 2;
  }
}

std::variant<composition, composition_error> parse_composition(std::span<const std::string> paths,
                                                               const alias_table* aliases) {
  if (paths.size() > max_stages)
    return too_many(paths.size());
  composition result;
  for (const auto& given : paths) {
    auto parsed = parse_stage(given, aliases);
    if (auto* failure = std::get_if<syntax_error>(&parsed))
      return composition_error{result.stages.size(), printable(given), std::move(*failure)};
    result.stages.push_back(std::move(std::get<stage>(parsed)));
  }
  if (result.stages.empty())
    return composition_error{
        0, {}, scan::wrong("Empty path", {}, 0, "a composition has one path or more")};
  return result;
}

std::string pipeline::text() const {
  auto result = node + ".pipe(";
  for (size_t i = 0; i < aspects.size(); ++i)
    result.append(i == 0 ? "" : ", ").append(aspects[i]);
  return result.append(1, ')');
}

std::variant<pipeline, syntax_error> parse_pipeline(std::string_view text,
                                                    const alias_table* aliases) {
  constexpr std::string_view opening = ".pipe(";
  if (text.size() > max_composition_bytes)
    return scan::too_long("Pipeline", text.size(), max_composition_bytes);
  const auto bracket = text.find('(');
  const auto head = text.substr(0, bracket == std::string_view::npos ? bracket : bracket + 1);
  if (!head.ends_with(opening))
    return head.size() == text.size() && bracket == std::string_view::npos
               ? scan::wrong("Path must include aspect: '" + printable(text) + "'", text,
                             text.size(), "a pipeline is written world.house.pipe(a, b)")
               : scan::unexpected(text, bracket, "a pipeline is written world.house.pipe(a, b)");
  const auto given = head.substr(0, head.size() - opening.size());
  const auto expanded =
      aliases && given.size() <= max_path_bytes ? expand_alias(given, *aliases) : std::nullopt;
  auto node = parse_path(expanded ? std::string_view{*expanded} : given, needs::node);
  auto* failure = std::get_if<syntax_error>(&node);
  if (failure && expanded)
    failure->position = unexpanded(failure->position, given, *expanded);
  if (failure && failure->what != syntax_error::kind::unknown_context)
    return std::move(*failure);
  if (!failure && std::get<path>(node).segments == max_segments)
    return scan::wrong("Path too deep: " + std::to_string(max_segments + 1) +
                           " segments, at most " + std::to_string(max_segments),
                       {}, 0, "shorten it to " + std::to_string(max_segments) + " segments");

  const auto close = text.find(')', head.size());
  if (close == std::string_view::npos)
    return scan::wrong("Unclosed pipeline bracket", text.substr(bracket, 1), bracket,
                       "close the pipeline with )");
  pipeline result;
  for (auto begin = head.size(); begin <= close;) {
    const auto end = std::min(text.find(',', begin), close);
    const auto aspect = scan::trimmed(text.substr(begin, end - begin));
    const auto at = static_cast<size_t>(aspect.data() - text.data());
    const auto word = scan::word_at(aspect, 0);
    if (word.size() != aspect.size() && (is_identifier(word) || word.empty()))
      return scan::unexpected(text, at + word.size(), "aspects are names, with commas between");
    if (!is_identifier(aspect))
      return scan::invalid_word("aspect", word, at);
    if (result.aspects.size() == max_stages)
      return scan::wrong("Pipeline too long: more than " + std::to_string(max_stages) + " aspects",
                         aspect, at, "run it in several requests");
    result.aspects.emplace_back(aspect);
    begin = end + 1;
  }
  if (close + 1 != text.size())
    return scan::unexpected(text, close + 1, "nothing stands behind a pipeline");
  if (failure)
    return std::move(*failure);
  result.node = std::get<path>(node).node;
  // Each aspect makes a path, which has to be one.
  for (const auto& aspect : result.aspects)
    if (result.node.size() + 1 + aspect.size() > max_path_bytes)
      return scan::too_long("Path", result.node.size() + 1 + aspect.size(), max_path_bytes);
  return result;
}

bool looks_like_composition(std::string_view text) noexcept {
  return text.find(">>") != std::string_view::npos || text == identity_name;
}

bool looks_like_pipeline(std::string_view text) noexcept {
  return text.find(".pipe(") != std::string_view::npos;
}

}  // namespace kgents::agentese
