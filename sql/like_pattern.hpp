#pragma once

#include <string>
#include <string_view>

namespace kgents::sql {

/// The pattern of LIKE for what has `text` in it, which is taken as it is.
inline std::string pattern_of(std::string_view text) {
  std::string out{"%"};
  for (const char c : text) {
    if (c == '%' || c == '_' || c == '\\')
      out.push_back('\\');
    out.push_back(c);
  }
  return out.append("%");
}

}  // namespace kgents::sql
