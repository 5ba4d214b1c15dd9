#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/llm/provider.hpp"
#include "runtime/io_thread.hpp"

namespace kgents::llm::testing {

/// A model provider of whatever behaviour a test wants, on the test's own event loop: each
/// connection's request is read whole, recorded and handed to `behaviour`.
class stand_in {
  using tcp = boost::asio::ip::tcp;
  using error = boost::system::error_code;

public:
  class connection : public std::enable_shared_from_this<connection> {
  public:
    explicit connection(tcp::socket socket) : socket_{std::move(socket)} {}

    std::string request;        ///< header and body
    size_t bytes_accepted = 0;  ///< by the kernel, of what was sent

    void send(std::string text, std::function<void()> then = {}) {
      auto kept = std::make_shared<std::string>(std::move(text));
      boost::asio::async_write(socket_, boost::asio::buffer(*kept),
                               [self = shared_from_this(), kept, then](error ec, size_t n) {
                                 self->bytes_accepted += n;
                                 if (!ec && then)
                                   then();
                               });
    }

    /// Sends `text` again and again until the client has gone.
    void send_forever(std::string text) {
      send(text, [self = shared_from_this(), text] { self->send_forever(text); });
    }

    void close() { socket_.close(); }

    /// Calls `then` when the client closes its side.
    void on_gone(std::function<void()> then) {
      auto byte = std::make_shared<char>();
      socket_.async_read_some(boost::asio::buffer(byte.get(), 1),
                              [self = shared_from_this(), byte, then](error ec, size_t) {
                                if (ec)
                                  then();
                              });
    }

  private:
    friend class stand_in;
    void read(std::function<void(connection&)> behaviour) {
      boost::asio::async_read_until(
          socket_, boost::asio::dynamic_buffer(request), "\r\n\r\n",
          [self = shared_from_this(), behaviour](error ec, size_t header) {
            if (ec)
              return;
            const auto field = self->request.find("Content-Length: ");
            const auto body = std::stoul(self->request.substr(field + 16));
            const auto missing = header + body - self->request.size();
            boost::asio::async_read(self->socket_, boost::asio::dynamic_buffer(self->request),
                                    boost::asio::transfer_exactly(missing),
                                    [self, behaviour](error ec, size_t) {
                                      if (!ec)
                                        behaviour(*self);
                                    });
          });
    }

    tcp::socket socket_;
  };

  stand_in(boost::asio::io_context& context, std::function<void(connection&)> behaviour)
      : acceptor_{context, {boost::asio::ip::address_v4::loopback(), 0}},
        behaviour_{std::move(behaviour)} {
    accept();
  }

  [[nodiscard]] std::string url() const {
    return "http://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port());
  }

  std::vector<std::shared_ptr<connection>> connections;

private:
  void accept() {
    acceptor_.async_accept([this](error ec, tcp::socket socket) {
      if (ec)
        return;
      connections.push_back(std::make_shared<connection>(std::move(socket)));
      connections.back()->read(behaviour_);
      accept();
    });
  }

  tcp::acceptor acceptor_;
  std::function<void(connection&)> behaviour_;
};

/// What became of an answer.
struct outcome {
  std::vector<std::string> deltas;
  std::optional<completion> end;
  std::optional<failure> fault;

  [[nodiscard]] bool over() const { return end || fault; }
  [[nodiscard]] std::string text() const {
    std::string out;
    for (const auto& x : deltas)
      out += x;
    return out;
  }
  [[nodiscard]] sink into() {
    return {[this](std::string x) { deltas.push_back(std::move(x)); },
            [this](completion x) { end = std::move(x); },
            [this](failure x) { fault = std::move(x); }};
  }
};

/// Runs the event loop of `thread`, which was not started, on this one until `condition`; false
/// after ten seconds without.
inline bool run_until(runtime::io_thread& thread, const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{10};
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end)
      return false;
    thread.context().run_one_for(std::chrono::milliseconds{100});
  }
  return true;
}

/// Runs it until nothing happens for `quiet`: for what must not happen.
inline void run_while_busy(runtime::io_thread& thread, std::chrono::milliseconds quiet) {
  while (thread.context().run_one_for(quiet) > 0) {
  }
}

inline std::string chunked(const std::string& body) {
  char size[20];
  snprintf(size, sizeof size, "%zx\r\n", body.size());
  return size + body + "\r\n";
}

inline const std::string event_stream =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
inline const std::string last_chunk = "0\r\n\r\n";

/// One OpenAI chunk with this text (already escaped for JSON).
inline std::string openai_delta(const std::string& text) {
  return chunked("data: {\"choices\":[{\"delta\":{\"content\":\"" + text + "\"}}]}\n\n");
}

inline const std::string openai_end =
    chunked("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n") +
    chunked("data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\n") +
    chunked("data: [DONE]\n\n") + last_chunk;

inline prompt hello() {
  prompt out;
  out.system = "Be brief.";
  out.messages = {{"user", "Hello?"}};
  return out;
}

}  // namespace kgents::llm::testing
