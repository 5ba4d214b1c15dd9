#include "protocol/ids.hpp"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <chrono>
#include <cstring>
#include <stdexcept>

namespace kgents {
namespace {

int hex_value(char c) noexcept {
  if (c >= '0' && c <= '9')
    return c - '0';
  if (c >= 'a' && c <= 'f')
    return c - 'a' + 10;
  if (c >= 'A' && c <= 'F')
    return c - 'A' + 10;
  return -1;
}

void fill_random(uint8_t* out, size_t n) {
  if (RAND_bytes(out, static_cast<int>(n)) != 1)
    throw std::runtime_error("the system's random source failed");
}

/// Random bytes in blocks: one call into OpenSSL for 64 ids instead of one each.
void pooled_random(uint8_t* out, size_t n) {
  thread_local std::array<uint8_t, 1024> pool;
  thread_local size_t at = pool.size();
  if (at + n > pool.size()) {
    fill_random(pool.data(), pool.size());
    at = 0;
  }
  std::memcpy(out, pool.data() + at, n);
  std::memset(pool.data() + at, 0, n);
  at += n;
}

void stamp(uuid& x, uint8_t version) noexcept {
  x.bytes[6] = static_cast<uint8_t>((x.bytes[6] & 0x0f) | (version << 4));
  x.bytes[8] = static_cast<uint8_t>((x.bytes[8] & 0x3f) | 0x80);
}

}  // namespace

std::optional<uuid> uuid::parse(std::string_view text) noexcept {
  if (text.starts_with("urn:uuid:"))
    text.remove_prefix(9);
  if (text.size() == 38 && text.front() == '{' && text.back() == '}')
    text = text.substr(1, 36);
  const bool hyphens = text.size() == 36;
  if (!hyphens && text.size() != 32)
    return std::nullopt;
  uuid out;
  size_t at = 0;
  for (size_t i = 0; i < 16; ++i) {
    if (hyphens && (i == 4 || i == 6 || i == 8 || i == 10) && text[at++] != '-')
      return std::nullopt;
    const int high = hex_value(text[at]);
    const int low = hex_value(text[at + 1]);
    if (high < 0 || low < 0)
      return std::nullopt;
    out.bytes[i] = static_cast<uint8_t>(high << 4 | low);
    at += 2;
  }
  return out;
}

uuid uuid::random() {
  uuid out;
  pooled_random(out.bytes.data(), out.bytes.size());
  stamp(out, 4);
  return out;
}

uuid uuid::time_ordered() {
  using namespace std::chrono;
  uuid out;
  pooled_random(out.bytes.data() + 6, 10);
  const auto ms = static_cast<uint64_t>(
      duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count());
  for (int i = 0; i < 6; ++i)
    out.bytes[static_cast<size_t>(i)] = static_cast<uint8_t>(ms >> (40 - 8 * i));
  stamp(out, 7);
  return out;
}

uuid uuid::derived(const uuid& space, std::string_view name) {
  std::string input(reinterpret_cast<const char*>(space.bytes.data()), space.bytes.size());
  input += name;
  std::array<uint8_t, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  EVP_Digest(input.data(), input.size(), digest.data(), &length, EVP_sha1(), nullptr);
  uuid out;
  std::memcpy(out.bytes.data(), digest.data(), out.bytes.size());
  stamp(out, 5);
  return out;
}

void uuid::append_to(std::string& out) const {
  static constexpr char digits[] = "0123456789abcdef";
  char text[36];
  size_t at = 0;
  for (size_t i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10)
      text[at++] = '-';
    text[at++] = digits[bytes[i] >> 4];
    text[at++] = digits[bytes[i] & 15];
  }
  out.append(text, sizeof text);
}

std::string uuid::text() const {
  std::string out;
  out.reserve(36);
  append_to(out);
  return out;
}

}  // namespace kgents

size_t std::hash<kgents::uuid>::operator()(const kgents::uuid& x) const noexcept {
  // Not all ids are random (version 7 shares its first bytes): mix both halves.
  uint64_t high;
  uint64_t low;
  std::memcpy(&high, x.bytes.data(), 8);
  std::memcpy(&low, x.bytes.data() + 8, 8);
  uint64_t z = high ^ (low * 0x9e3779b97f4a7c15ULL);
  z = (z ^ (z >> 32)) * 0xd6e8feb86659fd93ULL;
  return static_cast<size_t>(z ^ (z >> 32));
}
