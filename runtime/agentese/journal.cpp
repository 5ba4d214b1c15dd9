#include "runtime/agentese/journal.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <unordered_map>

#include "runtime/agentese/limits.hpp"
#include "sql/agentese_events.hpp"
#include "sql/refused_for_good.hpp"

namespace kgents::runtime::agentese {

using clock = std::chrono::steady_clock;

class journal::impl : public std::enable_shared_from_this<impl> {
public:
  impl(boost::asio::io_context& context, sql::transactor& control, journal_probe probe,
       retention keep)
      : context_{context},
        control_{control},
        probe_{std::move(probe)},
        pace_{context},
        trimmer_{std::make_shared<trimmer>(context, control, keep)} {}

  bool admits() {
    {
      std::lock_guard guard{mutex_};
      if (marks_ < limits::journal_admitted(limits::journal_marks) &&
          bytes_ < limits::journal_admitted(limits::journal_bytes))
        return true;
    }
    probe_.refused();
    return false;
  }

  void note(mark&& x, std::function<void()> written) {
    if (x.data.size() > sql::agentese_data_bytes)
      drop_data(x);
    auto bytes = bytes_of(x);
    std::unique_lock guard{mutex_};
    if (marks_ >= limits::journal_marks || bytes_ + bytes > limits::journal_bytes) {
      if (x.usage.value.is_nil()) {
        guard.unlock();
        probe_.dropped(1, "full");
        if (written)
          boost::asio::post(context_, std::move(written));
        return;
      }
      drop_data(x);
      bytes = bytes_of(x);
    }
    ++marks_;
    bytes_ += bytes;
    inbox_.push_back({std::move(x), std::move(written)});
    const bool post = !std::exchange(scheduled_, true);
    guard.unlock();
    if (post)
      boost::asio::post(context_, [self = shared_from_this()] { self->collect(); });
  }

  void on_grown(grown f) { grown_ = std::move(f); }

  bool flush(std::chrono::milliseconds at_most) {
    std::unique_lock guard{mutex_};
    if (settled_.wait_for(guard, at_most, [this] { return marks_ == 0; }))
      return true;
    boost::asio::post(context_, [self = shared_from_this()] { self->tell_all(); });
    return false;
  }

  void stop() {
    stopped_ = true;
    boost::asio::post(context_, [self = shared_from_this()] {
      for (auto& lane : self->lanes_)
        lane.retry.cancel();
      for (auto& [tenant, lane] : self->own_)
        lane->retry.cancel();
      self->pace_.cancel();
      self->trimmer_->stop();
    });
  }

private:
  struct noted {
    mark what;
    std::function<void()> written;  // null: nobody waits for it
  };
  struct batch {
    std::vector<noted> marks;
    size_t bytes = 0;
    clock::time_point sent{};
  };
  using batch_ptr = std::shared_ptr<batch>;

  /// The marks of some of the tenants, or of one that is apart, one commit at a time: two at once
  /// could overtake each other, and a tenant's events are logged in the order in which they were
  /// noted here.
  struct lane {
    explicit lane(boost::asio::io_context& context) : retry{context} {}
    std::optional<tenant_id> whose;  // none: of those whose data is in the shared database
    std::deque<noted> queue;
    std::deque<batch_ptr> parts;  // to be sent before the queue: what failed, or half of it
    bool busy = false;
    bool waiting = false;
    boost::asio::steady_timer retry;
    std::chrono::milliseconds back_off = limits::journal_retry_first;
  };

  static void drop_data(mark& x) {
    x.data_truncated |= !x.data.empty();
    x.data = {};
  }

  static size_t bytes_of(const mark& x) {
    return sizeof x + x.node.size() + x.data.size() + x.observer_id.size() + x.caller.size();
  }

