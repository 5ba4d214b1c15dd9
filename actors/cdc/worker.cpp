#include "actors/cdc/worker.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <future>
#include <optional>

#include "actors/cdc/batch.hpp"
#include "actors/cdc/database.hpp"
#include "actors/cdc/index.hpp"
#include "actors/cdc/rebuild.hpp"
#include "runtime/single_worker.hpp"
#include "runtime/telemetry/log.hpp"

namespace kgents::cdc {

namespace {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// Between rounds while there is something to do (data.md 11.1).
constexpr milliseconds soon{10};
/// Of payload in one batch; one change is always taken.
constexpr size_t batch_bytes = 8 * 1024 * 1024;
/// A claim's time. A write is begun within `write_within` of the claim and ends by its deadline of
/// 8 s, so none is under way when the change becomes another's.
constexpr seconds claim_time{30};
constexpr seconds write_within{18};
/// How long the bus is left alone after it has not taken a change.
constexpr seconds relay_pause{1};
constexpr seconds look_every{5};
constexpr seconds expire_every{60};
/// How often a rebuild is looked for while there is none, and tried again when it failed.
constexpr seconds rebuild_every{1};
constexpr size_t expire_most = 10'000;
constexpr seconds stop_within{10};

}  // namespace

class worker::impl {
public:
  impl(worker_options options, sql::pool& control, runtime::cdc_metrics& metrics)
      : options_{std::move(options)},
        control_{control},
        metrics_{metrics},
        thread_{options_.thread_index, "cdc"} {
    if (!options_.how.qdrant_url.empty())
      index_.emplace(thread_, options_.how, options_.openai);
    if (options_.bus)
      relay_.emplace(thread_, *options_.bus);
    if (index_)
      rebuilder_.emplace(thread_, control_, *index_);
    rounds_.emplace(thread_, control_, "cdc", [this](auto next) { begin_round(std::move(next)); });
  }

  ~impl() { stop({}); }

  void start() {
    started_ = true;
    thread_.start();
    rounds_->start();
  }

  void stop(std::chrono::milliseconds at_most) {
    if (!std::exchange(started_, false))
      return;
    std::promise<void> over;
    auto is_over = over.get_future();
    boost::asio::post(thread_.context(), [this, &over] {
      if (running_)
        over_ = [&over] { over.set_value(); };
      else
        over.set_value();
    });
    stopping_ = true;
    rounds_->stop(at_most);
    if (is_over.wait_for(stop_within) != std::future_status::ready)
      log::warn("a batch of changes did not end in time; it is taken up again later");
    thread_.stop();
    thread_.join();
    metrics_.pending.Set(0);
    metrics_.dead.Set(0);
  }

  void wake() { rounds_->wake(); }

  void search(std::string table, tenant_id tenant, std::string text, size_t most,
              std::function<void(answered)> done) {
    boost::asio::post(thread_.context(), [this, table = std::move(table), tenant,
                                          text = std::move(text), most,
                                          done = std::move(done)]() mutable {
      std::erase_if(searches_, [](const auto& x) { return x.done(); });
      if (!index_ || searches_.size() >= 16) {
        trouble out;
        out.error = index_ ? "too many searches at once" : "there is no vector index";
        out.away = true;
        done(std::move(out));
        return;
      }
      searches_.push_back(find(std::move(table), tenant, std::move(text), most, std::move(done)));
      searches_.back().start();
    });
  }

private:
  void begin_round(runtime::single_worker::next_round next) {
    running_ = true;
    round_.emplace(run(std::move(next)));
    round_->start();
  }

  task<bool> run(runtime::single_worker::next_round next) {
    milliseconds pause = options_.how.poll_interval;
    try {
      auto made = round();
      pause = co_await made;
    } catch (const std::exception& wrong) {
      log::error("a round of the cdc worker failed", {{"reason", wrong.what()}});
    }
    running_ = false;
    if (auto over = std::exchange(over_, nullptr))
      over();
    next(pause);
    co_return true;
  }

