#pragma once

#include <charconv>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/ids.hpp"
#include "sql/pool.hpp"

/// A timestamp column as it goes out: `YYYY-MM-DDTHH:MM:SS.ffffff+00:00`. A macro, since SQL is
/// literals only.
#define KGENTS_SQL_TIME(column) \
  "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"+00:00\"')"

/// What the repositories share to write parameters and read columns.
namespace kgents::sql {

template <class Tag>
param value(const strong_uuid<Tag>& x) {
  return x.text();
}

template <class Tag>
param value(const std::optional<strong_uuid<Tag>>& x) {
  return x ? param{x->text()} : std::nullopt;
}

template <std::integral T>
param value(T x) {
  return std::to_string(x);
}

template <class Id>
Id id_at(const rows& x, int row, int column) noexcept {
  return Id{x.id(row, column)};
}

template <class Id>
std::optional<Id> optional_id_at(const rows& x, int row, int column) noexcept {
  return x.is_null(row, column) ? std::nullopt : std::optional{id_at<Id>(x, row, column)};
}

/// For what is never negative in the schema.
template <std::unsigned_integral T>
T count_at(const rows& x, int row, int column) noexcept {
  return static_cast<T>(x.integer(row, column));
}

inline std::string string_at(const rows& x, int row, int column) {
  return std::string{x.text(row, column)};
}

}  // namespace kgents::sql
