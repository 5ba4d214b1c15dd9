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

#include "protocol/cluster.hpp"
#include "protocol/ids.hpp"

namespace kgents::sql {

/// A statement parameter in PostgreSQL's text format; nullopt is NULL.
using param = std::optional<std::string>;

/// One statement with $1… placeholders. `text` is a string literal (static storage,
/// NUL-terminated): SQL is never built from data. COPY is not possible here.
struct statement {
  std::string_view text;
  std::vector<param> params{};
};

/// The lease under which an entity's home writes.
struct fence {
  shard_id shard;
  lease_epoch epoch = 0;

  friend bool operator==(const fence&, const fence&) = default;
};

/// Which database a tenant's transaction is for.
enum class plane : uint8_t {
  data,     ///< what the tenant makes: in its silo, when it has one
  control,  ///< who it is and what it owes: always in the shared database
};

/// What runs in one round trip and commits or fails as one.
///
/// With a `tenant`, `SELECT kg.set_tenant_context($1)` goes first in the same pipeline, so RLS
/// shows that tenant's rows only.
struct transaction {
  std::optional<tenant_id> tenant{};
  /// Without a tenant it is for the shared database whatever this says.
  plane where = plane::data;
  /// Set: checked together with the context, in the same statement. When the shard's lease has
  /// another epoch the answer is `fenced`; otherwise the lease cannot move before this transaction
  /// has ended. It writes to the lease's row (a lock), so leave it out of what only reads.
  std::optional<sql::fence> fence{};
  /// Whose data it is about, without that tenant's context: goes where its data lives, on a pool of
  /// the control role, which sees all tenants.
  std::optional<tenant_id> about{};
  /// Becomes the fence where leases are not known but by who announces them, in a silo: for what an
  /// activation reads first. Elsewhere nothing is checked, and nothing is paid.
  std::optional<sql::fence> announces{};
  std::vector<statement> statements{};
  /// Not run at all when it is past; a running one is answered `timeout` and its connection is
  /// dropped (it may still commit: the server does not notice at once). Checked every 20 ms. Not
  /// set: `pool_options::default_timeout` from now.
  std::chrono::steady_clock::time_point deadline{};
  /// Changes nothing, so it is safe to repeat: when its connection is lost the answer is
  /// `unavailable`.
  bool read_only = false;
};

/// The rows of one statement. Cheap to move; owns its PGresult. Column access is by position,
/// unchecked in type.
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

/// Why a transaction did not commit, or may not have.
struct failure {
  enum class kind {
    unavailable,      ///< no connection; it did not commit (or it was `read_only`)
    overloaded,       ///< the queue is full; it was not run
    timeout,          ///< its deadline passed; if it was already running, it may have committed
    rejected,         ///< PostgreSQL refused it (see `sqlstate`); nothing of it was committed
    fenced,           ///< its `fence` is of an old lease; nothing of it was committed
    moving,           ///< the tenant's data moves to another database; nothing of it was committed
    unknown_outcome,  ///< the connection was lost after the commit was sent
  };
  kind what = kind::unavailable;
  std::string sqlstate;  ///< five characters when `rejected`, `fenced` (KG001) or `moving`
  std::string message;   ///< for the log, never for a client
  /// Of `moving`, when the data is in another database (KG003): the transaction, for who knows where.
  std::shared_ptr<transaction> misplaced{};
};

/// One `rows` per statement of the transaction (the context's own is not among them), or why not.
using outcome = std::variant<std::vector<rows>, failure>;

/// Must not throw. It may call `pool::submit` and `pool::stop`, and may destroy the pool.
using callback = std::function<void(outcome)>;

/// Where transactions are given: a pool, or what chooses one.
class transactor {
public:
  virtual ~transactor() = default;
  /// From any thread. `done` is called exactly once, on the io_context's thread (also for refusals
  /// and after it was stopped).
  virtual void submit(transaction work, callback done) = 0;

  /// Whether this tenant's data is, or is about to be, in a database of its own: then what is
  /// written for many tenants at once leaves it out, and is written for it alone (`about`). Any
  /// thread.
  [[nodiscard]] virtual bool apart(const tenant_id&) const { return false; }
  /// The tenants with a database of their own. Any thread.
  [[nodiscard]] virtual std::vector<tenant_id> silos() const { return {}; }
};

struct pool_options {
  std::string url;  ///< libpq URL or conninfo
  size_t connections = 8;
  size_t max_queued = 2000;   ///< beyond: `overloaded`, at once (design.md section 4)
  size_t max_in_flight = 64;  ///< transactions in one connection's pipeline
  std::chrono::milliseconds connect_timeout{2000};
  std::chrono::milliseconds default_timeout{5000};  ///< for transactions without a deadline
  std::chrono::milliseconds reconnect_min{50};  ///< back-off with jitter between failed connects …
  std::chrono::milliseconds reconnect_max{2000};  ///< … up to this
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
/// An idle connection takes its share of the shared queue and sends it as one pipeline, one round
/// trip for all of it: a single transaction goes out at once, what arrives while all connections
/// are busy rides in the next round trip. Several connections that commit at the same time share
/// PostgreSQL's flushes; one connection does not group its own commits. Every transaction is closed
/// by its own sync point, so it commits or fails alone; the statements before a sync point are one
/// implicit transaction, so no BEGIN and COMMIT are needed.
///
/// A lost connection answers what was in flight, reconnects with jittered back-off, and never
/// blocks the thread: connecting is asynchronous too (but for the lookup of a host *name*, which
/// libpq does synchronously; use addresses or a socket directory where that matters). While no
/// connection is up and the last attempt failed, everything is answered `unavailable` at once
/// instead of queueing.
///
/// Only unnamed statements and no session state, so PgBouncer in transaction mode can stand in
/// between.
class pool : public transactor {
public:
  pool(boost::asio::io_context& context, pool_options options);
  ~pool() override;
  pool(const pool&) = delete;
  pool& operator=(const pool&) = delete;

  void submit(transaction work, callback done) override;

  /// From any thread, any number of times: closes all connections. What is queued is answered
  /// `unavailable`, what is in flight as if its connection were lost.
  void stop();

  [[nodiscard]] pool_stats stats() const noexcept;  ///< any thread

private:
  class impl;
  std::shared_ptr<impl> impl_;
};

}  // namespace kgents::sql
