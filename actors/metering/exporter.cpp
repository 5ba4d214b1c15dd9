#include "actors/metering/exporter.hpp"

#include <atomic>
#include <boost/asio/post.hpp>
#include <ctime>
#include <map>
#include <mutex>

#include "actors/metering/cloud_event.hpp"
#include "actors/metering/delivery.hpp"
#include "actors/outbound/http_client.hpp"
#include "runtime/limits.hpp"
#include "runtime/telemetry/log.hpp"

namespace kgents::metering {

namespace json = boost::json;
using clock = std::chrono::steady_clock;

namespace {

/// Rows are counted up to this many of each kind: enough for the alert, and the count stays cheap.
constexpr size_t backlog_most = 100'000;

std::string utc(std::chrono::system_clock::time_point x) {
  const auto seconds = std::chrono::system_clock::to_time_t(x);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%FT%TZ", &parts)};
}

/// A row of the batch and where its events are.
struct record {
  std::string id;
  bool usage = true;
  std::optional<tenant_id> tenant;
  size_t first = 0;
  size_t count = 0;
};

}  // namespace

class exporter::impl : public std::enable_shared_from_this<impl> {
public:
  impl(runtime::io_thread& thread, options with, exporter_store store, exporter_probe probe,
       std::function<bool()> active, std::function<void()> wake)
      : thread_{thread},
        with_{std::move(with)},
        client_{with_.base_url},
        store_{std::move(store)},
        probe_{std::move(probe)},
        active_{std::move(active)},
        wake_{std::move(wake)} {}

  void start() {
    look_timer_.on_fire([this] { look(); });
    backlog_timer_.on_fire([this] { count(); });
    look();
    count();
  }

  void stop() {
    over_ = true;
    look_timer_.disarm();
    backlog_timer_.disarm();
  }

  runtime::io_thread& thread() { return thread_; }

  void round(runtime::single_worker::next_round next) {
    next_ = std::move(next);
    last_round_ = drained_ != nullptr;
    store_.take(with_.batch_size, [self = shared_from_this()](auto x) { self->taken(std::move(x)); });
  }

  void drain(std::function<void()> done) { drained_ = std::move(done); }

  json::object health() const {
    std::lock_guard guard{mutex_};
    json::object out{{"configured", true}, {"status", seen_.status()}, {"mode", "cloud"}};
    if (!seen_.stopped.empty() || !seen_.out_of_reach.empty())
      out["error"] = seen_.stopped.empty() ? seen_.out_of_reach : seen_.stopped;
    out["metrics"] = json::object{
        {"events_sent", seen_.sent},
        {"events_failed", seen_.refused},
        {"events_buffered", seen_.pending},
        {"last_flush", seen_.last_flush ? json::value(utc(*seen_.last_flush)) : json::value()},
        {"configured", true},
        {"running", !over_.load()}};
    return out;
  }

private:
  // A round: taken, sent part by part, settled.

  void taken(std::optional<sql::metering_batch> x) {
    if (!x)
      return end(pause_.next(), false);
    full_ = x->usage.size() >= with_.batch_size || x->billing.size() >= with_.batch_size;
    events_.clear();
    records_.clear();
    for (const auto& row : x->usage) {
      auto made = events_of(row);
      records_.push_back({row.id.text(), true, row.tenant, events_.size(), made.size()});
      std::move(made.begin(), made.end(), std::back_inserter(events_));
    }
    for (const auto& row : x->billing) {
      records_.push_back({row.id, false, row.tenant, events_.size(), 1});
      events_.push_back(event_of(row));
    }
    if (records_.empty()) {
      pause_.reset();
      return end(with_.flush_interval, true);
    }
    delivery_.emplace(events_.size(), with_.batch_size);
    began_ = clock::now();
    send();
  }

  void send() {
    const auto part = delivery_->next();
    if (!part)
      return settle();
    outbound::http_request request;
    request.method = "POST";
    request.target = "/api/v1/events";
    request.header_lines =
        authorization() + "Content-Type: application/cloudevents-batch+json\r\n";
    request.body = batch_of({events_.data() + part->first, part->second - part->first});
    request.deadline = with_.request_deadline;
    client_.call(thread_, std::move(request), [self = shared_from_this(), part](auto x) {
      self->heard(*part, judge(x, std::chrono::system_clock::now()));
    });
  }

