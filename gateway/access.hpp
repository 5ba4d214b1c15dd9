#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "gateway/auth.hpp"
#include "gateway/stream/live_keys.hpp"
#include "sql/pool.hpp"

namespace kgents::gateway {

/// Keeps what this node knows of credentials no older than it may be: what is cached is forgotten
/// and streams end when a key, its user or its tenant may act no more.
///
/// `look` asks one question about all the keys in use. The node calls it every second, when the
/// database tells of a change, and through `changed` by whoever made one here. So a change holds at
/// once on the node that made it, and within a second and the question's answer on every other, also
/// when nothing can be heard. Any thread.
class access_watch {
public:
  /// The parts outlive this, and what has been asked of `control`.
  access_watch(sql::transactor& control, authenticator& auth, live_keys& streams);

  /// Somebody's rights were changed here, and that is committed. `done`, on any thread: this node
  /// acts on it, or could not ask; the answer to whoever changed it may be sent.
  void changed(std::function<void()> done);
  void look() { changed(nullptr); }

  enum class standing : uint8_t { good, gone, unreachable };
  /// Whether all of these keys may still do what they could at `since`: for what lives apart from
  /// its key, capability tokens. `done` comes at once when that is known, else on the pool's thread. A key that was asked about
  /// stays known for a while, and is looked at with the others.
  void ask(std::vector<api_key_id> keys, std::chrono::system_clock::time_point since,
           std::function<void(standing)> done);

private:
  using clock = std::chrono::steady_clock;

  /// Of a key that does not open anything here: it is known to be good since then.
  struct vouched {
    clock::time_point confirmed;
    clock::time_point used;
    int64_t changed_at = 0;  ///< as sql::unfit_key has it
  };
  /// A change of a key's rights that was told of, and since when.
  struct told {
    int64_t changed_at;
    clock::time_point since;
  };

  void begin(std::vector<std::function<void()>> done);
  void learn(const std::vector<api_key_id>& asked, const std::vector<sql::unfit_key>& unfit,
             clock::time_point when);
  [[nodiscard]] std::vector<api_key_id> in_use();

  sql::transactor& control_;
  authenticator& auth_;
  live_keys& streams_;
  std::mutex mutex_;
  std::unordered_map<api_key_id, vouched> vouched_;  // bounded
  std::unordered_map<api_key_id, told> told_;  // by the last look; one look at a time
  bool looking_ = false;
  bool again_ = false;
  /// They wait for a look that begins after their change.
  std::vector<std::function<void()>> waiting_;
};

}  // namespace kgents::gateway
