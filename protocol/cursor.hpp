#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "protocol/ids.hpp"

namespace kgents {

/// The place behind one event of a session's stream; what `Last-Event-ID`, `?after=` and WebSocket
/// `resume` carry.
///
/// Text form, opaque to clients: `{turn}:{epoch}:{index}`, with `-` as the index of the `turn`
/// event, which sorts before chunk 0. The final event of a turn of n chunks has index n. Only turn
/// and index place a reader: the epoch tells which activation wrote the event, and a turn's chunks
/// are the same in every epoch.
struct cursor {
  static constexpr int64_t before_turn = -2;  ///< not even the `turn` event; never on the wire
  static constexpr int64_t turn_event = -1;

  turn_id turn;
  lease_epoch epoch = 0;
  int64_t index = before_turn;

  [[nodiscard]] static std::optional<cursor> parse(std::string_view text) noexcept;
  void append_to(std::string& out) const;
  [[nodiscard]] std::string text() const;

  friend bool operator==(const cursor&, const cursor&) = default;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, cursor& x) {
  return f(x.turn, x.epoch, x.index);
}

}  // namespace kgents
