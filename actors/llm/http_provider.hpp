#pragma once

#include <functional>
#include <memory>
#include <string>

#include "actors/llm/answer_decoder.hpp"
#include "actors/llm/provider.hpp"
#include "runtime/settings.hpp"

namespace kgents::llm {

/// An endpoint that speaks one of the wire formats.
struct http_provider_options {
  std::string base_url;     ///< http or https
  runtime::secret api_key;  ///< empty: no credential is sent
  std::string model;
  timeouts limits;
  std::string ca_file;  ///< PEM; empty: the system's authorities
};

/// Any OpenAI-compatible endpoint: `POST {base}/chat/completions`. Throws std::invalid_argument
/// when the options cannot work (malformed URL, a key or model with control characters); the
/// message does not show the key.
[[nodiscard]] std::shared_ptr<provider> make_openai_provider(const http_provider_options& options);

/// Anthropic's Messages API: `POST {base}/v1/messages`. Throws as above.
[[nodiscard]] std::shared_ptr<provider> make_anthropic_provider(
    const http_provider_options& options);

}  // namespace kgents::llm
