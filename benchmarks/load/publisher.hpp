// publisher.hpp - where the events of a fan-out come from: POST requests (bare Beast server,
// nchan), or a model answer (kgentsd, which reads it from the provider stand-in inside this
// process).
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "load/http_reader.hpp"
#include "load/net.hpp"
#include "load/provider.hpp"

namespace bench {

class publisher {
public:
  virtual ~publisher() = default;
  // Whether publish() may be called: a paced run skips, a closed one waits.
  [[nodiscard]] virtual bool ready() const = 0;
  // Sends the stamped token `sequence` to channel number `channel`.
  virtual void publish(std::uint64_t channel, std::uint64_t sequence) = 0;
  // No more will be published; `finished` tells when the server has answered everything.
  virtual void finish() {}
  [[nodiscard]] virtual bool finished() const { return true; }
};

// POSTs each token as a body to `path`, in which "{}" stands for the channel number. Requests are
// pipelined on a few connections so that the publisher is not what limits the rate.
class post_publisher final : public publisher {
public:
  post_publisher(loop& events, const address& server, std::string path, std::size_t connections);
  ~post_publisher() override;
  [[nodiscard]] bool ready() const override { return true; }
  void publish(std::uint64_t channel, std::uint64_t sequence) override;

private:
  class connection;
  std::vector<std::unique_ptr<connection>> connections_;
  std::string path_;
};

// Starts turns in one session, one after the other, and streams the tokens as the model's answer.
class turn_publisher final : public publisher {
public:
  struct settings {
    address server;
    std::string path;          // POST target of the session's messages
    std::string headers;       // "Name: value\r\n" lines
    std::string body;          // JSON, not streamed, so that the answer costs one response a turn
    std::uint16_t model_port;  // where the server under test expects its model
    std::uint64_t tokens_per_turn;
  };
  turn_publisher(loop& events, settings config);
  ~turn_publisher() override;
  [[nodiscard]] bool ready() const override { return answer_ != nullptr; }
  void publish(std::uint64_t channel, std::uint64_t sequence) override;
  void finish() override;
  [[nodiscard]] bool finished() const override;

private:
  class control;
  settings config_;
  provider provider_;
  provider::stream* answer_ = nullptr;
  std::uint64_t in_this_turn_ = 0;
  bool finishing_ = false;
  std::unique_ptr<control> control_;
};

}  // namespace bench
