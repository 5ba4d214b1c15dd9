#pragma once

#include <cjose/jwk.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kgents::runtime::identity {

/// How a token may be signed. EdDSA is not among them: cjose 0.6 has none.
enum class algorithm : uint8_t { rs256, es256, hs256 };

/// As the header of a token names it; none for every other, `none` first of all.
[[nodiscard]] std::optional<algorithm> algorithm_of(std::string_view alg) noexcept;

/// One key, and the one algorithm that it verifies. That is the key's own property: what a token
/// says never makes a signature's key of a public one.
struct verification_key {
  std::string id;  ///< `kid`; may be empty
  algorithm alg;
  std::shared_ptr<const cjose_jwk_t> jwk;
  size_t signature_bytes = 0;
  std::string print;  ///< SHA-256 of what it is made of: the same for the same key
};

/// The keys that tokens are verified with. Immutable, so that any thread may use it.
class key_set {
public:
  /// An answer of the provider that is longer is no key set.
  static constexpr size_t most_bytes = 256 * 1024;
  /// Of the ones that can be used; more are left out. Providers publish two to ten.
  static constexpr size_t most_keys = 64;

  key_set() = default;

  /// The usable keys of a JWKS (RFC 7517): RSA of 2048 to 8192 bits for RS256, P-256 for ES256,
  /// public, and for signatures. All others are ignored: symmetric ones too, since whoever can
  /// read them could sign. None: that is no JWKS, or it has no usable key.
  [[nodiscard]] static std::optional<key_set> of_provider(std::string_view jwks);

  /// One HS256 key.
  [[nodiscard]] static key_set of_secret(std::string_view secret);

  /// The key that a token names. A token that names none is taken only where there is nothing to
  /// choose.
  [[nodiscard]] const verification_key* find(algorithm alg, const std::string* id) const noexcept;

  /// Whether such a key may be among them: a provider's are public, a secret is one.
  [[nodiscard]] bool takes(algorithm alg) const noexcept {
    return (alg == algorithm::hs256) == is_secret_;
  }
  [[nodiscard]] size_t size() const noexcept { return keys_.size(); }
  /// Whether it has all keys of the other one.
  [[nodiscard]] bool includes(const key_set& other) const;

private:
  std::vector<verification_key> keys_;
  bool is_secret_ = false;
};

}  // namespace kgents::runtime::identity
