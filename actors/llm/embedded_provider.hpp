#pragma once

#include <cstdint>
#include <memory>

#include "actors/llm/provider.hpp"

namespace kgents::llm {

/// The model in the program: deterministic, no network, never fails. Equal prompts give equal
/// answers, and an answer goes on exactly behind the prompt's prefix. Behind a prefix of another
/// model (fail-over after a crash) its own answer begins as a new paragraph.
///
/// `max_tokens` and `usage::tokens_out` count the chunks of the whole answer, the prefix included,
/// so that an answer that was cut and continued costs what an undisturbed one does; `tokens_in` are
/// the words of the prompt.
///
/// `tokens_per_second`: chunks a second of one answer; 0: as fast as credit allows.
[[nodiscard]] std::shared_ptr<provider> make_embedded_provider(uint32_t tokens_per_second);

}  // namespace kgents::llm
