#include "actors/llm/provider.hpp"

namespace kgents::llm {

std::string_view to_string(error_type x) noexcept {
  switch (x) {
    case error_type::provider_unavailable:
      return "provider_unavailable";
    case error_type::provider_timeout:
      return "provider_timeout";
    case error_type::provider_rejected:
      return "provider_rejected";
    case error_type::provider_rate_limited:
      return "provider_rate_limited";
    case error_type::provider_protocol:
      return "provider_protocol";
    case error_type::overloaded:
      return "overloaded";
    case error_type::internal:
      return "internal";
  }
  return "internal";
}

}  // namespace kgents::llm
