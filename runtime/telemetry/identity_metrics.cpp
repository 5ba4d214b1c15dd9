#include "runtime/telemetry/identity_metrics.hpp"

#include <prometheus/registry.h>

#include <string>

namespace kgents::runtime {

namespace {

using prometheus::Counter;
using prometheus::Registry;

Counter& sign_ins(Registry& registry, std::string_view outcome) {
  return prometheus::BuildCounter()
      .Name("kgents_sign_ins_total")
      .Help("Tokens that were verified, by outcome: accepted, nobody, or what is wrong with them.")
      .Register(registry)
      .Add({{"outcome", std::string{outcome}}});
}

Counter& fetches(Registry& registry, const char* outcome) {
  return prometheus::BuildCounter()
      .Name("kgents_jwks_fetches_total")
      .Help("Attempts to read the identity provider's keys: ok, failed.")
      .Register(registry)
      .Add({{"outcome", outcome}});
}

std::array<Counter*, identity::faults> by_fault(Registry& registry) {
  std::array<Counter*, identity::faults> out{};
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = &sign_ins(registry, to_string(static_cast<identity::fault>(i)));
  return out;
}

}  // namespace

identity_metrics::identity_metrics(Registry& registry)
    : accepted{sign_ins(registry, "accepted")},
      nobody{sign_ins(registry, "nobody")},
      fetched{fetches(registry, "ok")},
      fetch_failed{fetches(registry, "failed")},
      keys{prometheus::BuildGauge()
               .Name("kgents_jwks_keys")
               .Help("Keys of the identity provider that tokens are verified with.")
               .Register(registry)
               .Add({})},
      refused_{by_fault(registry)} {}

}  // namespace kgents::runtime
