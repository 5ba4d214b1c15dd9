#include "gateway/admission.hpp"

#include <algorithm>

#include "runtime/limits.hpp"
#include "sql/keys.hpp"

namespace kgents::gateway {

using runtime::verdict;

namespace {

/// A question to the home that is given up when its time is over.
struct asking {
  runtime::wheel_timer late;
  bool over = false;
};

}  // namespace

void admission::ask_home(runtime::io_thread& thread, const credential_ptr& who) {
  auto& gate = who->lease.key->traffic();
  auto what = gate.question(moment());
  what.key = who->key.key;
  what.from = at_.self();
  at_.metrics.limits.traffic_asked.Increment();
  auto x = std::make_shared<asking>();
  x->late.on_fire([this, who, weak = std::weak_ptr{x}] {
    const auto self = weak.lock();
    if (self == nullptr || std::exchange(self->over, true))
      return;
    at_.metrics.limits.traffic_alone.Increment();
    who->lease.key->traffic().unreachable(at_.nodes(), moment());
  });
  thread.wheel().arm(x->late, home_deadline);
  at_.ports[thread.index()].ask<traffic_block>(
      traffic_entity(who->key.tenant), what, [this, &thread, who, x](answer<traffic_block> out) {
        if (std::exchange(x->over, true))
          return;  // too late: what was granted is forgotten
        x->late.disarm();
        auto& gate = who->lease.key->traffic();
        if (!out.ok()) {
          at_.metrics.limits.traffic_alone.Increment();
          gate.unreachable(at_.nodes(), moment());
        } else if (gate.answered(out.value, moment())) {
          ask_home(thread, who);
        }
      });
}

void admission::ask_database(const credential_ptr& who) {
  const auto what = who->lease.key->question();
  auto query =
      sql::keys::take_operations(who->key.tenant, who->key.key, what.count, what.limit);
  query.work.deadline = std::chrono::steady_clock::now() + runtime::limits::sql_deadline;
  at_.metrics.limits.operations_asked.Increment();
  sql::run(at_.pool, std::move(query), [this, who, what](auto out) {
    auto& gate = *who->lease.key;
    if (const auto* x = std::get_if<0>(&out)) {
      if (gate.granted(what, x->granted, x->today, moment().wall))
        ask_database(who);
    } else {
      gate.unreachable();
    }
  });
}

uint32_t admission::anonymous(std::string_view address) {
  if (at_.trusts_loopback && runtime::is_loopback(address))
    return 0;
  const auto wait = addresses_.take(address, std::chrono::steady_clock::now());
  if (wait > 0)
    at_.metrics.rate_limited("l5", "anonymous").Increment();
  return wait;
}

refusal refused_traffic(const credential& who, const verdict& x) {
  const auto limit = x.hourly
                         ? std::to_string(who.key.requests_per_hour) + " requests per hour allowed."
                         : std::to_string(who.key.requests_per_minute) +
                               " requests per minute allowed.";
  return {429, "Rate limit exceeded. " + limit, std::max(1u, x.retry_after_seconds),
          "rate_limited"};
}

refusal refused_operation(const credential& who, const verdict& x) {
  if (x.unavailable)
    return {503, "The database is out of reach. Try again shortly.", 1, "unavailable"};
  return {429,
          "Rate limit exceeded. " + std::to_string(who.key.operations_per_day) +
              " requests per day allowed.",
          std::max(1u, x.retry_after_seconds), "daily_limit"};
}

std::string_view resource_of(std::string_view code) noexcept {
  if (code == "daily_limit")
    return "operations_per_day";
  if (code == "quota_exceeded")
    return "tokens_per_month";
  if (code == "rate_limited")
    return "requests";
  if (code == "fair_share")
    return "node";
  return {};
}

refusal refused_share() {
  return {429, "The server is saturated and you have your share of it. Slow down.", 1,
          "fair_share"};
}

}  // namespace kgents::gateway
