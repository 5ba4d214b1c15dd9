#include "actors/metering/meter.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <future>
#include <optional>

#include "actors/metering/exporter.hpp"
#include "actors/metering/reconciliation.hpp"
#include "runtime/single_worker.hpp"

namespace kgents::metering {

namespace json = boost::json;

namespace {

exporter::options options_of(const runtime::openmeter_settings& x) {
  exporter::options out;
  out.base_url = x.base_url;
  out.api_key = x.api_key;
  out.batch_size = x.batch_size;
  out.flush_interval = x.flush_interval;
  return out;
}

reconciliation::options comparison_of(const runtime::openmeter_settings& x) {
  reconciliation::options out;
  if (x.configured()) {
    out.base_url = x.base_url;
    out.api_key = x.api_key;
  }
  return out;
}

exporter_probe probe_of(runtime::metrics& metrics) {
  exporter_probe out;
  out.sent = [&metrics](std::string_view type) { metrics.openmeter_sent(type).Increment(); };
  out.refused = [&metrics](std::string_view) { metrics.metering.refused.Increment(); };
  out.flushed = [&metrics](double seconds) { metrics.openmeter_flush_seconds.Observe(seconds); };
  out.flush_failed = [&metrics] { metrics.openmeter_flush_errors.Increment(); };
  out.backlog = [&metrics](const sql::metering_backlog& x) {
    metrics.openmeter_buffered.Set(static_cast<double>(x.pending));
    metrics.metering.lag_seconds.Set(x.age.count());
  };
  return out;
}

bool has_role(const runtime::settings& config) {
  return std::find(config.roles.begin(), config.roles.end(), runtime::node_role::meter) !=
         config.roles.end();
}

}  // namespace

class meter::impl {
public:
  impl(const runtime::settings& config, runtime::io_thread& thread, sql::pool& control,
       runtime::metrics& metrics, relay::publish tell)
      : thread_{thread} {
    const bool works = has_role(config);
    if (config.openmeter.configured()) {
      exporter_.emplace(
          thread, options_of(config.openmeter), store_of(thread, control), probe_of(metrics),
          [this] { return export_ && export_->active(); },
          [this] {
            if (export_)
              export_->wake();
          });
      if (works)
        export_.emplace(thread, control, "openmeter",
                        [this](auto next) { exporter_->round(std::move(next)); });
    }
    if (!works)
      return;
    comparison_.emplace(thread, control, comparison_of(config.openmeter),
                        [&metrics](double worst) {
                          metrics.metering.discrepancy_ratio.Set(worst);
                          metrics.metering.reconciliations.Increment();
                        });
    compare_.emplace(thread, control, "reconciliation",
                     [this](auto next) { comparison_->round(std::move(next)); });
    if (tell == nullptr)
      return;
    relay_.emplace(thread, control, std::move(tell), [&metrics](size_t rows) {
      metrics.metering.relayed.Increment(static_cast<double>(rows));
    });
    announce_.emplace(thread, control, "usage-relay",
                      [this](auto next) { relay_->round(std::move(next)); });
  }

  void start() {
    if (exporter_)
      exporter_->start();
    for (auto* x : workers())
      x->start();
  }

  bool flush(std::chrono::milliseconds at_most, const std::shared_ptr<impl>& self) {
    if (!export_ || !export_->active())
      return true;
    auto done = std::make_shared<std::promise<void>>();
    auto over = done->get_future();
    boost::asio::post(thread_.context(), [self, done] {
      self->exporter_->drain([done] { done->set_value(); });
      self->export_->wake();
    });
    return over.wait_for(at_most) == std::future_status::ready;
  }

  void stop(std::chrono::milliseconds at_most) {
    for (auto* x : workers())
      x->stop(at_most);
    if (exporter_)
      exporter_->stop();
  }

  [[nodiscard]] json::object health() const {
    if (exporter_)
      return exporter_->health();
    return {{"configured", false}, {"status", "disabled"}, {"mode", "local"}};
  }

private:
  std::vector<runtime::single_worker*> workers() {
    std::vector<runtime::single_worker*> out;
    for (auto* x : {&export_, &compare_, &announce_})
      if (*x)
        out.push_back(&**x);
    return out;
  }

  runtime::io_thread& thread_;
  std::optional<exporter> exporter_;
  std::optional<reconciliation> comparison_;
  std::optional<relay> relay_;
  // Last, so that they are gone first: their rounds are of the above.
  std::optional<runtime::single_worker> export_;
  std::optional<runtime::single_worker> compare_;
  std::optional<runtime::single_worker> announce_;
};

meter::meter(const runtime::settings& config, runtime::io_thread& thread, sql::pool& control,
             runtime::metrics& metrics, relay::publish tell)
    : impl_{std::make_shared<impl>(config, thread, control, metrics, std::move(tell))} {}

meter::~meter() = default;

void meter::start() { impl_->start(); }

bool meter::flush(std::chrono::milliseconds at_most) { return impl_->flush(at_most, impl_); }

void meter::stop(std::chrono::milliseconds at_most) { impl_->stop(at_most); }

json::object meter::health() const { return impl_->health(); }

}  // namespace kgents::metering
