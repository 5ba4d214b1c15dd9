#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace kgents::runtime::identity {

/// What is wrong with a token. For the operator's eyes: callers hear one sentence for all.
enum class fault : uint8_t {
  malformed,    ///< no compact JWS of JSON, too long, a member twice, an unknown critical header
  algorithm,    ///< not one that this server is configured for
  unknown_key,  ///< none of the provider's keys, as far as is known
  signature,
  expired,
  not_yet,  ///< nbf or iat lie in the future
  issuer,
  audience,
  claims,  ///< one is missing or is no such thing
};
inline constexpr size_t faults = 9;

[[nodiscard]] constexpr std::string_view to_string(fault x) noexcept {
  constexpr std::string_view names[] = {"malformed", "algorithm", "unknown_key", "signature",
                                        "expired",   "not_yet",   "issuer",      "audience",
                                        "claims"};
  return names[static_cast<size_t>(x)];
}

}  // namespace kgents::runtime::identity
