#pragma once

#include <boost/asio/post.hpp>
#include <functional>
#include <optional>
#include <utility>

#include "gateway/auth.hpp"
#include "runtime/admission/addresses.hpp"
#include "runtime/admission/fair_share.hpp"
#include "runtime/cluster/routes.hpp"
#include "runtime/telemetry/metrics.hpp"

namespace kgents::gateway {

/// Whether a request may go on: the traffic of its key, the operations of its day, its tenant's
/// share of a saturated node; and of those without a credential, their address.
///
/// What is here or leased is decided at once, without a hop or an allocation. Otherwise the request
/// waits and `later` is called on its I/O thread: for the home of the tenant's traffic at most
/// `home_deadline`, then this node lets in its part of the limit by itself; for PostgreSQL as long
/// as a transaction may take. All calls on I/O threads.
class admission {
public:
  struct parts {
    const runtime::cluster::routes& where;
    runtime::ports& ports;
    sql::transactor& pool;
    runtime::metrics& metrics;
    std::function<node_id()> self;
    std::function<size_t()> nodes;  ///< that are up, this one among them; never 0
    uint32_t saturated_at;          ///< requests under way
    bool trusts_loopback;           ///< addresses of this machine have no limit
  };
  explicit admission(parts with) : at_{std::move(with)}, shares_{at_.saturated_at} {}

  static constexpr auto home_deadline = std::chrono::milliseconds{300};

  template <class F>
  [[nodiscard]] std::optional<runtime::verdict> traffic(runtime::io_thread& thread,
                                                        const credential_ptr& who, F later) {
    auto& gate = who->lease.key->traffic();
    const auto now = moment();
    if (at_.where.of(who->home).where == runtime::cluster::route::kind::here)
      return gate.take(now);
    const auto x = gate.use(now, [&] { return on(thread, std::move(later)); });
    if (x.ask)
      ask_home(thread, who);
    return x.at_once;
  }

  template <class F>
  [[nodiscard]] std::optional<runtime::verdict> operation(runtime::io_thread& thread,
                                                          const credential_ptr& who, F later) {
    const auto x = who->lease.key->operation(
        moment().wall, [&] { return on(thread, std::move(later)); });
    if (x.ask)
      ask_database(who);
    return x.at_once;
  }

  /// Empty: refuse it. Held until the request is answered.
  [[nodiscard]] runtime::fair_share::place enter(const credential& who) {
    return shares_.enter(who.lease.tenant->share, runtime::weight_of(who.key.tier),
                         std::chrono::steady_clock::now());
  }

  /// Both, for a message of an open socket: `done` is called with why not, at once or later. A
  /// refusal is counted.
  template <class F>
  void message(runtime::io_thread& thread, const credential_ptr& who, bool metered, F done);

  /// A request without a good credential: seconds to wait, or 0.
  [[nodiscard]] uint32_t anonymous(std::string_view address);

private:
  static runtime::traffic_gate::moment moment() {
    return {std::chrono::steady_clock::now(),
            std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now())};
  }

  template <class F>
  static runtime::verdict_handler on(runtime::io_thread& thread, F later) {
    return [&thread, later = std::move(later)](runtime::verdict x) {
      boost::asio::post(thread.context(), [later, x] { later(x); });
    };
  }

  void ask_home(runtime::io_thread& thread, const credential_ptr& who);
  void ask_database(const credential_ptr& who);

  parts at_;
  runtime::fair_share shares_;
  /// Requests without a valid credential (events-and-billing.md 8.2, L5).
  runtime::address_limits addresses_{60};
};

/// \name What a refused request is told (events-and-billing.md 8.4), and counted as.
/// @{
[[nodiscard]] refusal refused_traffic(const credential& who, const runtime::verdict& x);
[[nodiscard]] refusal refused_operation(const credential& who, const runtime::verdict& x);
[[nodiscard]] refusal refused_share();
/// The member `resource` of a 429: what there is not enough of.
[[nodiscard]] std::string_view resource_of(std::string_view code) noexcept;
/// @}

template <class F>
void admission::message(runtime::io_thread& thread, const credential_ptr& who, bool metered,
                        F done) {
  const auto counted = [this, who, done](const runtime::verdict& x) {
    if (x.allowed)
      return done(std::nullopt);
    if (!x.unavailable)
      at_.metrics.rate_limited("l2", who->key.tier).Increment();
    done(std::optional{refused_operation(*who, x)});
  };
  const auto arrived = [this, &thread, who, metered, done, counted](const runtime::verdict& x) {
    if (!x.allowed) {
      at_.metrics.rate_limited("l1", who->key.tier).Increment();
      return done(std::optional{refused_traffic(*who, x)});
    }
    if (!metered)
      return done(std::nullopt);
    if (const auto now = operation(thread, who, counted))
      counted(*now);
  };
  if (const auto now = traffic(thread, who, arrived))
    arrived(*now);
}

}  // namespace kgents::gateway
