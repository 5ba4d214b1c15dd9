#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "runtime/identity/key_set.hpp"

namespace kgents::runtime::identity {

/// The identity provider's keys, kept fresh and kept at all: while the provider cannot be reached,
/// or answers nonsense, the last good ones stay.
///
/// Read again every 5 minutes, and at once for a token whose key is not known, but never more than
/// once in 10 s: whoever sends tokens with invented keys makes the provider no more work than that.
/// A key that is gone from the provider's answer is gone here with it. Any thread.
class key_source {
public:
  using clock = std::chrono::steady_clock;
  /// Nothing: there is no answer, or none that may be taken.
  using fetched = std::function<void(std::optional<std::string> jwks)>;
  /// Calls back once, from any thread; may drop it when the process ends.
  using fetch = std::function<void(fetched)>;
  /// After each attempt: whether it succeeded, how many keys there are, whether some have gone.
  using watcher = std::function<void(bool good, size_t keys, bool some_gone)>;

  static constexpr auto refresh_every = std::chrono::minutes{5};
  static constexpr auto fetch_pause = std::chrono::seconds{10};
  /// Requests that wait for the fetch under way; more are told at once that the key is unknown.
  static constexpr size_t most_waiting = 256;

  /// `now` is a parameter for tests.
  key_source(fetch how, watcher tell, std::function<clock::time_point()> now = &clock::now);

  [[nodiscard]] std::shared_ptr<const key_set> keys() const;

  /// Begins a regular read when it is time. Called about once a second.
  void tick();

  /// For a token whose key is not among `keys`: reads them again if that is allowed. `then` comes
  /// when the read under way has ended, on its thread, or at once when there is none.
  void renew(std::function<void()> then);

private:
  void begin();
  void ended(const std::optional<std::string>& jwks);

  const fetch fetch_;
  const watcher tell_;
  const std::function<clock::time_point()> now_;
  mutable std::mutex mutex_;
  std::shared_ptr<const key_set> keys_ = std::make_shared<const key_set>();
  bool under_way_ = false;
  std::optional<clock::time_point> began_;
  std::optional<clock::time_point> next_;  // regular read; none: now
  std::vector<std::function<void()>> waiting_;
};

}  // namespace kgents::runtime::identity
