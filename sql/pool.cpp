#include "sql/pool.hpp"

#include <algorithm>
#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <mutex>
#include <utility>

#include "sql/connection.hpp"

namespace kgents::sql {

namespace {

using clock = std::chrono::steady_clock;

/// How late a deadline may be noticed. One timer for all, since one a transaction costs more than
/// the transaction.
constexpr std::chrono::milliseconds sweep_period{20};

/// The protocol counts parameters in 16 bits.
constexpr size_t max_params = 65535;

/// What PostgreSQL's text format cannot carry. Without this check libpq would cut the value at the
/// NUL.
std::optional<failure> unsendable(const transaction& work) {
  using enum failure::kind;
  for (const auto& x : work.statements) {
    if (x.params.size() > max_params)
      return failure{rejected, "54000", "more than 65535 parameters in one statement"};
    for (const auto& value : x.params)
      if (value && value->find('\0') != std::string::npos)
        return failure{rejected, "22021", "a parameter contains a NUL character"};
  }
  return std::nullopt;
}

}  // namespace

class pool::impl : public std::enable_shared_from_this<impl>, public connection_events {
public:
  impl(boost::asio::io_context& context, pool_options options)
      : context_{context}, options_{std::move(options)}, sweep_{context} {
    options_.connections = std::max<size_t>(options_.connections, 1);
    options_.max_in_flight = std::max<size_t>(options_.max_in_flight, 1);
  }

  // Reached without `stop` having run only when the io_context is destroyed with handlers in it.
  ~impl() {
    for (auto& x : connections_)
      x->abandon();
  }

  void start() {
    for (size_t i = 0; i < options_.connections; ++i)
      connections_.push_back(std::make_shared<connection>(context_, options_, *this));
    boost::asio::post(context_, [self = shared_from_this()] {
      for (auto& x : self->connections_)
        if (!self->closed_)
          x->start();
    });
  }

  void submit(transaction work, callback done) {
    if (work.deadline == clock::time_point{})
      work.deadline = clock::now() + options_.default_timeout;
    bool wake = false;
    {
      std::lock_guard guard{mutex_};
      if (queued_.load(std::memory_order_relaxed) >= options_.max_queued) {
        refused_.push_back(std::move(done));
      } else {
        queued_.fetch_add(1, std::memory_order_relaxed);
        inbox_.push_back({std::move(work), std::move(done)});
      }
      wake = !std::exchange(woken_, true);
    }
    if (wake)
      boost::asio::post(context_, [self = shared_from_this()] { self->drain(); });
  }

  void stop() {
    if (!stopping_.exchange(true))
      boost::asio::post(context_, [self = shared_from_this()] { self->shut_down(); });
  }

  [[nodiscard]] pool_stats stats() const noexcept {
    constexpr auto relaxed = std::memory_order_relaxed;
    return {.connected = connected_.load(relaxed),
            .queued = queued_.load(relaxed),
            .in_flight = in_flight_.load(relaxed),
            .committed = committed_.load(relaxed),
            .failed = failed_.load(relaxed),
            .round_trips = round_trips_.load(relaxed)};
  }

private:
  // From here on everything runs on the io_context's thread.

  void drain() {
    std::vector<pending> fresh;
    std::vector<callback> refused;
    {
      std::lock_guard guard{mutex_};
      woken_ = false;
      fresh.swap(inbox_);
      refused.swap(refused_);
    }
    std::move(fresh.begin(), fresh.end(), std::back_inserter(queue_));
    for (auto& done : refused)
      refuse(done, {failure::kind::overloaded, {}, "too many transactions are waiting"});
    dispatch();
  }

  void refuse(callback& done, failure&& why) {
    failed_.fetch_add(1, std::memory_order_relaxed);
    done(std::move(why));
  }

  pending pop() {
    auto x = std::move(queue_.front());
    queue_.pop_front();
    queued_.fetch_sub(1, std::memory_order_relaxed);
    return x;
  }

  void dispatch() {
    if (closed_ || unreachable_)
      return refuse_all();
    while (!queue_.empty() && !idle_.empty()) {
      auto* x = idle_.back();
      idle_.pop_back();
      fill(*x);
    }
    if (!queue_.empty() || in_flight_.load(std::memory_order_relaxed) > 0)
      arm_sweep();
  }

