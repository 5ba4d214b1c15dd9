#include "protocol/agentese/alias.hpp"

#include <array>
#include <utility>

#include "protocol/agentese/scan.hpp"

namespace kgents::agentese {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 9> standard_aliases{{
    {"me", "self.soul"},
    {"brain", "self.memory"},
    {"chaos", "void.entropy"},
    {"serendipity", "void.serendipity"},
    {"forest", "self.forest"},
    {"gratitude", "void.gratitude"},
    {"history", "time.trace"},
    {"past", "time.past"},
    {"future", "time.future"},
}};

constexpr size_t max_skipped = 100;

std::string_view without_comment(std::string_view line) {
  for (size_t i = 0; i < line.size(); ++i)
    if (line[i] == '#' && (i == 0 || scan::is_space(line[i - 1])))
      return line.substr(0, i);
  return line;
}

/// No name and no target needs an escape, so quotes may only surround.
std::string_view unquoted(std::string_view text) {
  if (text.size() >= 2 && (text.front() == '"' || text.front() == '\'') &&
      text.back() == text.front())
    return text.substr(1, text.size() - 2);
  return text;
}

/// Walks over the lines of the file.
class loader {
public:
  explicit loader(alias_table& into) : into_{into} {}

  void line(std::string_view raw) {
    ++number_;
    if (!raw.empty() && raw.back() == '\r')
      raw.remove_suffix(1);
    const auto content = without_comment(raw);
    const auto text = scan::trimmed(content);
    if (text.empty() || text == "---")
      return;
    if (!scan::is_space(content.front()))
      return top_level(text);
    if (!inside_)
      return skip(text, "not under 'aliases:'");
    const auto colon = text.find(':');
    if (colon == std::string_view::npos)
      return skip(text, "not of the form 'name: target'");
    const auto name = unquoted(scan::trimmed(text.substr(0, colon)));
    const auto target = unquoted(scan::trimmed(text.substr(colon + 1)));
    if (const auto failure = into_.set(name, target))
      skip(name, failure->message);
  }

  std::vector<skipped_alias> skipped;

private:
  void top_level(std::string_view text) {
    const auto colon = text.find(':');
    const auto key = scan::trimmed(text.substr(0, colon));
    const auto rest = colon == std::string_view::npos ? std::string_view{}
                                                      : scan::trimmed(text.substr(colon + 1));
    inside_ = key == "aliases" && colon != std::string_view::npos && rest.empty();
    if (!inside_ && !(key == "aliases" && rest == "{}"))
      skip(key, "only a map called 'aliases' is read");
  }

  void skip(std::string_view name, std::string reason) {
    if (skipped.size() < max_skipped)
      skipped.push_back({number_, printable(name), std::move(reason)});
  }

  alias_table& into_;
  size_t number_ = 0;
  bool inside_ = false;
};

}  // namespace

const alias_table& alias_table::standard() {
  static const auto table = [] {
    alias_table result;
    for (const auto& [name, target] : standard_aliases)
      result.entries_.emplace(name, target);
    return result;
  }();
  return table;
}

std::optional<error> alias_table::set(std::string_view name, std::string_view target) {
  if (auto failure = check_alias(name, target, *this))
    return failure;
  entries_.insert_or_assign(std::string{name}, std::string{target});
  return std::nullopt;
}

std::optional<error> alias_table::remove(std::string_view name) {
  const auto found = entries_.find(name);
  if (found == entries_.end())
    return errors::alias_not_found(name);
  entries_.erase(found);
  return std::nullopt;
}

const std::string* alias_table::find(std::string_view name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : &found->second;
}

std::optional<error> check_alias(std::string_view name, std::string_view target,
                                 const alias_table& existing) {
  if (parse_context(name))
    return errors::alias_shadow(name, target);
  if (!is_identifier(name) || name.size() > max_alias_bytes)
    return errors::invalid_argument({}, "name",
                                    "Invalid alias name: '" + printable(name) +
                                        "' (a-z, then a-z, 0-9 and _, at most " +
                                        std::to_string(max_alias_bytes) + " characters)");
  const auto first = first_segment(target);
  if (first == name || existing.find(first))
    return errors::recursive_alias(name, target);
  const auto parsed = parse_path(target, needs::node);
  if (const auto* failure = std::get_if<syntax_error>(&parsed)) {
    auto result = errors::path_syntax(target, *failure);
    result.category = category::invalid_input;
    result.code = "SYNTAX_ERROR";
    return result;
  }
  if (!existing.find(name) && existing.entries().size() >= max_aliases)
    return errors::invalid_argument(
        {}, "name", "Too many aliases: at most " + std::to_string(max_aliases) + " are kept");
  return std::nullopt;
}

std::optional<std::string> expand_alias(std::string_view text, const alias_table& table) {
  const auto first = first_segment(text);
  const auto* target = table.find(first);
  if (!target)
    return std::nullopt;
  return std::string{*target}.append(text.substr(first.size()));
}

std::string expand(std::string_view text, const alias_table& table) {
  if (auto expanded = expand_alias(text, table))
    return std::move(*expanded);
  return std::string{text};
}

std::vector<skipped_alias> load_aliases(std::string_view yaml, alias_table& into) {
  loader reader{into};
  while (!yaml.empty()) {
    const auto end = yaml.find('\n');
    reader.line(yaml.substr(0, end));
    yaml.remove_prefix(end == std::string_view::npos ? yaml.size() : end + 1);
  }
  return std::move(reader.skipped);
}

std::string print_aliases(const alias_table& table) {
  if (table.entries().empty())
    return "aliases: {}\n";
  std::string result = "aliases:\n";
  for (const auto& [name, target] : table.entries())
    result.append("  ").append(name).append(": ").append(target).append(1, '\n');
  return result;
}

}  // namespace kgents::agentese
