#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

struct ssl_st;
struct ssl_ctx_st;

namespace kgents::runtime::cluster {

struct free_tls_session {
  void operator()(ssl_st* x) const noexcept;
};
/// One link's TLS state; null on plaintext links.
using tls_session = std::unique_ptr<ssl_st, free_tls_session>;

enum class link_side : uint8_t { dials, accepts };

/// The certificates of the peer link: TLS 1.3 only, each side must show a certificate that our
/// authority signed. Host names are not compared: a node is who the authority signed, wherever it
/// runs, and its address may be a name that only the cluster's DNS knows. Immutable: a reload makes
/// a new one, links keep theirs. Any thread.
class tls_identity {
public:
  /// Throws std::runtime_error that names the file and what is wrong with it: unreadable, no PEM,
  /// key and certificate that do not belong together, a certificate that our own authority did not
  /// sign or that has expired, one that may not be used for both sides of a link.
  tls_identity(const std::filesystem::path& ca, const std::filesystem::path& cert,
               const std::filesystem::path& key);

  /// Reads from and writes to memory (SSL_get_rbio, SSL_get_wbio); null when out of memory.
  [[nodiscard]] tls_session open(link_side side) const noexcept;

private:
  std::shared_ptr<ssl_ctx_st> context_;
};

}  // namespace kgents::runtime::cluster
