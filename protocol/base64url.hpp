#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace kgents {

/// base64url without padding (RFC 4648, section 5).
[[nodiscard]] std::string to_base64url(std::string_view bytes);

/// Strict: of all texts that mean the same bytes, only the one that `to_base64url` gives is taken.
[[nodiscard]] std::optional<std::string> from_base64url(std::string_view text);

}  // namespace kgents