  task<bool> find(std::string table, tenant_id tenant, std::string text, size_t most,
                  std::function<void(answered)> done) {
    auto asked = index_->search(std::move(table), tenant, std::move(text), most);
    auto got = co_await asked;
    done(std::move(got));
    co_return true;
  }

  task<milliseconds> round() {
    if (stopping_)
      co_return soon;
    auto kept = housekeeping();
    co_await kept;
    bool indexing = false;
    if (index_) {
      auto asked = index_->usable();
      indexing = co_await asked;
      metrics_.circuit(index_->state());
    }
    const bool relaying = relay_ && clock::now() >= relay_again_ && relay_->ready();
    auto pause = options_.how.poll_interval;
    if (indexing || relaying) {
      auto processed = batch(indexing, relaying);
      pause = co_await processed;
    }
    if (indexing && !stopping_ && clock::now() >= rebuild_at_) {
      auto built = rebuilder_->step();
      const bool more = co_await built;
      if (more)
        pause = soon;
      else
        rebuild_at_ = clock::now() + rebuild_every;
    }
    if (index_)
      metrics_.circuit(index_->state());
    co_return pause;
  }

  /// Claims and processes one batch; gives when the next round is due.
  task<milliseconds> batch(bool indexing, bool relaying) {
    const auto idle = options_.how.poll_interval;
    sql::cdc::claim_options what;
    what.owner = owner_;
    what.index = indexing || !index_;
    what.relay = relaying;
    what.most = options_.how.batch_size;
    what.bytes = batch_bytes;
    what.time = claim_time;
    const auto claimed_at = clock::now();
    auto asked = ask(thread_, control_, sql::cdc::claim(what));
    auto got = co_await asked;
    if (const auto* why = std::get_if<sql::failure>(&got)) {
      if (!std::exchange(unread_, true))
        log::warn("cannot read the outbox", {{"reason", why->message}});
      co_return idle;
    }
    if (std::exchange(unread_, false))
      log::info("the outbox can be read again");
    auto& changes = std::get<0>(got);
    if (changes.empty())
      co_return idle;
    std::vector<bool> published(changes.size(), false);
    if (relaying) {
      auto told = relay_->publish(changes);
      published = co_await told;
      if (std::find(published.begin(), published.end(), false) != published.end())
        relay_again_ = clock::now() + relay_pause;
    }
    const auto vectorised = [&](const std::string& table) {
      return index_ && index_->vectorises(table);
    };
    for (auto& x : changes)
      if (!indexing && vectorised(x.table))
        x.due = false;
    const auto plan = plan_batch(changes, vectorised);
    std::vector<applied> ends(changes.size());
    auto applied_all = apply(changes, plan, ends, claimed_at + write_within);
    co_await applied_all;
    auto results = conclude(changes, plan, ends, published, options_.how.max_retries);
    auto finished = finish(std::move(results));
    const auto pause = co_await finished;
    co_return pause;
  }

  task<bool> apply(const std::vector<change>& changes, const batch_plan& plan,
                   std::vector<applied>& ends, clock::time_point until) {
    if (!index_)
      co_return true;
    std::vector<std::vector<size_t>> groups;
    for (const auto& table : index_->tables()) {
      std::vector<size_t> group;
      std::copy_if(plan.together.begin(), plan.together.end(), std::back_inserter(group),
                   [&](size_t i) { return changes[i].table == table; });
      if (!group.empty())
        groups.push_back(std::move(group));
    }
    for (const auto i : plan.alone)
      groups.push_back({i});
    for (const auto& group : groups) {
      // The batch under way is finished at a stop, not what can as well be done later.
      if (clock::now() > until || (stopping_ && changes[group[0]].attempts > 0))
        break;
      std::vector<const change*> rows;
      for (const auto i : group)
        rows.push_back(&changes[i]);
      auto written = index_->apply(changes[group[0]].table, std::move(rows));
      const auto made = co_await written;
      for (size_t i = 0; i < group.size(); ++i)
        ends[group[i]] = made[i];
      if (index_->state() != runtime::breaker_state::closed)
        break;
    }
    co_return true;
  }

