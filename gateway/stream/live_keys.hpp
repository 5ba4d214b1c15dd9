#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/auth.hpp"
#include "runtime/io_thread.hpp"

namespace kgents::gateway {

/// Why a stream ends although neither side wanted it to: what it was opened with holds no more.
enum class end_reason : uint8_t {
  key_revoked,
  key_expired,
  token_expired,
  user_deactivated,
  tenant_inactive,  ///< canceled, paused or deleted
  rights_changed,   ///< it may do something else now: come back with it
};

/// As clients read it: the `type` of the last SSE event, the reason of close code 4401.
[[nodiscard]] std::string_view to_string(end_reason x) noexcept;
/// The members of the last event, as JSON: `{"error": …, "type": …}`.
[[nodiscard]] std::string last_words(end_reason x);
/// WebSocket's code for it.
inline constexpr uint16_t close_credential = 4401;

/// The open streams of a node by the key that opened them: a stream outlives the check of its key,
/// so the node looks every second whether the keys still hold, and ends the streams of those that
/// do not. Any thread.
class live_keys {
public:
  using ender = std::function<void(end_reason)>;

  /// `end` is called on `thread` when the credential holds no more, at most once for each time it
  /// is found so. The stream keeps the result for as long as it is open.
  /// `acts`: over it the credential does more than listen.
  [[nodiscard]] std::shared_ptr<void> watch(const credential_ptr& who, runtime::io_thread& thread,
                                            bool acts, ender end);

  [[nodiscard]] std::vector<api_key_id> all() const;
  /// Ends the streams of these keys. A key that may not read any more ends those that were opened
  /// for reading; one that only changed ends none here.
  void end(const std::vector<sql::unfit_key>& keys);
  /// Ends those of the key that act on what it could do before `since`.
  void renew(api_key_id key, std::chrono::steady_clock::time_point since);
  /// Ends the streams whose credential has had its time: that needs no word from the database.
  void expire(std::chrono::system_clock::time_point now);

private:
  struct stream {
    runtime::io_thread& thread;
    ender end;
    std::optional<std::chrono::system_clock::time_point> expires_at;
    end_reason expired = end_reason::key_expired;
    bool reads = false;
    bool acts = false;
    std::chrono::steady_clock::time_point asked_at{};  ///< of its credential
  };
  using streams = std::multimap<api_key_id, std::weak_ptr<stream>>;  // its iterators stay valid

  static void tell(const std::weak_ptr<stream>& which, end_reason why);

  /// Shared with the handles, which may outlive this.
  struct state {
    mutable std::mutex mutex;
    streams all;
  };
  std::shared_ptr<state> state_ = std::make_shared<state>();
};

}  // namespace kgents::gateway
