#pragma once

#include <string>

namespace kgents::gateway {

/// The OpenAPI 3.1 document of `all_routes()`, made once.
[[nodiscard]] const std::string& openapi_document();

inline constexpr std::string_view api_title = "kgents SaaS API";
inline constexpr std::string_view api_version = "v1";
inline constexpr std::string_view api_description =
    "Multi-tenant AGENTESE and K-gent Soul API: chat sessions whose answers stream, survive "
    "restarts and can be resumed at any event.";

}  // namespace kgents::gateway
