#pragma once

#include <utility>
#include <vector>

#include "protocol/cluster.hpp"
#include "protocol/messages.hpp"
#include "protocol/stream_event.hpp"
#include "runtime/cluster/codec.hpp"
#include "runtime/handover.hpp"

/// What nodes say to each other over the peer link: a kind, then its struct (codec.hpp).
namespace kgents::runtime::cluster {

enum class frame_kind : uint8_t {
  ask = 1,
  answer,
  to_turn,
  to_session,
  adopt,
  open_feed,
  feed_opened,
  feed_events,
  feed_closed,
  close_feed,
  handed_over,
  view_changed,
};

/// A question to an entity; answered by exactly one `answer_frame` with its ticket, unless the link
/// goes.
struct ask_frame {
  static constexpr auto kind = frame_kind::ask;
  uint64_t ticket = 0;
  entity_id to;
  uint8_t tag = 0;  ///< wire_tag of the message
  uint8_t forwards = 0;
  std::string body;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, ask_frame& x) {
  return f(x.ticket, x.to, x.tag, x.forwards, x.body);
}

struct answer_frame {
  static constexpr auto kind = frame_kind::answer;
  uint64_t ticket = 0;
  std::string body;  ///< an answer<T>
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, answer_frame& x) {
  return f(x.ticket, x.body);
}

/// From a session to its running turn on another node.
struct turn_order {
  static constexpr auto kind = frame_kind::to_turn;
  enum class what : uint8_t { credit, hold, resume, stop };
  turn_id turn;
  what order = what::credit;
  uint32_t chunks = 0;  ///< of `credit`
};

template <>
struct last_of<turn_order::what>
    : std::integral_constant<turn_order::what, turn_order::what::stop> {};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, turn_order& x) {
  return f(x.turn, x.order, x.chunks);
}

/// From a running turn to its session on another node.
struct turn_word {
  static constexpr auto kind = frame_kind::to_session;
  enum class what : uint8_t {
    chunks,
    finished,
    held,
    gone,  ///< there is no such turn: its answer must be continued by another model call
  };
  turn_id turn;
  what word = what::chunks;
  std::string body;
};

template <>
struct last_of<turn_word::what> : std::integral_constant<turn_word::what, turn_word::what::gone> {};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, turn_word& x) {
  return f(x.turn, x.word, x.body);
}

/// The session of that turn lives at the sender from now on; answered by `gone` when the turn does
/// not run.
struct adopt_frame {
  static constexpr auto kind = frame_kind::adopt;
  turn_id turn;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, adopt_frame& x) {
  return f(x.turn);
}

/// Asks the owner of a session for its events, as they are shown; one a session and node.
struct open_feed_frame {
  static constexpr auto kind = frame_kind::open_feed;
  uint64_t feed = 0;  ///< the asker's number for it
  entity_id session;
  std::optional<cursor> from;  ///< the last event it has; none: live
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, open_feed_frame& x) {
  return f(x.feed, x.session, x.from);
}

struct feed_opened_frame {
  static constexpr auto kind = frame_kind::feed_opened;
  uint64_t feed = 0;
  lease_epoch lease = 0;         ///< of the session's shard
  std::optional<cursor> anchor;  ///< the place before the first event that will come
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, feed_opened_frame& x) {
  return f(x.feed, x.lease, x.anchor);
}

struct feed_closed_frame {
  static constexpr auto kind = frame_kind::feed_closed;
  uint64_t feed = 0;
  refusal why;  ///< status 421: the session has moved; 404: there is none (any more)
  node_id owner;  ///< where to, if that is known
  lease_epoch lease = 0;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, feed_closed_frame& x) {
  return f(x.feed, x.why, x.owner, x.lease);
}

struct close_feed_frame {
  static constexpr auto kind = frame_kind::close_feed;
  uint64_t feed = 0;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, close_feed_frame& x) {
  return f(x.feed);
}

/// A stream event on its way: enough to make the same one again.
struct wire_event {
  event_kind kind = event_kind::chunk;
  cursor place;
  std::string body;  ///< of a chunk its text, of `turn` and `gap` the JSON
  turn_end end;      ///< of `complete` and `error`

  wire_event() = default;
  explicit wire_event(const stream_event& x);
  [[nodiscard]] event_ptr make() const;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, turn_end& x) {
  return f(x.answer, x.text, x.created_at, x.tokens_used, x.finish_reason, x.error, x.error_type,
           x.retry_after_seconds);
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, wire_event& x) {
  if (!f(x.kind, x.place))
    return false;
  if (x.kind == event_kind::complete || x.kind == event_kind::error)
    return f(x.end);
  return f(x.body);
}

/// New events of some feeds: what one pass over them brought.
struct feed_events_frame {
  static constexpr auto kind = frame_kind::feed_events;
  struct item {
    uint64_t feed = 0;
    wire_event event;
  };
  std::vector<item> items;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, feed_events_frame::item& x) {
  return f(x.feed, x.event);
}
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, feed_events_frame& x) {
  return f(x.items);
}

/// Shards whose leases the sender has given to the receiver, and the turns that run in them.
struct handed_over_frame {
  static constexpr auto kind = frame_kind::handed_over;
  std::vector<std::pair<shard_id, lease_epoch>> shards;
  std::vector<moving_turn> turns;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, std::pair<shard_id, lease_epoch>& x) {
  return f(x.first, x.second) && x.first.value < shard_count;
}
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, handed_over_frame& x) {
  return f(x.shards, x.turns);
}

/// The cluster changed: look.
struct view_changed_frame {
  static constexpr auto kind = frame_kind::view_changed;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, view_changed_frame&) {
  return f();
}

/// What another node answers to `attach_reader`: the events behind the reader's place that are
/// shown there, or none when there are none.
struct placed {
  std::vector<wire_event> events;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, placed& x) {
  return f(x.events);
}

template <class Frame>
[[nodiscard]] std::string to_bytes(const Frame& x) {
  std::string out(1, static_cast<char>(Frame::kind));
  append(out, x);
  return out;
}

}  // namespace kgents::runtime::cluster
