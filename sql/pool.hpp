#pragma once

#include <libpq-fe.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "protocol/ids.hpp"

namespace kgents::sql {

/// A statement parameter in PostgreSQL's text format; nullopt is NULL.
using param = std::optional<std::string>;

/// One statement with $1… placeholders. `text` has static storage: SQL is never built from data.
struct statement {
  std::string_view text;
  std::vector<param> params;
};

/// What runs in one round trip and commits or fails as one.
///
/// With a `tenant`, `SELECT kg.set_tenant_context($1)` goes first in the same pipeline, so RLS shows that tenant's rows only.
struct transaction {
  std::optional<tenant_id> tenant;
  std::vector<statement> statements;
  /// Not run at all when it is past; a running one is answered `timeout` and its connection is dropped.
  std::chrono::steady_clock::time_point deadline{};
};

/// The rows of one statement. Cheap to move; owns its PGresult. Column access is by position, unchecked in type.
class rows {
public:
  explicit rows(PGresult* result) noexcept : result_{result} {}

  [[nodiscard]] int size() const noexcept { return PQntuples(result_.get()); }
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }
  [[nodiscard]] bool is_null(int row, int column) const noexcept {
    return PQgetisnull(result_.get(), row, column) == 1;
  }
  /// Empty for NULL. Valid as long as this object.
  [[nodiscard]] std::string_view text(int row, int column) const noexcept {
    return {PQgetvalue(result_.get(), row, column),
            static_cast<size_t>(PQgetlength(result_.get(), row, column))};
  }
  [[nodiscard]] std::optional<std::string> optional_text(int row, int column) const;
  [[nodiscard]] int64_t integer(int row, int column) const noexcept;  ///< 0 for NULL
  [[nodiscard]] bool boolean(int row, int column) const noexcept;     ///< false for NULL
  [[nodiscard]] uuid id(int row, int column) const noexcept;          ///< nil for NULL

private:
  struct clear {
    void operator()(PGresult* x) const noexcept { PQclear(x); }
  };
  std::unique_ptr<PGresult, clear> result_;
};

/// Why a transaction did not commit. `unknown_outcome`: the connection was lost after the commit was sent.
struct failure {
  enum class kind { unavailable, overloaded, timeout, rejected, unknown_outcome };
  kind what = kind::unavailable;
  std::string sqlstate;  ///< five characters when `rejected`
  std::string message;   ///< for the log, never for a client
};

/// One `rows` per statement of the transaction (the context's own is not among them), or why not.
using outcome = std::variant<std::vector<rows>, failure>;
using callback = std::function<void(outcome)>;

struct pool_options {
  std::string url;               ///< libpq URL or conninfo
  size_t connections = 8;
  size_t max_queued = 2000;      ///< beyond: `overloaded`, at once (design.md section 4)
  size_t max_in_flight = 64;     ///< transactions in one connection's pipeline
  std::chrono::milliseconds connect_timeout{2000};
  std::chrono::milliseconds reconnect_min{50};   ///< back-off with jitter between failed connects …
  std::chrono::milliseconds reconnect_max{2000}; ///< … up to this
  std::string application_name = "kgentsd";
};

struct pool_stats {
  size_t connected = 0;
  size_t queued = 0;
  size_t in_flight = 0;
  uint64_t committed = 0;
  uint64_t failed = 0;
  uint64_t round_trips = 0;
};

/// A pool of libpq connections in pipeline mode, driven by one io_context (one thread runs it).
///
/// Each connection drains the shared queue into one round trip: every transaction is closed by its own sync point, so it
/// commits or fails alone. A lost connection answers what was in flight (`unknown_outcome`, or `unavailable` when it was
/// never sent), reconnects with jittered back-off, and never blocks the thread: connecting is asynchronous too. While no
/// connection is up and the last attempt failed, `submit` answers `unavailable` at once instead of queueing.
///
/// Only unnamed statements and no session state, so PgBouncer in transaction mode can stand in between.
class pool {
public:
  pool(boost::asio::io_context& context, pool_options options);
  ~pool();
  pool(const pool&) = delete;
  pool& operator=(const pool&) = delete;

  /// From any thread. `done` is called exactly once, on the io_context's thread (also for refusals and after `stop`).
  void submit(transaction work, callback done);

  /// From any thread: closes all connections; what is queued or in flight is answered `unavailable`.
  void stop();

  [[nodiscard]] pool_stats stats() const noexcept;  ///< any thread

private:
  class impl;
  std::shared_ptr<impl> impl_;
};

}  // namespace kgents::sql
