// What is counted of requests, and who hears that a tenant's tokens run out.

#include <boost/json/serialize.hpp>

#include "gateway/program/node_impl.hpp"
#include "runtime/telemetry/log.hpp"

namespace kgents::gateway {

runtime::usage_probe running_node::impl::usage_probe() {
  runtime::usage_probe out;
  auto& counted = metrics_.usage;
  out.written = [&counted](uint64_t requests) {
    counted.requests.Increment(static_cast<double>(requests));
  };
  out.retried = [&counted] { counted.retries.Increment(); };
  out.dropped = [&counted](uint64_t requests, const char* why) {
    auto& kind = why == std::string_view{"full"} ? counted.dropped_full : counted.dropped_rejected;
    kind.Increment(static_cast<double>(requests));
  };
  return out;
}

/// One `billing.usage.threshold` a tenant, month and part of its tokens.
runtime::usage_thresholds::tell running_node::impl::threshold_teller() {
  return [this](const sql::crossed_threshold& x, std::function<void(bool)> done) {
    metrics_.usage.thresholds.Increment();
    log::info("usage threshold", {{"tenant_id", x.tenant.text()},
                                  {"period", x.period},
                                  {"percent", static_cast<uint64_t>(x.percent)}});
    if (!bus_.enabled()) {
      done(true);
      return;
    }
    runtime::bus::publication out;
    out.lane = x.tenant.value;
    out.subject = "billing.usage.threshold";
    out.id = x.id.text();
    out.payload = boost::json::serialize(boost::json::object{{"type", "usage.threshold"},
                                                             {"id", out.id},
                                                             {"tenant_id", x.tenant.text()},
                                                             {"billing_period", x.period},
                                                             {"percent", x.percent},
                                                             {"tokens_used", x.tokens_used},
                                                             {"tokens_limit", x.tokens_limit},
                                                             {"timestamp", x.crossed_at},
                                                             {"v", 1}});
    out.kind = "billing";
    out.done = std::move(done);
    bus_.publish(std::move(out));
  };
}

}  // namespace kgents::gateway
