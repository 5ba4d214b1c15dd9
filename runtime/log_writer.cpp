#include "runtime/log_writer.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <caf/actor.hpp>
#include <caf/actor_cast.hpp>
#include <caf/send.hpp>
#include <deque>
#include <mutex>
#include <utility>

#include "runtime/limits.hpp"
#include "sql/turns.hpp"

namespace kgents::runtime {
namespace {

using clock = std::chrono::steady_clock;

void tell(const caf::actor_addr& owner, auto message) {
  if (auto actor = caf::actor_cast<caf::actor>(owner))
    caf::anon_send(actor, message);
}

}  // namespace

class log_writer::impl : public std::enable_shared_from_this<impl> {
public:
  impl(boost::asio::io_context& context, sql::transactor& pool, hubs& hubs, durability mode,
       log_writer_probe probe)
      : context_{context},
        retry_{context},
        pool_{pool},
        hubs_{hubs},
        mode_{mode},
        probe_{std::move(probe)} {}

  void appended(const log_ptr& log) {
    if (!log->mark_dirty())
      return;
    std::unique_lock guard{mutex_};
    inbox_.push_back(log);
    const bool post = !std::exchange(scheduled_, true);
    guard.unlock();
    if (post)
      boost::asio::post(context_, [self = shared_from_this()] { self->collect(); });
  }

  durability mode() const noexcept { return mode_; }

private:
  struct part {
    log_ptr log;
    shard_id shard;
    lease_epoch lease = 0;
    uint64_t take = 0;
    std::vector<event_ptr> chunks;
  };
  struct batch {
    std::vector<part> parts;
    size_t rows = 0;
    clock::time_point sent{};
  };
  using batch_ptr = std::shared_ptr<batch>;

  void collect() {
    {
      std::lock_guard guard{mutex_};
      dirty_.insert(dirty_.end(), std::make_move_iterator(inbox_.begin()),
                    std::make_move_iterator(inbox_.end()));
      inbox_.clear();
      scheduled_ = false;
    }
    flush();
  }

  /// A second commit beside the first only when it is worth its flush: small ones would ride in the
  /// next anyway.
  [[nodiscard]] bool may_send() const {
    return !dirty_.empty() && !waiting_ && in_flight_ < limits::log_connections &&
           dirty_.size() >= in_flight_ * limits::log_batch_rows / 4;
  }

  void flush() {
    while (may_send()) {
      auto next = std::make_shared<batch>();
      // After a refusal for what a row contains, one session a batch: so the culprit is found.
      const size_t most = solo_ > 0 ? 1 : limits::log_batch_rows;
      while (!dirty_.empty() && next->rows < limits::log_batch_rows && next->parts.size() < most) {
        auto log = std::move(dirty_.front());
        dirty_.pop_front();
        auto taken = log->take(limits::log_batch_rows);
        if (taken.chunks.empty())
          continue;
        next->rows += taken.chunks.size();
        const auto shard = shard_of(log->session());
        next->parts.push_back(
            {std::move(log), shard, taken.lease, taken.take, std::move(taken.chunks)});
      }
      if (next->parts.empty())
        continue;
      send(next);
    }
  }

  void send(const batch_ptr& x) {
    ++in_flight_;
    x->sent = clock::now();
    sql::chunk_batch rows;
    for (const auto& part : x->parts)
      for (const auto& e : part.chunks)
        rows.add(e->place().turn, e->place().epoch, static_cast<chunk_index>(e->place().index),
                 e->text, sql::fence{part.shard, part.lease});
    auto query = rows.take();
    query.work.deadline = x->sent + limits::log_commit_deadline;
    pool_.submit(std::move(query.work),
                 [self = shared_from_this(), x, parse = query.parse](sql::outcome out) {
                   --self->in_flight_;
                   if (auto* ok = std::get_if<std::vector<sql::rows>>(&out))
                     self->succeeded(x, parse(*ok));
                   else
                     self->failed(x, std::get<sql::failure>(out));
                   self->flush();
                 });
  }

  void succeeded(const batch_ptr& x, const std::vector<turn_id>& refused) {
    probe_.committed(x->rows, std::chrono::duration<double>(clock::now() - x->sent).count());
    back_off_ = limits::log_retry_first;
    if (solo_ > 0)
      --solo_;
    std::vector<log_ptr> shown;
    shown.reserve(x->parts.size());
    for (auto& part : x->parts) {
      const auto& first = part.chunks.front()->place();
      if (std::find(refused.begin(), refused.end(), first.turn) != refused.end()) {
        part.log->failed(part.take);
        tell(part.log->owner(), log_refused{first.turn, first.epoch, true});
        continue;
      }
      probe_.durable(part.log->session(), part.chunks);
      const auto owner = part.log->committed(part.take, mode_ == durability::durable);
      if (owner)
        tell(owner, log_committed{});
      if (!part.log->all_committed())
        dirty_.push_back(part.log);
      shown.push_back(std::move(part.log));
    }
    if (mode_ == durability::durable)
      hubs_.notify(shown);
  }

  void failed(const batch_ptr& x, const sql::failure& why) {
    probe_.retried();
    const bool culprit = why.what == sql::failure::kind::rejected && x->parts.size() == 1;
    if (why.what == sql::failure::kind::rejected)
      solo_ = 2 * limits::log_batch_rows;
    for (auto& part : x->parts) {
      part.log->failed(part.take);
      const auto& first = part.chunks.front()->place();
      if (culprit)
        tell(part.log->owner(), log_refused{first.turn, first.epoch, false});
      else
        dirty_.push_back(std::move(part.log));
    }
    if (culprit || why.what == sql::failure::kind::rejected)
      return;
    waiting_ = true;
    retry_.expires_after(back_off_);
    back_off_ = std::min<std::chrono::milliseconds>(back_off_ * 2, limits::log_retry_most);
    retry_.async_wait([self = shared_from_this()](boost::system::error_code ec) {
      if (ec)
        return;
      self->waiting_ = false;
      self->flush();
    });
  }

  boost::asio::io_context& context_;
  boost::asio::steady_timer retry_;
  sql::transactor& pool_;
  hubs& hubs_;
  const durability mode_;
  log_writer_probe probe_;

  std::mutex mutex_;
  std::vector<log_ptr> inbox_;
  bool scheduled_ = false;

  std::deque<log_ptr> dirty_;
  size_t in_flight_ = 0;
  size_t solo_ = 0;  // batches still to be sent one session at a time
  bool waiting_ = false;
  std::chrono::milliseconds back_off_ = limits::log_retry_first;
};

log_writer::log_writer(boost::asio::io_context& context, sql::transactor& pool, hubs& hubs,
                       durability mode, log_writer_probe probe)
    : impl_{std::make_shared<impl>(context, pool, hubs, mode, std::move(probe))} {}

log_writer::~log_writer() = default;

void log_writer::appended(const log_ptr& log) { impl_->appended(log); }

durability log_writer::mode() const noexcept { return impl_->mode(); }

}  // namespace kgents::runtime
