#define CAF_SUITE http_tls

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "gateway/http/test_server.test.hpp"

#include <caf/test/dsl.hpp>  // last: it defines macros named expect, allow, inject

using namespace kgents::gateway::http;
using namespace kgents::gateway::http::testing;
using namespace std::chrono_literals;

namespace {

template <class T, void (*Free)(T*)>
struct freed {
  void operator()(T* x) const { Free(x); }
};
using key_ptr = std::unique_ptr<EVP_PKEY, freed<EVP_PKEY, EVP_PKEY_free>>;
using cert_ptr = std::unique_ptr<X509, freed<X509, X509_free>>;
using ssl_ptr = std::unique_ptr<SSL, freed<SSL, SSL_free>>;
using context_ptr = std::unique_ptr<SSL_CTX, freed<SSL_CTX, SSL_CTX_free>>;

// A folder with a self-signed certificate.
struct certificate {
  certificate() {
    std::string name = std::filesystem::temp_directory_path() / "kgents-tls-XXXXXX";
    folder = ::mkdtemp(name.data());
    make();
  }
  ~certificate() { std::filesystem::remove_all(folder); }

  void make() {
    const key_ptr key{EVP_EC_gen("P-256")};
    const cert_ptr x{X509_new()};
    ASN1_INTEGER_set(X509_get_serialNumber(x.get()), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(x.get()), 0);
    X509_gmtime_adj(X509_getm_notAfter(x.get()), 3600);
    X509_set_pubkey(x.get(), key.get());
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x.get()), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
    X509_set_issuer_name(x.get(), X509_get_subject_name(x.get()));
    X509_sign(x.get(), key.get(), EVP_sha256());
    auto* file = std::fopen(cert().c_str(), "w");
    PEM_write_X509(file, x.get());
    std::fclose(file);
    file = std::fopen(this->key().c_str(), "w");
    PEM_write_PrivateKey(file, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    std::fclose(file);
  }
  [[nodiscard]] std::string cert() const { return folder + "/cert.pem"; }
  [[nodiscard]] std::string key() const { return folder + "/key.pem"; }
  [[nodiscard]] server_options options() const { return {.tls_cert = cert(), .tls_key = key()}; }

