#pragma once

#include <string>
#include <string_view>

namespace kgents::gateway {

/// A key that was just made (http-api.md 2.2): its text goes to the caller once, prefix and hash to
/// the database.
struct key_secret {
  std::string key;     ///< kg_ + 5 of [a-z0-9] + _ + 32 random bytes in URL-safe base64
  std::string prefix;  ///< the first eight characters
  std::string hash;
};

/// From the system's cryptographic random source; throws std::runtime_error when that has none.
[[nodiscard]] key_secret make_key_secret(std::string_view pepper);

/// What is stored and looked up: lower-case hex SHA-256 of the key, HMAC-SHA-256 where there is a
/// pepper.
[[nodiscard]] std::string key_hash(std::string_view key, std::string_view pepper);

}  // namespace kgents::gateway
