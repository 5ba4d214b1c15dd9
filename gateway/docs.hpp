#pragma once

#include <string_view>

namespace kgents::gateway {

/// The reference page behind /docs and /redoc: one self-contained HTML file that reads /openapi.json.
[[nodiscard]] std::string_view docs_page() noexcept;

}  // namespace kgents::gateway
