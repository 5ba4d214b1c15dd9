#pragma once

#include <libpq-fe.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "protocol/ids.hpp"
#include "sql/interruption.hpp"
#include "sql/pool.hpp"

namespace kgents::sql {

/// Why a step towards a silo did not succeed. `lasting`: trying again would not help.
class silo_trouble : public std::runtime_error {
public:
  explicit silo_trouble(const std::string& why, bool lasting = false)
      : std::runtime_error{why}, lasting{lasting} {}
  bool lasting;
};

/// A direct, blocking connection of DATABASE_ADMIN_URL's role, for the thread that makes silos.
/// Everything throws `silo_trouble`. The server ends what it does for a process that is gone.
class silo_session {
public:
  /// `what` names the database in messages.
  silo_session(const std::string& url, interruption& until, std::string what);
  silo_session(const silo_session&) = delete;
  silo_session& operator=(const silo_session&) = delete;

  void run(const std::string& statements);
  rows query(const char* statement, const std::vector<param>& params = {});
  /// The first column of the first row; empty without one.
  std::string value(const std::string& statement, const std::vector<param>& params = {});

  /// Streams what a `COPY … TO STDOUT` gives into a `COPY … FROM STDIN` there; how many rows.
  int64_t copy_to(silo_session& there, const std::string& out, const std::string& in);

  /// BEGIN now; ROLLBACK at the end, when it was not committed and the connection is good.
  class transaction {
  public:
    explicit transaction(silo_session& on, const std::string& begin = "BEGIN");
    ~transaction();
    transaction(const transaction&) = delete;
    transaction& operator=(const transaction&) = delete;
    void commit();

  private:
    silo_session& on_;
    bool open_ = true;
  };

  [[nodiscard]] bool good() const;
  [[nodiscard]] const std::string& what() const noexcept { return what_; }

private:
  [[noreturn]] void fail(const PGresult* result) const;
  void end_copy();

  struct finish {
    void operator()(PGconn* x) const noexcept { PQfinish(x); }
  };
  std::unique_ptr<PGconn, finish> connection_;
  interruption& until_;
  const std::string what_;
  std::optional<interruption::watch> watched_;  // last: it ends before the connection
};

/// A name or a value as SQL text, for what takes no parameters (DDL, COPY).
[[nodiscard]] std::string quoted_name(std::string_view name);
[[nodiscard]] std::string quoted_text(std::string_view value);

}  // namespace kgents::sql
