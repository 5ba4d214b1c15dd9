#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace kgents::llm {

/// The base URL of a provider, taken apart.
struct http_url {
  bool tls = false;
  std::string host;  ///< a name, an IPv4 address, or an IPv6 address without brackets
  std::string port;  ///< digits
  std::string path;  ///< begins with '/', or empty; never ends in '/'

  /// The value of the `Host` field (RFC 9110, 7.2): no port where it is the scheme's own.
  [[nodiscard]] std::string authority() const;
};

/// `http://host[:port][/path]` or `https://…`; no user, query or fragment, no character that would
/// need escaping.
[[nodiscard]] std::optional<http_url> parse_http_url(std::string_view text);

}  // namespace kgents::llm
