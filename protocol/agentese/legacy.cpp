#include "protocol/agentese/legacy.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "protocol/agentese/scan.hpp"

namespace kgents::agentese {
namespace {

constexpr std::array<std::string_view, 11> phases{
    "PLAN", "RESEARCH", "DEVELOP", "STRATEGIZE", "CROSS-SYNERGIZE", "IMPLEMENT",
    "QA",   "TEST",     "EDUCATE", "MEASURE",    "REFLECT"};
constexpr std::array<std::string_view, 5> clause_names{"phase", "entropy", "law_check", "rollback",
                                                       "minimal_output"};
constexpr std::array<std::string_view, 4> annotation_names{"span", "phase", "law_check", "dot"};

/// Enough for any number between 0 and 1 that says something.
constexpr size_t max_entropy_bytes = 32;

template <size_t N>
bool has(const std::array<std::string_view, N>& names, std::string_view x) {
  return std::find(names.begin(), names.end(), x) != names.end();
}

template <size_t N>
std::string listed(const std::array<std::string_view, N>& names) {
  std::string result = "use one of";
  for (const auto name : names)
    result.append(name == names.front() ? " " : ", ").append(name);
  return result;
}

std::string in_case(std::string_view text, char first, char last, int shift) {
  std::string result{text};
  for (auto& c : result)
    if (c >= first && c <= last)
      c = static_cast<char>(c + shift);
  return result;
}

std::string upper(std::string_view text) { return in_case(text, 'a', 'z', 'A' - 'a'); }
std::string lower(std::string_view text) { return in_case(text, 'A', 'Z', 'a' - 'A'); }

std::optional<double> entropy_of(std::string_view text) {
  double value = 0;
  const auto end = text.data() + text.size();
  const auto [rest, failure] = std::from_chars(text.data(), end, value);
  // Written so that NaN is refused, too.
  if (text.size() > max_entropy_bytes || failure != std::errc{} || rest != end ||
      !(value >= 0.0 && value <= 1.0))
    return std::nullopt;
  return value;
}

/// One modifier as it stands in the text.
struct raw_modifier {
  std::string_view name;
  std::optional<std::string_view> value;
  size_t position = 0;        ///< of the name
  size_t value_position = 0;  ///< of the value, or where it would be
};

using checked = std::variant<modifier, syntax_error>;

checked as_phase(const raw_modifier& x) {
  const auto given = x.value.value_or("");
  auto phase = upper(given);
  if (!has(phases, phase))
    return scan::wrong("Unknown phase: '" + printable(given) + "'", given, x.value_position,
                       listed(phases));
  return modifier{std::string{x.name}, std::move(phase)};
}

checked as_flag(const raw_modifier& x, std::string_view role) {
  if (!x.value)
    return modifier{std::string{x.name}, std::nullopt};
  auto value = lower(*x.value);
  if (value != "true" && value != "false")
    return scan::wrong("Unknown " + std::string{role} + " modifier: '" + std::string{x.name} + "=" +
                           printable(*x.value) + "'",
                       *x.value, x.value_position, std::string{x.name} + " is true or false");
  return modifier{std::string{x.name}, std::move(value)};
}

checked as_entropy(const raw_modifier& x) {
  const auto given = x.value.value_or("");
  if (!entropy_of(given))
    return scan::wrong("Entropy out of range: " + printable(given), given, x.value_position,
                       "entropy is a number from 0.0 to 1.0, usually 0.05 to 0.10");
  return modifier{"entropy", std::string{given}};
}

/// Reads the modifiers behind the core; `at_` is always a byte offset in the whole text.
class reader {
public:
  reader(std::string_view text, size_t at, strictness mode) : text_{text}, at_{at}, mode_{mode} {}

  std::optional<syntax_error> read() {
    while (at_ < text_.size()) {
      if (++count_ > max_modifiers)
        return scan::wrong("Too many modifiers: at most " + std::to_string(max_modifiers),
                           text_.substr(at_, 1), at_, "leave some of the modifiers out");
      const bool clause = text_[at_] == '[' && annotations.empty() && !annotated_;
      if (!clause && text_[at_] != '@')
        return scan::unexpected(text_, at_,
                                "[name=value] clauses come first, then @name=value annotations");
      if (auto failure = clause ? read_clause() : read_annotation())
        return failure;
    }
    return std::nullopt;
  }

  std::vector<modifier> clauses;
  std::vector<modifier> annotations;

private:
  std::optional<syntax_error> read_clause() {
    const auto begin = at_ + 1;
    const auto end = text_.find_first_of("[]", begin);
    if (end == std::string_view::npos || text_[end] == '[')
      return scan::wrong("Unclosed clause bracket", text_.substr(at_, 1), at_,
                         "close the clause with ]");
    const auto x = split(begin, end);
    at_ = end + 1;
    if (!has(clause_names, x.name))
      return unknown("clause", x, listed(clause_names));
    return keep(clauses, x.name == "phase"     ? as_phase(x)
                         : x.name == "entropy" ? as_entropy(x)
                                               : as_flag(x, "clause"));
  }