  /// The first mark goes at once. Under load the next ones are taken together a moment later: a
  /// wake-up of this thread for each would cost more than the mark.
  void collect() {
    std::vector<noted> fresh;
    {
      std::lock_guard guard{mutex_};
      fresh.swap(inbox_);
      scheduled_ = !fresh.empty() && !stopped_;
    }
    if (fresh.empty())
      return;
    pace_.expires_after(limits::journal_collect_every);
    pace_.async_wait([self = shared_from_this()](boost::system::error_code) { self->collect(); });
    for (auto& x : fresh) {
      auto& on = lane_of(x.what.tenant);
      on.queue.push_back(std::move(x));
    }
    for (auto& lane : lanes_)
      send_next(lane);
    for (auto& [tenant, lane] : own_)
      send_next(*lane);
  }

  lane& lane_of(const tenant_id& tenant) {
    if (control_.apart(tenant))
      return own_lane(tenant);
    // What is still on its way in a lane of its own goes first.
    if (const auto at = own_.find(tenant); at != own_.end())
      return *at->second;
    return lanes_[std::hash<tenant_id>{}(tenant) % lanes_.size()];
  }

  lane& own_lane(const tenant_id& tenant) {
    auto& own = own_[tenant];
    if (!own) {
      own = std::make_unique<lane>(context_);
      own->whose = tenant;
      bring_along(tenant, *own);
    }
    return *own;
  }

  /// What of a tenant that is apart still waits for the shared database comes before what is new.
  void bring_along(const tenant_id& tenant, lane& own) {
    auto& before = lanes_[std::hash<tenant_id>{}(tenant) % lanes_.size()];
    std::vector<noted> mine;
    const auto take = [&](auto& marks) {
      const auto other = [&](const noted& x) { return x.what.tenant != tenant; };
      const auto at = std::stable_partition(marks.begin(), marks.end(), other);
      std::move(at, marks.end(), std::back_inserter(mine));
      marks.erase(at, marks.end());
    };
    for (auto& x : before.parts)
      take(x->marks);
    std::erase_if(before.parts, [](const batch_ptr& x) { return x->marks.empty(); });
    take(before.queue);
    own.queue.insert(own.queue.begin(), std::make_move_iterator(mine.begin()),
                     std::make_move_iterator(mine.end()));
  }

  /// A batch for the shared database had marks of a tenant that is apart by now.
  void set_apart(const batch& x) {
    std::set<tenant_id> gone;
    for (const auto& each : x.marks)
      if (control_.apart(each.what.tenant))
        gone.insert(each.what.tenant);
    for (const auto& tenant : gone) {
      auto& own = own_lane(tenant);
      bring_along(tenant, own);
      send_next(own);
    }
  }

  void send_next(lane& on) {
    if (on.busy || on.waiting || stopped_ || (on.parts.empty() && on.queue.empty()))
      return;
    batch_ptr next;
    if (!on.parts.empty()) {
      next = std::move(on.parts.front());
      on.parts.pop_front();
    } else {
      next = std::make_shared<batch>();
      while (!on.queue.empty() && next->marks.size() < limits::journal_batch_marks &&
             next->bytes < limits::journal_batch_bytes) {
        next->bytes += bytes_of(on.queue.front().what);
        next->marks.push_back(std::move(on.queue.front()));
        on.queue.pop_front();
      }
    }
    send(on, next);
  }

  void send(lane& on, const batch_ptr& x) {
    on.busy = true;
    x->sent = clock::now();
    sql::mark_batch rows;
    for (const auto& each : x->marks)
      rows.add(each.what);
    auto query = rows.take();
    query.work.deadline = x->sent + limits::journal_commit_deadline;
    query.work.about = on.whose;
    using result = std::vector<std::pair<tenant_id, int64_t>>;
    sql::run(control_, std::move(query),
             [self = shared_from_this(), &on, x](const sql::answer<result>& out) {
               on.busy = false;
               if (const auto* logs = std::get_if<result>(&out))
                 self->committed(on, *x, *logs);
               else
                 self->failed(on, x, std::get<sql::failure>(out));
               self->send_next(on);
             });
  }

