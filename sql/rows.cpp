#include <charconv>

#include "sql/pool.hpp"

namespace kgents::sql {

std::optional<std::string> rows::optional_text(int row, int column) const {
  if (is_null(row, column))
    return std::nullopt;
  return std::string{text(row, column)};
}

int64_t rows::integer(int row, int column) const noexcept {
  const auto digits = text(row, column);
  int64_t value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

bool rows::boolean(int row, int column) const noexcept { return text(row, column) == "t"; }

uuid rows::id(int row, int column) const noexcept {
  return uuid::parse(text(row, column)).value_or(uuid{});
}

}  // namespace kgents::sql
