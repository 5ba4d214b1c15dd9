#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kgents::runtime::idempotency {

/// Where a Redis is and how to enter.
struct redis_address {
  bool tls = false;
  std::string host;  ///< without brackets
  uint16_t port = 6379;
  std::string user;      ///< empty: Redis' `default`
  std::string password;  ///< empty: none is asked for
  uint32_t database = 0;
};

/// redis[s]://[[user]:password@]host[:port][/database], user and password percent-encoded.
[[nodiscard]] std::optional<redis_address> parse_redis_url(std::string_view url);

}  // namespace kgents::runtime::idempotency
