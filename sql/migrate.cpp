#include "sql/migrate.hpp"

#include <openssl/evp.h>

#include <array>
#include <map>

#include "sql/blocking.hpp"
#include "sql/interruption.hpp"

namespace kgents::sql {

namespace {

// "kgents migrate" in no particular encoding; it only has to differ from other programs' locks in
// the same database.
constexpr auto lock_key = "7165917315840131428";

using ledger = std::map<std::string, std::string, std::less<>>;

/// What has been applied: version -> checksum. Empty before the first migration, which creates the
/// table.
std::optional<ledger> read_ledger(blocking_connection& connection) {
  const auto exists = connection.query("SELECT to_regclass('kg.schema_migrations') IS NOT NULL");
  if (!exists)
    return std::nullopt;
  ledger out;
  if (*PQgetvalue(exists.get(), 0, 0) == 'f')
    return out;
  const auto rows = connection.query("SELECT version, checksum FROM kg.schema_migrations");
  if (!rows)
    return std::nullopt;
  for (int i = 0; i < PQntuples(rows.get()); ++i)
    out.emplace(PQgetvalue(rows.get(), i, 0), PQgetvalue(rows.get(), i, 1));
  return out;
}

std::optional<std::string> apply(blocking_connection& connection, const migration& file) {
  const std::string name{file.name};
  const std::string text{file.text};
  const auto sum = checksum(file);
  auto failed = [&](const std::string& why) {
    static_cast<void>(
        connection.run("ROLLBACK"));  // on a broken connection the server does so itself
    return "migration " + name + " failed: " + why;
  };
  if (auto error = connection.run("BEGIN"))
    return failed(*error);
  if (auto error = connection.run(text.c_str()))
    return failed(*error);
  // The files change roles for their own statements; the ledger is written as whoever connected.
  if (auto error = connection.run("SET LOCAL ROLE NONE"))
    return failed(*error);
  if (!connection.query("INSERT INTO kg.schema_migrations (version, checksum) VALUES ($1, $2)",
                        {name.c_str(), sum.c_str()}))
    return failed(connection.last_error());
  if (auto error = connection.run("COMMIT"))
    return failed(*error);
  return std::nullopt;
}

}  // namespace

std::string_view latest_migration() {
  const auto files = embedded_migrations();
  return files.empty() ? std::string_view{} : files.back().name;
}

bool seeds_development_data(const migration& file) noexcept {
  return file.name == "14-default-tenant";
}

std::string checksum(const migration& file) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned length = 0;
  EVP_Digest(file.text.data(), file.text.size(), digest.data(), &length, EVP_sha256(), nullptr);
  std::string out;
  for (unsigned i = 0; i < length; ++i) {
    out += "0123456789abcdef"[digest[i] >> 4];
    out += "0123456789abcdef"[digest[i] & 15];
  }
  return out;
}

std::optional<std::string> migrate(const migrate_options& options,
                                   const migration_listener& listener) {
  blocking_connection connection{options.url};
  if (auto error = connection.error(); !error.empty())
    return "cannot connect to DATABASE_ADMIN_URL: " + error;
  std::optional<interruption::watch> watched;
  if (options.until != nullptr)
    watched.emplace(*options.until, connection.native());
  if (auto error = connection.run("SET lock_timeout = '60s'; SET statement_timeout = 0"))
    return error;
  // Freed by the server when the connection ends, however it ends.
  if (!connection.query("SELECT pg_advisory_lock($1::bigint)", {lock_key}))
    return "another migration run holds the lock: " + connection.last_error();
  const auto applied = read_ledger(connection);
  if (!applied)
    return "cannot read kg.schema_migrations: " + connection.last_error();

  for (const auto& file : options.files)
    if (auto known = applied->find(file.name);
        known != applied->end() && known->second != checksum(file))
      return "migration " + std::string{file.name} +
             " has changed since it was applied: the database recorded " + known->second +
             ", this program has " + checksum(file) +
             "; put the change into a new file or run the program that applied it";

  for (const auto& file : options.files) {
    if (applied->contains(file.name)) {
      if (listener)
        listener(file.name, false);
      continue;
    }
    if (seeds_development_data(file) && !options.seed_dev)
      continue;
    if (auto error = apply(connection, file))
      return error;
    if (listener)
      listener(file.name, true);
  }
  return std::nullopt;
}

}  // namespace kgents::sql
