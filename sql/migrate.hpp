#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace kgents::sql {

/// One numbered SQL file of sql/migrations, compiled in. Its checksum is the SHA-256 of `text`.
struct migration {
  std::string_view name;  ///< file name without .sql, e.g. "05-tenants"
  std::string_view text;
};

/// All of them, in order. Generated at build time.
[[nodiscard]] std::span<const migration> embedded_migrations();

}  // namespace kgents::sql
