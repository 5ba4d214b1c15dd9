#include "actors/contexts/time/scheduler.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/json/parse.hpp>
#include <mutex>
#include <set>
#include <unordered_map>

#include "protocol/agentese/invocation.hpp"
#include "runtime/limits.hpp"

namespace kgents::actors {

namespace json = boost::json;

class scheduler::impl : public std::enable_shared_from_this<impl> {
public:
  impl(boost::asio::io_context& context, parts with, scheduler_probe probe)
      : context_{context}, timer_{context}, with_{std::move(with)}, probe_{std::move(probe)} {}

  void start() {
    boost::asio::post(context_, [self = shared_from_this()] { self->look(); });
  }

  void stop() {
    boost::asio::post(context_, [self = shared_from_this()] {
      self->stopped_ = true;
      self->timer_.cancel();
    });
  }

private:
  void look() {
    if (stopped_)
      return;
    with_.look(
        [self = shared_from_this()](std::optional<sql::due_tenants> found) { self->found(found); });
  }

  void found(const std::optional<sql::due_tenants>& x) {
    if (stopped_)
      return;
    std::chrono::microseconds wait = look_every;
    if (x && x->next_in)
      wait = std::min(wait, *x->next_in);
    if (x)
      for (const auto& tenant : x->tenants)
        if (with_.here(tenant))
          run(tenant);
    timer_.expires_after(wait);
    timer_.async_wait([self = shared_from_this()](boost::system::error_code ec) {
      if (!ec)
        self->look();
    });
  }

  /// One more beside those of the tenant that run: with each look, as long as there are more due
  /// than are done in the meantime.
  void run(tenant_id tenant) {
    auto& running = running_[tenant];
    if (stopped_ || running >= at_once_per_tenant || all_ >= at_once) {
      if (running == 0)
        running_.erase(tenant);
      return;
    }
    ++running;
    ++all_;
    with_.run(tenant, [self = shared_from_this(), tenant](std::optional<bool> ran) {
      self->ended(tenant, ran);
    });
  }

  void ended(tenant_id tenant, std::optional<bool> ran) {
    --all_;
    const auto at = running_.find(tenant);
    if (--at->second == 0)
      running_.erase(at);
    if (!ran)
      probe_.failed();
    if (!ran.value_or(false))
      return;  // nothing is left, or the next look tries again
    probe_.ran();
    if (with_.here(tenant))
      run(tenant);
  }

  boost::asio::io_context& context_;
  boost::asio::steady_timer timer_;
  const parts with_;
  const scheduler_probe probe_;
  std::unordered_map<tenant_id, size_t> running_;
  size_t all_ = 0;
  bool stopped_ = false;
};

scheduler::scheduler(boost::asio::io_context& context, parts with, scheduler_probe probe)
    : impl_{std::make_shared<impl>(context, std::move(with), std::move(probe))} {}

scheduler::~scheduler() { stop(); }

void scheduler::start() { impl_->start(); }

void scheduler::stop() { impl_->stop(); }

namespace {

agentese::invoke_aspect run_due(const uuid& trace) {
  agentese::invoke_aspect out;
  out.node = "time.schedule";
  out.aspect = "run_due";
  out.kwargs = "{}";
  out.origin = "schedule";
  for (const auto c : trace.text())
    if (c != '-')
      out.trace_id += c;
  out.span_id = out.trace_id.substr(16);
  out.deadline_ms = 140'000;  // what the aspect declares
  out.internal = true;
  out.strict = true;
  return out;
}

/// Whether it ran one; nothing when it failed.
std::optional<bool> ran(const answer<agentese::aspect_answer>& x) {
  if (!x.ok() || x.value.kind != agentese::answer_kind::value)
    return std::nullopt;
  boost::system::error_code bad;
  const auto body = json::parse(x.value.body, bad);
  const auto* out = !bad && body.is_object() ? body.get_object().if_contains("ran") : nullptr;
  return out != nullptr && out->is_bool() ? std::optional{out->get_bool()} : std::nullopt;
}

/// What is due of the tenants with a database of their own. Each is asked on its own and waited for
/// by nobody: what it answers is told with the next look, and what cannot be reached holds up no
/// other.
class due_apart : public std::enable_shared_from_this<due_apart> {
public:
  void ask(sql::transactor& control) {
    for (const auto& tenant : control.silos()) {
      {
        std::lock_guard guard{mutex_};
        if (!asked_.insert(tenant).second)
          continue;
      }
      auto query = sql::agentese_schedule::due(1);
      query.work.about = tenant;
      query.work.deadline = std::chrono::steady_clock::now() + runtime::limits::sql_deadline;
      sql::run(control, std::move(query),
               [self = shared_from_this(), tenant](const sql::answer<sql::due_tenants>& x) {
                 std::lock_guard guard{self->mutex_};
                 self->asked_.erase(tenant);
                 if (const auto* due = std::get_if<0>(&x); due != nullptr && !due->tenants.empty())
                   self->due_.insert(tenant);
               });
    }
  }

  void add_to(std::optional<sql::due_tenants>& found) {
    std::lock_guard guard{mutex_};
    if (due_.empty())
      return;
    if (!found)
      found.emplace();
    found->tenants.insert(found->tenants.end(), due_.begin(), due_.end());
    due_.clear();
  }

private:
  std::mutex mutex_;
  std::set<tenant_id> asked_;
  std::set<tenant_id> due_;
};

}  // namespace

scheduler::parts scheduler_parts(runtime::io_thread& thread, runtime::port& port,
                                 const runtime::region& entities, sql::transactor& control) {
  scheduler::parts out;
  auto apart = std::make_shared<due_apart>();
  out.look = [&thread, &control, apart](std::function<void(std::optional<sql::due_tenants>)> done) {
    apart->ask(control);
    auto query = sql::agentese_schedule::due(scheduler::tenants_per_look);
    query.work.deadline = std::chrono::steady_clock::now() + runtime::limits::sql_deadline;
    sql::run(control, std::move(query),
             [&thread, apart, done = std::move(done)](sql::answer<sql::due_tenants> x) {
               std::optional<sql::due_tenants> found;
               if (auto* due = std::get_if<0>(&x))
                 found = std::move(*due);
               apart->add_to(found);
               const auto tell = [done, found = std::move(found)] { done(found); };
               boost::asio::post(thread.context(), tell);
             });
  };
  out.here = [&entities](tenant_id tenant) {
    const auto where = entities.route_of(context_entity(entity_kind::time, tenant)).where;
    return where == runtime::cluster::route::kind::here;
  };
  out.run = [&port](tenant_id tenant, std::function<void(std::optional<bool>)> done) {
    port.ask<agentese::aspect_answer>(
        context_entity(entity_kind::time, tenant), run_due(uuid::random()),
        [done = std::move(done)](const answer<agentese::aspect_answer>& x) { done(ran(x)); });
  };
  return out;
}

}  // namespace kgents::actors
