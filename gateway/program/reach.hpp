#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kgents::gateway {

/// Where a URL points.
struct endpoint_address {
  std::string host;  ///< without brackets
  uint16_t port = 0;
};

/// scheme://[user[:password]@]host[:port][/…]; the scheme's own port when it names none.
[[nodiscard]] std::optional<endpoint_address> address_of(std::string_view url);

/// A blocking TCP connection with a deadline for each step: for `check`, not for the server.
class reached {
public:
  /// Tries each address of the name. Check `error()`.
  reached(const endpoint_address& where, std::chrono::seconds patience);
  reached(const reached&) = delete;
  reached& operator=(const reached&) = delete;
  ~reached();

  [[nodiscard]] const std::string& error() const noexcept { return error_; }
  [[nodiscard]] int descriptor() const noexcept { return fd_; }

private:
  int fd_ = -1;
  std::string error_;
};

}  // namespace kgents::gateway
