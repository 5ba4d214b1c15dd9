#include "actors/llm/make_providers.hpp"

#include "actors/llm/embedded_provider.hpp"
#include "actors/llm/http_provider.hpp"

namespace kgents::llm {

namespace {

http_provider_options options_of(const runtime::provider_settings& endpoint,
                                 const runtime::llm_deadlines& limits) {
  return {.base_url = endpoint.base_url,
          .api_key = endpoint.api_key,
          .model = endpoint.model,
          .limits = {.connect = limits.connect,
                     .first_chunk = limits.first_chunk,
                     .between_chunks = limits.between_chunks,
                     .whole = limits.whole},
          .ca_file = {}};
}

std::shared_ptr<provider> make_provider(runtime::provider_kind kind,
                                        const runtime::settings& from) {
  switch (kind) {
    case runtime::provider_kind::openai:
      return make_openai_provider(options_of(from.openai, from.llm_timeouts));
    case runtime::provider_kind::anthropic:
      return make_anthropic_provider(options_of(from.anthropic, from.llm_timeouts));
    case runtime::provider_kind::embedded:
      break;
  }
  return make_embedded_provider(from.embedded_tokens_per_second);
}

}  // namespace

std::shared_ptr<provider_chain> make_providers(const runtime::settings& from,
                                               call_observer observer) {
  std::vector<std::shared_ptr<provider>> links;
  for (const auto kind : from.llm)
    links.push_back(make_provider(kind, from));
  return std::make_shared<provider_chain>(std::move(links), std::move(observer));
}

}  // namespace kgents::llm