  std::optional<syntax_error> read_annotation() {
    annotated_ = true;
    const auto begin = at_ + 1;
    auto end = begin;
    while (end < text_.size() && text_[end] != '@' && text_[end] != '[') {
      const auto size = scan::utf8_size(text_, end);
      if (size == 0 || static_cast<unsigned char>(text_[end]) <= ' ' || text_[end] == '\x7f')
        return scan::unexpected(text_, end, "values of annotations have no white space");
      end += size;
    }
    const auto x = split(begin, end);
    at_ = end;
    if (!has(annotation_names, x.name) && mode_ == strictness::lenient)
      return std::nullopt;
    if (!x.value || x.value->empty())
      return scan::wrong("Annotation missing value: '@" + printable(x.name) + "'", x.name,
                         x.position, "write @name=value");
    if (!has(annotation_names, x.name))
      return unknown("annotation", x, listed(annotation_names));
    if (x.name == "phase")
      return keep(annotations, as_phase(x));
    if (x.name == "law_check")
      return keep(annotations, as_flag(x, "annotation"));
    annotations.push_back({std::string{x.name}, std::string{*x.value}});
    return std::nullopt;
  }

  raw_modifier split(size_t begin, size_t end) const {
    const auto content = text_.substr(begin, end - begin);
    const auto equals = content.find('=');
    if (equals == std::string_view::npos)
      return {content, std::nullopt, begin, end};
    return {content.substr(0, equals), content.substr(equals + 1), begin, begin + equals + 1};
  }

  std::optional<syntax_error> unknown(std::string_view role, const raw_modifier& x,
                                      std::string suggestion) const {
    if (mode_ == strictness::lenient)
      return std::nullopt;
    return scan::wrong("Unknown " + std::string{role} + " modifier: '" + printable(x.name) + "'",
                       x.name, x.position, std::move(suggestion));
  }

  static std::optional<syntax_error> keep(std::vector<modifier>& into, checked x) {
    if (auto* failure = std::get_if<syntax_error>(&x))
      return std::move(*failure);
    into.push_back(std::move(std::get<modifier>(x)));
    return std::nullopt;
  }

  std::string_view text_;
  size_t at_;
  strictness mode_;
  size_t count_ = 0;
  bool annotated_ = false;
};

const modifier* last_of(const std::vector<modifier>& all, std::string_view name) {
  const auto found =
      std::find_if(all.rbegin(), all.rend(), [&](const auto& x) { return x.name == name; });
  return found == all.rend() ? nullptr : &*found;
}

}  // namespace

std::variant<legacy_path, syntax_error> parse_legacy(std::string_view text, strictness mode,
                                                     needs what) {
  if (text.size() > max_legacy_bytes)
    return scan::too_long("Path", text.size(), max_legacy_bytes);
  const auto core_size = std::min(text.find_first_of("[@"), text.size());
  auto core = parse_path(text.substr(0, core_size), what);
  auto* failure = std::get_if<syntax_error>(&core);
  if (failure && failure->what != syntax_error::kind::unknown_context)
    return std::move(*failure);
  reader modifiers{text, core_size, mode};
  if (auto wrong = modifiers.read())
    return std::move(*wrong);
  if (failure)
    return std::move(*failure);
  return legacy_path{std::get<path>(core).owned(), std::move(modifiers.clauses),
                     std::move(modifiers.annotations)};
}

std::string legacy_path::node_path() const {
  const auto view = core.view();
  return std::string{to_string(view.context)}.append(1, '.').append(view.holon);
}

std::string legacy_path::full_path() const {
  auto result = core.text();
  for (const auto& x : clauses) {
    result.append(1, '[').append(x.name);
    if (x.value)
      result.append(1, '=').append(*x.value);
    result.append(1, ']');
  }
  for (const auto& x : annotations)
    result.append(1, '@').append(x.name).append(1, '=').append(x.value.value_or(""));
  return result;
}

std::optional<std::string_view> legacy_path::phase() const {
  const auto* x = last_of(annotations, "phase");
  if (!x)
    x = last_of(clauses, "phase");
  if (!x)
    return std::nullopt;
  return *x->value;
}

std::optional<double> legacy_path::entropy() const {
  const auto* x = last_of(clauses, "entropy");
  return x ? entropy_of(*x->value) : std::nullopt;
}

std::optional<std::string_view> legacy_path::span() const {
  const auto* x = last_of(annotations, "span");
  if (!x)
    return std::nullopt;
  return *x->value;
}

}  // namespace kgents::agentese
