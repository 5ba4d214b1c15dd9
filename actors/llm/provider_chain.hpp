#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "actors/llm/provider.hpp"
#include "runtime/circuit_breaker.hpp"

namespace kgents::llm {

/// Told once for each call of a provider, on the call's I/O thread. `outcome`: "ok", "canceled", or
/// the name of an error_type; "open" for a provider that was passed over because its breaker is
/// open (0 s).
using call_observer = std::function<void(std::string_view provider, std::string_view model,
                                         std::string_view outcome, double seconds)>;

/// Providers in order of preference, with a circuit breaker before each.
///
/// An answer begins with the first provider whose breaker admits it. If that fails before its first
/// chunk, for whatever reason, the next one is asked; when none is left the last failure is the
/// answer's. A failure behind the first chunk is final: another model would not go on with the same
/// sentence.
///
/// A breaker counts an answer when it ends. A probe counts as a success at its first chunk, so that
/// a long answer does not keep the others waiting; a probe that is cancelled before counts as a
/// failure, since people give up on what hangs.
///
/// Thread-safe; an answer stays on its I/O thread.
class provider_chain final : public provider {
public:
  using clock = std::function<std::chrono::steady_clock::time_point()>;

  /// `links` must not be empty. `now` is for the breakers and the observer's seconds.
  explicit provider_chain(std::vector<std::shared_ptr<provider>> links, call_observer observer = {},
                          runtime::breaker_limits limits = {},
                          clock now = std::chrono::steady_clock::now);
  ~provider_chain() override;

  /// The first one's.
  [[nodiscard]] std::string_view name() const noexcept override;
  [[nodiscard]] std::string_view model() const noexcept override;

  [[nodiscard]] std::unique_ptr<stream> start(runtime::io_thread& thread, prompt ask,
                                              sink out) override;

  struct link_state {
    std::string_view provider;
    std::string_view model;
    runtime::breaker_state breaker;
  };

  /// For health and metrics; from any thread.
  [[nodiscard]] std::vector<link_state> states() const;

private:
  class shared_state;
  class answering;
  class chain_stream;

  std::shared_ptr<shared_state> state_;
};

}  // namespace kgents::llm
