#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "actors/outbound/http_client.hpp"

namespace kgents::metering {

/// What an answer of the provider means for the events it was about (events-and-billing.md 3.4).
enum class verdict : uint8_t {
  accepted,   ///< any 2xx; the provider says 204
  malformed,  ///< 400, 413, 422: one of them is wrong
  later,      ///< 408, 429, 5xx, no answer: the same again after a while
  stop,       ///< 401, 403 and whatever else only an operator can put right
};

struct judged {
  verdict what = verdict::accepted;
  std::chrono::seconds retry_after{0};  ///< that the provider asked for; 0: it did not
  std::string brief{};                  ///< `status 401`, `no answer: timeout`: for everybody
  std::string reason{};                 ///< with the provider's words: for log and quarantine
};

[[nodiscard]] judged judge(const outbound::http_result& x,
                           std::chrono::system_clock::time_point now);

/// The pause before the next try: 0.5 s, doubled each time up to 60 s, the upper half of it at
/// random, so that those who were refused together do not come back together.
class back_off {
public:
  static constexpr std::chrono::milliseconds first{500};
  static constexpr std::chrono::milliseconds longest{60'000};

  [[nodiscard]] std::chrono::milliseconds next();
  void reset() noexcept { failures_ = 0; }

private:
  unsigned failures_ = 0;
  std::minstd_rand random_{std::random_device{}()};
};

/// How one batch gets to the provider: which events to send next, after what was said of the last.
///
/// A part that is malformed is halved until the culprit is alone; so one bad event costs some
/// 2 log2(n) requests and keeps no other back. Pure; parts go out in order.
class delivery {
public:
  /// `count` events, at most `most` in one request.
  delivery(size_t count, size_t most);

  /// From … until before: what to send now. Empty when nothing is left or it has `stopped`.
  [[nodiscard]] std::optional<std::pair<size_t, size_t>> next() const;

  /// What became of the part that `next` named.
  void heard(const judged& x);

  /// By `later` or `stop`: what was left is for another round.
  [[nodiscard]] const std::optional<judged>& stopped() const noexcept { return stopped_; }

  enum class fate : uint8_t { open, sent, refused };
  [[nodiscard]] fate of(size_t event) const { return fates_[event]; }

private:
  std::vector<std::pair<size_t, size_t>> parts_;  // the next is the last
  std::vector<fate> fates_;
  std::optional<judged> stopped_;
};

}  // namespace kgents::metering
