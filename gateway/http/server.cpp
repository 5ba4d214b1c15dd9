#include "gateway/http/server.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <csignal>
#include <future>
#include <stdexcept>
#include <vector>

#include "gateway/http/connection.hpp"
#include "gateway/http/listener.hpp"

namespace kgents::gateway::http {

namespace {

/// Connections over the cap that are told so at any time; more are closed without a word.
constexpr size_t refused_at_once = 256;
/// How long `stop` waits for the threads to have closed everything.
constexpr auto stop_deadline = std::chrono::seconds{5};

}  // namespace

class server::impl : public std::enable_shared_from_this<server::impl> {
public:
  impl(server_options options, runtime::io_threads& threads, application& app)
      : state_{std::make_shared<server_state>(std::move(options), app)} {
    for (size_t i = 0; i < threads.size(); ++i)
      homes_.push_back(std::make_shared<thread_state>(threads[i], state_));
  }

  void start() {
    const auto& options = state_->options;
    if (!options.tls_cert.empty())
      state_->tls(std::make_shared<const tls_context>(options.tls_cert, options.tls_key));
    // OpenSSL writes without MSG_NOSIGNAL; a peer that went away must not end the process.
    std::signal(SIGPIPE, SIG_IGN);
    listener_ = std::make_shared<listener>(
        homes_.front()->thread,
        [this](int fd, const boost::asio::ip::tcp::endpoint& peer) { deal(fd, peer); });
    listener_->open(options.host, options.port);
    boost::asio::post(homes_.front()->thread.context(), [x = listener_] { x->run(); });
  }

  [[nodiscard]] uint16_t port() const noexcept { return listener_ ? listener_->port() : 0; }

  std::string reload_tls() {
    const auto& options = state_->options;
    if (options.tls_cert.empty())
      return "TLS is not configured";
    try {
      state_->tls(std::make_shared<const tls_context>(options.tls_cert, options.tls_key));
      return {};
    } catch (const std::exception& e) {
      return e.what();
    }
  }

  void stop_accepting() {
    state_->stopping = true;
    on_every_thread([listener = listener_, self = shared_from_this()](thread_state& home) {
      if (listener && &home == self->homes_.front().get())
        listener->close();
      home.close_idle();
    });
  }

  void stop() {
    if (!listener_)
      return;
    stop_accepting();
    on_every_thread([](thread_state& home) { home.stop(); });
  }

  [[nodiscard]] counts open() const noexcept {
    return {state_->connections.load(), state_->streams.load(), state_->sockets.load()};
  }

private:
  // Runs `f` on each thread and waits for that, unless called on one of them or they have ended.
  template <class F>
  void on_every_thread(F f) {
    bool on_one = false;
    for (auto& home : homes_)
      on_one = on_one || home->thread.context().get_executor().running_in_this_thread();
    std::vector<std::future<void>> done;
    for (auto& home : homes_) {
      if (home->thread.context().stopped()) {
        f(*home);
        continue;
      }
      auto ran = std::make_shared<std::promise<void>>();
      done.push_back(ran->get_future());
      boost::asio::post(home->thread.context(), [home, f, ran] {
        f(*home);
        ran->set_value();
      });
    }
    if (on_one)
      return;
    const auto deadline = std::chrono::steady_clock::now() + stop_deadline;
    for (auto& x : done)
      x.wait_until(deadline);
  }

  void deal(int fd, const boost::asio::ip::tcp::endpoint& peer) {
    const size_t open = state_->connections.load(std::memory_order_relaxed);
    const bool over = open >= state_->options.max_connections;
    if (open >= state_->options.max_connections + refused_at_once) {
      ::close(fd);
      return;
    }
    state_->connections.fetch_add(1, std::memory_order_relaxed);
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    boost::system::error_code ec;
    tcp_socket::protocol_type protocol = peer.protocol();
    auto address = peer.address();
    if (address.is_v6() && address.to_v6().is_v4_mapped())
      address = boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, address.to_v6());
    auto& home = homes_[next_++ % homes_.size()];
    boost::asio::post(home->thread.context(),
                      [home, fd, protocol, over, peer = address.to_string()]() mutable {
                        begin(home, fd, protocol, over, std::move(peer));
                      });
  }

  static void begin(const std::shared_ptr<thread_state>& home, int fd,
                    tcp_socket::protocol_type protocol, bool over, std::string peer) {
    boost::system::error_code ec;
    tcp_socket socket{home->thread.context()};
    socket.assign(protocol, fd, ec);
    auto& state = *home->server;
    if (ec || state.stopping) {
      if (ec)
        ::close(fd);
      state.connections.fetch_sub(1, std::memory_order_relaxed);
      return;
    }
    tls_session session;
    const auto tls = state.tls();
    if (tls && !(session = tls->accept(fd))) {
      state.connections.fetch_sub(1, std::memory_order_relaxed);
      return;
    }
    const auto x = std::make_shared<connection>(
        home, socket_stream{std::move(socket), std::move(session)}, std::move(peer));
    over ? x->start_refusing() : x->start();
  }

  std::shared_ptr<server_state> state_;
  std::vector<std::shared_ptr<thread_state>> homes_;
  std::shared_ptr<listener> listener_;
  size_t next_ = 0;  // on the listener's thread
};

server::server(server_options options, runtime::io_threads& threads, application& app)
    : impl_{std::make_shared<impl>(std::move(options), threads, app)} {}

server::~server() { impl_->stop(); }

void server::start() { impl_->start(); }
uint16_t server::port() const noexcept { return impl_->port(); }
std::string server::reload_tls() { return impl_->reload_tls(); }
void server::stop_accepting() { impl_->stop_accepting(); }
void server::stop() { impl_->stop(); }
server::counts server::open() const noexcept { return impl_->open(); }

}  // namespace kgents::gateway::http
