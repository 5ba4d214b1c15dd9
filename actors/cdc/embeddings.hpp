#pragma once

#include <memory>
#include <string>
#include <vector>

#include "actors/cdc/service.hpp"
#include "runtime/circuit_breaker.hpp"
#include "runtime/settings.hpp"

namespace kgents::cdc {

using vectors = std::vector<std::vector<float>>;

/// Texts in one call of an embeddings endpoint (data.md 11.2).
inline constexpr size_t texts_per_call = 64;

/// The vectors of an answer of POST /embeddings, in the order of the texts. Pure.
[[nodiscard]] std::variant<vectors, trouble> read_embeddings(const boost::json::value& answer,
                                                             size_t texts, size_t dimension);

/// Texts to vectors: the mock, or an endpoint that speaks OpenAI's /embeddings, behind a breaker of
/// its own. Coroutines of one thread.
class embeddings {
public:
  embeddings(runtime::io_thread& thread, const runtime::cdc_settings& how,
             const runtime::provider_settings& openai);

  /// All of them or none.
  [[nodiscard]] task<std::variant<vectors, trouble>> embed(std::vector<std::string> texts);

private:
  [[nodiscard]] task<std::variant<vectors, trouble>> ask(std::vector<std::string> texts);

  const std::string model_;
  const size_t dimension_;
  std::unique_ptr<service> service_;  // null: the mock
  runtime::circuit_breaker breaker_;
};

}  // namespace kgents::cdc
