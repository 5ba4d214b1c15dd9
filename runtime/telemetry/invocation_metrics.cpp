#include "runtime/telemetry/invocation_metrics.hpp"

namespace kgents::runtime {

namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Histogram;
using prometheus::Registry;

// A warm manifest takes some tens of microseconds, a commit some milliseconds, a model seconds.
const Histogram::BucketBoundaries time_buckets{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                               0.1,    0.25,  0.5,    1,     2,    5,     30};
const Histogram::BucketBoundaries fanout_buckets{0, 1, 10, 100, 1000};

Family<Counter>& counters(Registry& registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}

}  // namespace

invocation_metrics::invocation_metrics(Registry& registry)
    : in_flight{prometheus::BuildGauge()
                    .Name("agentese_requests_in_flight")
                    .Help("Invocations that this node was asked for and has not answered.")
                    .Register(registry)
                    .Add({})},
      invocations_{counters(registry, "agentese_invocations_total", "Invocations that ended.")},
      operations_{counters(registry, "agentese_operations_total", "Invocations by their verb.")},
      tokens_{counters(registry, "agentese_tokens_total", "Tokens that models took and gave.")},
      errors_{counters(registry, "agentese_errors_total", "Invocations that failed, by code.")},
      effects_{counters(registry, "agentese_effect_operations_total",
                        "Declared effects of the invocations that succeeded.")},
      seconds_{prometheus::BuildHistogram()
                   .Name("agentese_invoke_duration_seconds")
                   .Help("From the question to its answer.")
                   .Register(registry)} {
  auto& fanout = prometheus::BuildHistogram()
                     .Name("agentese_query_fanout")
                     .Help("Matches of queries, before paging.")
                     .Register(registry);
  constexpr const char* forms[] = {"context", "holon", "aspect"};
  for (size_t i = 0; i < 3; ++i)
    fanout_[i] = &fanout.Add({{"pattern", forms[i]}}, fanout_buckets);
}

aspect_probe invocation_metrics::make(
    const std::string& path, std::string_view context, std::string_view aspect,
    std::string_view category, const std::vector<std::pair<std::string, std::string>>& effects) {
  constexpr const char* statuses[] = {"ok", "error", "refused"};
  const prometheus::Labels where{{"path", path}, {"context", std::string{context}}};
  aspect_probe out;
  for (size_t i = 0; i < 3; ++i) {
    auto labels = where;
    labels["aspect"] = aspect;
    labels["category"] = category;
    labels["status"] = statuses[i];
    out.ended[i] = &invocations_.Add(labels);
  }
  auto tokens = where;
  tokens["direction"] = "in";
  out.tokens_in = &tokens_.Add(tokens);
  tokens["direction"] = "out";
  out.tokens_out = &tokens_.Add(tokens);
  out.seconds = &seconds_.Add(where, time_buckets);
  for (const auto& [kind, resource] : effects)
    out.effects.push_back(&effects_.Add({{"effect", kind}, {"resource", resource}}));
  out.operations =
      &operations_.Add({{"aspect", std::string{aspect}}, {"context", std::string{context}}});
  return out;
}

void invocation_metrics::failed(const std::string& code, std::string_view context) {
  errors_.Add({{"error_type", code}, {"context", std::string{context}}}).Increment();
}

}  // namespace kgents::runtime
