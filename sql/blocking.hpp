#pragma once

#include <libpq-fe.h>

#include <initializer_list>
#include <memory>
#include <optional>
#include <string>

namespace kgents::sql {

/// A blocking connection for programs at start and for the migration runner; actors use `pool`.
class blocking_connection {
public:
  /// Gives up after ten seconds unless the URL says otherwise (`connect_timeout`). Check `error()`
  /// before use.
  explicit blocking_connection(const std::string& url);

  /// Why connecting failed, in one line; empty when connected.
  [[nodiscard]] std::string error() const;

  struct clear {
    void operator()(PGresult* x) const noexcept { PQclear(x); }
  };
  using result = std::unique_ptr<PGresult, clear>;

  /// Any number of statements without parameters. nullopt, or the server's message with its detail
  /// and hint.
  [[nodiscard]] std::optional<std::string> run(const char* statements);

  /// One statement with text parameters. Null when it failed; `last_error()` says why.
  [[nodiscard]] result query(const char* statement, std::initializer_list<const char*> params = {});

  /// Whether somebody between us and PostgreSQL gives its connections to several clients in turn:
  /// what is set for a session, and LISTEN, is no use then. False also when it cannot be seen.
  [[nodiscard]] bool pooled();

  /// For whoever has to end it from another thread.
  [[nodiscard]] PGconn* native() const noexcept { return connection_.get(); }

  [[nodiscard]] const std::string& last_error() const noexcept { return last_error_; }

private:
  struct finish {
    void operator()(PGconn* x) const noexcept { PQfinish(x); }
  };
  std::unique_ptr<PGconn, finish> connection_;
  std::string last_error_;
};

}  // namespace kgents::sql
