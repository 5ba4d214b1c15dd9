#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "actors/llm/answer_decoder.hpp"

namespace kgents::llm {

/// The body of `POST {base}/v1/messages` (Anthropic Messages API, version 2023-06-01), streaming.
///
/// A prefix becomes the beginning of the assistant's message, which the model goes on with. The API
/// refuses one that ends in white space, so that is left out here and, where the model says it
/// again, dropped by the decoder.
[[nodiscard]] std::string anthropic_request(const prompt& ask, std::string_view model);

/// `prefix` is the prompt's.
[[nodiscard]] std::unique_ptr<answer_decoder> anthropic_decoder(std::string_view prefix);

}  // namespace kgents::llm
