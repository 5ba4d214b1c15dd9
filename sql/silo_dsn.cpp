#include "sql/silo_dsn.hpp"

#include <libpq-fe.h>

#include <fstream>
#include <memory>

namespace kgents::sql {

namespace {

namespace fs = std::filesystem;

void append(std::string& out, std::string_view keyword, std::string_view value) {
  if (!out.empty())
    out += ' ';
  out += keyword;
  out += "='";
  for (const char x : value) {
    if (x == '\'' || x == '\\')
      out += '\\';
    out += x;
  }
  out += '\'';
}

using conninfo = std::unique_ptr<PQconninfoOption, void (*)(PQconninfoOption*)>;

/// Null when it cannot be parsed; why is not said, since it would repeat the URL.
conninfo parse(const std::string& url) {
  char* wrong = nullptr;
  conninfo out{PQconninfoParse(url.c_str(), &wrong), PQconninfoFree};
  PQfreemem(wrong);
  return out;
}

/// The longest URL that is read from a file.
constexpr size_t most_bytes = 16384;

}  // namespace

std::variant<std::string, no_dsn> with_database(const std::string& url,
                                                std::string_view database) {
  const auto options = parse(url);
  if (!options)
    return no_dsn{"the database URL cannot be parsed"};
  std::string out;
  bool patient = false;
  for (const auto* x = options.get(); x->keyword != nullptr; ++x) {
    if (x->val == nullptr || std::string_view{x->keyword} == "dbname")
      continue;
    patient = patient || std::string_view{x->keyword} == "connect_timeout";
    append(out, x->keyword, x->val);
  }
  if (!patient)
    append(out, "connect_timeout", "3");
  append(out, "dbname", database);
  return out;
}

std::string database_of(const std::string& url) {
  const auto options = parse(url);
  if (options)
    for (const auto* x = options.get(); x->keyword != nullptr; ++x)
      if (x->val != nullptr && std::string_view{x->keyword} == "dbname")
        return x->val;
  return {};
}

bool has_secret(const silo_servers& where, std::string_view dsn_ref) {
  std::error_code unread;
  return !where.secrets.empty() && !dsn_ref.empty() &&
         fs::is_directory(where.secrets / dsn_ref, unread);
}

std::variant<std::string, no_dsn> silo_url(const silo_servers& where, std::string_view dsn_ref,
                                           std::string_view name, const std::string& shared_url,
                                           std::string_view database) {
  if (!has_secret(where, dsn_ref))
    return with_database(shared_url, database);
  std::ifstream file{where.secrets / dsn_ref / name};
  std::string text(most_bytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' '))
    text.pop_back();
  if (text.empty())
    return no_dsn{"the secret " + std::string{dsn_ref} + " has no " + std::string{name}};
  // Refused here, where it is not repeated: libpq's own words would.
  if (parse(text) == nullptr)
    return no_dsn{"the " + std::string{name} + " of secret " + std::string{dsn_ref} +
                  " cannot be parsed"};
  return text;
}

}  // namespace kgents::sql
