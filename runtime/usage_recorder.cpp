#include "runtime/usage_recorder.hpp"

#include <algorithm>
#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sql/refused_for_good.hpp"
#include "sql/request_batch.hpp"

namespace kgents::runtime {

namespace {

using wall_clock = std::chrono::system_clock;

/// What makes two requests equal. Texts are compared by address: they are of the table of routes.
struct kind {
  api_key_id key;
  const char* method;
  const char* endpoint;
  uint16_t status;
  int32_t day;  // UTC: a row is of one day and one month

  friend bool operator==(const kind&, const kind&) = default;
};

struct kind_hash {
  size_t operator()(const kind& x) const noexcept {
    uint64_t out = 0;
    std::memcpy(&out, x.key.value.bytes.data() + 8, sizeof out);  // the random half
    const auto mix = [&](uint64_t more) {
      out = (out ^ more) * 0x9e3779b97f4a7c15ULL;
      out ^= out >> 29;
    };
    mix(reinterpret_cast<uintptr_t>(x.endpoint));
    mix(reinterpret_cast<uintptr_t>(x.method));
    mix(static_cast<uint64_t>(x.status) << 32 | static_cast<uint32_t>(x.day));
    return out;
  }
};

struct counted {
  tenant_id tenant;
  std::string_view method;
  std::string_view endpoint;
  uint32_t quantity = 0;
  wall_clock::time_point first{}, last{};
};

/// What one thread counts.
struct alignas(64) shard {
  std::mutex mutex;
  std::unordered_map<kind, counted, kind_hash> kinds;
};

}  // namespace

class usage_recorder::impl : public std::enable_shared_from_this<impl> {
public:
  impl(boost::asio::io_context& context, sql::pool& control, size_t threads, usage_probe probe)
      : context_{context},
        control_{control},
        probe_{std::move(probe)},
        shards_(std::max<size_t>(1, threads)),
        pace_{context} {}

  void count(size_t thread, const request& x, wall_clock::time_point now) {
    const auto day = std::chrono::floor<std::chrono::days>(now).time_since_epoch().count();
    const kind which{x.key, x.method.data(), x.endpoint.data(), x.status,
                     static_cast<int32_t>(day)};
    auto& at = shards_[thread % shards_.size()];
    std::unique_lock guard{at.mutex};
    if (const auto known = at.kinds.find(which); known != at.kinds.end()) {
      ++known->second.quantity;
      known->second.last = now;
      return;
    }
    if (waiting_.fetch_add(1) >= most_waiting) {
      waiting_.fetch_sub(1);
      guard.unlock();
      probe_.dropped(1, "full");
      return;
    }
    at.kinds.emplace(which, counted{x.tenant, x.method, x.endpoint, 1, now, now});
    guard.unlock();
    if (!scheduled_.exchange(true))
      boost::asio::post(context_, [self = shared_from_this()] { self->write_soon(); });
  }

  [[nodiscard]] size_t waiting() const noexcept { return waiting_; }

  bool flush(std::chrono::milliseconds at_most) {
    boost::asio::post(context_, [self = shared_from_this()] {
      self->pace_.cancel();
      self->collect();
    });
    std::unique_lock guard{settled_mutex_};
    return settled_.wait_for(guard, at_most, [this] { return waiting_ == 0; });
  }

  void stop() {
    stopped_ = true;
    boost::asio::post(context_, [self = shared_from_this()] { self->pace_.cancel(); });
  }

private:
  void write_soon() {
    if (stopped_)
      return;
    pace_.expires_after(write_every);
    pace_.async_wait([self = shared_from_this()](boost::system::error_code ec) {
      if (!ec)
        self->collect();
    });
  }

