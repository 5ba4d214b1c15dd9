#pragma once

#include <libpq-fe.h>

#include <mutex>
#include <set>

namespace kgents::sql {

/// Ends blocking work on other threads: the sockets of its connections are shut down, so what waits
/// there fails at once, without asking a server. Any thread.
class interruption {
public:
  void stop();
  [[nodiscard]] bool stopped() const;

  /// Names a connection for as long as this lives: not longer than the connection.
  class watch {
  public:
    watch(interruption& of, PGconn* connection);
    ~watch();
    watch(const watch&) = delete;
    watch& operator=(const watch&) = delete;

  private:
    interruption& of_;
    PGconn* connection_;
  };

private:
  static void shut(PGconn* connection);

  mutable std::mutex mutex_;
  std::set<PGconn*> connections_;
  bool stopped_ = false;
};

}  // namespace kgents::sql
