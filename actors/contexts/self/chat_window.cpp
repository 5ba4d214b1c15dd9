#include "actors/contexts/self/chat_window.hpp"

#include <algorithm>

#include "actors/contexts/self/crystal.hpp"
#include "actors/persona/text.hpp"

namespace kgents::actors::self_soul {

using self_memory::estimated_tokens;

window window_of(std::span<const sql::chat_line> lines, uint64_t reserved) {
  window out;
  out.first = lines.size();
  uint64_t sum = reserved;
  for (size_t i = lines.size(); i > 0;) {
    // A whole turn: its lines stand together.
    size_t begin = i;
    uint64_t cost = 0;
    while (begin > 0 && lines[begin - 1].turn == lines[i - 1].turn)
      cost += estimated_tokens(lines[--begin].content);
    if (sum + cost > window_tokens)
      break;
    sum += cost;
    out.tokens += cost;
    out.first = i = begin;
  }
  if (out.first > 0)
    out.left_upto = lines[out.first - 1].turn;
  return out;
}

std::string summarised(std::string_view summary, std::span<const sql::chat_line> leaving) {
  constexpr size_t beginning_points = 160;
  std::string out{summary};
  for (const auto& x : leaving) {
    const auto line = persona::quotable(x.content, beginning_points);
    if (line.empty())
      continue;
    out.append(out.empty() ? "" : "\n").append(x.role == "user" ? "They: " : "I: ").append(line);
  }
  while (out.size() > summary_bytes) {
    const auto end = out.find('\n');
    if (end == std::string::npos) {
      out = persona::first_bytes(out, summary_bytes);
      break;
    }
    out.erase(0, end + 1);
  }
  return out;
}

double entropy_after(uint64_t turns) noexcept {
  return std::max(0.0, 1.0 - 0.02 * static_cast<double>(turns));
}

}  // namespace kgents::actors::self_soul
