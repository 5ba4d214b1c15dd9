#pragma once

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>

#include "runtime/cluster/connector.hpp"
#include "runtime/cluster/hello.hpp"
#include "runtime/cluster/peer_link.hpp"
#include "runtime/cluster/rarely.hpp"
#include "runtime/cluster/transport.hpp"

namespace kgents::runtime::cluster {

/// What `make_transport` makes, less its ownership: who is dialled, who is let in. Functions as in
/// `transport`.
class links final : public std::enable_shared_from_this<links>, public peer_link::listener {
public:
  links(io_thread& thread, transport_options options, transport_handlers handlers);

  void identify(node_id self);
  void keep(std::vector<transport_peer> peers);
  bool send(node_id to, std::string_view frame);
  [[nodiscard]] size_t unsent(node_id to) const;
  [[nodiscard]] bool linked(node_id to) const;
  std::string reload();
  void stop();
  [[nodiscard]] uint16_t port() const noexcept { return port_; }

private:
  using tcp = boost::asio::ip::tcp;
  using error_code = boost::system::error_code;
  using acceptor = boost::asio::basic_socket_acceptor<tcp, boost::asio::io_context::executor_type>;
  using clock = timer_wheel::clock;
  using link_ptr = std::shared_ptr<peer_link>;

  struct peer_state {
    transport_peer who;
    link_ptr link;                          // up
    std::shared_ptr<connector> connecting;  // we dial: at most one of these three
    link_ptr greeting;
    wheel_timer again;
    unsigned attempts = 0;
    clock::time_point up_since{};
  };

  void listen();
  void accept();
  void accepted(error_code ec, tcp_socket socket);
  void greeted_by_dialler(peer_link& x, const hello& theirs);
  [[nodiscard]] std::string objection(const hello& theirs, std::string_view& reason) const;
  void refuse(peer_link& x, std::string_view reason, const std::string& why);

  void dial(peer_state& p);
  void connected(node_id to, const std::string& why, tcp_socket socket);
  void answered(peer_link& x, std::span<const char> first_frame);
  void dial_failed(peer_state& p, std::string_view reason, std::string_view why);
  void dial_later(peer_state& p);
  void hang_up(peer_state& p);

  void up(peer_state& p, link_ptr x);
  void drop(peer_state& p, std::string why);
  void tell_downs();
  [[nodiscard]] hello own_hello(node_id to) const;
  [[nodiscard]] peer_state* find(node_id id);

  // peer_link::listener
  void secured(peer_link& x) override;
  void greeted(peer_link& x, std::span<const char> first_frame) override;
  void received(peer_link& x, std::span<const char> frame) override;
  void drained(peer_link& x) override;
  void failed(peer_link& x, peer_link::fault what, std::string_view why) override;
  void gone(peer_link& x) override;
  void stranger_failed(peer_link& x, peer_link::fault what, std::string_view why);

  io_thread& thread_;
  std::shared_ptr<const transport_options> options_;
  transport_handlers handlers_;
  std::shared_ptr<const tls_identity> tls_;  // null: plaintext
  acceptor acceptor_;
  uint16_t port_ = 0;
  wheel_timer accept_later_;
  bool accepting_ = false;
  bool stopped_ = false;
  node_id self_;
  std::map<node_id, peer_state> peers_;
  std::list<link_ptr> strangers_;  // accepted, no hello yet or refused; oldest first
  std::deque<std::pair<node_id, std::string>> downs_;  // to be told
  rarely log_rarely_;
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace kgents::runtime::cluster
