#pragma once

#include "actors/billing/stripe_api.hpp"
#include "actors/billing/stripe_worker.hpp"
#include "runtime/admission/addresses.hpp"

namespace kgents::billing {

/// What a node has to do with Stripe: the ledger that its webhook fills, the worker that empties
/// it, and the API.
struct stripe_desk {
  /// `control` is kg_control's pool; it and `thread` outlive this.
  stripe_desk(const runtime::stripe_settings& config, runtime::io_thread& thread,
              sql::pool& control, stripe_probe probe)
      : ledger{control},
        api{config},
        worker{thread, control, config.tier_of_price, figures, std::move(probe)} {}

  sql::pool& ledger;
  stripe_figures figures;
  stripe_api api;
  runtime::address_limits deliveries{100};  ///< events-and-billing.md 4.1
  stripe_worker worker;  ///< started where the node has the role `meter` and a secret is set
};

}  // namespace kgents::billing
