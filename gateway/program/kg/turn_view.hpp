#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "actors/llm/sse_decoder.hpp"

namespace kgents::kg {

/// What an event adds to an answer that is being shown.
struct turn_news {
  enum class kind : uint8_t {
    nothing,    ///< heard before, another turn's, or not about the answer
    text,       ///< `text` comes next
    complete,   ///< `text` was missing at the end; `reason` is the finish reason
    error,      ///< `text` says what went wrong; `reason` is its stable type
    reconnect,  ///< the server asks to come back
    hole,       ///< something between is missing: ask for the turn as it is stored
  };
  kind what = kind::nothing;
  std::string text{};
  std::string reason{};
};

/// One turn as it was shown so far, whatever connections it came over: events that come twice add
/// nothing, those of other turns neither. Pure.
class turn_view {
public:
  [[nodiscard]] turn_news take(const llm::sse_event& x);

  /// The turn as it is stored, when events were lost: what of its text is missing. It counts as
  /// shown from here on.
  [[nodiscard]] std::string catch_up(std::string_view whole, int64_t chunks);

  /// The id of the last event that was taken; empty: none, so the message may not have arrived.
  [[nodiscard]] const std::string& last_id() const noexcept { return last_id_; }
  [[nodiscard]] const std::string& turn() const noexcept { return turn_; }
  [[nodiscard]] const std::string& shown() const noexcept { return shown_; }

private:
  [[nodiscard]] turn_news take_chunk(const llm::sse_event& x, int64_t index);

  std::string turn_;
  std::string last_id_;
  std::string shown_;
  int64_t next_ = 0;
};

}  // namespace kgents::kg
