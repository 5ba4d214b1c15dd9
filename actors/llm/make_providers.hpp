#pragma once

#include <memory>

#include "actors/llm/provider_chain.hpp"
#include "runtime/settings.hpp"

namespace kgents::llm {

/// The providers that the settings list, in their order, as one chain. Throws std::invalid_argument
/// when a setting cannot work (see make_openai_provider).
[[nodiscard]] std::shared_ptr<provider_chain> make_providers(const runtime::settings& from,
                                                             call_observer observer);

}  // namespace kgents::llm
