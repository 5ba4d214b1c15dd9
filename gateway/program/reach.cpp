#include "gateway/program/reach.hpp"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>

namespace kgents::gateway {

namespace {

uint16_t port_of_scheme(std::string_view scheme) {
  constexpr std::pair<std::string_view, uint16_t> known[] = {{"http", 80},    {"https", 443},
                                                             {"nats", 4222},  {"tls", 4222},
                                                             {"redis", 6379}, {"rediss", 6379}};
  for (const auto& [name, port] : known)
    if (name == scheme)
      return port;
  return 0;
}

/// 0, or why not.
int connect_within(int fd, const addrinfo& to, std::chrono::seconds patience) {
  // Linux applies the send timeout to connect as well (socket(7)), and reports EINPROGRESS when it
  // is over.
  const timeval limit{patience.count(), 0};
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  if (::connect(fd, to.ai_addr, to.ai_addrlen) == 0)
    return 0;
  return errno == EINPROGRESS ? ETIMEDOUT : errno;
}

}  // namespace

std::optional<endpoint_address> address_of(std::string_view url) {
  const auto colon = url.find("://");
  if (colon == url.npos)
    return std::nullopt;
  endpoint_address result{.host = {}, .port = port_of_scheme(url.substr(0, colon))};
  auto rest = url.substr(colon + 3);
  rest = rest.substr(0, rest.find_first_of("/?#"));
  if (const auto at = rest.rfind('@'); at != rest.npos)
    rest.remove_prefix(at + 1);
  const auto bracket = rest.starts_with('[') ? rest.find(']') : rest.npos;
  const auto end = bracket == rest.npos ? rest.find(':') : bracket + 1;
  result.host = bracket == rest.npos ? rest.substr(0, end) : rest.substr(1, bracket - 1);
  if (end < rest.size()) {
    const auto digits = rest.substr(end + 1);
    const auto [stop, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), result.port);
    if (rest[end] != ':' || error != std::errc{} || stop != digits.data() + digits.size())
      return std::nullopt;
  }
  if (result.host.empty() || result.port == 0)
    return std::nullopt;
  return result;
}

reached::reached(const endpoint_address& where, std::chrono::seconds patience) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const auto port = std::to_string(where.port);
  if (const int error = ::getaddrinfo(where.host.c_str(), port.c_str(), &hints, &found);
      error != 0) {
    error_ = where.host + ": " + ::gai_strerror(error);
    return;
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> all{found, &::freeaddrinfo};
  for (const auto* to = found; to != nullptr; to = to->ai_next) {
    const int fd = ::socket(to->ai_family, to->ai_socktype | SOCK_CLOEXEC, to->ai_protocol);
    const int wrong = fd < 0 ? errno : connect_within(fd, *to, patience);
    if (wrong == 0) {
      fd_ = fd;
      error_.clear();
      return;
    }
    if (fd >= 0)
      ::close(fd);
    error_ = where.host + ":" + port + ": " + std::strerror(wrong);
  }
}

reached::~reached() {
  if (fd_ >= 0)
    ::close(fd_);
}

}  // namespace kgents::gateway
