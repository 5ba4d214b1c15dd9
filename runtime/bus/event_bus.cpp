#include "runtime/bus/event_bus.hpp"

#include <algorithm>
#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "runtime/bus/connection.hpp"
#include "runtime/bus/payloads.hpp"
#include "runtime/bus/subjects.hpp"
#include "runtime/io_thread.hpp"
#include "runtime/telemetry/log.hpp"

namespace kgents::runtime::bus {

namespace {

using clock = std::chrono::steady_clock;
using wall_clock = std::chrono::system_clock;
using namespace std::chrono_literals;

/// How often overdue acknowledgements are looked for, while anything waits.
constexpr auto tick_every = 100ms;

constexpr char session_family = 'k';

}  // namespace

options options_of(const settings& config) {
  options out;
  if (config.nats_enabled)
    out.servers = config.nats_servers;
  out.stream = config.nats_stream;
  out.replicas = config.nats_replicas;
  out.max_reconnect = config.nats_max_reconnect;
  out.name = "kgentsd " + config.node_name;
  return out;
}

std::string_view to_string(status x) noexcept {
  constexpr std::string_view names[] = {"disabled",     "not_started", "disconnected",
                                        "circuit_open", "healthy",     "unhealthy"};
  return names[static_cast<size_t>(x)];
}

std::string_view to_string(breaker_state x) noexcept {
  constexpr std::string_view names[] = {"closed", "open", "half_open"};
  return names[static_cast<size_t>(x)];
}

class event_bus::impl : public std::enable_shared_from_this<impl> {
public:
  impl(options with, probe counts)
      : with_{std::move(with)}, probe_{std::move(counts)}, tick_{thread_.context()} {
    show();
  }

  void start() {
    const std::weak_ptr<impl> weak = shared_from_this();
    // A thread of the connection may be the last to hold this, so it is not joined from there.
    const auto tell = [weak](auto work) {
      if (const auto self = weak.lock())
        boost::asio::post(self->thread_.context(), [self, work] { work(*self); });
    };
    connection::callbacks calls;
    calls.ready = [tell] {
      tell([](impl& x) {
        x.dispatcher_.connected(clock::now());
        x.pump();
      });
    };
    calls.lost = [tell] {
      tell([](impl& x) {
        x.tried_ = true;
        x.good_ = false;
        x.reached_ = false;
        x.dispatcher_.disconnected(clock::now());
        x.pump();
      });
    };
    calls.looked = [tell](bool good) {
      tell([good](impl& x) {
        x.good_ = good;
        x.reached_ = true;
        x.tried_ = true;
        x.show();
      });
    };
    calls.answered = [weak](uint64_t token, acknowledgement::kind what) {
      if (const auto self = weak.lock())
        self->answered(token, what);
    };
    connection_ = std::make_unique<connection>(with_, std::move(calls));
    thread_.start();
  }

  void publish(publication x) {
    if (!is_subject(x.subject) || x.payload.size() > limits::bus_event_bytes) {
      log::error("an event cannot be published", {{"kind", x.kind}, {"bytes", x.payload.size()}});
      refuse(x);
      return;
    }
    {
      std::lock_guard guard{mutex_};
      if (!stopped_ && handed_over_ < limits::bus_handed_over) {
        ++handed_over_;
        publications_.push_back(std::move(x));
        schedule();
        return;
      }
    }
    refuse(x);
  }

  void session_events(const entity_id& session, std::span<const event_ptr> events) {
    const auto at = wall_clock::now();
    size_t dropped = 0;
    {
      std::lock_guard guard{mutex_};
      if (stopped_)
        return;
      const auto fit = std::min(events.size(), limits::bus_handed_over - handed_over_);
      dropped = events.size() - fit;
      for (const auto& x : events.first(fit))
        session_events_.push_back({session, x, at});
      handed_over_ += fit;
      if (fit > 0)
        schedule();
    }
    if (dropped > 0)
      probe_.dropped(dropped);
  }

  health look() const {
    health out;
    {
      std::lock_guard guard{mutex_};
      out = shown_;
      out.fallback_events += handed_over_;
    }
    if (out.now != status::disconnected && out.now != status::not_started) {
      for (const auto& server : with_.servers)
        out.servers.push_back(without_credentials(server));
      out.stream = with_.stream;
    }
    return out;
  }

  void stop() {
    {
      std::unique_lock guard{mutex_};
      if (std::exchange(stopping_, true))
        return;
      flushed_.wait_for(guard, limits::bus_flush, [this] {
        return handed_over_ == 0 && (shown_.now != status::healthy ||
                                     shown_.fallback_events + shown_.unacknowledged == 0);
      });
      stopped_ = true;
    }
    connection_->stop();
    boost::asio::post(thread_.context(), [this] {
      collect();
      dispatcher_.clear();
      count();
      tick_.cancel();
    });
    thread_.stop();
    thread_.join();
    connection_.reset();
  }

private:
  struct session_item {
    entity_id session;
    event_ptr what;
    wall_clock::time_point at;
  };

  void refuse(const publication& x) {
    probe_.dropped(1);
    if (x.done)
      x.done(false);
  }

  /// Under the lock.
  void schedule() {
    if (std::exchange(scheduled_, true))
      return;
    boost::asio::post(thread_.context(), [this] {
      collect();
      pump();
    });
  }

  void answered(uint64_t token, acknowledgement::kind what) {
    std::lock_guard guard{answers_mutex_};
    answers_.emplace_back(token, what);
    if (answers_.size() == 1)
      boost::asio::post(thread_.context(), [self = shared_from_this()] { self->hear(); });
  }

  // On the thread.

