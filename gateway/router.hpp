#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace kgents::gateway {

/// Finds the line of a table of routes that a request's path belongs to.
///
/// `{name}` stands for one segment that is not empty, `{name*}` for one or more of them, at most
/// once in a path. Routes without a `{name*}` are tried first, then those with one; among equals
/// the order of the table decides. Paths are compared as they came: nothing is decoded or
/// normalised before. Constant once it is filled: any thread.
class router {
public:
  /// Segments of a request's path; longer ones belong to no route.
  static constexpr size_t max_segments = 32;

  /// `path` has to outlive this. Routes are numbered from 0 as they are added.
  void add(std::string_view method, std::string_view path);

  struct match {
    static constexpr size_t none = static_cast<size_t>(-1);
    size_t route = none;
    /// What stood for each `{…}`, as it came; for `{name*}` with the slashes between its segments.
    std::vector<std::string_view> values;
    std::string allowed;  ///< methods of routes with this path, when none has the one asked for
  };

  /// `visible(i)`: whether route i exists for whom asks. HEAD finds the routes of GET.
  template <class Visible>
  [[nodiscard]] match find(std::string_view method, std::string_view path,
                           const Visible& visible) const {
    match out;
    segments have;
    if (!split(path, have))
      return out;
    if (have.count < exact_.size())
      for (const auto& r : exact_[have.count])
        if (look(r, method, have, visible, out))
          return out;
    for (const auto& r : open_)
      if (look(r, method, have, visible, out))
        return out;
    return out;
  }

private:
  struct segments {
    std::string_view at[max_segments];
    size_t count = 0;
  };
  struct entry {
    size_t number;
    std::string_view method;
    std::vector<std::string_view> parts;
    size_t star;  ///< which part is `{name*}`; `parts.size()`: none is
  };

  [[nodiscard]] static bool split(std::string_view path, segments& out) noexcept;
  [[nodiscard]] static bool fits(const entry& r, const segments& have) noexcept;
  [[nodiscard]] static bool has_method(const entry& r, std::string_view method) noexcept;
  static void take_values(const entry& r, const segments& have, match& out);
  static void allow(const entry& r, match& out);

  template <class Visible>
  [[nodiscard]] static bool look(const entry& r, std::string_view method, const segments& have,
                                 const Visible& visible, match& out) {
    if (!fits(r, have) || !visible(r.number))
      return false;
    if (!has_method(r, method)) {
      allow(r, out);
      return false;
    }
    out.route = r.number;
    take_values(r, have, out);
    return true;
  }

  size_t count_ = 0;
  std::vector<std::vector<entry>> exact_;  // by the number of segments
  std::vector<entry> open_;
};

}  // namespace kgents::gateway
