#include "sql/silo_session.hpp"

#include <algorithm>
#include <string_view>

namespace kgents::sql {

namespace {

struct clear {
  void operator()(PGresult* x) const noexcept { PQclear(x); }
};
using result = std::unique_ptr<PGresult, clear>;

std::string one_line(std::string text) {
  while (!text.empty() && text.back() == '\n')
    text.pop_back();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

/// Whether the same may go well the next time: no connection, resources, a stop of the server, a
/// conflict, a lock that was waited for too long; a database that a predecessor's last statement
/// has just made.
bool may_pass(std::string_view sqlstate) {
  for (const std::string_view x : {"08", "53", "57", "40", "55", "42P04", "23505"})
    if (sqlstate.starts_with(x))
      return true;
  return sqlstate.empty();
}

/// How long one statement may take: a table's rows of one tenant, at a slow disk's pace.
/// Both ends write times and numbers the same way. A backend whose client is gone ends within 5 s.
constexpr auto settings =
    "SET statement_timeout = '2h'; SET lock_timeout = '60s'; SET TimeZone = 'UTC';"
    "SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres'; SET extra_float_digits = 1;"
    "SET bytea_output = 'hex'; SET client_connection_check_interval = '5s';"
    "SET client_encoding = 'UTF8';"
    // When our host vanishes PostgreSQL ends the session, and with it the locks, in seconds.
    "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3;"
    "SET tcp_user_timeout = '15s'";

}  // namespace

silo_session::silo_session(const std::string& url, interruption& until, std::string what)
    : until_{until}, what_{std::move(what)} {
  const char* keys[] = {"connect_timeout",       "application_name", "keepalives_idle",
                        "keepalives_interval",   "keepalives_count", "dbname", nullptr};
  const char* values[] = {"3", "kgentsd-silos", "5", "2", "3", url.c_str(), nullptr};
  connection_.reset(PQconnectdbParams(keys, values, 1));
  if (!good())
    throw silo_trouble{"cannot connect to " + what_ + ": " +
                       one_line(PQerrorMessage(connection_.get()))};
  PQsetNoticeProcessor(
      connection_.get(), [](void*, const char*) {}, nullptr);
  watched_.emplace(until_, connection_.get());
  run(settings);
}

bool silo_session::good() const { return PQstatus(connection_.get()) == CONNECTION_OK; }

void silo_session::fail(const PGresult* failed) const {
  if (until_.stopped())
    throw silo_trouble{"stopped"};
  const char* state = PQresultErrorField(failed, PG_DIAG_SQLSTATE);
  std::string why;
  for (auto [field, label] :
       {std::pair{PG_DIAG_MESSAGE_PRIMARY, ""}, {PG_DIAG_MESSAGE_HINT, "; "}})
    if (const char* text = PQresultErrorField(failed, field))
      why.append(label).append(text);
  if (why.empty())
    why = PQerrorMessage(connection_.get());
  throw silo_trouble{what_ + ": " + one_line(why), !may_pass(state == nullptr ? "" : state)};
}

void silo_session::run(const std::string& statements) {
  const result done{PQexec(connection_.get(), statements.c_str())};
  const auto status = PQresultStatus(done.get());
  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
    fail(done.get());
}

rows silo_session::query(const char* statement, const std::vector<param>& params) {
  std::vector<const char*> values;
  for (const auto& x : params)
    values.push_back(x ? x->c_str() : nullptr);
  result done{PQexecParams(connection_.get(), statement, static_cast<int>(values.size()), nullptr,
                           values.data(), nullptr, nullptr, 0)};
  const auto status = PQresultStatus(done.get());
  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
    fail(done.get());
  return rows{done.release()};
}

std::string silo_session::value(const std::string& statement, const std::vector<param>& params) {
  const auto found = query(statement.c_str(), params);
  return found.empty() ? std::string{} : std::string{found.text(0, 0)};
}

void silo_session::end_copy() {
  const result done{PQgetResult(connection_.get())};
  if (PQresultStatus(done.get()) != PGRES_COMMAND_OK)
    fail(done.get());
  while (const result more{PQgetResult(connection_.get())}) {
  }
}

int64_t silo_session::copy_to(silo_session& there, const std::string& out, const std::string& in) {
  {
    const result begun{PQexec(there.connection_.get(), in.c_str())};
    if (PQresultStatus(begun.get()) != PGRES_COPY_IN)
      there.fail(begun.get());
    const result opened{PQexec(connection_.get(), out.c_str())};
    if (PQresultStatus(opened.get()) != PGRES_COPY_OUT) {
      PQputCopyEnd(there.connection_.get(), "there is nothing to copy from");
      while (const result more{PQgetResult(there.connection_.get())}) {
      }
      fail(opened.get());
    }
  }
  int64_t count = 0;
  char* row = nullptr;
  int bytes = 0;
  // Blocking on both sides, so one row is in memory besides libpq's buffers.
  while ((bytes = PQgetCopyData(connection_.get(), &row, 0)) > 0) {
    const int sent = PQputCopyData(there.connection_.get(), row, bytes);
    PQfreemem(row);
    if (sent != 1)
      there.fail(nullptr);
    ++count;
  }
  if (bytes == -2)
    fail(nullptr);
  end_copy();
  if (PQputCopyEnd(there.connection_.get(), nullptr) != 1)
    there.fail(nullptr);
  there.end_copy();
  return count;
}

silo_session::transaction::transaction(silo_session& on, const std::string& begin) : on_{on} {
  on_.run(begin);
}

silo_session::transaction::~transaction() {
  if (!open_)
    return;
  // In the middle of a COPY the connection is of no use any more; the server rolls back itself.
  const result done{PQexec(on_.connection_.get(), "ROLLBACK")};
}

void silo_session::transaction::commit() {
  on_.run("COMMIT");
  open_ = false;
}

std::string quoted_name(std::string_view name) {
  std::string out = "\"";
  for (const char x : name)
    out.append(x == '"' ? 2 : 1, x);
  return out + '"';
}

std::string quoted_text(std::string_view value) {
  std::string out = "'";
  for (const char x : value)
    out.append(x == '\'' ? 2 : 1, x);
  return out + '\'';
}

}  // namespace kgents::sql