  void heard(std::pair<size_t, size_t> part, const judged& x) {
    if (x.what == verdict::malformed && part.second - part.first == 1)
      reason_[part.first] = x.reason;
    delivery_->heard(x);
    if (x.what == verdict::accepted) {
      for (auto i = part.first; i < part.second; ++i)
        probe_.sent(events_[i].type);
      std::lock_guard guard{mutex_};
      seen_.sent += part.second - part.first;
      seen_.last_flush = std::chrono::system_clock::now();
      seen_.out_of_reach.clear();
    }
    send();
  }

  void settle() {
    sql::metering_outcome out;
    for (const auto& row : records_) {
      bool open = false;
      for (auto i = row.first; i < row.first + row.count; ++i) {
        open = open || delivery_->of(i) == delivery::fate::open;
        if (delivery_->of(i) == delivery::fate::refused)
          out.refused.push_back(refuse(row, i));
      }
      auto& where = row.usage ? (open ? out.failed_usage : out.usage)
                              : (open ? out.failed_billing : out.billing);
      where.push_back(row.id);
    }
    reason_.clear();
    const auto refused = out.refused.size();
    store_.settle(std::move(out), [self = shared_from_this(), refused](bool done) {
      self->settled(done, refused);
    });
  }

  sql::refused_event refuse(const record& row, size_t i) {
    const auto& event = events_[i];
    log::error("OpenMeter refuses an event; it is in quarantine",
               {{"event_id", event.id}, {"event_type", event.type}, {"reason", reason_[i]}});
    probe_.refused(event.type);
    return {event.source, event.id, row.tenant, row.id, reason_[i], event.body};
  }

  void settled(bool done, size_t refused) {
    probe_.flushed(std::chrono::duration<double>(clock::now() - began_).count());
    const auto& why = delivery_->stopped();
    if (why)
      return failed(*why);
    if (!done)  // they are sent again, under the same ids
      return end(pause_.next(), false);
    recovered(refused);
    pause_.reset();
    end(full_ ? std::chrono::milliseconds{0} : with_.flush_interval, !full_);
  }

  void failed(const judged& why) {
    const bool stopped = why.what == verdict::stop;
    probe_.flush_failed();
    {
      std::lock_guard guard{mutex_};
      if (!seen_.failing || (stopped && seen_.stopped.empty()))
        log::warn(stopped ? "OpenMeter does not let us in; usage waits in the database"
                          : "OpenMeter takes nothing; usage waits in the database",
                  {{"reason", why.reason}});
      seen_.failing = true;
      seen_.stopped = stopped ? why.brief : "";
    }
    auto wait = pause_.next();
    if (stopped)
      wait = with_.stopped_for;
    else if (why.retry_after.count() > 0)
      wait = why.retry_after;
    end(wait, false);
  }

  void recovered(size_t refused) {
    std::lock_guard guard{mutex_};
    if (seen_.failing)
      log::info("OpenMeter takes usage again");
    seen_.failing = false;
    seen_.stopped.clear();
    seen_.refused += refused;
  }

  /// `empty`: nothing was left when the round began.
  void end(std::chrono::milliseconds wait, bool empty) {
    const bool again = drained_ != nullptr && (!last_round_ || (wait.count() == 0 && !empty));
    if (drained_ != nullptr && !again)
      std::exchange(drained_, nullptr)();
    if (auto next = std::exchange(next_, nullptr))
      next(again ? std::chrono::milliseconds{0} : wait);
  }

  // Beside the rounds.

  void look() {
    if (over_)
      return;
    outbound::http_request request;
    request.target = "/api/v1/meters";
    request.header_lines = authorization();
    request.deadline = with_.look_deadline;
    client_.call(thread_, std::move(request), [weak = weak_from_this()](auto x) {
      if (auto self = weak.lock())
        self->seen(judge(x, std::chrono::system_clock::now()));
    });
    thread_.wheel().arm(look_timer_, with_.look_every);
  }

  void seen(const judged& x) {
    bool let_in = false;
    {
      std::lock_guard guard{mutex_};
      seen_.looked = true;
      seen_.out_of_reach = x.brief;
      let_in = x.what == verdict::accepted && !seen_.stopped.empty();
    }
    if (let_in && !over_)
      wake_();
  }

