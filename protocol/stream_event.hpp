#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>

#include "protocol/cursor.hpp"
#include "protocol/ids.hpp"

namespace kgents {

enum class event_kind : uint8_t { turn, chunk, complete, error, gap };

[[nodiscard]] std::string_view to_string(event_kind x) noexcept;

/// How a turn ended; carried by its last event for readers that want one answer instead of a
/// stream.
struct turn_end {
  message_id answer;       ///< nil when no message was stored
  std::string text;        ///< everything that was said
  std::string created_at;  ///< wire form; empty when no message was stored
  int64_t tokens_used = 0;
  std::string finish_reason;  ///< stop, length, canceled; empty after an error
  std::string error;          ///< empty unless it failed
  std::string error_type;
  uint32_t retry_after_seconds = 0;  ///< known while the turn is live; 0: nothing
};

/// One event of a session's stream, encoded once and shared by all its readers. Immutable.
class stream_event {
public:
  /// `data` is a JSON object.
  stream_event(event_kind kind, const cursor& place, std::string_view data);

  [[nodiscard]] event_kind kind() const noexcept { return kind_; }
  [[nodiscard]] const cursor& place() const noexcept { return place_; }

  /// The SSE frame as one HTTP chunk, ready for the socket.
  [[nodiscard]] std::string_view http_chunk() const noexcept { return wire_; }
  /// The SSE frame alone, for a client without chunked encoding.
  [[nodiscard]] std::string_view sse() const noexcept;
  /// The WebSocket text: `type`, `id`, `turn_id`, then the members of the data (the `type` of an
  /// error as `error_type`). Made when first asked for; any thread.
  [[nodiscard]] std::string_view websocket_text() const;

  /// The JSON object alone.
  [[nodiscard]] std::string_view data() const noexcept;

  /// Raw text of a chunk: what the log writer stores.
  std::string text;
  /// Of `complete` and `error` only.
  std::shared_ptr<const turn_end> end;
  /// The message that the turn makes, for who publishes the event; nil where nobody does.
  message_id answer;

  ~stream_event();
  stream_event(const stream_event&) = delete;
  stream_event& operator=(const stream_event&) = delete;

private:
  cursor place_;
  std::string wire_;
  mutable std::atomic<const std::string*> websocket_{nullptr};
  uint32_t frame_at_ = 0;  // where the SSE frame begins in wire_
  uint32_t data_at_ = 0;   // where its JSON begins
  event_kind kind_;
};

using event_ptr = std::shared_ptr<const stream_event>;

/// `answer`: see there.
[[nodiscard]] event_ptr make_turn_event(turn_id turn, lease_epoch epoch, message_id message,
                                        std::string_view mode, message_id answer = {});
[[nodiscard]] event_ptr make_chunk_event(turn_id turn, lease_epoch epoch, chunk_index index,
                                         std::string text, message_id answer = {});
[[nodiscard]] event_ptr make_complete_event(turn_id turn, lease_epoch epoch, chunk_index chunks,
                                            turn_end end, message_id answer = {});
[[nodiscard]] event_ptr make_error_event(turn_id turn, lease_epoch epoch, chunk_index chunks,
                                         turn_end end, message_id answer = {});
/// What is missing cannot be had any more; the stream goes on behind `place`.
[[nodiscard]] event_ptr make_gap_event(const cursor& place);

/// Appends `text` as a JSON string with quotes. Valid UTF-8 in, valid JSON out; no allocation
/// besides `out`.
void append_json_string(std::string& out, std::string_view text);

/// Wraps `frame` into one HTTP chunk (RFC 9112 section 7.1).
[[nodiscard]] std::string as_http_chunk(std::string_view frame);

}  // namespace kgents
