#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/agentese/problems.hpp"
#include "gateway/stream/sse.hpp"

/// Streams of aspects in the form of each dialect.
namespace kgents::gateway {

enum class stream_dialect : uint8_t {
  universal,  ///< named events: chunk, done, error
  gateway,    ///< unnamed items, the last of type `done`; error is named
};

/// One piece of an answer. `content` is the piece as a text.
struct stream_piece {
  std::string_view type;  ///< thinking, response, error, metadata
  std::string content;
  bool partial = false;
};

/// The pieces of a whole result (JSON text): three of a dialectic, else one.
[[nodiscard]] std::vector<stream_piece> pieces_of(std::string_view result);

struct stream_end {
  std::string_view result;  ///< JSON text
  std::string_view span_id;
  size_t chunks = 0;
  uint32_t duration_ms = 0;
};

/// The JSON of a piece and of the end, as both dialects and the WebSocket carry them.
[[nodiscard]] std::string chunk_json(const stream_piece& x, int64_t index);
[[nodiscard]] std::string done_json(const stream_end& x, bool typed);

/// Whole frames. `id` empty: none.
[[nodiscard]] std::string chunk_frame(stream_dialect how, const stream_piece& x, int64_t index,
                                      std::string_view id);
[[nodiscard]] std::string done_frame(stream_dialect how, const stream_end& x, std::string_view id);
[[nodiscard]] std::string error_frame(const problem& x, std::string_view id);

/// A turn that failed, in the words of AGENTESE.
[[nodiscard]] agentese::error error_of_turn(std::string_view path, const turn_end& end);
[[nodiscard]] problem stream_problem(stream_dialect how, const agentese::error& x,
                                     std::string_view span_id);

/// Of a turn: the same whenever it is asked for, so that a resumed stream tells the same.
[[nodiscard]] std::string span_of(turn_id turn);

/// Shows a turn of a session as the stream of the aspect at `path`. Each frame has the id of its
/// event: a stream that breaks off goes on from there.
class aspect_framing final : public sse_framing {
public:
  aspect_framing(stream_dialect how, std::string path) : how_{how}, path_{std::move(path)} {}
  [[nodiscard]] std::string frame(const stream_event& x) override;

private:
  const stream_dialect how_;
  const std::string path_;
  const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

}  // namespace kgents::gateway
