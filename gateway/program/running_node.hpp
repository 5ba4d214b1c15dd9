#pragma once

#include <memory>

#include "runtime/settings.hpp"

namespace kgents::gateway {

/// One node, assembled: threads, pools, actors, HTTP server. Built in the order of the layers and
/// taken down in reverse.
class running_node {
public:
  /// Starts threads and actors and listens. Throws std::runtime_error that says what is wrong (port
  /// in use, bad TLS files).
  explicit running_node(const runtime::settings& config);
  ~running_node();

  [[nodiscard]] uint16_t port() const;

  /// Goes on with the turns that a crash or restart left behind.
  void recover();

  /// Readiness fails, nothing new is accepted, streams between turns end with `reconnect`.
  void begin_drain();
  /// Whether answers are still being made.
  [[nodiscard]] bool busy() const;
  /// The rest of the streams end; what runs is continued from its durable part at the next start.
  void end_drain();

  /// SIGHUP: loads the certificate anew. Returns what is wrong with it, if anything.
  std::string reload();

private:
  class impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace kgents::gateway
