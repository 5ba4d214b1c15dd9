#include "runtime/single_worker.hpp"

#include <boost/asio/post.hpp>
#include <future>

#include "runtime/limits.hpp"
#include "sql/query.hpp"
#include "sql/workers.hpp"

namespace kgents::runtime {

namespace {

using clock = std::chrono::steady_clock;

/// How often a lease is renewed, and asked for by those who wait for it.
constexpr auto renew_every = single_worker::lease_time / 3;

}  // namespace

class single_worker::impl : public std::enable_shared_from_this<impl> {
public:
  impl(io_thread& thread, sql::pool& control, std::string name, round work)
      : thread_{thread}, control_{control}, name_{std::move(name)}, work_{std::move(work)} {}

  void begin() {
    lease_timer_.on_fire([this] { hold(); });
    round_timer_.on_fire([this] { run(); });
    hold();
  }

  /// `done` is called once, on any thread, or dropped.
  void end(const std::function<void()>& done) {
    stopped_ = true;
    lease_timer_.disarm();
    round_timer_.disarm();
    if (active_.exchange(false)) {
      auto query = sql::workers::release(name_, owner_);
      query.work.deadline = clock::now() + limits::sql_deadline;
      sql::run(control_, std::move(query), [done](auto) { done(); });
    } else {
      done();
    }
  }

  void wake() {
    if (stopped_ || !active_)
      return;
    if (running_)
      again_ = true;
    else
      run();
  }

  io_thread& thread() { return thread_; }
  [[nodiscard]] bool active() const noexcept { return active_; }

private:
  void hold() {
    if (stopped_)
      return;
    thread_.wheel().arm(lease_timer_, renew_every);
    const auto asked = clock::now();
    auto query = sql::workers::hold(name_, owner_, lease_time);
    query.work.deadline = asked + renew_every;
    sql::run(control_, std::move(query), [self = shared_from_this(), asked](auto out) {
      boost::asio::post(self->thread_.context(), [self, asked, out = std::move(out)] {
        const auto* held = std::get_if<0>(&out);
        self->heard(held != nullptr && *held, held != nullptr, asked);
      });
    });
  }

  void heard(bool held, bool sure, clock::time_point asked) {
    if (stopped_)
      return;
    if (held)
      held_until_ = asked + lease_time;
    const bool was = active_;
    active_ = held || (!sure && clock::now() < held_until_);
    if (active_ && !was)
      run();
  }

  void run() {
    if (stopped_ || running_ || !active_ || clock::now() >= held_until_)
      return;
    running_ = true;
    again_ = false;
    round_timer_.disarm();
    work_([weak = weak_from_this()](std::chrono::milliseconds delay) {
      if (auto self = weak.lock())
        boost::asio::post(self->thread_.context(), [self, delay] { self->done(delay); });
    });
  }

  void done(std::chrono::milliseconds delay) {
    running_ = false;
    if (!stopped_)
      thread_.wheel().arm(round_timer_, again_ ? std::chrono::milliseconds{0} : delay);
  }

  io_thread& thread_;
  sql::pool& control_;
  const std::string name_;
  const round work_;
  const uuid owner_ = uuid::random();
  wheel_timer lease_timer_;
  wheel_timer round_timer_;
  clock::time_point held_until_{};
  std::atomic<bool> active_{false};
  bool running_ = false;
  bool again_ = false;
  bool stopped_ = false;
};

single_worker::single_worker(io_thread& thread, sql::pool& control, std::string name, round work)
    : impl_{std::make_shared<impl>(thread, control, std::move(name), std::move(work))} {}

single_worker::~single_worker() { stop(); }

void single_worker::start() {
  boost::asio::post(impl_->thread().context(), [x = impl_] { x->begin(); });
}

void single_worker::stop() {
  boost::asio::post(impl_->thread().context(), [x = impl_] { x->end([] {}); });
}

void single_worker::stop(std::chrono::milliseconds at_most) {
  auto over = std::make_shared<std::promise<void>>();
  auto ended = over->get_future();
  boost::asio::post(impl_->thread().context(),
                    [x = impl_, over] { x->end([over] { over->set_value(); }); });
  ended.wait_for(at_most);
}

void single_worker::wake() {
  boost::asio::post(impl_->thread().context(), [x = impl_] { x->wake(); });
}

bool single_worker::active() const noexcept { return impl_->active(); }

}  // namespace kgents::runtime
