#include "gateway/http/request_exchange.hpp"

#include <boost/asio/post.hpp>
#include <utility>

#include "gateway/http/connection.hpp"
#include "gateway/http/thread_state.hpp"

namespace kgents::gateway::http {

request_exchange::request_exchange(connection& owner, std::shared_ptr<thread_state> home)
    : connection_{&owner}, home_{std::move(home)} {}

std::shared_ptr<request_exchange> request_exchange::make(connection& owner,
                                                         std::shared_ptr<thread_state> home) {
  return {new request_exchange{owner, std::move(home)}, [](request_exchange* x) {
            auto& context = x->home_->thread.context();
            std::unique_ptr<request_exchange> last{x};
            if (!context.get_executor().running_in_this_thread())
              boost::asio::post(context, [last = std::move(last)] {});
          }};
}

request_exchange::~request_exchange() {
  if (connection_)
    connection_->abandoned(*this);
}

runtime::io_thread& request_exchange::thread() noexcept { return home_->thread; }

std::shared_ptr<request_exchange> request_exchange::share() {
  return std::static_pointer_cast<request_exchange>(weak_from_this().lock());
}

void request_exchange::read_body(size_t limit) {
  if (connection_)
    connection_->shared_from_this()->read_body(limit);
}

void request_exchange::respond(response out) {
  if (connection_)
    connection_->shared_from_this()->respond(std::move(out));
}

void request_exchange::stream(response head, std::shared_ptr<byte_source> source) {
  if (connection_)
    connection_->shared_from_this()->stream(std::move(head), std::move(source));
  else
    source->closed(close_reason::peer_gone);
}

void request_exchange::upgrade(std::shared_ptr<socket_handler> handler, std::string_view protocol,
                               std::string header_lines) {
  if (connection_)
    connection_->shared_from_this()->upgrade(std::move(handler), protocol, std::move(header_lines));
  else
    handler->closed(close_reason::peer_gone);
}

void request_exchange::wake() {
  if (connection_)
    connection_->wake();
}

void request_exchange::close() {
  if (connection_)
    connection_->shared_from_this()->cut();
}

void request_exchange::on_gone(std::function<void()> f) {
  if (gone_)
    f();
  else
    on_gone_ = std::move(f);
}

void request_exchange::detach(bool gone) noexcept {
  connection_ = nullptr;
  gone_ = gone;
  // The callback often holds this exchange: dropping it may destroy us, so it is the last thing
  // done.
  const auto mine = std::exchange(context, nullptr);
  auto f = std::exchange(on_gone_, nullptr);
  if (gone && f)
    f();
}

void request_exchange::peer_closed() {
  if (auto f = std::exchange(on_gone_, nullptr))
    f();
}

void request_exchange::shrink() noexcept {
  std::vector<std::pair<std::string, std::string>>{}.swap(in_.headers);
  std::string{}.swap(in_.body);
  const auto mine = std::exchange(context, nullptr);
}

}  // namespace kgents::gateway::http
