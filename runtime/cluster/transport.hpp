#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/cluster.hpp"
#include "runtime/io_thread.hpp"

/// The peer link: frames between the nodes of a cluster over mutual TLS 1.3 (or plaintext, outside
/// production).
///
/// On the wire: a length (32 bits, big-endian), then that many bytes. Length 0 is a ping and is
/// answered by nothing; both sides ping. The first frame each way is the hello (hello.hpp).
namespace kgents::runtime::cluster {

/// What this program speaks. A peer that speaks another is refused: frames carry CAF's binary form
/// of our messages, which has no versions of its own.
inline constexpr uint16_t protocol_version = 1;

struct transport_peer {
  node_id id;
  std::string name;  ///< for log lines
  std::string host;  ///< a name or an address
  uint16_t port = 0;

  friend bool operator==(const transport_peer&, const transport_peer&) = default;
};

/// Counted on the I/O thread, read from any.
struct transport_figures {
  std::atomic<uint64_t> refused{0};    ///< connections of peers that were refused
  std::atomic<uint64_t> bytes_in{0};   ///< of frames, before encryption
  std::atomic<uint64_t> bytes_out{0};
};

struct transport_options {
  std::string
      host;  ///< name or address to listen on; empty: no listener, no links, a cluster of one
  uint16_t port = 0;  ///< 0: any free one
  std::string cluster;
  std::string node_name;
  uint16_t protocol = protocol_version;
  /// PEM: who signs the nodes' certificates, ours, our key. All or none; none: plaintext.
  std::filesystem::path ca;
  std::filesystem::path cert;
  std::filesystem::path key;

  /// A link that has sent nothing for that long sends a ping.
  std::chrono::milliseconds ping_every{500};
  /// Without a byte from the peer for that long, the link is down: five pings.
  std::chrono::milliseconds silent_after{2500};
  /// Name resolution and all addresses of a host together.
  std::chrono::milliseconds connect_within{2000};
  /// TLS and the hello; also how long an accepted connection may stay a stranger.
  std::chrono::milliseconds hello_within{3000};
  /// Between attempts: a random part ("full jitter") of a span that doubles from first to most.
  std::chrono::milliseconds backoff_first{100};
  std::chrono::milliseconds backoff_most{3000};

  /// A longer announced length is a protocol error; the link is cut. Also of what `send` takes.
  size_t max_frame_bytes = 1024 * 1024;
  /// Beyond, the link is cut: a peer that takes nothing is as good as gone.
  size_t max_unsent_bytes = 16 * 1024 * 1024;
  /// `writable` is called when unsent bytes fall below `low_water` after they were above
  /// `high_water`.
  size_t high_water = 1024 * 1024;
  size_t low_water = 256 * 1024;
  std::shared_ptr<transport_figures> figures = std::make_shared<transport_figures>();
  /// Accepted connections that have not said hello; beyond, the oldest is closed.
  size_t max_unidentified = 64;
};

/// All are called on the I/O thread, never from within `send`, and never after `stop`. They may
/// call anything of the transport. `up` and `down` of a node alternate, starting with `up`.
struct transport_handlers {
  std::function<void(node_id)> up;
  /// Also called from within `identify` and `keep`, for the links that they cut.
  std::function<void(node_id, std::string_view why)> down;
  /// The bytes are valid during the call.
  std::function<void(node_id, std::span<const char>)> frame;
  std::function<void(node_id)> writable;
};

/// One node's links to the others. Every call must be made on the I/O thread that it was made for;
/// only `make_transport`, `port` and the destructor may be called elsewhere, the latter when `stop`
/// has been called or the thread has ended. It must be destroyed before that io_thread.
class transport {
public:
  virtual ~transport() = default;

  /// Our (new) identity, or nobody: all links are cut, later hellos carry it. Before the first one,
  /// no connection is accepted; while we are nobody, peers are refused. The same identity again
  /// does nothing.
  virtual void identify(node_id self) = 0;

  /// The links wanted; others are cut. Of two nodes the one with the higher id dials, and goes on
  /// dialling with backoff until it has a link. Ourselves in the list is skipped.
  virtual void keep(std::vector<transport_peer> peers) = 0;

  /// Queues a frame of 1 to `max_frame_bytes` bytes; frames arrive in order, each once or (if the
  /// link goes down) not at all. False: no link, or this frame cut it (then `down` follows soon).
  /// Throws std::length_error for a frame of another size: the link could not carry it.
  virtual bool send(node_id to, std::string frame) = 0;

  /// Bytes queued for that node and not yet given to the kernel; 0 without a link.
  [[nodiscard]] virtual size_t unsent(node_id to) const = 0;
  [[nodiscard]] virtual bool linked(node_id to) const = 0;

  /// Reads the certificates again; new connections use them. Returns what is wrong, and keeps the
  /// old ones then; empty: nothing.
  virtual std::string reload() = 0;

  /// Sends what the kernel takes at once, then closes everything, for good.
  virtual void stop() = 0;

  /// Where we listen; 0 without a listener. Any thread.
  [[nodiscard]] virtual uint16_t port() const = 0;
};

/// Throws std::runtime_error when the certificates or the address to listen on cannot be used; the
/// text says what to do. Any thread, while `thread` runs or before.
[[nodiscard]] std::unique_ptr<transport> make_transport(io_thread& thread,
                                                        transport_options options,
                                                        transport_handlers handlers);

}  // namespace kgents::runtime::cluster
