#include "protocol/stripe_signature.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <charconv>
#include <optional>
#include <string>
#include <vector>

namespace kgents {

namespace {

using digest = std::array<unsigned char, 32>;

/// What the header says; `t` stays text too, as it was signed.
struct parsed_header {
  std::string_view t;
  int64_t seconds = 0;
  std::vector<digest> v1;
};

/// A header with more is an attempt to make us compute; Stripe sends one a secret.
constexpr size_t most_signatures = 16;

std::optional<int> hex_digit(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  if (c >= 'a' && c <= 'f')
    return c - 'a' + 10;
  return std::nullopt;
}

/// Lower case only, as Stripe writes it.
std::optional<digest> parse_digest(std::string_view text) {
  digest out{};
  if (text.size() != 2 * out.size())
    return std::nullopt;
  for (size_t i = 0; i < out.size(); ++i) {
    const auto high = hex_digit(text[2 * i]);
    const auto low = hex_digit(text[2 * i + 1]);
    if (!high || !low)
      return std::nullopt;
    out[i] = static_cast<unsigned char>(*high * 16 + *low);
  }
  return out;
}

std::string_view trimmed(std::string_view x) {
  while (!x.empty() && x.front() == ' ')
    x.remove_prefix(1);
  while (!x.empty() && x.back() == ' ')
    x.remove_suffix(1);
  return x;
}

std::optional<parsed_header> parse(std::string_view header) {
  parsed_header out;
  for (bool more = true; more;) {
    const auto comma = header.find(',');
    const auto item = trimmed(header.substr(0, comma));
    more = comma != std::string_view::npos;
    header.remove_prefix(more ? comma + 1 : header.size());
    const auto equals = item.find('=');
    if (equals == std::string_view::npos)
      continue;
    const auto name = item.substr(0, equals);
    const auto value = item.substr(equals + 1);
    if (name == "t") {
      const auto [end, ec] =
          std::from_chars(value.data(), value.data() + value.size(), out.seconds);
      if (!out.t.empty() || ec != std::errc{} || end != value.data() + value.size())
        return std::nullopt;
      out.t = value;
    } else if (name == "v1") {
      if (out.v1.size() == most_signatures)
        return std::nullopt;
      if (const auto x = parse_digest(value))
        out.v1.push_back(*x);
    }
  }
  if (out.t.empty() || out.v1.empty())
    return std::nullopt;
  return out;
}

}  // namespace

bool is_signed_by_stripe(std::string_view header, std::string_view body,
                         std::span<const std::string_view> secrets,
                         std::chrono::system_clock::time_point now,
                         std::chrono::seconds tolerance) {
  const auto given = parse(header);
  if (!given)
    return false;
  const auto seconds = std::chrono::floor<std::chrono::seconds>(now.time_since_epoch()).count();
  // Compared without a difference, which a `t` near the ends of the range would overflow.
  if (given->seconds < seconds - tolerance.count() || given->seconds > seconds + tolerance.count())
    return false;
  std::string payload;
  payload.reserve(given->t.size() + 1 + body.size());
  payload.append(given->t).append(1, '.').append(body);
  bool found = false;
  for (const auto secret : secrets) {
    if (secret.empty())
      continue;
    digest expected{};
    unsigned length = 0;
    if (HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
             reinterpret_cast<const unsigned char*>(payload.data()), payload.size(),
             expected.data(), &length) == nullptr)
      return false;
    for (const auto& x : given->v1)
      found |= CRYPTO_memcmp(x.data(), expected.data(), expected.size()) == 0;
  }
  return found;
}

}  // namespace kgents
