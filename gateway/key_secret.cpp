#include "gateway/key_secret.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <array>
#include <stdexcept>

namespace kgents::gateway {

namespace {

constexpr std::string_view prefix_letters = "abcdefghijklmnopqrstuvwxyz0123456789";
constexpr std::string_view base64url =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void fill(unsigned char* out, int size) {
  if (RAND_bytes(out, size) != 1)
    throw std::runtime_error{"the system gives no random bytes"};
}

/// Bytes that would favour the first letters are thrown away.
std::string random_prefix() {
  std::string out;
  while (out.size() < 5) {
    unsigned char byte = 0;
    fill(&byte, 1);
    if (byte < 256 / prefix_letters.size() * prefix_letters.size())
      out += prefix_letters[byte % prefix_letters.size()];
  }
  return out;
}

/// 32 bytes are 43 characters without padding.
std::string random_secret() {
  std::array<unsigned char, 33> bytes{};  // one more, a zero, so that the last group is whole
  fill(bytes.data(), 32);
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const unsigned group = bytes[i] << 16 | bytes[i + 1] << 8 | bytes[i + 2];
    for (const int shift : {18, 12, 6, 0})
      out += base64url[group >> shift & 63];
  }
  out.pop_back();
  return out;
}

}  // namespace

std::string key_hash(std::string_view key, std::string_view pepper) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  if (pepper.empty())
    EVP_Digest(key.data(), key.size(), digest.data(), &length, EVP_sha256(), nullptr);
  else
    HMAC(EVP_sha256(), pepper.data(), static_cast<int>(pepper.size()),
         reinterpret_cast<const unsigned char*>(key.data()), key.size(), digest.data(), &length);
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  out.reserve(64);
  for (unsigned i = 0; i < length; ++i) {
    out += digits[digest[i] >> 4];
    out += digits[digest[i] & 15];
  }
  return out;
}

key_secret make_key_secret(std::string_view pepper) {
  key_secret out;
  do {
    out.prefix = "kg_" + random_prefix();
  } while (out.prefix == "kg_token");  // which people who sign in are shown as
  out.key = out.prefix + '_' + random_secret();
  out.hash = key_hash(out.key, pepper);
  return out;
}

}  // namespace kgents::gateway
