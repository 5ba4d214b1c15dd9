#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace kgents::sql {

class interruption;

/// One numbered SQL file of sql/migrations, compiled in. Its checksum is the SHA-256 of `text`.
struct migration {
  std::string_view name;  ///< file name without .sql, e.g. "05-tenants"
  std::string_view text;
};

/// All of them, in order. Generated at build time.
[[nodiscard]] std::span<const migration> embedded_migrations();

/// Name of the newest embedded migration: what `kg.schema_version()` must know for this program to
/// serve.
[[nodiscard]] std::string_view latest_migration();

/// Whether a migration seeds development data and so is applied only where that is asked for.
[[nodiscard]] bool seeds_development_data(const migration& file) noexcept;

/// What the ledger records for a file: lower-case hexadecimal SHA-256 of its text.
[[nodiscard]] std::string checksum(const migration& file);

struct migrate_options {
  /// libpq URL of a direct connection (no transaction-mode pooler) as kg_migrator or a superuser.
  std::string url{};
  bool seed_dev = false;  ///< also the files of `seeds_development_data`
  std::span<const migration> files = embedded_migrations();
  interruption* until = nullptr;  ///< ends it early, when set
};

/// Called for each file in order; `applied` is false when the ledger had it already.
using migration_listener = std::function<void(std::string_view name, bool applied)>;

/// Applies what is missing and returns nothing, or says what went wrong; everything up to there
/// stays applied.
///
/// One transaction a file, together with its ledger row. A session advisory lock lets two runs at
/// once take turns. When an applied file has changed since, nothing at all is applied. Blocks the
/// calling thread for as long as the statements take, but waits for no lock longer than a minute;
/// meant for programs, not for actors.
[[nodiscard]] std::optional<std::string> migrate(const migrate_options& options,
                                                 const migration_listener& listener = {});

}  // namespace kgents::sql
