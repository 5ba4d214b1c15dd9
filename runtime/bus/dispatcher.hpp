#pragma once

#include <boost/container/deque.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "protocol/ids.hpp"
#include "runtime/bus/limits.hpp"
#include "runtime/circuit_breaker.hpp"

namespace kgents::runtime::bus {

/// What belongs together keeps its order: one session, one tenant's invocations.
struct lane_key {
  char family = 0;  ///< first letter of the subject
  uuid id;

  friend bool operator==(const lane_key&, const lane_key&) = default;
};

struct lane_hash {
  size_t operator()(const lane_key& x) const noexcept {
    return std::hash<uuid>{}(x.id) * 31 + static_cast<size_t>(x.family);
  }
};

/// A message that waits or is under way.
struct event {
  std::string subject;
  std::string id;
  std::string payload;
  std::string_view kind;
  std::function<void(bool stored)> done;
  std::chrono::steady_clock::time_point made{};

  [[nodiscard]] size_t bytes() const noexcept {
    return sizeof *this + subject.size() + id.size() + payload.size();
  }
};

struct dispatcher_limits {
  size_t unacknowledged = limits::bus_unacknowledged;
  size_t ring_events = limits::bus_ring_events;
  size_t lanes = limits::bus_lanes;
  size_t ring_bytes = limits::bus_ring_bytes;
  std::chrono::nanoseconds keep = limits::bus_keep;
  std::chrono::nanoseconds ack_deadline = limits::bus_ack_deadline;
  std::chrono::nanoseconds retry_first = limits::bus_retry_first;
  std::chrono::nanoseconds retry_most = limits::bus_retry_most;
  breaker_limits breaker{};
};

/// Which event is published when: a lane for each session (or tenant …), a breaker in front of the
/// broker.
///
/// A lane is the queue before the publisher and the fallback ring at once: what cannot go waits in
/// it, the oldest goes first, and beyond the bound the oldest is dropped. Its first event is under
/// way alone. Why not several: one of them can fail while the next is stored (a stream that changes
/// its leader drops some), and the order would be lost; sessions are many, so the broker has enough
/// to do anyway. An event stays at the head of its lane until the broker has it, so what is retried
/// comes before what is newer, and the same id makes the broker keep it once.
///
/// It does no I/O and reads no clock. Not thread-safe.
class dispatcher {
public:
  using time_point = std::chrono::steady_clock::time_point;

  explicit dispatcher(dispatcher_limits with = {}) : limits_{with}, breaker_{with.breaker} {}

  /// Hands one over.
  void offer(const lane_key& lane, event x, time_point now);

  struct attempt {
    uint64_t token = 0;  ///< names it in what is told of it
    const event* what = nullptr;  ///< valid until the next call
  };
  /// What is to be published now; under way from then on, until one of the next three or
  /// `disconnected` is told of it.
  [[nodiscard]] std::vector<attempt> due(time_point now);

  /// \name How an attempt ended. One that is not known any more is passed over.
  /// @{
  void stored(uint64_t token, time_point now);
  void failed(uint64_t token, time_point now);
  /// The broker will never take it.
  void rejected(uint64_t token, time_point now);
  /// @}

  void connected(time_point now);
  /// What is under way is tried again after the next `connected`. That is no failure of theirs, but
  /// of a probe.
  void disconnected(time_point now);
  [[nodiscard]] bool is_connected() const noexcept { return connected_; }

  /// Acknowledgements that are overdue, events that are too old, lanes that may try again. To be
  /// called every now and then.
  void tick(time_point now);

  /// Forgets everything, and says so.
  void clear();

  [[nodiscard]] breaker_state state() const noexcept { return breaker_.state(); }
  [[nodiscard]] uint32_t failures() const noexcept { return failures_; }
  [[nodiscard]] size_t waiting() const noexcept { return events_ - under_way_.size(); }
  [[nodiscard]] size_t waiting(const lane_key& lane) const;
  [[nodiscard]] size_t lanes() const noexcept { return lanes_.size(); }
  [[nodiscard]] size_t unacknowledged() const noexcept { return under_way_.size(); }
  [[nodiscard]] size_t bytes() const noexcept { return bytes_; }

  /// \name What happened since it was asked last.
  /// @{
  [[nodiscard]] size_t take_dropped() noexcept { return std::exchange(dropped_, 0); }
  [[nodiscard]] size_t take_failed() noexcept { return std::exchange(failed_, 0); }
  [[nodiscard]] std::map<std::string_view, size_t> take_stored() { return std::exchange(stored_, {}); }
  /// @}

private:
  struct lane {
    boost::container::deque<event> events;  // the first one is under way, if `token` is set
    uint64_t token = 0;
    uint32_t attempts = 0;
    enum class state : uint8_t { ready, under_way, delayed } now = state::ready;
    std::list<lane_key>::iterator heard;  // place among the lanes by their last event
  };
  using lane_map = std::unordered_map<lane_key, lane, lane_hash>;
  struct flight {
    lane_key lane;
    time_point deadline;
  };

  lane* landed(uint64_t token);
  void retry(const lane_key& key, lane& x, time_point now);
  void next(const lane_key& key, lane& x);
  void drop_front(lane& x, bool stored);
  void drop_oldest(lane_map::iterator at);
  void erase(lane_map::iterator at);
  void make_room();
  [[nodiscard]] std::chrono::nanoseconds delay(uint32_t attempts) const;

  dispatcher_limits limits_;
  circuit_breaker breaker_;
  bool connected_ = false;
  uint32_t failures_ = 0;  // consecutive
  uint64_t last_token_ = 0;
  size_t events_ = 0;
  size_t bytes_ = 0;
  lane_map lanes_;
  std::list<lane_key> heard_;     // silent longest first
  std::deque<lane_key> ready_;    // some may be stale
  std::multimap<time_point, lane_key> delayed_;  // some may be stale
  std::map<uint64_t, flight> under_way_;  // oldest first: tokens only grow
  size_t dropped_ = 0;
  size_t failed_ = 0;
  std::map<std::string_view, size_t> stored_;
};

}  // namespace kgents::runtime::bus
