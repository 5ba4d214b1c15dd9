#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

/// Array parameters in PostgreSQL's text format (PostgreSQL 8.15.6), built element by element in
/// one string; finished by `take_array`.
namespace kgents::sql {

inline void begin_element(std::string& array) { array.push_back(array.empty() ? '{' : ','); }

/// Only the quote and the backslash are special inside quotes.
inline void append_quoted(std::string& array, std::string_view text) {
  array.push_back('"');
  for (size_t at = 0; at < text.size();) {
    const auto special = std::min(text.find_first_of("\"\\", at), text.size());
    array.append(text, at, special - at);
    if (special < text.size()) {
      array.push_back('\\');
      array.push_back(text[special]);
    }
    at = special + 1;
  }
  array.push_back('"');
}

inline std::string take_array(std::string& array) {
  auto literal = std::exchange(array, {});
  literal.append(literal.empty() ? "{}" : "}");
  return literal;
}

}  // namespace kgents::sql
