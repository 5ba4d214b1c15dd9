#include "protocol/agentese/path.hpp"

#include <utility>

#include "protocol/agentese/scan.hpp"
#include "protocol/agentese/suggest.hpp"

namespace kgents::agentese {
namespace {

constexpr std::string_view format_hint =
    "the form is context.holon.aspect, as in world.house.manifest";

/// What a byte may be in a path.
enum class mark : uint8_t { none, first, later, dot };

constexpr auto marks = [] {
  std::array<mark, 256> table{};
  for (int c = 0; c < 256; ++c) {
    const auto x = static_cast<char>(c);
    if (scan::is_lower(x))
      table[static_cast<size_t>(c)] = mark::first;
    else if (scan::in_identifier(x))
      table[static_cast<size_t>(c)] = mark::later;
  }
  table['.'] = mark::dot;
  return table;
}();

mark mark_of(char c) noexcept { return marks[static_cast<unsigned char>(c)]; }

std::string contexts_hint(std::string_view given) {
  std::string result;
  std::string_view best;
  size_t least = 3;
  for (const auto name : context_names)
    if (const auto distance = edit_distance(given, name, 2); distance < least) {
      best = name;
      least = distance;
    }
  if (!best.empty())
    result = "did you mean '" + std::string{best} + "'? ";
  result += "the contexts are ";
  for (const auto name : context_names)
    result.append(name == context_names.front() ? "" : ", ").append(name);
  return result;
}

syntax_error unknown_context(std::string_view word, syntax_error::kind what) {
  return {.what = what,
          .message = "Unknown context: '" + printable(word) + "'",
          .locus = printable(word),
          .position = 0,
          .suggestion = contexts_hint(word)};
}

/// The first failure of a text that breaks the grammar; `from` is the segment where it was noticed.
syntax_error malformed(std::string_view text, size_t from, size_t segment, needs what) {
  const auto word = scan::word_at(text, from);
  const auto end = from + word.size();
  const bool last = end == text.size();
  if (is_identifier(word) || (word.empty() && !last && text[end] != '.'))
    return scan::unexpected(text, end);
  if (segment == 0)
    return unknown_context(word, syntax_error::kind::malformed);
  const bool is_aspect = last && segment >= 2 && what != needs::node;
  return scan::invalid_word(is_aspect ? "aspect" : "holon", word, from);
}

syntax_error too_deep(std::string_view text) {
  size_t segments = 1;
  for (const char c : text)
    segments += c == '.' ? 1 : 0;
  return scan::wrong("Path too deep: " + std::to_string(segments) + " segments, at most " +
                         std::to_string(max_segments),
                     {}, 0, "shorten it to " + std::to_string(max_segments) + " segments");
}

syntax_error incomplete(std::string_view text, size_t segments) {
  const auto shown = "'" + printable(text) + "'";
  return {.what = syntax_error::kind::incomplete,
          .message =
              segments < 2 ? "Path " + shown + " incomplete" : "Path must include aspect: " + shown,
          .locus = printable(text),
          .position = text.size(),
          .suggestion = std::string{format_hint}};
}

}  // namespace

std::optional<context> parse_context(std::string_view name) noexcept {
  // The length alone leaves one or two names to compare with.
  const auto is = [&](context x) -> std::optional<context> {
    if (name == to_string(x))
      return x;
    return std::nullopt;
  };
  switch (name.size()) {
    case 5:
      return is(context::world);
    case 7:
      return is(context::concept_);
    case 4:
      if (name[0] == 's')
        return is(context::self);
      return name[0] == 'v' ? is(context::void_) : is(context::time);
    default:
      return std::nullopt;
  }
}

std::string_view to_string(context x) noexcept { return context_names[static_cast<size_t>(x)]; }

bool is_identifier(std::string_view text) noexcept {
  if (text.empty() || mark_of(text.front()) != mark::first)
    return false;
  for (const char c : text)
    if (!scan::in_identifier(c))
      return false;
  return true;
}

std::variant<path, syntax_error> parse_path(std::string_view text, needs what) {
  if (text.empty())
    return scan::wrong("Empty path", {}, 0, std::string{format_hint});
  if (text.size() > max_path_bytes)
    return scan::too_long("Path", text.size(), max_path_bytes);

  std::array<uint16_t, max_segments + 1> begins{};  // of segments, then one behind the last dot
  size_t segments = 0;
  const auto size = text.size();
  for (size_t i = 0;;) {
    if (segments == max_segments)
      return too_deep(text);
    const auto begin = i;
    begins[segments] = static_cast<uint16_t>(begin);
    if (i == size || mark_of(text[i]) != mark::first)
      return malformed(text, begin, segments, what);
    ++i;
    while (i < size && (mark_of(text[i]) == mark::first || mark_of(text[i]) == mark::later))
      ++i;
    ++segments;
    if (i == size)
      break;
    if (text[i] != '.')
      return malformed(text, begin, segments - 1, what);
    ++i;
  }

  if (segments < 2 || (segments < 3 && what == needs::aspect))
    return incomplete(text, segments);
  const auto first = text.substr(0, begins[1] - 1u);
  const auto where = parse_context(first);
  if (!where)
    return unknown_context(first, syntax_error::kind::unknown_context);

  path result;
  result.context = *where;
  const bool has_aspect = what != needs::node && segments >= 3;
  result.segments = static_cast<uint8_t>(has_aspect ? segments - 1 : segments);
  result.node = has_aspect ? text.substr(0, begins[segments - 1] - 1u) : text;
  result.holon =
      segments == 2 ? text.substr(begins[1]) : text.substr(begins[1], begins[2] - 1u - begins[1]);
  if (has_aspect)
    result.aspect = text.substr(begins[segments - 1]);
  else if (what == needs::lenient)
    result.aspect = "manifest";
  return result;
}

std::string path::text() const {
  std::string result;
  result.reserve(node.size() + 1 + aspect.size());
  result = node;
  if (!aspect.empty())
    result.append(1, '.').append(aspect);
  return result;
}

owned_path path::owned() const { return owned_path{*this}; }

owned_path::owned_path(const path& x)
    : text_{x.text()},
      node_size_{static_cast<uint16_t>(x.node.size())},
      context_{x.context},
      segments_{x.segments} {}

std::string_view owned_path::aspect() const noexcept {
  return node_size_ == text_.size() ? std::string_view{}
                                    : std::string_view{text_}.substr(node_size_ + 1u);
}

path owned_path::view() const noexcept {
  const auto rest = node().substr(to_string(context_).size() + 1);
  return {.node = node(),
          .holon = first_segment(rest),
          .aspect = aspect(),
          .context = context_,
          .segments = segments_};
}

std::pair<std::string_view, std::string_view> split_last(std::string_view text) noexcept {
  const auto dot = text.rfind('.');
  if (dot == std::string_view::npos)
    return {text, {}};
  return {text.substr(0, dot), text.substr(dot + 1)};
}

std::string_view first_segment(std::string_view text) noexcept {
  return text.substr(0, text.find('.'));
}

std::string printable(std::string_view text, size_t most) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string result;
  for (size_t i = 0; i < text.size();) {
    const auto size = scan::utf8_size(text, i);
    const auto c = static_cast<unsigned char>(text[i]);
    const bool escaped = size == 0 || c < 0x20 || c == 0x7f;
    if (result.size() + (escaped ? 4 : size) > most) {
      result += "…";
      break;
    }
    if (escaped) {
      result.append("\\x").append(1, digits[c >> 4]).append(1, digits[c & 15]);
      ++i;
    } else {
      result.append(text.substr(i, size));
      i += size;
    }
  }
  return result;
}

}  // namespace kgents::agentese