  void collect() {
    std::vector<session_item> events;
    std::vector<publication> publications;
    {
      std::lock_guard guard{mutex_};
      events.swap(session_events_);
      publications.swap(publications_);
      handed_over_ = 0;
      scheduled_ = false;
    }
    const auto now = clock::now();
    for (const auto& x : events)
      take(x, now);
    for (auto& x : publications) {
      event out{std::move(x.subject), std::move(x.id),   std::move(x.payload),
                x.kind,               std::move(x.done), {}};
      const lane_key lane{out.subject.front(), x.lane};
      dispatcher_.offer(lane, std::move(out), now);
    }
  }

  void take(const session_item& x, clock::time_point now) {
    const auto type = type_of(x.what->kind());
    if (type.empty())
      return;
    auto subject = session_subject(x.session.key.text(), type);
    if (!subject)
      return;  // never: its id is a UUID
    event out;
    out.subject = std::move(*subject);
    out.id = session_message_id(*x.what);
    out.payload = session_payload(x.session, *x.what, x.at);
    out.kind = type;
    dispatcher_.offer({session_family, x.session.key}, std::move(out), now);
  }

  void hear() {
    std::vector<std::pair<uint64_t, acknowledgement::kind>> answers;
    {
      std::lock_guard guard{answers_mutex_};
      answers.swap(answers_);
    }
    const auto now = clock::now();
    for (const auto& [token, what] : answers) {
      switch (what) {
        case acknowledgement::kind::stored:
          dispatcher_.stored(token, now);
          break;
        case acknowledgement::kind::refused:
          failed(token, now);
          break;
        case acknowledgement::kind::rejected:
          log::error("the broker refused an event for good");
          dispatcher_.rejected(token, now);
          break;
      }
    }
    pump();
  }

  void failed(uint64_t token, clock::time_point now) {
    last_failure_ = wall_clock::now();
    dispatcher_.failed(token, now);
  }

  /// Publishes what may go now.
  void pump() {
    const auto now = clock::now();
    std::vector<uint64_t> unsent;
    for (const auto& x : dispatcher_.due(now))
      if (!connection_ || !connection_->publish(x.token, *x.what))
        unsent.push_back(x.token);
    for (const auto token : unsent)
      failed(token, clock::now());
    count();
    show();
    arm();
  }

  void arm() {
    if (ticking_ || dispatcher_.lanes() == 0)
      return;
    ticking_ = true;
    tick_.expires_after(tick_every);
    tick_.async_wait([this](boost::system::error_code ec) {
      ticking_ = false;
      if (ec)
        return;
      const auto failures = dispatcher_.failures();
      dispatcher_.tick(clock::now());
      if (dispatcher_.failures() > failures)
        last_failure_ = wall_clock::now();
      pump();
    });
  }

  void count() {
    for (const auto& [kind, events] : dispatcher_.take_stored())
      for (size_t i = 0; i < events; ++i)
        probe_.published(kind);
    for (auto n = dispatcher_.take_failed(); n > 0; --n)
      probe_.failed();
    if (const auto n = dispatcher_.take_dropped(); n > 0)
      probe_.dropped(n);
  }

  [[nodiscard]] status now() const {
    if (!dispatcher_.is_connected() && !reached_)
      return tried_ ? status::disconnected : status::not_started;
    if (dispatcher_.state() != breaker_state::closed)
      return status::circuit_open;
    return good_ ? status::healthy : status::unhealthy;
  }

  void show() {
    health x;
    x.now = now();
    x.circuit = dispatcher_.state();
    x.failures = dispatcher_.failures();
    x.last_failure = last_failure_;
    x.fallback_events = dispatcher_.waiting();
    x.fallback_lanes = dispatcher_.lanes();
    x.unacknowledged = dispatcher_.unacknowledged();
    std::lock_guard guard{mutex_};
    if (x.circuit != shown_.circuit)
      log::warn("NATS: circuit breaker",
                {{"state", to_string(x.circuit)}, {"waiting", x.fallback_events}});
    shown_ = std::move(x);
    if (stopping_)
      flushed_.notify_all();
  }

  const options with_;
  const probe probe_;
  io_thread thread_{0, "bus"};
  boost::asio::steady_timer tick_;
  bool ticking_ = false;
  dispatcher dispatcher_;
  bool tried_ = false;    // to connect
  bool reached_ = false;  // a server is connected; its streams may be out of reach
  bool good_ = false;     // the stream answers
  std::optional<wall_clock::time_point> last_failure_;
  std::unique_ptr<connection> connection_;

  mutable std::mutex mutex_;
  std::condition_variable flushed_;
  std::vector<session_item> session_events_;
  std::vector<publication> publications_;
  size_t handed_over_ = 0;  // in the two
  bool scheduled_ = false;
  bool stopping_ = false;
  bool stopped_ = false;
  health shown_;

  std::mutex answers_mutex_;
  std::vector<std::pair<uint64_t, acknowledgement::kind>> answers_;
};

event_bus::event_bus(options with, probe counts) {
  if (with.servers.empty())
    return;
  impl_ = std::make_shared<impl>(std::move(with), std::move(counts));
  impl_->start();
}

event_bus::~event_bus() { stop(); }

void event_bus::publish(publication x) {
  if (impl_ != nullptr)
    impl_->publish(std::move(x));
  else if (x.done)
    x.done(false);
}

void event_bus::session_events(const entity_id& session, std::span<const event_ptr> events) {
  if (impl_ != nullptr && !events.empty())
    impl_->session_events(session, events);
}

health event_bus::look() const { return impl_ != nullptr ? impl_->look() : health{}; }

void event_bus::stop() {
  if (impl_ != nullptr)
    impl_->stop();
}

}  // namespace kgents::runtime::bus
