#pragma once

#include <cstdint>
#include <string_view>

#include "actors/llm/provider.hpp"
#include "actors/persona/budget.hpp"
#include "protocol/messages.hpp"
#include "sql/turns.hpp"

/// How many tokens a question to a model takes at most, and how it is made to fit into what is held
/// back for it.
///
/// Our own prompts are plain English: a token is five bytes of them. What others wrote is half
/// a token a byte, above what tokenizers make of most languages; both are above the words that the
/// embedded engine counts. What a provider reports in the end is what is charged; only text made to
/// cost more (a token a byte) could exceed what was held.
namespace kgents::actors {

/// Without its prefix, which is part of the answer.
[[nodiscard]] uint64_t prompt_tokens(const llm::prompt& ask) noexcept;

/// Of a message to a session, without the conversation so far.
[[nodiscard]] sql::token_need need_of(std::string_view system, std::string_view message,
                                      persona::budget_tier budget) noexcept;
/// Of any question to a model: from a short answer to its longest.
[[nodiscard]] sql::token_need need_of(const llm::prompt& ask) noexcept;

/// Makes prompt and answer take `most` tokens at most: the oldest messages go first, then the answer
/// becomes shorter. The last message stays.
void fit(llm::prompt& ask, uint64_t most);

/// 429: the budget of the month. With Retry-After of a second when only what is under way holds it.
[[nodiscard]] refusal refused_by_budget(const sql::token_budget& x, const sql::token_need& need);
/// 413: the key may not use that many at once.
[[nodiscard]] refusal refused_as_oversized(const sql::token_budget& x, const sql::token_need& need);

}  // namespace kgents::actors
