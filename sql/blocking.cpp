#include "sql/blocking.hpp"

#include <algorithm>
#include <vector>

namespace kgents::sql {

namespace {

/// libpq ends its messages with line breaks and puts detail and hint on lines of their own.
std::string one_line(std::string text) {
  while (!text.empty() && text.back() == '\n')
    text.pop_back();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

std::string message_of(const PGresult* result, const PGconn* connection) {
  std::string out;
  for (auto [field, label] : {std::pair{PG_DIAG_MESSAGE_PRIMARY, ""},
                              {PG_DIAG_MESSAGE_DETAIL, "; "},
                              {PG_DIAG_MESSAGE_HINT, "; "},
                              {PG_DIAG_CONTEXT, "; in "}})
    if (const char* text = PQresultErrorField(result, field))
      out.append(label).append(text);
  // A connection that breaks has no fields, only a message.
  return one_line(out.empty() ? PQerrorMessage(connection) : out);
}

}  // namespace

blocking_connection::blocking_connection(const std::string& url) {
  // The URL comes last, so its own settings win over these.
  const char* keys[] = {"connect_timeout", "application_name", "dbname", nullptr};
  const char* values[] = {"10", "kgentsd", url.c_str(), nullptr};
  connection_.reset(PQconnectdbParams(keys, values, 1));
  if (connection_)
    PQsetNoticeProcessor(
        connection_.get(), [](void*, const char*) {}, nullptr);
}

std::string blocking_connection::error() const {
  if (!connection_)
    return "out of memory";
  return PQstatus(connection_.get()) == CONNECTION_OK ? std::string{}
                                                      : one_line(PQerrorMessage(connection_.get()));
}

std::optional<std::string> blocking_connection::run(const char* statements) {
  const result done{PQexec(connection_.get(), statements)};
  const auto status = PQresultStatus(done.get());
  if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY)
    return std::nullopt;
  return message_of(done.get(), connection_.get());
}

blocking_connection::result blocking_connection::query(const char* statement,
                                                       std::initializer_list<const char*> params) {
  const std::vector<const char*> values{params};
  result done{PQexecParams(connection_.get(), statement, static_cast<int>(values.size()), nullptr,
                           values.data(), nullptr, nullptr, 0)};
  const auto status = PQresultStatus(done.get());
  if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
    return done;
  last_error_ = message_of(done.get(), connection_.get());
  return {};
}

bool blocking_connection::pooled() {
  // A pooler makes up the process ids that it tells its clients.
  const auto row = query("SELECT pg_backend_pid()");
  return row != nullptr &&
         PQgetvalue(row.get(), 0, 0) != std::to_string(PQbackendPID(connection_.get()));
}

}  // namespace kgents::sql
