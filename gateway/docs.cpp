#include "gateway/docs.hpp"

#include <openssl/evp.h>
#include <openssl/sha.h>

namespace kgents::gateway {

extern const std::string_view embedded_docs_page;  // made from gateway/docs/ by the build

namespace {

/// What a browser hashes of an inline element (CSP3 section 6.7.3.3): everything between its tags.
std::string_view between(std::string_view page, std::string_view open, std::string_view close) {
  const auto from = page.find(open) + open.size();
  return page.substr(from, page.find(close, from) - from);
}

std::string source_of(std::string_view text) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  unsigned char encoded[4 * ((SHA256_DIGEST_LENGTH + 2) / 3) + 1];
  const int size = EVP_EncodeBlock(encoded, digest, SHA256_DIGEST_LENGTH);
  return "'sha256-" + std::string(reinterpret_cast<char*>(encoded), static_cast<size_t>(size)) +
         "'";
}

}  // namespace

std::string_view docs_page() noexcept { return embedded_docs_page; }

const std::string& docs_policy() {
  static const std::string text =
      "default-src 'none'; script-src " + source_of(between(docs_page(), "<script>", "</script>")) +
      "; style-src " + source_of(between(docs_page(), "<style>", "</style>")) +
      "; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
      "frame-ancestors 'none'; require-trusted-types-for 'script'";
  return text;
}

}  // namespace kgents::gateway
