#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "protocol/ids.hpp"
#include "runtime/io_thread.hpp"

namespace kgents::gateway {

/// The open streams of a node by the key that opened them: a stream outlives the check of its key,
/// so the node looks every second whether the keys still hold, and ends the streams of those that
/// do not. Any thread.
class live_keys {
public:
  /// `end` is called on `thread` when the key is revoked. The stream keeps the result for as long
  /// as it is open.
  [[nodiscard]] std::shared_ptr<void> watch(api_key_id key, runtime::io_thread& thread,
                                            std::function<void()> end);

  [[nodiscard]] std::vector<api_key_id> all() const;
  void revoke(const std::vector<api_key_id>& keys);

private:
  struct stream {
    runtime::io_thread& thread;
    std::function<void()> end;
  };

  /// Shared with the handles, which may outlive this.
  struct state {
    mutable std::mutex mutex;
    std::multimap<api_key_id, std::weak_ptr<stream>> streams;  // its iterators stay valid
  };
  std::shared_ptr<state> state_ = std::make_shared<state>();
};

}  // namespace kgents::gateway
