#include "sql/interruption.hpp"

#include <sys/socket.h>

namespace kgents::sql {

void interruption::stop() {
  const std::lock_guard guard{mutex_};
  stopped_ = true;
  for (auto* x : connections_)
    shut(x);
}

bool interruption::stopped() const {
  const std::lock_guard guard{mutex_};
  return stopped_;
}

void interruption::shut(PGconn* connection) {
  if (const int socket = PQsocket(connection); socket >= 0)
    ::shutdown(socket, SHUT_RDWR);
}

interruption::watch::watch(interruption& of, PGconn* connection)
    : of_{of}, connection_{connection} {
  const std::lock_guard guard{of_.mutex_};
  of_.connections_.insert(connection_);
  if (of_.stopped_)
    shut(connection_);
}

interruption::watch::~watch() {
  const std::lock_guard guard{of_.mutex_};
  of_.connections_.erase(connection_);
}

}  // namespace kgents::sql
