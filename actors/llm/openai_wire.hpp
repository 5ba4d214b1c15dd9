#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "actors/llm/answer_decoder.hpp"

namespace kgents::llm {

/// The body of `POST {base}/chat/completions` (OpenAI API reference, Chat Completions), streaming
/// with usage.
///
/// The format has no way to prefill an answer, so a prefix is sent as an assistant message,
/// followed by a user message that asks to go on exactly where it stopped.
[[nodiscard]] std::string openai_request(const prompt& ask, std::string_view model);

/// Reads what OpenAI, OpenRouter, Ollama, vLLM and llama.cpp send: chunks until `[DONE]`, errors
/// inside the stream, usage in a last chunk or none, any member missing.
[[nodiscard]] std::unique_ptr<answer_decoder> openai_decoder();

}  // namespace kgents::llm
