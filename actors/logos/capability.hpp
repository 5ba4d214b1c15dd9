#pragma once

#include <array>
#include <boost/json/object.hpp>
#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "protocol/agentese/error.hpp"
#include "protocol/agentese/invocation.hpp"
#include "protocol/ids.hpp"

namespace kgents::actors {

class registry;

/// Authority by possession (agentese.md section 7): who holds the token may do what it says, for
/// one tenant and a while.
struct capability {
  std::string issuer;                  ///< did:kgents:… of who minted or narrowed it
  std::string audience;                ///< did:kgents:tenant:<id>
  std::vector<std::string> scopes;     ///< `memory:write`, `memory:read`, `define`, or `*`
  std::vector<std::string> resources;  ///< `memory/*`, `memory`, or `*`
  std::chrono::sys_seconds not_before;
  std::chrono::sys_seconds expires_at;
  std::string parent;  ///< proof of the one it was narrowed from; empty: minted
  /// Who minted and narrowed the ones before it, first of all who minted; each once.
  std::vector<std::string> chain;
};

/// What somebody asks for. Absent members are the widest that the asker may give.
struct capability_request {
  std::vector<std::string> scopes{};
  std::vector<std::string> resources{};
  std::optional<std::chrono::sys_seconds> not_before{};
  std::optional<std::chrono::sys_seconds> expires_at{};
};

namespace capability_limits {

inline constexpr size_t most_scopes = 32;
inline constexpr size_t most_resources = 32;
inline constexpr size_t name_most_bytes = 128;
inline constexpr size_t token_most_bytes = 8 * 1024;
/// Hands that a token may have gone through.
inline constexpr size_t most_chain = 16;
inline constexpr std::chrono::hours usual_life{1};
/// A token dies with the keys it came from, but not by itself: so none lives long.
inline constexpr std::chrono::hours longest_life{24};

}  // namespace capability_limits

/// Mints, narrows and verifies capability tokens: base64url of JSON with a proof, HMAC-SHA256 under
/// a key of its own. Immutable, any thread. Errors are FORBIDDEN (CAPABILITY_INVALID) with
/// `details.reason`, or INVALID_ARGUMENT for a request that makes no sense.
class capability_authority {
public:
  using token_or_error = std::variant<std::string, agentese::error>;
  using capability_or_error = std::variant<capability, agentese::error>;
  using time = std::chrono::sys_seconds;

  /// The key is derived from `secret` (HKDF-SHA256, label "kgents capability v1"). An empty one
  /// gives a random key: tokens are then good on this node, until it stops.
  explicit capability_authority(std::string_view secret);

  /// Never more than the minter's own credential allows: writing needs `write`, reading `read`.
  /// Without scopes: `*` where the credential has both; otherwise they must be named.
  [[nodiscard]] token_or_error mint(tenant_id tenant, const agentese::caller& minter,
                                    const capability_request& what, time now) const;

  /// A token that allows a part of what `token` does. What would widen it is refused.
  [[nodiscard]] token_or_error narrow(tenant_id tenant, const agentese::caller& holder,
                                      std::string_view token, const capability_request& what,
                                      time now) const;

  /// Reason: malformed, forged, other_audience, not_yet_valid or expired.
  [[nodiscard]] capability_or_error verify(tenant_id tenant, std::string_view token,
                                           time now) const;

private:
  [[nodiscard]] std::string proof_of(const capability& x) const;
  [[nodiscard]] std::string sign(const capability& x) const;

  std::array<unsigned char, 32> key_{};
};

/// What of `known` (`R:write`, `R:read`, names) a capability proves: its scopes name it, and its
/// resources cover the whole of R. Names without a resource need no resource.
[[nodiscard]] std::vector<std::string> proven_scopes(const capability& x,
                                                     std::span<const std::string> known);

/// Every scope that an aspect may ask for, from the table's effects, and `define`. Sorted.
[[nodiscard]] std::vector<std::string> known_scopes(const registry& nodes);

/// The keys that it came from: it is worth something only while all of them may act.
[[nodiscard]] std::vector<api_key_id> keys_behind(const capability& x);

/// FORBIDDEN (CAPABILITY_INVALID), reason revoked.
[[nodiscard]] agentese::error revoked_capability();

/// Its members as in agentese.md section 7, without the proof.
[[nodiscard]] boost::json::object to_json(const capability& x);

}  // namespace kgents::actors
