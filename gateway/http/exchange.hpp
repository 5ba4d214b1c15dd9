#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/io_thread.hpp"

namespace kgents::gateway::http {

/// A request's head, and its body once it has been read. Header names compare case-insensitively.
struct request {
  std::string method;  ///< "GET", … as sent
  std::string path;    ///< the target up to '?', still percent-encoded; begins with '/'
  std::string query;   ///< behind '?', still percent-encoded; may be empty
  std::vector<std::pair<std::string, std::string>> headers;  ///< names in lower case, in order
  std::string body;
  std::string peer;  ///< address of the client, for the log

  /// The first header of that (lower-case) name; empty when absent. `has_header` tells the two
  /// apart.
  [[nodiscard]] std::string_view header(std::string_view name) const noexcept;
  [[nodiscard]] bool has_header(std::string_view name) const noexcept;
};

/// A complete answer. Content-Length, Date, Connection are the connection's business; HEAD sends no
/// body.
struct response {
  unsigned status = 200;
  std::string content_type = "application/json";
  std::string body = {};
  /// Raw, complete header lines ("Name: value\r\n"), so that fixed sets of headers are appended as
  /// one string.
  std::string header_lines = {};
};

/// Frames to go out in one writev. Bytes are shared, not copied: each has an owner that keeps it
/// alive until written, or none if they live as long as the program.
class write_batch {
public:
  static constexpr size_t max_frames = 64;

  void add(std::shared_ptr<const void> owner, std::string_view bytes);
  void add(std::string bytes);  ///< copies: for rare small frames
  [[nodiscard]] bool full() const noexcept { return pieces_.size() >= max_frames; }
  [[nodiscard]] bool empty() const noexcept { return pieces_.empty(); }
  void clear() noexcept { pieces_.clear(); }

  struct piece {
    std::shared_ptr<const void> owner;
    std::string_view bytes;
  };
  [[nodiscard]] std::vector<piece>& pieces() noexcept { return pieces_; }

private:
  std::vector<piece> pieces_;
};

enum class close_reason : uint8_t { peer_gone, write_timeout, server_stopping, finished };

/// What an open stream is fed from. Pulled by its connection, never pushed: when the socket can
/// take more it asks, and a reader that does not read is simply not asked. All calls on the
/// connection's I/O thread.
class byte_source {
public:
  virtual ~byte_source() = default;

  enum class state : uint8_t {
    idle,  ///< nothing (more) now; `exchange::wake` when there is
    more,  ///< the batch is full, ask again after writing it
    end,   ///< what is in the batch is the last; the stream ends properly after it
  };
  /// Appends what is ready. `chunked`: each frame must be one or more whole HTTP chunks (size line,
  /// data, CRLF), since frames are shared between connections and go out as they are; the
  /// terminating chunk is the connection's. With HTTP/1.0 clients it is false: plain bytes, and the
  /// end of the stream closes the connection.
  virtual state pull(write_batch& out, bool chunked) = 0;

  /// The connection is gone, or has been closed by us, or the last byte after `end` is out
  /// (`finished`); nothing is called after it.
  virtual void closed(close_reason why) = 0;
};

/// Text messages of one open WebSocket. All calls on the connection's I/O thread.
class socket_handler {
public:
  virtual ~socket_handler() = default;
  virtual void opened() = 0;
  /// A whole text message, valid UTF-8, at most 1 MiB.
  virtual void message(std::string_view text) = 0;
  /// As byte_source::pull, but each piece is the text of one message.
  virtual byte_source::state pull(write_batch& out) = 0;
  /// When pull said `end`, or to close from our side: code and reason of the close frame.
  virtual std::pair<uint16_t, std::string> close_code() const = 0;
  virtual void closed(close_reason why) = 0;
};

/// One request and its answer. Lives on its connection's I/O thread; all members are called there
/// only, but the last reference may be dropped on any thread while the I/O threads exist; dropped
/// unanswered it is a 500. Holding it keeps the memory, not the connection: after the peer is gone
/// every call is a no-op.
class exchange : public std::enable_shared_from_this<exchange> {
public:
  virtual ~exchange() = default;

  [[nodiscard]] virtual request& in() noexcept = 0;
  [[nodiscard]] virtual runtime::io_thread& thread() noexcept = 0;

  /// From `application::head`: go on and read the body of at most `limit` bytes (413 beyond), then
  /// `application::body`.
  virtual void read_body(size_t limit) = 0;

  /// Answers. Before the body was read: what is left of it is drained if small, else the connection
  /// closes after the answer.
  virtual void respond(response out) = 0;

  /// Answers with an unbounded body: status line and `head`, then what `source` gives,
  /// chunk-encoded. Nothing is pulled before this has returned; head and first frames go out in one
  /// write soon after. Frees the request's headers and body.
  virtual void stream(response head, std::shared_ptr<byte_source> source) = 0;

  /// Answers 101 to a valid WebSocket handshake (400 or 426 otherwise). `protocol` is echoed unless
  /// empty.
  virtual void upgrade(std::shared_ptr<socket_handler> handler, std::string_view protocol,
                       std::string header_lines) = 0;

  /// The source or handler has something to pull. Coalesced: cheap to call often.
  virtual void wake() = 0;

  /// Cuts the connection, after one more batch from the source or handler: a revoked key, a
  /// stopping server. A stream is cut without its proper end, a WebSocket closed with the handler's
  /// code; both hear `closed(finished)`.
  virtual void close() = 0;

  /// Called once when the peer goes away before the answer is complete. It may have closed its
  /// sending side only: an answer that is given all the same is sent while `gone()` is false. For
  /// `respond`-style answers that are still being made (a stream's source hears `closed` instead).
  virtual void on_gone(std::function<void()> f) = 0;

  [[nodiscard]] virtual bool gone() const noexcept = 0;

  /// The application's own, kept with the request and dropped when the exchange is over (answered,
  /// or the peer gone), so it may hold the exchange.
  std::shared_ptr<void> context;
};

/// What the server does with requests. Called on I/O threads, several at once; must not block or
/// throw.
class application {
public:
  virtual ~application() = default;

  /// The head is there and well formed. Must lead, now or later on the same thread, to exactly one
  /// of `read_body`, `respond`, `stream`, `upgrade`.
  virtual void head(std::shared_ptr<exchange> x) = 0;

  /// The body is there too: lead to exactly one of `respond`, `stream`, `upgrade`.
  virtual void body(std::shared_ptr<exchange> x) = 0;

  /// A request that never became one (malformed, too large, too slow): the complete answer for
  /// `status`.
  virtual response refuse(unsigned status, std::string_view why) = 0;

  /// Bytes of the answer are out (for an endless one: begun); for metrics and the access log. Also
  /// for refused requests, whose method and path are empty when there was no head to tell.
  virtual void answered(const exchange& x, unsigned status) = 0;
};

}  // namespace kgents::gateway::http