  std::string folder;
  long serial = 0;
};

// A blocking TLS client.
struct tls_client : client {
  explicit tls_client(uint16_t port, int version = TLS1_3_VERSION) : client{port} {
    const timeval patience{patience_ms / 1000, 0};
    ::setsockopt(fd(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    context.reset(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_security_level(context.get(), 0);
    SSL_CTX_set_min_proto_version(context.get(), version);
    SSL_CTX_set_max_proto_version(context.get(), version);
    SSL_CTX_set_alpn_protos(context.get(),
                            reinterpret_cast<const unsigned char*>("\x02h2\x08http/1.1"), 12);
    ssl.reset(SSL_new(context.get()));
    SSL_set_fd(ssl.get(), fd());
    connected = SSL_connect(ssl.get()) == 1;
    ERR_clear_error();
  }
  void say(std::string_view bytes) {
    size_t n = 0;
    CAF_CHECK(SSL_write_ex(ssl.get(), bytes.data(), bytes.size(), &n) == 1);
  }
  // Until `size` bytes or the end.
  std::string hear(size_t size = SIZE_MAX) {
    std::string in;
    char bytes[16384];
    while (in.size() < size) {
      const int n = SSL_read(ssl.get(), bytes, sizeof(bytes));
      if (n <= 0)
        break;
      in.append(bytes, static_cast<size_t>(n));
    }
    return in;
  }
  long serial() {
    const cert_ptr x{SSL_get1_peer_certificate(ssl.get())};
    return ASN1_INTEGER_get(X509_get0_serialNumber(x.get()));
  }

  context_ptr context;
  ssl_ptr ssl;
  bool connected = false;
};

}  // namespace

CAF_TEST(requests and large bodies over TLS 1.2 and 1.3) {
  certificate cert;
  fixture f{cert.options()};
  for (int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    tls_client c{f.start(), version};
    CAF_REQUIRE(c.connected);
    const unsigned char* protocol = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(c.ssl.get(), &protocol, &size);
    CAF_CHECK_EQUAL(std::string(reinterpret_cast<const char*>(protocol), size), "http/1.1");
    const std::string large(900'000, 'l');
    c.say(post("Content-Length: 900000\r\n", large));
    c.say(get("/a", "Connection: close\r\n"));
    const auto heard = c.hear();
    CAF_CHECK(heard.find(large) != heard.npos);
    CAF_CHECK(heard.ends_with("GET /a "));
    CAF_CHECK_EQUAL(SSL_get_shutdown(c.ssl.get()) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
  }
}

CAF_TEST(older versions and plain text are turned away) {
  certificate cert;
  fixture f{cert.options()};
  CAF_CHECK(!tls_client(f.start(), TLS1_1_VERSION).connected);
  auto plain = f.connect();
  plain.send(get());
  const auto heard = plain.rest();
  CAF_CHECK(heard.find("HTTP/1.1") == heard.npos);
  CAF_CHECK(tls_client(f.start()).connected);
}

CAF_TEST(a handshake that stalls is closed after the header timeout) {
  certificate cert;
  auto options = cert.options();
  options.header_timeout = 100ms;
  fixture f{options};
  auto c = f.connect();
  c.send("\x16\x03\x01");
  CAF_CHECK_EQUAL(c.rest(), "");
}

CAF_TEST(a stream over TLS goes out as it comes) {
  struct counting : byte_source {
    state pull(write_batch& out, bool) override {
      while (!out.full() && n < 2000) {
        out.add("3e8\r\n" + std::string(1000, static_cast<char>('a' + n % 26)) + "\r\n");
        ++n;
      }
      return n < 2000 ? state::more : state::end;
    }
    void closed(close_reason) override {}
    int n = 0;
  };
  certificate cert;
  fixture f{cert.options()};
  f.app.on_head = [](auto x) {
    x->stream({.content_type = "text/plain"}, std::make_shared<counting>());
  };
  tls_client c{f.start()};
  c.say(get("/", "Connection: close\r\n"));
  const auto heard = c.hear();
  CAF_CHECK(heard.ends_with("\r\n0\r\n\r\n"));
  std::string expected;
  for (int i = 0; i < 2000; ++i)
    expected += "3e8\r\n" + std::string(1000, static_cast<char>('a' + i % 26)) + "\r\n";
  CAF_CHECK(heard.find(expected) != heard.npos);
}

CAF_TEST(a new certificate is used after a reload and a bad one is not ) {
  certificate cert;
  fixture f{cert.options()};
  tls_client before{f.start()};
  CAF_CHECK_EQUAL(before.serial(), 1);
  cert.make();
  CAF_CHECK_EQUAL(f.it->reload_tls(), "");
  CAF_CHECK_EQUAL(tls_client(f.start()).serial(), 2);
  before.say(get("/a"));
  CAF_CHECK(before.hear(1).starts_with("HTTP/1.1 200"));
  std::ofstream{cert.cert()} << "no certificate";
  const auto why = f.it->reload_tls();
  CAF_CHECK(why.find(cert.cert()) != why.npos);
  CAF_CHECK_EQUAL(tls_client(f.start()).serial(), 2);
}

CAF_TEST(a server with an unreadable certificate does not start) {
  fixture f{{.tls_cert = "/nonexistent/cert.pem", .tls_key = "/nonexistent/key.pem"}};
  std::string why;
  try {
    f.start();
  } catch (const std::runtime_error& e) {
    why = e.what();
  }
  CAF_CHECK(why.find("/nonexistent/cert.pem") != why.npos);
}
