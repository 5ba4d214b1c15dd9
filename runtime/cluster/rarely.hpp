#pragma once

#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace kgents::runtime::cluster {

/// Lets one log line pass per peer address and reason in a while, so that a stranger who tries a
/// thousand times a second does not fill the log. Not thread-safe.
class rarely {
public:
  using clock = std::chrono::steady_clock;
  static constexpr auto every = std::chrono::seconds{10};
  /// Addresses times reasons that are remembered; beyond, nothing new passes until some expire.
  static constexpr size_t max_entries = 1024;

  [[nodiscard]] bool passes(std::string_view address, std::string_view reason,
                            clock::time_point now) {
    std::pair<std::string, std::string> key{address, reason};
    if (const auto it = last_.find(key); it != last_.end()) {
      if (now - it->second < every)
        return false;
      it->second = now;
      return true;
    }
    if (last_.size() >= max_entries)
      std::erase_if(last_, [&](const auto& x) { return now - x.second >= every; });
    if (last_.size() >= max_entries)
      return false;
    last_.emplace(std::move(key), now);
    return true;
  }

private:
  std::map<std::pair<std::string, std::string>, clock::time_point> last_;
};

}  // namespace kgents::runtime::cluster
