#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/io_thread.hpp"
#include "runtime/settings.hpp"
#include "runtime/single_worker.hpp"
#include "sql/metering.hpp"

namespace kgents::metering {

/// A stretch of one billing period, to be compared.
struct stretch {
  std::string period;  ///< YYYY-MM
  std::string from;    ///< RFC 3339, whole minutes; until before `to`
  std::string to;

  friend bool operator==(const stretch&, const stretch&) = default;
};

/// What is compared at `now`: the month so far, less the last ten minutes, which the provider may
/// not have counted yet; and in its first three days the month before.
[[nodiscard]] std::vector<stretch> stretches_at(std::chrono::system_clock::time_point now);

/// (theirs - ours) / ours; where we have nothing, what they have.
[[nodiscard]] double discrepancy(double theirs, double ours) noexcept;

/// The sum of a meter's answer (`{"data":[{"value":1},…]}`); nothing when it is none.
[[nodiscard]] std::optional<double> sum_of(std::string_view body);

/// Compares, tenant by tenant and period by period, the tokens in usage_events with what the
/// provider has counted, and with the tenant's own counter of the month (events-and-billing.md
/// 3.6). It tells and logs what differs and changes nothing.
///
/// Rounds come from a single_worker on `thread`.
class reconciliation {
public:
  struct options {
    /// Empty: the provider is not asked, only the counters are compared.
    std::string base_url;
    runtime::secret api_key;
    std::chrono::milliseconds every{3'600'000};
    std::chrono::milliseconds after_failure{300'000};
    std::chrono::milliseconds request_deadline{10'000};
    /// Tenants in one comparison, those with the most tokens first.
    size_t most_tenants = 1000;
    /// What is told of in the log; the alert's threshold.
    double tolerance = 0.01;
  };

  /// `compared`: the worst discrepancy of a whole comparison.
  reconciliation(runtime::io_thread& thread, sql::pool& control, options with,
                 std::function<void(double worst)> compared);
  ~reconciliation();

  void round(runtime::single_worker::next_round next);

private:
  class impl;
  std::shared_ptr<impl> impl_;
};

}  // namespace kgents::metering
