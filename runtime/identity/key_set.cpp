#include "runtime/identity/key_set.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "protocol/base64url.hpp"
#include "runtime/identity/strict_json.hpp"

namespace kgents::runtime::identity {

namespace json = boost::json;

namespace {

constexpr size_t least_rsa_bytes = 2048 / 8;
/// Longer ones would make each token costly; nobody publishes any.
constexpr size_t most_rsa_bytes = 8192 / 8;
constexpr size_t most_exponent_bytes = 8;
constexpr size_t most_id_bytes = 256;

std::shared_ptr<const cjose_jwk_t> owned(cjose_jwk_t* x) {
  return {x, [](cjose_jwk_t* key) { cjose_jwk_release(key); }};
}

std::string print_of(std::string_view text) {
  std::array<char, 32> out{};
  EVP_Digest(text.data(), text.size(), reinterpret_cast<unsigned char*>(out.data()), nullptr,
             EVP_sha256(), nullptr);
  return {out.data(), out.size()};
}

/// Empty when it is missing or no text.
std::string_view text_at(const json::object& x, std::string_view name) {
  const auto* member = x.if_contains(name);
  if (member == nullptr || !member->is_string())
    return {};
  return member->get_string();
}

/// The unsigned number that a member is (RFC 7518, 2), without leading zeros.
std::string number_at(const json::object& x, std::string_view name) {
  auto out = from_base64url(text_at(x, name)).value_or("");
  out.erase(0, std::min(out.find_first_not_of('\0'), out.size()));
  return out;
}

bool for_signatures(const json::object& x, std::string_view alg) {
  if (x.contains("use") && text_at(x, "use") != "sig")
    return false;
  if (x.contains("alg") && text_at(x, "alg") != alg)
    return false;
  const auto* operations = x.if_contains("key_ops");
  if (operations == nullptr)
    return true;
  return operations->is_array() &&
         std::any_of(operations->get_array().begin(), operations->get_array().end(),
                     [](const auto& one) { return one == "verify"; });
}

std::optional<verification_key> rsa_key(const json::object& x) {
  const auto modulus = number_at(x, "n");
  const auto exponent = number_at(x, "e");
  const bool long_enough = modulus.size() > least_rsa_bytes ||
                           (modulus.size() == least_rsa_bytes && (modulus[0] & 0x80) != 0);
  if (!long_enough || modulus.size() > most_rsa_bytes || (modulus.back() & 1) == 0)
    return std::nullopt;
  if (exponent.empty() || exponent.size() > most_exponent_bytes || (exponent.back() & 1) == 0 ||
      exponent == "\1")
    return std::nullopt;
  return verification_key{.id = {},
                          .alg = algorithm::rs256,
                          .jwk = nullptr,
                          .signature_bytes = modulus.size(),
                          .print = print_of(modulus + '/' + exponent)};
}

std::optional<verification_key> p256_key(const json::object& x) {
  const auto a = from_base64url(text_at(x, "x")).value_or("");
  const auto b = from_base64url(text_at(x, "y")).value_or("");
  if (text_at(x, "crv") != "P-256" || a.size() != 32 || b.size() != 32)
    return std::nullopt;
  return verification_key{.id = {},
                          .alg = algorithm::es256,
                          .jwk = nullptr,
                          .signature_bytes = 64,
                          .print = print_of(a + b)};
}

std::optional<verification_key> usable(const json::value& x) {
  if (!x.is_object())
    return std::nullopt;
  const auto& members = x.get_object();
  // A private key that is published is nobody's any more.
  if (members.contains("d") || (members.contains("kid") && !members.at("kid").is_string()))
    return std::nullopt;
  const auto id = text_at(members, "kid");
  if (id.size() > most_id_bytes)
    return std::nullopt;
  std::optional<verification_key> out;
  if (text_at(members, "kty") == "RSA" && for_signatures(members, "RS256"))
    out = rsa_key(members);
  else if (text_at(members, "kty") == "EC" && for_signatures(members, "ES256"))
    out = p256_key(members);
  if (!out)
    return std::nullopt;
  // Only what the key is made of: nothing else in it is anybody's business. It checks the point.
  json::object bare{{"kty", members.at("kty")}};
  for (const auto* name : {"n", "e", "crv", "x", "y"})
    if (const auto* member = members.if_contains(name))
      bare[name] = *member;
  const auto text = json::serialize(bare);
  cjose_err why{};
  auto* made = cjose_jwk_import(text.data(), text.size(), &why);
  if (made == nullptr)
    return std::nullopt;
  out->jwk = owned(made);
  out->id = std::string{id};
  return out;
}

}  // namespace

std::optional<algorithm> algorithm_of(std::string_view alg) noexcept {
  if (alg == "RS256")
    return algorithm::rs256;
  if (alg == "ES256")
    return algorithm::es256;
  if (alg == "HS256")
    return algorithm::hs256;
  return std::nullopt;
}

std::optional<key_set> key_set::of_provider(std::string_view jwks) {
  if (jwks.size() > most_bytes)
    return std::nullopt;
  const auto read = parse_strictly(jwks);
  if (!read)
    return std::nullopt;
  const auto* list = read->if_contains("keys");
  if (list == nullptr || !list->is_array())
    return std::nullopt;
  key_set out;
  for (const auto& x : list->get_array()) {
    if (out.keys_.size() == most_keys)
      break;
    if (auto key = usable(x))
      out.keys_.push_back(std::move(*key));
  }
  if (out.keys_.empty())
    return std::nullopt;
  return out;
}

key_set key_set::of_secret(std::string_view secret) {
  cjose_err why{};
  auto* made = cjose_jwk_create_oct_spec(reinterpret_cast<const uint8_t*>(secret.data()),
                                         secret.size(), &why);
  key_set out;
  out.is_secret_ = true;
  if (made != nullptr)
    out.keys_.push_back({.id = {},
                         .alg = algorithm::hs256,
                         .jwk = owned(made),
                         .signature_bytes = 32,
                         .print = print_of(secret)});
  return out;
}

const verification_key* key_set::find(algorithm alg, const std::string* id) const noexcept {
  if (!takes(alg))
    return nullptr;
  // A secret has no name; whatever a token calls it, this one is meant.
  if (keys_.size() == 1 && (id == nullptr || is_secret_))
    return keys_[0].alg == alg ? &keys_[0] : nullptr;
  if (id == nullptr)
    return nullptr;
  const auto at = std::find_if(keys_.begin(), keys_.end(), [&](const verification_key& x) {
    return x.alg == alg && x.id == *id;
  });
  return at == keys_.end() ? nullptr : &*at;
}

bool key_set::includes(const key_set& other) const {
  return std::all_of(other.keys_.begin(), other.keys_.end(), [&](const verification_key& x) {
    return std::any_of(keys_.begin(), keys_.end(), [&](const verification_key& own) {
      return own.print == x.print && own.id == x.id;
    });
  });
}

}  // namespace kgents::runtime::identity
