#include "runtime/cluster/tls.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <stdexcept>
#include <string>

namespace kgents::runtime::cluster {

namespace {

// A chain of a few certificates takes some kilobytes; OpenSSL would buffer 100 KiB of a stranger's.
constexpr long max_chain_bytes = 32 * 1024;

[[noreturn]] void fail(const std::string& what) {
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  std::string text = what + ": " + (reason != nullptr ? reason : "unknown error");
  ERR_clear_error();
  throw std::runtime_error{text};
}

// What a peer will check: better to fail here than on each of its connections.
void check_own(SSL_CTX* context, int purpose, const std::string& ca, const std::string& cert) {
  STACK_OF(X509)* chain = nullptr;
  SSL_CTX_get0_chain_certs(context, &chain);
  const std::unique_ptr<X509_STORE_CTX, decltype(&X509_STORE_CTX_free)> check{X509_STORE_CTX_new(),
                                                                              X509_STORE_CTX_free};
  if (!check || X509_STORE_CTX_init(check.get(), SSL_CTX_get_cert_store(context),
                                    SSL_CTX_get0_certificate(context), chain) != 1)
    fail("cannot check the certificate " + cert);
  X509_STORE_CTX_set_purpose(check.get(), purpose);
  if (X509_verify_cert(check.get()) == 1)
    return;
  const int why = X509_STORE_CTX_get_error(check.get());
  ERR_clear_error();
  std::string text = "peers would refuse the certificate " + cert + " under the authority " + ca +
                     ": " + X509_verify_cert_error_string(why);
  if (why == X509_V_ERR_INVALID_PURPOSE)
    text += " (it must allow both TLS server and client authentication)";
  throw std::runtime_error{text};
}

}  // namespace

void free_tls_session::operator()(ssl_st* x) const noexcept { SSL_free(x); }

tls_identity::tls_identity(const std::filesystem::path& ca, const std::filesystem::path& cert,
                           const std::filesystem::path& key)
    : context_{SSL_CTX_new(TLS_method()), SSL_CTX_free} {
  if (!context_)
    fail("TLS is not available");
  auto* c = context_.get();
  SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION);
  // No tickets, no sessions: links live for days, and a resumed one would skip the certificates.
  SSL_CTX_set_options(c, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_num_tickets(c, 0);
  SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(c, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_max_cert_list(c, max_chain_bytes);
  SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  if (SSL_CTX_load_verify_file(c, ca.c_str()) != 1)
    fail("cannot use the authority " + ca.string());
  if (SSL_CTX_use_certificate_chain_file(c, cert.c_str()) != 1)
    fail("cannot use the certificate chain " + cert.string());
  const bool usable = SSL_CTX_use_PrivateKey_file(c, key.c_str(), SSL_FILETYPE_PEM) == 1;
  if (!usable && ERR_GET_REASON(ERR_peek_last_error()) != X509_R_KEY_VALUES_MISMATCH)
    fail("cannot use the private key " + key.string());
  if (!usable || SSL_CTX_check_private_key(c) != 1)
    fail("the private key " + key.string() + " does not belong to the certificate " +
         cert.string());
  check_own(c, X509_PURPOSE_SSL_SERVER, ca.string(), cert.string());
  check_own(c, X509_PURPOSE_SSL_CLIENT, ca.string(), cert.string());
}

tls_session tls_identity::open(link_side side) const noexcept {
  tls_session x{SSL_new(context_.get())};
  auto* in = BIO_new(BIO_s_mem());
  auto* out = BIO_new(BIO_s_mem());
  if (!x || in == nullptr || out == nullptr) {
    BIO_free(in);
    BIO_free(out);
    return nullptr;
  }
  // Nothing to read means "not yet", not the end.
  BIO_set_mem_eof_return(in, -1);
  BIO_set_mem_eof_return(out, -1);
  SSL_set_bio(x.get(), in, out);
  if (side == link_side::dials)
    SSL_set_connect_state(x.get());
  else
    SSL_set_accept_state(x.get());
  return x;
}

}  // namespace kgents::runtime::cluster
