#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "protocol/ids.hpp"
#include "runtime/identity/fault.hpp"
#include "runtime/identity/key_set.hpp"

namespace kgents::runtime::identity {

/// Longer ones are refused unread: a browser would not send them either.
inline constexpr size_t most_token_bytes = 8 * 1024;
/// How far the provider's clock and ours may be apart (issue: 60 s).
inline constexpr auto clock_skew = std::chrono::seconds{60};

/// What a good token says (http-api.md 2.7).
struct claims {
  std::string subject;
  std::optional<tenant_id> tenant;
  std::string email;  ///< empty unless the provider has verified it
  std::string name;
  std::optional<std::vector<std::string>> roles;
  std::optional<std::vector<std::string>> permissions;
  std::chrono::system_clock::time_point good_until;  ///< `exp` and the skew
};

using verified = std::variant<claims, fault>;

/// Tells good tokens from bad ones: compact JWS, a signature of one of the keys, and claims that
/// are meant for this server, now. Pure; any thread. A signature takes some 50 us.
///
/// Refused are also: members that occur twice, `crit` and `b64` (nothing critical is understood),
/// encrypted and nested tokens, and types other than (access) tokens. Keys that a header carries or
/// points to are never looked at.
class token_verifier {
public:
  /// `issuer` and `audience` as they must be in a token.
  token_verifier(std::string issuer, std::string audience)
      : issuer_{std::move(issuer)}, audience_{std::move(audience)} {}

  [[nodiscard]] verified verify(std::string_view token, const key_set& keys,
                                std::chrono::system_clock::time_point now) const;

private:
  const std::string issuer_;
  const std::string audience_;
};

}  // namespace kgents::runtime::identity
