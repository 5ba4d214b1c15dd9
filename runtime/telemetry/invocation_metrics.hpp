#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace kgents::runtime {

enum class invocation_end : uint8_t { ok, error, refused };

/// Counts the invocations of one aspect. Any thread; an atomic each but for the histogram's lock.
struct aspect_probe {
  prometheus::Counter* ended[3] = {};  // by invocation_end
  prometheus::Counter* tokens_in = nullptr;
  prometheus::Counter* tokens_out = nullptr;
  prometheus::Histogram* seconds = nullptr;
  prometheus::Counter* operations = nullptr;
  std::vector<prometheus::Counter*> effects;

  void count(invocation_end how, double took_seconds, uint32_t in, uint32_t out) const {
    ended[static_cast<size_t>(how)]->Increment();
    operations->Increment();
    seconds->Observe(took_seconds);
    if (in > 0)
      tokens_in->Increment(in);
    if (out > 0)
      tokens_out->Increment(out);
    if (how == invocation_end::ok)
      for (auto* x : effects)
        x->Increment();
  }
};

/// AGENTESE's invocations: `agentese_*` (agentese.md section 17, operations.md section 2).
///
/// `path` is what is registered, `world.*` for everything that tenants define: the number of time
/// series is that of the table, whatever clients ask for. So no path is `other`, and tenants are
/// no label.
class invocation_metrics {
public:
  explicit invocation_metrics(prometheus::Registry& registry);

  /// At start. `effects`: pairs of kind and resource.
  [[nodiscard]] aspect_probe make(
      const std::string& path, std::string_view context, std::string_view aspect,
      std::string_view category,
      const std::vector<std::pair<std::string, std::string>>& effects);

  /// Any thread; `code` is an error's.
  void failed(const std::string& code, std::string_view context);
  /// `form`: how many parts of the pattern were given, 1 to 3.
  void queried(size_t form, double matches) { fanout_[form - 1]->Observe(matches); }

  prometheus::Gauge& in_flight;

private:
  prometheus::Family<prometheus::Counter>& invocations_;
  prometheus::Family<prometheus::Counter>& operations_;
  prometheus::Family<prometheus::Counter>& tokens_;
  prometheus::Family<prometheus::Counter>& errors_;
  prometheus::Family<prometheus::Counter>& effects_;
  prometheus::Family<prometheus::Histogram>& seconds_;
  prometheus::Histogram* fanout_[3];
};

}  // namespace kgents::runtime
