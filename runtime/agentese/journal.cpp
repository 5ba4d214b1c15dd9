#include "runtime/agentese/journal.hpp"

#include <algorithm>
#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <condition_variable>
#include <deque>
#include <mutex>

#include "runtime/agentese/limits.hpp"
#include "sql/agentese_events.hpp"

namespace kgents::runtime::agentese {

using clock = std::chrono::steady_clock;

class journal::impl : public std::enable_shared_from_this<impl> {
public:
  impl(boost::asio::io_context& context, sql::pool& control, journal_probe probe, retention keep)
      : context_{context},
        retry_{context},
        control_{control},
        probe_{std::move(probe)},
        trimmer_{std::make_shared<trimmer>(context, control, keep)} {}

  void note(mark&& x) {
    if (x.data.size() > sql::agentese_data_bytes) {
      x.data = {};
      x.data_truncated = true;
    }
    const auto bytes = bytes_of(x);
    std::unique_lock guard{mutex_};
    if (marks_ >= limits::journal_marks || bytes_ + bytes > limits::journal_bytes) {
      guard.unlock();
      probe_.dropped(1, "full");
      return;
    }
    ++marks_;
    bytes_ += bytes;
    inbox_.push_back(std::move(x));
    const bool post = !std::exchange(scheduled_, true);
    guard.unlock();
    if (post)
      boost::asio::post(context_, [self = shared_from_this()] { self->collect(); });
  }

  void on_grown(grown f) { grown_ = std::move(f); }

  bool flush(std::chrono::milliseconds at_most) {
    std::unique_lock guard{mutex_};
    return settled_.wait_for(guard, at_most, [this] { return marks_ == 0; });
  }

  void stop() {
    stopped_ = true;
    boost::asio::post(context_, [self = shared_from_this()] {
      self->retry_.cancel();
      self->trimmer_->stop();
    });
  }

private:
  struct batch {
    std::vector<mark> marks;
    size_t bytes = 0;
    clock::time_point sent{};
  };
  using batch_ptr = std::shared_ptr<batch>;

  static size_t bytes_of(const mark& x) {
    return sizeof x + x.node.size() + x.data.size() + x.observer_id.size() + x.caller.size();
  }

  void collect() {
    {
      std::lock_guard guard{mutex_};
      queue_.insert(queue_.end(), std::make_move_iterator(inbox_.begin()),
                    std::make_move_iterator(inbox_.end()));
      inbox_.clear();
      scheduled_ = false;
    }
    send_more();
  }

  /// A second commit beside the first only when it is worth its flush.
  [[nodiscard]] bool may_send() const {
    if (waiting_ || stopped_ || in_flight_ >= limits::journal_commits)
      return false;
    return !parts_.empty() || (!queue_.empty() &&
                               queue_.size() >= in_flight_ * limits::journal_batch_marks / 4);
  }

  void send_more() {
    while (may_send()) {
      batch_ptr next;
      if (!parts_.empty()) {
        next = std::move(parts_.front());
        parts_.pop_front();
      } else {
        next = std::make_shared<batch>();
        while (!queue_.empty() && next->marks.size() < limits::journal_batch_marks &&
               next->bytes < limits::journal_batch_bytes) {
          next->bytes += bytes_of(queue_.front());
          next->marks.push_back(std::move(queue_.front()));
          queue_.pop_front();
        }
      }
      send(next);
    }
  }

  void send(const batch_ptr& x) {
    ++in_flight_;
    x->sent = clock::now();
    sql::mark_batch rows;
    for (const auto& each : x->marks)
      rows.add(each);
    auto query = rows.take();
    query.work.deadline = x->sent + limits::journal_commit_deadline;
    using result = std::vector<std::pair<tenant_id, int64_t>>;
    sql::run(control_, std::move(query),
             [self = shared_from_this(), x](const sql::answer<result>& out) {
               --self->in_flight_;
               if (const auto* logs = std::get_if<result>(&out))
                 self->committed(*x, *logs);
               else
                 self->failed(x, std::get<sql::failure>(out));
               self->send_more();
             });
  }

  void committed(const batch& x, const std::vector<std::pair<tenant_id, int64_t>>& logs) {
    probe_.committed(x.marks.size(), std::chrono::duration<double>(clock::now() - x.sent).count());
    back_off_ = limits::journal_retry_first;
    for (const auto& [tenant, seq] : logs)
      trimmer_->grew(tenant, std::max<size_t>(1, x.marks.size() / logs.size()));
    if (grown_)
      grown_(logs);
    settle(x);
  }

  /// What PostgreSQL refuses for what it contains would be refused for ever. What it refuses for
  /// now (deadlock, lock timeout, shutdown, full disk) has these classes.
  static bool for_good(const sql::failure& why) {
    if (why.what != sql::failure::kind::rejected)
      return false;
    const auto kind = std::string_view{why.sqlstate}.substr(0, 2);
    return kind != "40" && kind != "53" && kind != "55" && kind != "57" && kind != "58";
  }

  void failed(const batch_ptr& x, const sql::failure& why) {
    if (for_good(why)) {
      if (x->marks.size() == 1) {
        probe_.dropped(1, "rejected");
        settle(*x);
      } else {  // halves, until the culprit is alone
        auto rest = std::make_shared<batch>();
        const auto middle = x->marks.begin() + static_cast<std::ptrdiff_t>(x->marks.size() / 2);
        rest->marks.assign(std::make_move_iterator(middle), std::make_move_iterator(x->marks.end()));
        x->marks.erase(middle, x->marks.end());
        parts_.push_front(std::move(rest));
        parts_.push_front(x);
      }
      return;
    }
    probe_.retried();
    parts_.push_front(x);
    if (waiting_)
      return;
    waiting_ = true;
    retry_.expires_after(back_off_);
    back_off_ = std::min<std::chrono::milliseconds>(back_off_ * 2, limits::journal_retry_most);
    retry_.async_wait([self = shared_from_this()](boost::system::error_code ec) {
      self->waiting_ = false;
      if (!ec)
        self->send_more();
    });
  }

  void settle(const batch& x) {
    size_t bytes = 0;
    for (const auto& each : x.marks)
      bytes += bytes_of(each);
    std::lock_guard guard{mutex_};
    marks_ -= x.marks.size();
    bytes_ -= bytes;
    if (marks_ == 0)
      settled_.notify_all();
  }

  boost::asio::io_context& context_;
  boost::asio::steady_timer retry_;
  sql::pool& control_;
  journal_probe probe_;
  grown grown_;
  std::shared_ptr<trimmer> trimmer_;
  std::atomic<bool> stopped_{false};

  std::mutex mutex_;
  std::condition_variable settled_;
  std::vector<mark> inbox_;
  size_t marks_ = 0;  // noted and neither committed nor dropped
  size_t bytes_ = 0;
  bool scheduled_ = false;

  std::deque<mark> queue_;
  std::deque<batch_ptr> parts_;  // to be sent before the queue: what failed, or half of it
  size_t in_flight_ = 0;
  bool waiting_ = false;
  std::chrono::milliseconds back_off_ = limits::journal_retry_first;
};

journal::journal(boost::asio::io_context& context, sql::pool& control, journal_probe probe,
                 retention keep)
    : impl_{std::make_shared<impl>(context, control, std::move(probe), keep)} {}

journal::~journal() { impl_->stop(); }

void journal::note(mark x) { impl_->note(std::move(x)); }

void journal::on_grown(grown f) { impl_->on_grown(std::move(f)); }

bool journal::flush(std::chrono::milliseconds at_most) { return impl_->flush(at_most); }

}  // namespace kgents::runtime::agentese
