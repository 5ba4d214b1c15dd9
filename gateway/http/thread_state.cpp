#include "gateway/http/thread_state.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>

#include "gateway/http/connection.hpp"

namespace kgents::gateway::http {

namespace {

/// Connections pumped before other handlers get their turn: their events then ride in the writes of
/// the rest.
constexpr size_t pumped_at_once = 64;

}  // namespace

thread_state::~thread_state() = default;

void thread_state::ready(std::shared_ptr<connection> x) {
  ready_.push_back(std::move(x));
  if (std::exchange(posted_, true))
    return;
  boost::asio::post(thread.context(), [self = shared_from_this()] { self->run_ready(); });
}

void thread_state::run_ready() {
  if (running_.empty()) {
    running_.swap(ready_);
    std::reverse(running_.begin(), running_.end());
  }
  for (size_t i = 0; i < pumped_at_once && !running_.empty(); ++i) {
    const auto x = std::move(running_.back());
    running_.pop_back();
    x->pump();
  }
  posted_ = !running_.empty() || !ready_.empty();
  if (posted_)
    boost::asio::post(thread.context(), [self = shared_from_this()] { self->run_ready(); });
}

void thread_state::add(connection& x) noexcept {
  x.next_ = first_;
  x.prev_ = nullptr;
  if (first_)
    first_->prev_ = &x;
  first_ = &x;
}

void thread_state::remove(connection& x) noexcept {
  (x.prev_ ? x.prev_->next_ : first_) = x.next_;
  if (x.next_)
    x.next_->prev_ = x.prev_;
  x.next_ = x.prev_ = nullptr;
}

void thread_state::close_idle() {
  for (auto* x = first_; x;)
    std::exchange(x, x->next_)->close_if_idle();
}

void thread_state::stop() {
  // A callback of a closing connection may close its neighbour, so the list is walked from its
  // head.
  while (first_)
    first_->stop();
}

}  // namespace kgents::gateway::http
