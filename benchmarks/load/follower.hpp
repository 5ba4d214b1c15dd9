// follower.hpp - one SSE reader (or idle WebSocket) of the load generator. One thread, the loop's.
#pragma once

#include <cstdint>
#include <string>

#include "load/http_reader.hpp"
#include "load/measure.hpp"
#include "load/net.hpp"

namespace bench {

// What all followers of a run counted together.
struct reading {
  bool measuring = false;  // only then do latencies and stalls count
  std::uint64_t bytes = 0;
  std::uint64_t receives = 0;      // recv() calls that returned bytes
  std::uint64_t events = 0;        // chunks; other events are counted below
  std::uint64_t tokens = 0;        // stamps; a server may put several into one chunk
  std::uint64_t completed = 0;     // `complete` events
  std::uint64_t failed = 0;        // `error` events
  std::uint64_t out_of_order = 0;  // a stamp that did not follow the one before it
  std::uint64_t stalls = 0;        // silences of more than 200 ms within a stream of tokens
  std::uint64_t closed = 0;        // connections that ended
  std::uint64_t refused = 0;       // answers other than 200 and 101
  std::uint64_t open = 0;          // connections with an accepted response
  std::uint64_t flowing = 0;       // connections that have seen a token
  std::string first_refusal;
  histogram latency;
};

class follower final : public handler {
public:
  // `request` is sent once connected. `receive_buffer_bytes` as in connect_to.
  follower(loop& events, reading& sum, const address& server, std::string request,
           int receive_buffer_bytes);
  ~follower() override;
  void ready(std::uint32_t events) override;

  // Stops or resumes reading from the socket; what the server sends meanwhile waits in the kernel
  // and then with the server.
  void pause();
  void resume();

private:
  void read();
  void event(std::string_view text, std::uint64_t now);
  void web_socket_bytes(std::string_view bytes);
  void ended();

  loop& loop_;
  reading& sum_;
  int fd_;
  bool connected_ = false;
  bool paused_ = false;
  bool flowing_ = false;
  bool open_ = false;
  std::string request_;
  response_reader response_;
  event_reader events_;
  std::uint64_t next_sequence_ = 0;
  std::uint64_t last_token_ns_ = 0;
};

}  // namespace bench
