#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/http/exchange.hpp"
#include "gateway/http/head_scanner.hpp"
#include "gateway/http/request_exchange.hpp"
#include "gateway/http/socket_stream.hpp"
#include "gateway/http/thread_state.hpp"
#include "gateway/http/websocket_session.hpp"
#include "runtime/timer_wheel.hpp"

namespace kgents::gateway::http {

/// One client's connection: reads requests, one at a time, hands them to the application and writes
/// the answers. Lives on one I/O thread. It waits for readiness and then reads into the thread's
/// buffer, so an idle one holds no buffer; what it cannot write at once it keeps and waits.
class connection final : public std::enable_shared_from_this<connection> {
public:
  connection(std::shared_ptr<thread_state> home, socket_stream stream, std::string peer);
  ~connection();

  void start();
  /// Over the cap: answers 503 without having read anything.
  void start_refusing();

  // What the application asks for, through its exchange.
  void read_body(size_t limit);
  void respond(response out);
  void stream(response head, std::shared_ptr<byte_source> source);
  void upgrade(std::shared_ptr<socket_handler> handler, std::string_view protocol,
               std::string header_lines);
  void wake();
  void cut();
  /// The application has dropped the exchange.
  void abandoned(request_exchange& x);

  // What the thread and the server ask for.
  /// Pulls and writes; the caller holds the connection.
  void pump();
  void close_if_idle();
  void stop();

private:
  friend class thread_state;

  enum class phase : uint8_t {
    handshake,
    head,  // of the next request, or idle
    body,
    answering,  // the application has the request
    writing,    // its answer is partly written
    streaming,
    websocket,
    draining,   // the rest of a body that nobody wanted
    lingering,  // we have said all; the peer may still be sending (RFC 9112 section 9.6)
    closed,
  };
  enum class sent : uint8_t { all, blocked, failed };
  using pieces = std::vector<write_batch::piece>;
  using clock = runtime::timer_wheel::clock;

  // connection.cpp: life, waiting, reading
  void close(close_reason why);
  void arm_read();
  void arm_write();
  void on_readable();
  void on_writable();
  void on_timer();
  void continue_handshake();
  void peer_closed();
  void deadline(clock::duration delay);
  void no_deadline() noexcept { deadline_ = clock::time_point::max(); }
  void continue_input();
  void feed(std::string_view in);

  // connection_requests.cpp: requests and whole answers
  void consume(std::string_view& in);
  bool take_head(std::string_view& in);
  bool take_body(std::string_view& in);
  bool take_rest(std::string_view& in);
  void refuse(unsigned status, std::string_view why);
  void hand_over(std::shared_ptr<request_exchange> x, bool with_body);
  void prepare_close_after_answer();
  void answer(response out);
  void answered();
  void next_request();
  void end_writing(close_reason why);

  // connection_writes.cpp: everything that goes out in pieces
  io_status write(pieces& out);
  sent send(pieces& out);
  void keep_unsent(pieces& out);
  void queue_head(const response& x, framing how);
  byte_source::state pull(write_batch& out);
  void end_long_answer();

  std::shared_ptr<thread_state> home_;
  socket_stream stream_;
  std::shared_ptr<connection> self_;  // while open; handlers hold their own
  connection* prev_ = nullptr;
  connection* next_ = nullptr;
  runtime::wheel_timer timer_;
  // The timer is not moved for every change: it fires at the earliest deadline it was armed for,
  // and looks here.
  clock::time_point deadline_ = clock::time_point::max();
  clock::time_point alarm_ = clock::time_point::max();
  std::string peer_;
  std::string pending_;                     // read and not consumed
  request_exchange* exchange_ = nullptr;    // of the request in hand, while somebody holds it
  std::shared_ptr<request_exchange> held_;  // while nobody else does
  std::unique_ptr<body_decoder> body_;      // of the request in hand, until its end was seen
  std::unique_ptr<pieces> unsent_;
  std::shared_ptr<byte_source> source_;
  std::unique_ptr<websocket_session> websocket_;
  size_t discarded_ = 0;
  head_scanner scanner_;
  phase phase_ = phase::handshake;
  uint16_t status_ = 0;  // of the answer that is being written
  bool refusing_ = false;
  bool reading_armed_ = false;
  bool write_armed_ = false;
  bool read_wants_write_ = false;  // TLS
  bool read_closed_ = false;
  bool close_after_ = false;
  bool consuming_ = false;
  bool queued_ = false;  // on the thread's ready list
  bool chunked_ = false;
  bool ending_ = false;  // nothing more is pulled
  bool cut_ = false;
};

}  // namespace kgents::gateway::http
