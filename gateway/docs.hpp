#pragma once

#include <string>
#include <string_view>

namespace kgents::gateway {

/// The reference page behind /docs and /redoc: one self-contained HTML file (gateway/docs/) that
/// reads /openapi.json.
[[nodiscard]] std::string_view docs_page() noexcept;

/// The page's Content-Security-Policy: its own style and script by their hashes, requests to its
/// own origin, nothing else.
[[nodiscard]] const std::string& docs_policy();

}  // namespace kgents::gateway
