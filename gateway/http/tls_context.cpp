#include "gateway/http/tls_context.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <stdexcept>
#include <string_view>

namespace kgents::gateway::http {

namespace {

[[noreturn]] void fail(const std::string& what) {
  char text[256] = "unknown error";
  if (const auto code = ERR_get_error(); code != 0)
    ERR_error_string_n(code, text, sizeof(text));
  ERR_clear_error();
  throw std::runtime_error{what + ": " + text};
}

int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_size,
                    const unsigned char* in, unsigned in_size, void*) {
  static constexpr unsigned char ours[] = "\x08http/1.1";
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, ours, sizeof(ours) - 1, in, in_size) !=
      OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;  // RFC 7301 section 3.2: a client that offers only others is
                                        // told so
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

}  // namespace

void free_tls_session::operator()(ssl_st* x) const noexcept { SSL_free(x); }

tls_context::tls_context(const std::string& cert_file, const std::string& key_file)
    : context_{SSL_CTX_new(TLS_server_method()), SSL_CTX_free} {
  if (!context_)
    fail("TLS is not available");
  auto* c = context_.get();
  SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
  SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                             SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                          SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_alpn_select_cb(c, choose_protocol, nullptr);
  static constexpr std::string_view sessions = "kgents";
  SSL_CTX_set_session_id_context(c, reinterpret_cast<const unsigned char*>(sessions.data()),
                                 sessions.size());
  if (SSL_CTX_use_certificate_chain_file(c, cert_file.c_str()) != 1)
    fail("cannot use the certificate chain " + cert_file);
  if (SSL_CTX_use_PrivateKey_file(c, key_file.c_str(), SSL_FILETYPE_PEM) != 1)
    fail("cannot use the private key " + key_file);
  if (SSL_CTX_check_private_key(c) != 1)
    fail("the private key " + key_file + " does not belong to the certificate " + cert_file);
}

tls_session tls_context::accept(int fd) const noexcept {
  tls_session x{SSL_new(context_.get())};
  if (x && SSL_set_fd(x.get(), fd) != 1)
    x.reset();
  if (x)
    SSL_set_accept_state(x.get());
  return x;
}

}  // namespace kgents::gateway::http
