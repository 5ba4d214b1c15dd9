#include "protocol/agentese/pattern.hpp"

#include <utility>

#include "protocol/agentese/path.hpp"
#include "protocol/agentese/scan.hpp"

namespace kgents::agentese {
namespace {

constexpr std::string_view form_hint =
    "use a node path (self.memory), x.* for what is one segment below x, x.** for all below it, or "
    "*";

error refuse(std::string_view text, std::string message) {
  return errors::query_syntax(text, std::move(message), std::string{form_hint});
}

}  // namespace

std::string pattern::text() const {
  switch (what) {
    case kind::exact:
      return prefix;
    case kind::children:
      return prefix + ".*";
    case kind::descendants:
      return prefix + ".**";
    case kind::everything:
      break;
  }
  return double_star ? "**" : "*";
}

std::variant<pattern, error> parse_pattern(std::string_view text) {
  if (text == "*" || text == "**")
    return pattern{.what = pattern::kind::everything, .prefix = {}, .double_star = text == "**"};
  if (text.empty())
    return refuse(text, "Empty subscription pattern");
  if (text.size() > max_path_bytes)
    return refuse(text.substr(0, 64),
                  scan::too_long("Pattern", text.size(), max_path_bytes).message);
  pattern result;
  auto prefix = text;
  if (text.ends_with(".**")) {
    result.what = pattern::kind::descendants;
    prefix.remove_suffix(3);
  } else if (text.ends_with(".*")) {
    result.what = pattern::kind::children;
    prefix.remove_suffix(2);
  } else {
    result.what = pattern::kind::exact;
  }
  // A whole context has things below it, but is no node itself.
  if (result.what == pattern::kind::exact || !parse_context(prefix)) {
    const auto parsed = parse_path(prefix, needs::node);
    if (const auto* failure = std::get_if<syntax_error>(&parsed))
      return refuse(text, failure->message);
  }
  result.prefix = prefix;
  return result;
}

bool matches(const pattern& p, std::string_view node) noexcept {
  if (p.what == pattern::kind::everything)
    return true;
  if (!node.starts_with(p.prefix))
    return false;
  const auto rest = node.substr(p.prefix.size());
  if (p.what == pattern::kind::exact)
    return rest.empty();
  if (rest.size() < 2 || rest.front() != '.')
    return false;
  return p.what == pattern::kind::descendants || rest.find('.', 1) == rest.npos;
}

}  // namespace kgents::agentese
