#include "gateway/router.hpp"

#include <algorithm>

namespace kgents::gateway {

namespace {

bool is_parameter(std::string_view part) noexcept { return part.starts_with('{'); }

bool part_fits(std::string_view part, std::string_view segment) noexcept {
  return is_parameter(part) ? !segment.empty() : part == segment;
}

}  // namespace

bool router::split(std::string_view path, segments& out) noexcept {
  if (!path.starts_with('/'))
    return false;
  path.remove_prefix(1);
  for (;;) {
    if (out.count == max_segments)
      return false;
    const auto slash = path.find('/');
    out.at[out.count++] = path.substr(0, slash);
    if (slash == std::string_view::npos)
      return true;
    path.remove_prefix(slash + 1);
  }
}

void router::add(std::string_view method, std::string_view path) {
  segments parts;
  if (!split(path, parts))
    return;
  entry out{count_++, method, {parts.at, parts.at + parts.count}, 0};
  out.star = static_cast<size_t>(
      std::find_if(out.parts.begin(), out.parts.end(),
                   [](std::string_view x) { return is_parameter(x) && x.ends_with("*}"); }) -
      out.parts.begin());
  if (out.star < parts.count) {
    open_.push_back(std::move(out));
    return;
  }
  if (exact_.size() <= parts.count)
    exact_.resize(parts.count + 1);
  exact_[parts.count].push_back(std::move(out));
}

bool router::fits(const entry& r, const segments& have) noexcept {
  const auto n = r.parts.size();
  if (r.star == n)
    return have.count == n && std::equal(r.parts.begin(), r.parts.end(), have.at, part_fits);
  if (have.count < n)
    return false;
  const auto behind = n - r.star - 1;
  const auto star = r.parts.begin() + static_cast<std::ptrdiff_t>(r.star);
  const auto* const rest = have.at + have.count - behind;
  return std::equal(r.parts.begin(), star, have.at, part_fits) &&
         std::none_of(have.at + r.star, rest, [](std::string_view x) { return x.empty(); }) &&
         std::equal(star + 1, r.parts.end(), rest, part_fits);
}

bool router::has_method(const entry& r, std::string_view method) noexcept {
  return method == r.method || (method == "HEAD" && r.method == "GET");
}

void router::take_values(const entry& r, const segments& have, match& out) {
  const auto more = have.count - r.parts.size();  // segments that the star has beyond its first
  for (size_t i = 0; i < r.parts.size(); ++i) {
    if (!is_parameter(r.parts[i]))
      continue;
    const auto& first = have.at[i > r.star ? i + more : i];
    const auto& last = i == r.star ? have.at[i + more] : first;
    out.values.emplace_back(first.data(),
                            static_cast<size_t>(last.data() + last.size() - first.data()));
  }
}

void router::allow(const entry& r, match& out) {
  if (out.allowed.find(r.method) != std::string::npos)
    return;
  if (!out.allowed.empty())
    out.allowed += ", ";
  out.allowed += r.method;
}

}  // namespace kgents::gateway
