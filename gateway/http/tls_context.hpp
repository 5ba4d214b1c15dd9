#pragma once

#include <memory>
#include <string>

struct ssl_st;
struct ssl_ctx_st;

namespace kgents::gateway::http {

struct free_tls_session {
  void operator()(ssl_st* x) const noexcept;
};
/// One connection's TLS state; null on plain connections.
using tls_session = std::unique_ptr<ssl_st, free_tls_session>;

/// Certificate, key and settings for the server side of TLS 1.2 and 1.3, ALPN http/1.1. Immutable:
/// a reload makes a new one, connections keep theirs. Any thread.
class tls_context {
public:
  /// Throws std::runtime_error that names the file and what is wrong with it.
  tls_context(const std::string& cert_file, const std::string& key_file);

  /// For a connected non-blocking socket; null when out of memory.
  [[nodiscard]] tls_session accept(int fd) const noexcept;

private:
  std::shared_ptr<ssl_ctx_st> context_;
};

}  // namespace kgents::gateway::http