  /// Takes over what the threads have counted, unless the last of it is still being written: then
  /// they go on adding to it.
  void collect() {
    if (!rows_.empty()) {
      if (!busy_)
        send();
      return;
    }
    scheduled_ = false;  // before the look: what comes after it asks for a write of its own
    for (auto& at : shards_) {
      std::unordered_map<kind, counted, kind_hash> taken;
      {
        std::lock_guard guard{at.mutex};
        if (at.kinds.empty())
          continue;
        taken.reserve(at.kinds.size());
        taken.swap(at.kinds);
      }
      for (const auto& [which, x] : taken)
        rows_.push_back({usage_id{uuid::time_ordered()}, x.tenant, which.key, x.method, x.endpoint,
                         which.status, x.quantity, x.first, x.last});
    }
    if (!rows_.empty())
      send();
  }

  void send() {
    busy_ = true;
    const auto size = std::min(alone_ > 0 ? size_t{1} : batch_rows, rows_.size());
    sql::request_batch batch;
    for (size_t i = 0; i < size; ++i)
      batch.add(rows_[i]);
    auto query = batch.take();
    query.work.deadline = std::chrono::steady_clock::now() + commit_deadline;
    sql::run(control_, std::move(query),
             [self = shared_from_this(), size](const sql::answer<sql::nothing>& out) {
               self->busy_ = false;
               if (const auto* why = std::get_if<sql::failure>(&out))
                 self->failed(size, *why);
               else
                 self->done_with(size, true);
             });
  }

  void done_with(size_t size, bool written) {
    back_off_ = retry_first;
    uint64_t requests = 0;
    for (size_t i = 0; i < size; ++i)
      requests += rows_[i].quantity;
    rows_.erase(rows_.begin(), rows_.begin() + static_cast<std::ptrdiff_t>(size));
    alone_ -= std::min(alone_, size);
    if (written)
      probe_.written(requests);
    else
      probe_.dropped(requests, "rejected");
    {
      std::lock_guard guard{settled_mutex_};
      waiting_.fetch_sub(size);
    }
    if (!rows_.empty()) {
      send();
    } else if (waiting_ == 0) {
      settled_.notify_all();
    } else {  // a retry may have taken the timer of the write that they asked for
      scheduled_ = true;
      write_soon();
    }
  }

  /// What is refused for its content is looked for row by row and left out; everything else passes.
  void failed(size_t size, const sql::failure& why) {
    if (sql::refused_for_good(why)) {
      if (size == 1)
        done_with(1, false);
      else {
        alone_ = size;
        send();
      }
      return;
    }
    probe_.retried();
    if (stopped_)
      return;
    pace_.expires_after(back_off_);
    back_off_ = std::min<std::chrono::milliseconds>(back_off_ * 2, retry_most);
    pace_.async_wait([self = shared_from_this()](boost::system::error_code ec) {
      if (!ec)
        self->collect();
    });
  }

  boost::asio::io_context& context_;
  sql::pool& control_;
  const usage_probe probe_;
  std::vector<shard> shards_;
  std::atomic<size_t> waiting_{0};
  std::atomic<bool> scheduled_{false};  // a write comes that will see what is added now
  std::atomic<bool> stopped_{false};
  std::mutex settled_mutex_;
  std::condition_variable settled_;

  // On the context's thread.
  boost::asio::steady_timer pace_;
  std::deque<sql::request_count> rows_;  // to be written, their ids given
  size_t alone_ = 0;                     // of them, so many go one by one
  bool busy_ = false;
  std::chrono::milliseconds back_off_ = retry_first;
};

usage_recorder::usage_recorder(boost::asio::io_context& context, sql::pool& control,
                               size_t threads, usage_probe probe)
    : impl_{std::make_shared<impl>(context, control, threads, std::move(probe))} {}

usage_recorder::~usage_recorder() { impl_->stop(); }

void usage_recorder::count(size_t thread, const request& x,
                           std::chrono::system_clock::time_point now) {
  impl_->count(thread, x, now);
}

size_t usage_recorder::waiting() const noexcept { return impl_->waiting(); }

bool usage_recorder::flush(std::chrono::milliseconds at_most) { return impl_->flush(at_most); }

}  // namespace kgents::runtime
