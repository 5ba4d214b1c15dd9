#include "runtime/cluster/transport.hpp"

#include <boost/asio/post.hpp>

#include "runtime/cluster/links.hpp"

namespace kgents::runtime::cluster {

namespace {

// Owns the links, which pending operations may outlive for a moment.
class link_transport final : public transport {
public:
  link_transport(io_thread& thread, transport_options options, transport_handlers handlers)
      : thread_{thread},
        links_{std::make_shared<links>(thread, std::move(options), std::move(handlers))} {}

  // Timers and sockets are the I/O thread's; if it has ended, its context destroys what is posted.
  ~link_transport() override {
    if (thread_.context().get_executor().running_in_this_thread())
      links_->stop();
    else
      boost::asio::post(thread_.context(), [x = std::move(links_)] { x->stop(); });
  }

  void identify(node_id self) override { links_->identify(self); }
  void keep(std::vector<transport_peer> peers) override { links_->keep(std::move(peers)); }
  bool send(node_id to, std::string frame) override { return links_->send(to, frame); }
  size_t unsent(node_id to) const override { return links_->unsent(to); }
  bool linked(node_id to) const override { return links_->linked(to); }
  std::string reload() override { return links_->reload(); }
  void stop() override { links_->stop(); }
  uint16_t port() const override { return links_->port(); }

private:
  io_thread& thread_;
  std::shared_ptr<links> links_;
};

}  // namespace

std::unique_ptr<transport> make_transport(io_thread& thread, transport_options options,
                                          transport_handlers handlers) {
  return std::make_unique<link_transport>(thread, std::move(options), std::move(handlers));
}

}  // namespace kgents::runtime::cluster