  /// What is not told is claimed by us again, and applied again, which changes nothing.
  task<milliseconds> finish(std::vector<sql::cdc::result> results) {
    auto pause = soon;
    for (const auto& x : results)
      if (x.wait)
        pause = std::clamp(*x.wait, soon, options_.how.poll_interval);
    const bool progress = std::any_of(results.begin(), results.end(), [](const auto& x) {
      return x.settled || x.published || !x.reason.empty();
    });
    if (progress)
      pause = soon;
    auto told = ask(thread_, control_, sql::cdc::finish(owner_, relay_.has_value(), results));
    const auto got = co_await told;
    if (const auto* why = std::get_if<sql::failure>(&got)) {
      log::warn("cannot acknowledge changes", {{"reason", why->message}});
      co_return options_.how.poll_interval;
    }
    note(results, std::get<0>(got));
    co_return pause;
  }

  void note(const std::vector<sql::cdc::result>& results,
            const std::vector<std::chrono::duration<double, std::milli>>& lags) {
    for (const auto& x : results) {
      if (!x.reason.empty()) {
        metrics_.failed.Increment();
        log::warn("a change goes to the dead letters",
                  {{"change", x.id}, {"reason", x.reason}, {"error", x.error}});
      } else if (x.counted) {
        metrics_.retried.Increment();
      }
    }
    for (const auto x : lags)
      lag_.add(x);
    metrics_.processed.Increment(static_cast<double>(lags.size()));
    metrics_.lag.Set(lag_.last());
    metrics_.lag_most.Set(lag_.most());
    metrics_.lag_average.Set(lag_.average());
  }

  task<bool> housekeeping() {
    const auto now = clock::now();
    if (now >= look_at_) {
      look_at_ = now + look_every;
      auto asked = ask(thread_, control_, sql::cdc::look());
      const auto got = co_await asked;
      if (const auto* seen = std::get_if<0>(&got)) {
        metrics_.pending.Set(static_cast<double>(seen->pending));
        metrics_.dead.Set(static_cast<double>(seen->dead));
      }
    }
    if (now >= expire_at_) {
      expire_at_ = now + expire_every;
      auto asked = ask(thread_, control_, sql::cdc::expire(expire_most));
      const auto got = co_await asked;
      const auto* gone = std::get_if<0>(&got);
      if (gone != nullptr && *gone >= static_cast<int64_t>(expire_most))
        expire_at_ = now;
    }
    co_return true;
  }

  const worker_options options_;
  sql::pool& control_;
  runtime::cdc_metrics& metrics_;
  runtime::io_thread thread_;
  const uuid owner_ = uuid::random();
  bool started_ = false;
  std::atomic<bool> stopping_{false};

  // What follows lives on the thread.
  std::optional<vector_index> index_;
  std::optional<relay> relay_;
  std::optional<rebuilder> rebuilder_;
  std::optional<runtime::single_worker> rounds_;
  lag_tracker lag_;
  clock::time_point relay_again_{};
  clock::time_point look_at_{};
  clock::time_point rebuild_at_{};
  clock::time_point expire_at_{};
  bool unread_ = false;  // the last claim failed
  bool running_ = false;
  std::function<void()> over_;
  std::optional<task<bool>> round_;
  std::vector<task<bool>> searches_;
};

worker::worker(worker_options options, sql::pool& control, runtime::cdc_metrics& metrics)
    : impl_{std::make_unique<impl>(std::move(options), control, metrics)} {}

worker::~worker() { stop({}); }

void worker::start() { impl_->start(); }
void worker::stop(std::chrono::milliseconds at_most) { impl_->stop(at_most); }
void worker::wake() { impl_->wake(); }

void worker::search(std::string table, tenant_id tenant, std::string text, size_t most,
                    std::function<void(answered)> done) {
  impl_->search(std::move(table), tenant, std::move(text), most, std::move(done));
}

}  // namespace kgents::cdc
