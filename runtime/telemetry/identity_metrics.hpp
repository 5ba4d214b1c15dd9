#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>

#include <array>

#include "runtime/identity/fault.hpp"

namespace prometheus {
class Registry;
}

namespace kgents::runtime {

/// Sign-in with tokens: `kgents_sign_ins_total` and `kgents_jwks_*`. Any thread.
class identity_metrics {
public:
  explicit identity_metrics(prometheus::Registry& registry);

  prometheus::Counter& accepted;  ///< tokens that were looked at, not found in the cache
  prometheus::Counter& nobody;    ///< good ones of nobody who may sign in
  [[nodiscard]] prometheus::Counter& refused(identity::fault x) {
    return *refused_[static_cast<size_t>(x)];
  }
  prometheus::Counter& fetched;  ///< key sets of the provider
  prometheus::Counter& fetch_failed;
  prometheus::Gauge& keys;  ///< in use

private:
  std::array<prometheus::Counter*, identity::faults> refused_;
};

}  // namespace kgents::runtime
