#include "protocol/base64url.hpp"

#include <cstdint>

namespace kgents {

namespace {

constexpr std::string_view alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

}  // namespace

std::string to_base64url(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() * 4 + 2) / 3);
  uint32_t pending = 0;
  int bits = 0;
  for (const unsigned char c : bytes) {
    pending = pending << 8 | c;
    for (bits += 8; bits >= 6; bits -= 6)
      out += alphabet[pending >> (bits - 6) & 63];
  }
  if (bits > 0)
    out += alphabet[pending << (6 - bits) & 63];
  return out;
}

std::optional<std::string> from_base64url(std::string_view text) {
  std::string out;
  out.reserve(text.size() * 3 / 4);
  uint32_t pending = 0;
  int bits = 0;
  for (const char c : text) {
    const auto at = alphabet.find(c);
    if (at == alphabet.npos)
      return std::nullopt;
    pending = pending << 6 | static_cast<uint32_t>(at);
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out += static_cast<char>(pending >> bits & 255);
    }
  }
  const auto left_over = pending & ((1u << bits) - 1);
  if (bits >= 6 || left_over != 0)
    return std::nullopt;
  return out;
}

}  // namespace kgents
