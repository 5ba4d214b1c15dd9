#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "protocol/cluster.hpp"

/// The first frame each way on a peer link. Its form never changes, so that nodes of different
/// releases can tell each other why they part: magic "KGPL", protocol (16 bits), the sender's node
/// id and the one it means to talk to (64 bits each), cluster name and node name (a length byte
/// each, then the bytes). What follows is for later releases. Integers are big-endian.
///
/// The side that was dialled answers with its own hello, or with a refusal: magic "KGNO", then
/// text.
namespace kgents::runtime::cluster {

/// The longest a first frame may be; a stranger gets no larger buffer.
inline constexpr size_t max_hello_bytes = 4096;
/// Of the names in it, and of what is kept of a refusal's text.
inline constexpr size_t max_hello_name_bytes = 255;
inline constexpr size_t max_refusal_bytes = 512;

struct hello {
  uint16_t protocol = 0;
  node_id from;
  node_id to;
  std::string cluster;
  std::string name;

  friend bool operator==(const hello&, const hello&) = default;
};

/// Why the other side wants no link with us; printable ASCII.
struct refusal {
  std::string text;
};

/// What was wrong with a first frame, for a log line.
struct malformed {
  std::string text;
};

/// Names are cut to `max_hello_name_bytes`.
[[nodiscard]] std::string encode(const hello& x);
[[nodiscard]] std::string encode(const refusal& x);

/// A hello of another protocol may come without its names.
[[nodiscard]] std::variant<hello, refusal, malformed> parse_first_frame(std::span<const char> x);

/// What those are who announce a first frame of that length: it is their first four bytes.
[[nodiscard]] std::string describe_stranger(uint32_t announced_bytes);

/// Whether these two may talk, but for their ids: empty, or why not, with both values.
[[nodiscard]] std::string mismatch(const hello& theirs, const hello& ours);

}  // namespace kgents::runtime::cluster
