#define CAF_SUITE http_tls

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <boost/asio/ssl/stream.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "actors/llm/http_provider.hpp"
#include "actors/llm/stand_in.test.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents::llm;
using namespace kgents::llm::testing;
using namespace std::chrono_literals;
using kgents::runtime::io_thread;
namespace ssl = boost::asio::ssl;
using boost::asio::ip::tcp;

namespace {

std::string pem(const std::function<int(BIO*)>& write) {
  BIO* bio = BIO_new(BIO_s_mem());
  CAF_REQUIRE(write(bio) == 1);
  char* data = nullptr;
  const auto size = BIO_get_mem_data(bio, &data);
  std::string out(data, static_cast<size_t>(size));
  BIO_free(bio);
  return out;
}

// A fresh key with a certificate that it signed itself, for `alternative_name` ("IP:127.0.0.1").
struct identity {
  std::string key;
  std::string certificate;

  explicit identity(const char* alternative_name) {
    EVP_PKEY* pair = EVP_EC_gen("P-256");
    X509* x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, pair);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("stand-in"), -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    X509_EXTENSION* names =
        X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, alternative_name);
    X509_add_ext(x, names, -1);
    CAF_REQUIRE(X509_sign(x, pair, EVP_sha256()) > 0);
    key = pem([&](BIO* bio) {
      return PEM_write_bio_PrivateKey(bio, pair, nullptr, nullptr, 0, nullptr, nullptr);
    });
    certificate = pem([&](BIO* bio) { return PEM_write_bio_X509(bio, x); });
    X509_EXTENSION_free(names);
    X509_free(x);
    EVP_PKEY_free(pair);
  }
};

struct fixture {
  io_thread thread{0, "test"};
  std::filesystem::path folder;
  ssl::context server_side{ssl::context::tls_server};
  tcp::acceptor acceptor{thread.context(), {boost::asio::ip::address_v4::loopback(), 0}};
  std::unique_ptr<ssl::stream<tcp::socket>> peer;
  std::string request;
  http_provider_options options;
  outcome result;

  fixture() {
    std::string name = (std::filesystem::temp_directory_path() / "kgents-tls-XXXXXX").string();
    CAF_REQUIRE(mkdtemp(name.data()) != nullptr);
    folder = name;
    options.model = "test-model";
    options.api_key = kgents::runtime::secret{"key"};
    options.limits = {2s, 2s, 2s, 5s};
    options.base_url =
        "https://127.0.0.1:" + std::to_string(acceptor.local_endpoint().port()) + "/v1";
  }

  ~fixture() { std::filesystem::remove_all(folder); }

  // One connection: `response`, then the connection ends without close_notify.
  void serve(const identity& who, std::string response) {
    server_side.use_private_key(boost::asio::buffer(who.key), ssl::context::pem);
    server_side.use_certificate_chain(boost::asio::buffer(who.certificate));
    acceptor.async_accept([this, response](boost::system::error_code ec, tcp::socket socket) {
      CAF_REQUIRE(!ec);
      peer = std::make_unique<ssl::stream<tcp::socket>>(std::move(socket), server_side);
      peer->async_handshake(ssl::stream_base::server, [this, response](auto ec) {
        if (ec)
          return;
        boost::asio::async_read_until(
            *peer, boost::asio::dynamic_buffer(request), "\r\n\r\n",
            [this, response](auto ec, auto) {
              CAF_REQUIRE(!ec);
              auto kept = std::make_shared<std::string>(response);
              boost::asio::async_write(*peer, boost::asio::buffer(*kept),
                                       [this, kept](auto, auto) { peer->next_layer().close(); });
            });
      });
    });
  }

  void trust(const identity& who) {
    options.ca_file = folder / "ca.pem";
    std::ofstream{options.ca_file} << who.certificate;
  }

  void ask() {
    auto answer = make_openai_provider(options)->start(thread, hello(), result.into());
    answer->grant(1000);
    CAF_REQUIRE(run_until(thread, [this] { return result.over(); }));
  }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(http_tls_tests, fixture)

CAF_TEST(an answer comes over TLS from a host that proves its name) {
  const identity who{"IP:127.0.0.1"};
  trust(who);
  serve(who, event_stream + openai_delta("Hello") + openai_end);
  ask();
  CAF_REQUIRE(result.end);
  CAF_CHECK_EQUAL(result.text(), "Hello");
  CAF_CHECK(request.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"));
}

CAF_TEST(a cut below TLS is a cut) {
  const identity who{"IP:127.0.0.1"};
  trust(who);
  serve(who, event_stream + openai_delta("Hello"));
  ask();
  CAF_REQUIRE(result.fault);
  CAF_CHECK(result.fault->type == error_type::provider_protocol);
  CAF_CHECK_EQUAL(result.text(), "Hello");
}

CAF_TEST(a certificate of another host is refused and no key is sent) {
  const identity who{"IP:127.0.0.2, DNS:example.com"};
  trust(who);
  serve(who, event_stream + openai_end);
  ask();
  CAF_REQUIRE(result.fault);
  CAF_CHECK(result.fault->type == error_type::provider_unavailable);
  CAF_CHECK_EQUAL(request, "");
}

CAF_TEST(a certificate that nobody vouches for is refused) {
  trust(identity{"IP:127.0.0.1"});
  serve(identity{"IP:127.0.0.1"}, event_stream + openai_end);
  ask();
  CAF_REQUIRE(result.fault);
  CAF_CHECK(result.fault->type == error_type::provider_unavailable);
  CAF_CHECK_EQUAL(request, "");
}

CAF_TEST_FIXTURE_SCOPE_END()