  void committed(lane& on, batch& x, const std::vector<std::pair<tenant_id, int64_t>>& logs) {
    probe_.committed(x.marks.size(), std::chrono::duration<double>(clock::now() - x.sent).count());
    on.back_off = limits::journal_retry_first;
    if (probe_.written)
      for (const auto& each : x.marks)
        probe_.written(each.what);
    for (const auto& [tenant, seq] : logs)
      trimmer_->grew(tenant, std::max<size_t>(1, x.marks.size() / logs.size()));
    if (grown_)
      grown_(logs);
    settle(x);
  }

  void failed(lane& on, const batch_ptr& x, const sql::failure& why) {
    if (sql::refused_for_good(why)) {
      if (x->marks.size() == 1) {
        probe_.dropped(1, "rejected");
        settle(*x);
      } else {  // halves, until the culprit is alone
        auto rest = std::make_shared<batch>();
        const auto middle = x->marks.begin() + static_cast<std::ptrdiff_t>(x->marks.size() / 2);
        rest->marks.assign(std::make_move_iterator(middle),
                           std::make_move_iterator(x->marks.end()));
        x->marks.erase(middle, x->marks.end());
        on.parts.push_front(std::move(rest));
        on.parts.push_front(x);
      }
      return;
    }
    probe_.retried();
    tell(*x);
    on.parts.push_front(x);
    if (why.what == sql::failure::kind::moving && !on.whose)
      set_apart(*x);
    on.waiting = true;
    on.retry.expires_after(on.back_off);
    on.back_off = std::min<std::chrono::milliseconds>(on.back_off * 2, limits::journal_retry_most);
    on.retry.async_wait([self = shared_from_this(), &on](boost::system::error_code ec) {
      on.waiting = false;
      if (!ec)
        self->send_next(on);
    });
  }

  static void tell(batch& x) {
    for (auto& each : x.marks)
      if (auto written = std::exchange(each.written, nullptr))
        written();
  }

  /// What is sent is told of by its answer.
  void tell_all() {
    std::vector<noted> fresh;
    {
      std::lock_guard guard{mutex_};
      fresh.swap(inbox_);
    }
    for (auto& x : fresh) {
      auto& on = lane_of(x.what.tenant);
      on.queue.push_back(std::move(x));
    }
    const auto tell_lane = [](lane& on) {
      for (auto& x : on.queue)
        if (auto written = std::exchange(x.written, nullptr))
          written();
    };
    for (auto& lane : lanes_)
      tell_lane(lane);
    for (auto& [tenant, lane] : own_)
      tell_lane(*lane);
  }

  void settle(batch& x) {
    tell(x);
    size_t bytes = 0;
    for (const auto& each : x.marks)
      bytes += bytes_of(each.what);
    std::lock_guard guard{mutex_};
    marks_ -= x.marks.size();
    bytes_ -= bytes;
    if (marks_ == 0)
      settled_.notify_all();
  }

  boost::asio::io_context& context_;
  sql::transactor& control_;
  journal_probe probe_;
  grown grown_;
  boost::asio::steady_timer pace_;
  std::shared_ptr<trimmer> trimmer_;
  std::atomic<bool> stopped_{false};

  std::mutex mutex_;
  std::condition_variable settled_;
  std::vector<noted> inbox_;
  size_t marks_ = 0;  // noted and neither committed nor dropped
  size_t bytes_ = 0;
  bool scheduled_ = false;

  std::array<lane, limits::journal_commits> lanes_{lane{context_}, lane{context_}};
  std::unordered_map<tenant_id, std::unique_ptr<lane>> own_;  // of tenants that are or were apart
};

journal::journal(boost::asio::io_context& context, sql::transactor& control, journal_probe probe,
                 retention keep)
    : impl_{std::make_shared<impl>(context, control, std::move(probe), keep)} {}

journal::~journal() { impl_->stop(); }

bool journal::admits() { return impl_->admits(); }

void journal::note(mark x) { impl_->note(std::move(x), nullptr); }

void journal::note(mark x, std::function<void()> written) {
  impl_->note(std::move(x), std::move(written));
}

void journal::on_grown(grown f) { impl_->on_grown(std::move(f)); }

bool journal::flush(std::chrono::milliseconds at_most) { return impl_->flush(at_most); }

}  // namespace kgents::runtime::agentese
