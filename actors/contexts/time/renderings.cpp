#include "actors/contexts/time/renderings.hpp"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace kgents::actors {

namespace {

constexpr size_t least_width = 20;
constexpr size_t deepest = 16;

/// Lines up to the bound, then how many more there were.
class page {
public:
  explicit page(size_t width) : width_{std::max(width, least_width)} {}

  [[nodiscard]] size_t width() const noexcept { return width_; }

  void line(std::string text) {
    if (++lines_ >= most_lines)
      return;
    if (text.size() > width_) {
      text.resize(width_ - 1);
      text += '~';
    }
    while (!text.empty() && text.back() == ' ')
      text.pop_back();
    out_ += text;
    out_ += '\n';
  }

  std::string take() {
    if (lines_ >= most_lines)
      out_ += "... " + std::to_string(lines_ - most_lines + 1) + " more\n";
    return std::move(out_);
  }

private:
  std::string out_;
  size_t width_;
  size_t lines_ = 0;
};

std::string padded(std::string text, size_t width) {
  if (text.size() > width) {
    text.resize(width - 1);
    text += '~';
  }
  text.resize(width, ' ');
  return text;
}

std::string milliseconds(int64_t us) {
  return std::to_string((us + 500) / 1000) + " ms";
}

/// A path's segments as a tree.
struct branch {
  std::map<std::string, branch> below;
  int64_t count = 0;
};

void draw_branches(page& out, const branch& x, const std::string& indent, size_t depth) {
  if (depth > deepest)
    return;
  for (auto it = x.below.begin(); it != x.below.end(); ++it) {
    const bool last = std::next(it) == x.below.end();
    auto text = indent + (depth == 0 ? "" : "+- ") + it->first;
    if (it->second.count > 0)
      text += " (" + std::to_string(it->second.count) + ")";
    out.line(std::move(text));
    const auto more = depth == 0 ? "" : last ? "   " : "|  ";
    draw_branches(out, it->second, indent + more, depth + 1);
  }
}

void by_beginning(std::vector<drawn_span>& spans) {
  std::stable_sort(spans.begin(), spans.end(), [](const auto& a, const auto& b) {
    return std::pair{a.from_us, b.to_us} < std::pair{b.from_us, a.to_us};
  });
}

struct flame {
  page& out;
  const std::vector<drawn_span>& spans;
  const std::unordered_map<std::string, std::vector<size_t>>& below;
  int64_t longest;

  void draw(size_t i, size_t depth) const {
    const auto& x = spans[i];
    const auto label_width = out.width() / 2;
    const auto room = out.width() - label_width;  // the time at the end takes some ten columns
    const auto bar_width = room > 16 ? room - 12 : 4;
    const auto took = std::max<int64_t>(x.to_us - x.from_us, 0);
    const auto bar = static_cast<size_t>(static_cast<double>(took) /
                                         static_cast<double>(longest) *
                                         static_cast<double>(bar_width));
    out.line(padded(std::string(std::min(depth, deepest), ' ') + x.path, label_width) + " " +
             std::string(std::max<size_t>(bar, 1), x.ok ? '#' : 'x') + " " + milliseconds(took));
    const auto at = below.find(x.span);
    if (at != below.end() && depth < deepest && !x.span.empty())
      for (const auto child : at->second)
        draw(child, depth + 1);
  }
};

}  // namespace

std::string draw_tree(const std::map<std::string, int64_t>& paths, size_t width) {
  branch root;
  for (const auto& [path, count] : paths) {
    auto* at = &root;
    for (size_t from = 0; from <= path.size();) {
      const auto end = std::min(path.find('.', from), path.size());
      at = &at->below[path.substr(from, end - from)];
      from = end + 1;
    }
    at->count += count;
  }
  page out{width};
  draw_branches(out, root, "", 0);
  return out.take();
}

std::string draw_graph(std::vector<call_edge> edges, size_t width) {
  std::sort(edges.begin(), edges.end(), [](const auto& a, const auto& b) {
    return std::tie(b.calls, a.from, a.to) < std::tie(a.calls, b.from, b.to);
  });
  page out{width};
  for (const auto& x : edges)
    out.line(x.from + " -> " + x.to + (x.calls > 1 ? " (" + std::to_string(x.calls) + ")" : ""));
  return out.take();
}

std::string draw_timeline(std::vector<drawn_span> spans, size_t width) {
  page out{width};
  if (spans.empty())
    return out.take();
  by_beginning(spans);
  const auto begin = spans.front().from_us;
  auto end = begin + 1;
  for (const auto& x : spans)
    end = std::max(end, x.to_us);
  const auto label_width = out.width() / 2;
  const auto bar_width = out.width() - label_width - 3;
  const auto column = [&](int64_t at) {
    const auto part = static_cast<double>(at - begin) / static_cast<double>(end - begin);
    return std::min(static_cast<size_t>(part * static_cast<double>(bar_width)), bar_width - 1);
  };
  for (const auto& x : spans) {
    std::string bar(bar_width, ' ');
    const auto last = column(std::max(x.to_us, x.from_us));
    for (auto i = column(x.from_us); i <= last; ++i)
      bar[i] = x.ok ? '=' : 'x';
    out.line(padded(x.path, label_width) + " |" + bar + "|");
  }
  out.line(padded("", label_width) + "  " + milliseconds(end - begin));
  return out.take();
}

std::string draw_flame(std::vector<drawn_span> spans, size_t width) {
  page out{width};
  by_beginning(spans);
  std::unordered_set<std::string> known;
  int64_t longest = 1;
  for (const auto& x : spans) {
    known.insert(x.span);
    longest = std::max(longest, x.to_us - x.from_us);
  }
  std::unordered_map<std::string, std::vector<size_t>> below;
  std::vector<size_t> roots;
  for (size_t i = 0; i < spans.size(); ++i) {
    const auto& x = spans[i];
    if (!x.parent.empty() && x.parent != x.span && known.contains(x.parent))
      below[x.parent].push_back(i);
    else
      roots.push_back(i);
  }
  const flame with{out, spans, below, longest};
  for (const auto i : roots)
    with.draw(i, 0);
  return out.take();
}

}  // namespace kgents::actors