  // Gives one idle connection its share: of a short queue one transaction, so that the others get
  // theirs and commits run side by side; of a long one many, so that a round trip is worth it.
  void fill(connection& x) {
    const auto up = std::max<size_t>(connected_.load(std::memory_order_relaxed), 1);
    auto share = std::min((queue_.size() + up - 1) / up, options_.max_in_flight);
    const auto now = clock::now();
    while (share > 0 && !queue_.empty()) {
      auto next = pop();
      if (next.work.deadline <= now) {
        refuse(next.done, {failure::kind::timeout, {}, "deadline passed while it waited"});
        continue;
      }
      if (auto why = unsendable(next.work)) {
        refuse(next.done, std::move(*why));
        continue;
      }
      if (!x.push(next))
        return refuse(next.done, {failure::kind::unavailable, {}, "connection lost"});
      in_flight_.fetch_add(1, std::memory_order_relaxed);
      --share;
    }
    if (x.in_flight() == 0) {
      idle_.push_back(&x);
      return;
    }
    round_trips_.fetch_add(1, std::memory_order_relaxed);
    x.flush();
  }

  void refuse_all() {
    while (!queue_.empty()) {
      auto x = pop();
      refuse(x.done, {failure::kind::unavailable, {}, "PostgreSQL is out of reach"});
    }
  }

  void arm_sweep() {
    if (std::exchange(sweeping_, true))
      return;
    sweep_.expires_after(sweep_period);
    sweep_.async_wait([self = shared_from_this()](const auto& error) {
      self->sweeping_ = false;
      if (!error && !self->closed_)
        self->sweep();
    });
  }

  void sweep() {
    const auto now = clock::now();
    const auto waits = [now](const pending& x) { return x.work.deadline > now; };
    const auto late = std::stable_partition(queue_.begin(), queue_.end(), waits);
    std::vector<pending> expired{std::make_move_iterator(late),
                                 std::make_move_iterator(queue_.end())};
    queue_.erase(late, queue_.end());
    queued_.fetch_sub(expired.size(), std::memory_order_relaxed);
    for (auto& x : expired)
      refuse(x.done, {failure::kind::timeout, {}, "deadline passed while it waited"});
    for (auto& x : connections_)
      x->expire(now);
    dispatch();
  }

  void shut_down() {
    closed_ = true;
    sweep_.cancel();
    for (auto& x : connections_)
      x->close();
    drain();
  }

  void ready(connection& x) override {
    if (std::find(up_.begin(), up_.end(), &x) == up_.end()) {
      up_.push_back(&x);
      connected_.store(up_.size(), std::memory_order_relaxed);
      unreachable_ = false;
    }
    idle_.push_back(&x);
    dispatch();
  }

  void connect_failed(connection&) override {
    if (!up_.empty())
      return;
    unreachable_ = true;
    refuse_all();
  }

  void lost(connection& x) override {
    std::erase(up_, &x);
    std::erase(idle_, &x);
    connected_.store(up_.size(), std::memory_order_relaxed);
  }

  void answered(bool committed) override {
    in_flight_.fetch_sub(1, std::memory_order_relaxed);
    (committed ? committed_ : failed_).fetch_add(1, std::memory_order_relaxed);
  }

  boost::asio::io_context& context_;
  pool_options options_;
  std::vector<std::shared_ptr<connection>> connections_;
  std::vector<connection*> up_;
  std::vector<connection*>
      idle_;  // last in, first out: the backend used last has the warmest caches
  std::deque<pending> queue_;
  boost::asio::steady_timer sweep_;
  bool sweeping_ = false;
  bool unreachable_ = false;  // nothing is connected and the last attempt failed
  bool closed_ = false;

  std::mutex mutex_;  // for the next three
  std::vector<pending> inbox_;
  std::vector<callback> refused_;
  bool woken_ = false;

  std::atomic<bool> stopping_{false};
  std::atomic<size_t> connected_{0};
  std::atomic<size_t> queued_{0};  // in the inbox and in the queue
  std::atomic<size_t> in_flight_{0};
  std::atomic<uint64_t> committed_{0};
  std::atomic<uint64_t> failed_{0};
  std::atomic<uint64_t> round_trips_{0};
};

pool::pool(boost::asio::io_context& context, pool_options options)
    : impl_{std::make_shared<impl>(context, std::move(options))} {
  impl_->start();
}

pool::~pool() { impl_->stop(); }

void pool::submit(transaction work, callback done) {
  impl_->submit(std::move(work), std::move(done));
}

void pool::stop() { impl_->stop(); }

pool_stats pool::stats() const noexcept { return impl_->stats(); }

}  // namespace kgents::sql
