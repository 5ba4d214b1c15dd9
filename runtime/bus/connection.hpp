#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "runtime/bus/dispatcher.hpp"
#include "runtime/bus/event_bus.hpp"
#include "runtime/bus/streams.hpp"

namespace kgents::runtime::bus {

/// The connection to the broker: made, made again for ever, and its streams set up each time.
///
/// It has a thread of its own for all that waits (cnats connects, and asks JetStream's API, in a
/// blocking way); cnats has others for what arrives.
class connection {
public:
  /// Called on threads of the connection, never two at a time of the first three; must not block.
  struct callbacks {
    std::function<void()> ready;  ///< connected, and the streams are there
    /// Not ready any more, or at first; nothing that is under way will be answered.
    std::function<void()> lost;
    std::function<void(bool good)> looked;  ///< the stream answers, or does not
    std::function<void(uint64_t token, acknowledgement::kind)> answered;
  };

  connection(options with, callbacks tell);
  ~connection();
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;

  /// Sends it; `answered` tells what became of it, if anything arrives. False: not connected.
  /// Waits for the socket for limits::bus_write at most. One thread.
  [[nodiscard]] bool publish(uint64_t token, const event& x);

  /// No callback begins after it. Idempotent.
  void stop();

private:
  class impl;
  std::shared_ptr<impl> impl_;
};

/// The delay before the next attempt after so many: from half of it to the whole, doubled from
/// limits::bus_reconnect_first to limits::bus_reconnect_most. `lot`: from 0 to 1.
[[nodiscard]] std::chrono::milliseconds reconnect_delay(int attempts, double lot) noexcept;

/// Without what is before its `@`: for logs and /health/saas.
[[nodiscard]] std::string without_credentials(std::string_view url);

}  // namespace kgents::runtime::bus
