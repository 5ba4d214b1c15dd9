#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <variant>

namespace kgents::sql {

/// Where silos are. Read anew each time, so a secret that was changed is found.
struct silo_servers {
  /// KGENTS_SILO_SECRETS: `<directory>/<dsn ref>/<name>` holds a URL, as Kubernetes mounts secrets.
  /// Empty, or without a directory of that name: the silo is a database of the shared server.
  std::filesystem::path secrets{};
};

/// Why there is no URL, in one line without anything secret.
struct no_dsn {
  std::string message;
};

/// A conninfo string for the same server and role as `url`, with another database. Connecting gives
/// up after three seconds unless `url` says otherwise.
[[nodiscard]] std::variant<std::string, no_dsn> with_database(const std::string& url,
                                                              std::string_view database);

/// The database that a URL or conninfo string names; empty when it names none.
[[nodiscard]] std::string database_of(const std::string& url);

/// Whether the silo has a secret of its own.
[[nodiscard]] bool has_secret(const silo_servers& where, std::string_view dsn_ref);

/// The URL called `name` (DATABASE_URL, DATABASE_CONTROL_URL, DATABASE_ADMIN_URL) of a silo: that
/// of its secret, else `shared_url` with `database`. Reads files; blocks as long as that takes.
[[nodiscard]] std::variant<std::string, no_dsn> silo_url(const silo_servers& where,
                                                         std::string_view dsn_ref,
                                                         std::string_view name,
                                                         const std::string& shared_url,
                                                         std::string_view database);

}  // namespace kgents::sql
