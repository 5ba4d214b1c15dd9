#pragma once

#include <functional>
#include <memory>
#include <string>

#include "runtime/settings.hpp"

namespace kgents::gateway {

/// One node, assembled: threads, pools, actors, HTTP server. Built in the order of the layers and
/// taken down in reverse.
class running_node {
public:
  /// Called on threads of the node.
  struct callbacks {
    std::function<void()> up;  ///< a member of the cluster, for the first time
    std::function<void(const std::string& why)> stop;  ///< another process has this one's name
  };

  /// Starts threads and actors, listens, and begins to join the cluster. Throws std::runtime_error
  /// that says what is wrong (port in use, bad TLS files).
  running_node(const runtime::settings& config, callbacks tell);
  ~running_node();

  [[nodiscard]] uint16_t port() const;

  /// Readiness fails, nothing new is accepted, streams between turns end with `reconnect`; the
  /// shards go to other nodes.
  void begin_drain();
  /// Whether answers are still being made here, or shards wait to be taken.
  [[nodiscard]] bool busy() const;
  /// Whether other nodes go on with what this one leaves.
  [[nodiscard]] bool shares_work() const;
  /// While others serve: this part of the streams (0 to 1) ends with `reconnect`, in mid-answer
  /// too.
  void send_away(double part);
  /// The rest of the streams end; what runs is continued from its durable part, by another node or
  /// at the next start.
  void end_drain();

  /// SIGHUP: loads the certificates anew. Returns what is wrong with it, if anything.
  std::string reload();

private:
  class impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace kgents::gateway
