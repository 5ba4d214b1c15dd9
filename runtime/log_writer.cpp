#include "runtime/log_writer.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <caf/actor.hpp>
#include <caf/actor_cast.hpp>
#include <caf/send.hpp>
#include <deque>
#include <mutex>
#include <optional>
#include <set>
#include <unordered_map>
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
      : context_{context}, pool_{pool}, hubs_{hubs}, mode_{mode}, probe_{std::move(probe)} {}

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
  /// The sessions whose chunks are committed together: those of all tenants whose data is in the
  /// shared database, or those of one that is apart, so that its database holds up nobody else.
  struct lane {
    explicit lane(boost::asio::io_context& context) : retry{context} {}
    std::optional<tenant_id> whose;  // none: the shared one
    boost::asio::steady_timer retry;
    std::deque<log_ptr> dirty;
    size_t in_flight = 0;
    size_t solo = 0;  // batches still to be sent one session at a time
    bool waiting = false;
    std::chrono::milliseconds back_off = limits::log_retry_first;
  };
  using lane_ptr = std::shared_ptr<lane>;
  struct batch {
    lane_ptr on;
    std::vector<part> parts;
    size_t rows = 0;
    clock::time_point sent{};
  };
  using batch_ptr = std::shared_ptr<batch>;

  void collect() {
    std::vector<log_ptr> fresh;
    {
      std::lock_guard guard{mutex_};
      fresh.swap(inbox_);
      scheduled_ = false;
    }
    for (auto& log : fresh)
      enqueue(std::move(log));
    flush(shared_);
    for (const auto& x : std::exchange(touched_, {}))
      flush(x);
  }

  void enqueue(log_ptr log) {
    const auto tenant = log->session().tenant;
    if (!pool_.apart(tenant)) {
      shared_->dirty.push_back(std::move(log));
      return;
    }
    auto& own = own_[tenant];
    if (!own) {
      own = std::make_shared<lane>(context_);
      own->whose = tenant;
    }
    own->dirty.push_back(std::move(log));
    touched_.insert(own);
  }

  /// Nothing is under way and nothing waits: it is made anew when it is needed again.
  void forget_if_idle(const lane_ptr& on) {
    if (on->whose && on->in_flight == 0 && !on->waiting && on->dirty.empty())
      own_.erase(*on->whose);
  }

  /// A second commit beside the first only when it is worth its flush: small ones would ride in the
  /// next anyway.
  [[nodiscard]] static bool may_send(const lane& on) {
    return !on.dirty.empty() && !on.waiting && on.in_flight < limits::log_connections &&
           on.dirty.size() >= on.in_flight * limits::log_batch_rows / 4;
  }

  void flush(const lane_ptr& on) {
    while (may_send(*on)) {
      auto next = std::make_shared<batch>();
      next->on = on;
      // After a refusal for what a row contains, one session a batch: so the culprit is found.
      const size_t most = on->solo > 0 ? 1 : limits::log_batch_rows;
      auto& dirty = on->dirty;
      while (!dirty.empty() && next->rows < limits::log_batch_rows && next->parts.size() < most) {
        auto log = std::move(dirty.front());
        dirty.pop_front();
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
    forget_if_idle(on);
  }

  void send(const batch_ptr& x) {
    ++x->on->in_flight;
    x->sent = clock::now();
    sql::chunk_batch rows;
    for (const auto& part : x->parts)
      for (const auto& e : part.chunks)
        rows.add(e->place().turn, e->place().epoch, static_cast<chunk_index>(e->place().index),
                 e->text, sql::fence{part.shard, part.lease});
    auto query = rows.take();
    query.work.deadline = x->sent + limits::log_commit_deadline;
    query.work.about = x->on->whose;
    pool_.submit(std::move(query.work),
                 [self = shared_from_this(), x, parse = query.parse](sql::outcome out) {
                   --x->on->in_flight;
                   if (auto* ok = std::get_if<std::vector<sql::rows>>(&out))
                     self->succeeded(x, parse(*ok));
                   else
                     self->failed(x, std::get<sql::failure>(out));
                   self->flush(x->on);
                 });
  }

  void succeeded(const batch_ptr& x, const std::vector<turn_id>& refused) {
    probe_.committed(x->rows, std::chrono::duration<double>(clock::now() - x->sent).count());
    auto& on = *x->on;
    on.back_off = limits::log_retry_first;
    if (on.solo > 0)
      --on.solo;
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
        on.dirty.push_back(part.log);
      shown.push_back(std::move(part.log));
    }
    if (mode_ == durability::durable)
      hubs_.notify(shown);
  }

  void failed(const batch_ptr& x, const sql::failure& why) {
    probe_.retried();
    auto& on = *x->on;
    const bool rejected = why.what == sql::failure::kind::rejected;
    const bool culprit = rejected && x->parts.size() == 1;
    if (rejected)
      on.solo = 2 * limits::log_batch_rows;
    for (auto& part : x->parts) {
      part.log->failed(part.take);
      const auto& first = part.chunks.front()->place();
      if (culprit)
        tell(part.log->owner(), log_refused{first.turn, first.epoch, false});
      else
        on.dirty.push_back(std::move(part.log));
    }
    if (rejected)
      return;
    if (why.what == sql::failure::kind::moving && !on.whose)
      set_apart();
    on.waiting = true;
    on.retry.expires_after(on.back_off);
    on.back_off = std::min<std::chrono::milliseconds>(on.back_off * 2, limits::log_retry_most);
    on.retry.async_wait([self = shared_from_this(), on = x->on](boost::system::error_code ec) {
      if (ec)
        return;
      on->waiting = false;
      self->flush(on);
    });
  }

  /// One of those that commit together is apart by now.
  void set_apart() {
    for (auto& log : std::exchange(shared_->dirty, {}))
      enqueue(std::move(log));
    for (const auto& x : std::exchange(touched_, {}))
      flush(x);
  }

  boost::asio::io_context& context_;
  sql::transactor& pool_;
  hubs& hubs_;
  const durability mode_;
  log_writer_probe probe_;

  std::mutex mutex_;
  std::vector<log_ptr> inbox_;
  bool scheduled_ = false;

  const lane_ptr shared_{std::make_shared<lane>(context_)};
  std::unordered_map<tenant_id, lane_ptr> own_;
  std::set<lane_ptr> touched_;  // have got something to send
};

log_writer::log_writer(boost::asio::io_context& context, sql::transactor& pool, hubs& hubs,
                       durability mode, log_writer_probe probe)
    : impl_{std::make_shared<impl>(context, pool, hubs, mode, std::move(probe))} {}

log_writer::~log_writer() = default;

void log_writer::appended(const log_ptr& log) { impl_->appended(log); }

durability log_writer::mode() const noexcept { return impl_->mode(); }

}  // namespace kgents::runtime
