#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "gateway/http/exchange.hpp"
#include "gateway/http/request_parser.hpp"

namespace kgents::gateway::http {

class connection;
class thread_state;

/// The exchange of one request: forwards to its connection as long as that has this request in
/// hand. The last reference may be dropped on any thread (an actor's, say): it is then destroyed on
/// its own.
class request_exchange final : public exchange {
public:
  static std::shared_ptr<request_exchange> make(connection& owner,
                                                std::shared_ptr<thread_state> home);
  ~request_exchange() override;

  request& in() noexcept override { return in_; }
  runtime::io_thread& thread() noexcept override;
  void read_body(size_t limit) override;
  void respond(response out) override;
  void stream(response head, std::shared_ptr<byte_source> source) override;
  void upgrade(std::shared_ptr<socket_handler> handler, std::string_view protocol,
               std::string header_lines) override;
  void wake() override;
  void close() override;
  void on_gone(std::function<void()> f) override;
  [[nodiscard]] bool gone() const noexcept override { return gone_; }

  // For the connection.

  [[nodiscard]] head_facts& facts() noexcept { return facts_; }
  /// Null once the last reference is dropped.
  [[nodiscard]] std::shared_ptr<request_exchange> share();
  /// The answer is complete, or the connection is closed.
  void detach(bool gone) noexcept;
  /// The peer has closed its side while the answer is made.
  void peer_closed();
  /// A stream needs the request's names only, for the log.
  void shrink() noexcept;

private:
  request_exchange(connection& owner, std::shared_ptr<thread_state> home);

  request in_;
  head_facts facts_;
  connection* connection_;
  std::shared_ptr<thread_state> home_;
  std::function<void()> on_gone_;
  bool gone_ = false;
};

}  // namespace kgents::gateway::http