  void count() {
    if (over_)
      return;
    thread_.wheel().arm(backlog_timer_, with_.backlog_every);
    if (!active_())
      return counted(sql::metering_backlog{});  // the node that exports tells
    store_.backlog([weak = weak_from_this()](auto x) {
      if (auto self = weak.lock())
        self->counted(x);
    });
  }

  void counted(const std::optional<sql::metering_backlog>& x) {
    if (!x)
      return;
    probe_.backlog(*x);
    std::lock_guard guard{mutex_};
    seen_.pending = x->pending;
  }

  std::string authorization() const {
    return "Authorization: Bearer " + with_.api_key.reveal() + "\r\n";
  }

  /// What `health` tells.
  struct sight {
    bool looked = false;
    bool failing = false;      // the last flush failed
    std::string stopped;       // why only an operator can put it right
    std::string out_of_reach;  // why the provider did not say it was well
    uint64_t sent = 0;
    uint64_t refused = 0;
    uint64_t pending = 0;
    std::optional<std::chrono::system_clock::time_point> last_flush;

    [[nodiscard]] std::string_view status() const {
      if (!stopped.empty() || !out_of_reach.empty())
        return "unhealthy";
      if (!looked && !last_flush)
        return "not_started";
      return failing ? "degraded" : "healthy";
    }
  };

  runtime::io_thread& thread_;
  const options with_;
  const outbound::http_client client_;
  const exporter_store store_;
  const exporter_probe probe_;
  const std::function<bool()> active_;
  const std::function<void()> wake_;
  std::atomic<bool> over_{false};

  runtime::single_worker::next_round next_;
  std::vector<record> records_;
  std::vector<cloud_event> events_;
  std::map<size_t, std::string> reason_;  // of the refused
  std::optional<delivery> delivery_;
  clock::time_point began_;
  back_off pause_;
  bool full_ = false;
  std::function<void()> drained_;
  bool last_round_ = false;  // began after it was asked to drain

  runtime::wheel_timer look_timer_;
  runtime::wheel_timer backlog_timer_;
  mutable std::mutex mutex_;
  sight seen_;
};

exporter::exporter(runtime::io_thread& thread, options with, exporter_store store,
                   exporter_probe probe, std::function<bool()> active, std::function<void()> wake)
    : impl_{std::make_shared<impl>(thread, std::move(with), std::move(store), std::move(probe),
                                   std::move(active), std::move(wake))} {}

exporter::~exporter() = default;

void exporter::start() {
  boost::asio::post(impl_->thread().context(), [x = impl_] { x->start(); });
}

void exporter::stop() {
  boost::asio::post(impl_->thread().context(), [x = impl_] { x->stop(); });
}

void exporter::round(runtime::single_worker::next_round next) { impl_->round(std::move(next)); }

void exporter::drain(std::function<void()> done) { impl_->drain(std::move(done)); }

json::object exporter::health() const { return impl_->health(); }

exporter_store store_of(runtime::io_thread& thread, sql::pool& control) {
  const auto deadline = [] { return clock::now() + runtime::limits::sql_deadline; };
  exporter_store out;
  out.take = [&thread, &control, deadline](size_t most, auto done) {
    auto query = sql::metering::unexported(most);
    query.work.deadline = deadline();
    sql::run(control, std::move(query), [&thread, done = std::move(done)](auto x) {
      std::optional<sql::metering_batch> batch;
      if (auto* got = std::get_if<0>(&x))
        batch = std::move(*got);
      boost::asio::post(thread.context(),
                        [done, batch = std::move(batch)]() mutable { done(std::move(batch)); });
    });
  };
  out.settle = [&thread, &control, deadline](const sql::metering_outcome& what, auto done) {
    auto query = sql::metering::settle(what);
    query.work.deadline = deadline();
    sql::run(control, std::move(query), [&thread, done = std::move(done)](auto x) {
      boost::asio::post(thread.context(), [done, good = x.index() == 0] { done(good); });
    });
  };
  out.backlog = [&thread, &control, deadline](auto done) {
    auto query = sql::metering::backlog(backlog_most);
    query.work.deadline = deadline();
    sql::run(control, std::move(query), [&thread, done = std::move(done)](auto x) {
      std::optional<sql::metering_backlog> got;
      if (auto* y = std::get_if<0>(&x))
        got = *y;
      boost::asio::post(thread.context(), [done, got] { done(got); });
    });
  };
  return out;
}

}  // namespace kgents::metering
