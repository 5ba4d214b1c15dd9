#include "runtime/silo_worker.hpp"

#include <array>
#include <boost/asio/post.hpp>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>

#include "runtime/limits.hpp"
#include "runtime/single_worker.hpp"
#include "runtime/telemetry/log.hpp"
#include "sql/silo_builder.hpp"
#include "sql/silos.hpp"

namespace kgents::runtime {

namespace {

sql::silo_observer observer(silo_metrics& metrics) {
  sql::silo_observer out;
  out.done = [&metrics](tenant_id tenant, sql::silo_step what, std::chrono::milliseconds took) {
    metrics.steps.Increment();
    log::info("silo step done", {{"tenant_id", tenant.text()},
                                 {"step", to_string(what)},
                                 {"ms", static_cast<int64_t>(took.count())}});
  };
  out.failed = [&metrics](tenant_id tenant, sql::silo_step what, const std::string& why,
                          bool given_up) {
    metrics.failed.Increment();
    log::warn(given_up ? "silo failed" : "silo step failed; it is tried again",
              {{"tenant_id", tenant.text()}, {"step", to_string(what)}, {"error", why}});
  };
  out.copied = [&metrics](int64_t rows) {
    metrics.copied_rows.Increment(static_cast<double>(rows));
  };
  return out;
}

}  // namespace

class silo_worker::impl {
public:
  impl(const settings& config, io_thread& thread, sql::pool& control, silo_metrics& metrics)
      : io_{thread},
        control_{control},
        metrics_{metrics},
        can_build_{!config.admin_url.empty()},
        builder_{{.admin_url = config.admin_url.reveal(),
                  .where = {config.silo_secrets},
                  .tell = observer(metrics)},
                 until_},
        builds_{thread, control, "silos", [this](auto next) { look(std::move(next)); }},
        watches_{thread, control, "silo_moves", [this](auto next) { watch(std::move(next)); }} {}

  void start() {
    watches_.start();
    if (!can_build_)
      return;
    thread_ = std::thread{[this] { work(); }};
    builds_.start();
  }

  void wake() { builds_.wake(); }

  void stop(std::chrono::milliseconds for_leases) {
    {
      const std::lock_guard guard{mutex_};
      if (stopped_)
        return;
      stopped_ = true;
    }
    until_.stop();
    changed_.notify_all();
    if (thread_.joinable())
      thread_.join();
    watches_.stop(for_leases);
    if (can_build_)
      builds_.stop(for_leases);
  }

private:
  struct job {
    tenant_id tenant;
    single_worker::next_round next;
  };

  /// On the I/O thread: asks what there is to do and hands it to the other thread.
  void look(single_worker::next_round next) {
    auto query = sql::silos::due();
    query.work.deadline = std::chrono::steady_clock::now() + limits::sql_deadline;
    sql::run(control_, std::move(query),
             [this, next = std::move(next)](const sql::answer<std::optional<tenant_id>>& out) {
               const auto* due = std::get_if<0>(&out);
               if (due == nullptr || !*due) {
                 next(look_every);
                 return;
               }
               const std::lock_guard guard{mutex_};
               job_ = job{**due, next};
               changed_.notify_all();
             });
  }

  void work() {
    for (;;) {
      job now;
      {
        std::unique_lock lock{mutex_};
        changed_.wait(lock, [this] { return stopped_ || job_; });
        if (stopped_)
          return;
        now = std::move(*job_);
        job_.reset();
      }
      std::chrono::milliseconds pause = between_rounds;
      try {
        builder_.work_on(now.tenant);
      } catch (const std::exception& why) {
        // What the builder did not foresee must not end the node; its sessions closed behind it.
        metrics_.failed.Increment();
        log::error("silo step failed", {{"tenant_id", now.tenant.text()}, {"error", why.what()}});
        pause = look_every;
      }
      boost::asio::post(io_.context(), [pause, next = std::move(now.next)] { next(pause); });
    }
  }

  void watch(single_worker::next_round next) {
    auto query = sql::silos::back_out_stale_moves(stale_after.count());
    query.work.deadline = std::chrono::steady_clock::now() + limits::sql_deadline;
    sql::run(control_, std::move(query),
             [this, next = std::move(next)](const sql::answer<int64_t>& out) {
               if (const auto* count = std::get_if<0>(&out); count != nullptr && *count > 0)
                 log::warn("nobody went on copying; tenants may write again",
                           {{"tenants", *count}});
               count_states(next);
             });
  }

  void count_states(single_worker::next_round next) {
    auto query = sql::silos::show(std::nullopt);
    query.work.deadline = std::chrono::steady_clock::now() + limits::sql_deadline;
    sql::run(control_, std::move(query),
             [this, next = std::move(next)](const sql::answer<std::vector<sql::silos::silo>>& out) {
               if (const auto* all = std::get_if<0>(&out)) {
                 std::array<double, 7> counts{};
                 for (const auto& x : *all)
                   if (const auto state = sql::parse_silo_state(x.state))
                     ++counts[static_cast<size_t>(*state)];
                 for (size_t i = 0; i < counts.size(); ++i)
                   metrics_.states[i]->Set(counts[i]);
               }
               next(watch_every);
             });
  }

  /// Others' silos come to their turn, and a failure does not spin.
  static constexpr auto between_rounds = std::chrono::milliseconds{50};

  io_thread& io_;
  sql::pool& control_;
  silo_metrics& metrics_;
  const bool can_build_;
  sql::interruption until_;
  sql::silo_builder builder_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<job> job_;
  bool stopped_ = false;
  std::thread thread_;
  single_worker builds_;
  single_worker watches_;
};

silo_worker::silo_worker(const settings& config, io_thread& thread, sql::pool& control,
                         silo_metrics& metrics)
    : impl_{std::make_unique<impl>(config, thread, control, metrics)} {}
silo_worker::~silo_worker() = default;
void silo_worker::start() { impl_->start(); }
void silo_worker::wake() { impl_->wake(); }
void silo_worker::stop(std::chrono::milliseconds for_leases) { impl_->stop(for_leases); }

}  // namespace kgents::runtime
