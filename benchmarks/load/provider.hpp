// provider.hpp - a stand-in for an OpenAI-compatible model server (POST …/chat/completions). Every
// token carries the time it was sent, so that whoever reads the answer knows how long it travelled.
// One thread, the loop's; a thousand streams are meant to cost little beside the server measured.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "load/net.hpp"

namespace bench {

class provider {
public:
  // One connection of the server under test; it carries one completion at a time.
  class stream : public handler {
  public:
    stream(provider& owner, int fd) : owner_(owner), fd_(fd) {}
    ~stream() override;
    void ready(std::uint32_t events) override;

    // Sends the stamped token number `sequence`. A socket that is full keeps the token waiting
    // here with its first stamp, as a real provider's send queue would.
    void send_token(std::uint64_t sequence);
    // Ends the answer: finish reason, usage, [DONE].
    void finish();
    // True from the request for a streamed completion until finish().
    [[nodiscard]] bool answering() const { return answering_; }
    // The token behind the last one in the request: where an answer that was cut off goes on. 0 if
    // the request has none.
    [[nodiscard]] std::uint64_t behind_request() const { return behind_request_; }

  private:
    void answer(std::string_view body);
    void send_chunk(std::string_view json);
    void flush();

    provider& owner_;
    int fd_;
    std::string in_;
    out_buffer out_;
    bool answering_ = false;
    bool waits_for_space_ = false;
    std::uint64_t tokens_ = 0;
    std::uint64_t behind_request_ = 0;
  };

  struct totals {
    std::uint64_t streams = 0;
    std::uint64_t tokens = 0;
    std::uint64_t blocked = 0;    // tokens that found the socket full
    std::uint64_t abandoned = 0;  // answers whose reader went away
  };

  // Listens on the loopback interface; `port` 0 is replaced by the one chosen.
  provider(loop& events, std::uint16_t& port);
  ~provider();
  provider(const provider&) = delete;
  provider& operator=(const provider&) = delete;

  std::function<void(stream&)> on_answer;  // a streamed completion was asked for
  std::function<void(stream&)> on_gone;    // the stream is about to be destroyed
  [[nodiscard]] const totals& counted() const { return totals_; }

private:
  class acceptor;
  friend class stream;
  void drop(stream& which);

  loop& loop_;
  std::unique_ptr<acceptor> acceptor_;
  std::unordered_set<stream*> streams_;
  totals totals_;
};

// Sends `rate` tokens a second on each of its streams, spread over the period by a shared 1 ms
// wheel: a timer per stream would cost more than the tokens.
class pacer {
public:
  // `rate` divides 1,000. Each answer ends after `tokens`.
  pacer(unsigned rate, std::uint64_t tokens);
  // The first token is number `first`.
  void add(provider::stream& which, std::uint64_t first = 0);
  void remove(provider::stream& which);
  // Sends what is due; after a delay the missed milliseconds are made up for at once (open loop).
  void tick();

private:
  struct paced {
    provider::stream* target;
    std::uint64_t sequence;
  };
  std::vector<std::vector<paced>> slots_;
  std::uint64_t tokens_;
  std::uint64_t last_ms_ = 0;
  std::size_t next_slot_ = 0;
};

}  // namespace bench
