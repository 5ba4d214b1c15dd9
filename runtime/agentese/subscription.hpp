#pragma once

#include <boost/container/deque.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/agentese/pattern.hpp"
#include "protocol/agentese_event.hpp"
#include "runtime/agentese/limits.hpp"

namespace kgents::runtime::agentese {

using event_ptr = agentese_event_ptr;

enum class delivery_mode : uint8_t { at_most_once, at_least_once };
enum class ordering_mode : uint8_t { per_path_fifo, global_clock };

[[nodiscard]] std::string_view to_string(delivery_mode x) noexcept;
[[nodiscard]] std::string_view to_string(ordering_mode x) noexcept;

/// What a subscriber asked for (agentese.md section 13).
struct subscription_config {
  kgents::agentese::pattern pattern;
  std::string aspect_filter;  ///< of the event as it is shown; empty: all
  delivery_mode delivery = delivery_mode::at_most_once;
  ordering_mode ordering = ordering_mode::per_path_fifo;
  uint32_t buffer_size = limits::buffer_default;
};

/// Events that a subscriber does not get, told before the next one that it does get.
struct event_gap {
  enum class cause : uint8_t {
    buffer_full,   ///< it read too slowly
    not_retained,  ///< they have left the log
    unknown_event,  ///< it wanted what follows an event that is not (or no longer) in the log
  };
  cause why = cause::buffer_full;
  uint64_t dropped = 0;  ///< how many; 0: not known
  int64_t from_seq = 0, to_seq = 0;  ///< within these, both included; 0: not known

  /// As a JSON object: `{reason, dropped, from_seq, to_seq}`, what is not known null.
  [[nodiscard]] std::string json() const;
};

/// Whether the subscriber is afforded that aspect of that node: otherwise it does not see the data.
using afforded_check = std::function<bool(std::string_view node, std::string_view aspect)>;

/// One subscription, without clock, thread or socket: the tenant's events go in, what this
/// subscriber is to hear comes out.
///
/// All calls on one thread.
class subscription {
public:
  using clock = std::chrono::steady_clock;

  /// `afforded` is shared by the subscriptions of one kind of observer; null: everything is.
  subscription(subscription_config config, std::shared_ptr<const afforded_check> afforded);

  [[nodiscard]] const subscription_config& config() const noexcept { return *config_; }

  enum class offered : uint8_t { accepted, ignored, dropped };
  /// The next event of the tenant. Those at or before `position()` are ignored, as are those that
  /// the pattern or filter leaves out. Seqs have no holes: what lies between is missed.
  offered offer(const event_ptr& x);

  /// The seq up to which everything was offered.
  [[nodiscard]] int64_t position() const noexcept { return position_; }
  /// Nothing up to `seq` will be offered.
  void begin_behind(int64_t seq) noexcept { position_ = seq; }
  /// What lies up to `gap.to_seq` cannot be had; told before anything that follows.
  void missed(const event_gap& gap);

  struct delivery {
    event_ptr event;               ///< null: only the gap
    std::optional<event_gap> gap;  ///< to be told before the event
    agentese_event::form form;
    bool again = false;  ///< it was delivered before and not acknowledged
  };
  /// What goes out next, if anything. From then on it counts as delivered.
  [[nodiscard]] std::optional<delivery> next(clock::time_point now);

  /// Whether the next event is kept.
  [[nodiscard]] bool has_room() const noexcept {
    return buffer_.size() < config_->buffer_size && bytes_ < limits::buffer_bytes;
  }
  /// Whether a gap waits to be told behind the last event.
  [[nodiscard]] bool has_gap() const noexcept { return gap_ != nullptr; }
  /// Events that wait to be delivered or acknowledged.
  [[nodiscard]] size_t pending() const noexcept {
    return buffer_.size() + unacknowledged_.size() + again_.size();
  }

  /// True the first time for an event that waits for it.
  bool acknowledge(const uuid& event);

  /// at_least_once, to be called every `limits::redeliver_check`: marks what was not acknowledged
  /// in time to be delivered again, and gives up what has been often enough; how many were given
  /// up.
  size_t check_redelivery(clock::time_point now);

private:
  struct waiting {
    event_ptr event;
    std::unique_ptr<event_gap> before;
  };
  struct sent {
    event_ptr event;
    clock::time_point at;
    uint8_t times = 0;  // delivered again
  };

  [[nodiscard]] bool wanted(const agentese_event& x) const;
  delivery deliver(event_ptr x, clock::time_point now, uint8_t times);
  void forget(const agentese_event& x);

  std::unique_ptr<const subscription_config> config_;
  std::shared_ptr<const afforded_check> afforded_;
  int64_t position_ = 0;
  size_t bytes_ = 0;  // of the data of all events held
  // boost's allocate nothing while empty, and ten thousand idle subscriptions are.
  boost::container::deque<waiting> buffer_;
  boost::container::deque<sent> unacknowledged_;  // in the order of their times
  boost::container::deque<sent> again_;           // to be delivered again
  std::unique_ptr<event_gap> gap_;                // behind the buffer
};

}  // namespace kgents::runtime::agentese
