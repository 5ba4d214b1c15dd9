#include "actors/logos/capability.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <memory>
#include <set>
#include <stdexcept>

#include "actors/contexts/time/instant.hpp"
#include "actors/logos/registry.hpp"
#include "protocol/base64url.hpp"

namespace kgents::actors {

namespace json = boost::json;
namespace limits = capability_limits;

namespace {

using scopes = std::vector<std::string>;

constexpr std::string_view everything = "*";
/// Capabilities that are no resource's (agentese.md section 14.1).
constexpr std::string_view plain_names[] = {"define"};

agentese::error refused(std::string_view reason, std::string message) {
  agentese::error out;
  out.category = agentese::category::forbidden;
  out.code = "CAPABILITY_INVALID";
  out.message = std::move(message);
  out.suggested_action =
      "present a token that POST /v1/agentese/capabilities has given for this "
      "tenant and that has not expired";
  out.details["reason"] = reason;
  return out;
}

agentese::error bad_request(std::string_view argument, std::string message) {
  return agentese::errors::invalid_argument("", argument, std::move(message));
}

std::string audience_of(tenant_id x) { return "did:kgents:tenant:" + x.text(); }

constexpr std::string_view key_did = "did:kgents:key:";

std::string issuer_of(const agentese::caller& x) {
  if (x.key != api_key_id{})
    return std::string{key_did} + x.key.text();
  return x.user.empty() ? "did:kgents:server" : "did:kgents:user:" + x.user;
}

std::string time_text(std::chrono::sys_seconds x) { return to_text(instant{x}); }

json::array listed(const scopes& all) {
  json::array out;
  for (const auto& x : all)
    out.emplace_back(x);
  return out;
}

/// `R:read` or `R:write` as its parts; nothing for what is of another form.
struct resource_scope {
  std::string_view resource;
  bool write = false;
};
std::optional<resource_scope> parse_scope(std::string_view x) {
  const auto colon = x.find(':');
  if (colon == x.npos || !agentese::is_identifier(x.substr(0, colon)))
    return std::nullopt;
  const auto right = x.substr(colon + 1);
  if (right != "read" && right != "write")
    return std::nullopt;
  return resource_scope{x.substr(0, colon), right == "write"};
}

bool is_plain_name(std::string_view x) {
  return std::find(std::begin(plain_names), std::end(plain_names), x) != std::end(plain_names);
}

bool valid_resource(std::string_view x) {
  if (x == everything)
    return true;
  const bool plain = std::all_of(x.begin(), x.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.' ||
           c == '/' || c == '*';
  });
  const auto star = x.find('*');
  return !x.empty() && plain && (star == x.npos || (star == x.size() - 1 && x.ends_with("/*")));
}

/// Whether everything under `wanted` is under `have`.
bool covers(std::string_view have, std::string_view wanted) {
  if (have == everything || have == wanted)
    return true;
  if (!have.ends_with("/*"))
    return false;
  const auto root = have.substr(0, have.size() - 2);
  return wanted == root || wanted.starts_with(have.substr(0, have.size() - 1));
}

bool covered(const scopes& have, std::string_view wanted) {
  return std::any_of(have.begin(), have.end(), [&](const auto& x) { return covers(x, wanted); });
}

bool has_scope(const scopes& have, std::string_view wanted) {
  return std::any_of(have.begin(), have.end(),
                     [&](const auto& x) { return x == everything || x == wanted; });
}

std::optional<agentese::error> check_request(const capability_request& x) {
  if (x.scopes.size() > limits::most_scopes)
    return bad_request("scopes", "scopes has more than " + std::to_string(limits::most_scopes));
  if (x.resources.size() > limits::most_resources)
    return bad_request("resources",
                       "resources has more than " + std::to_string(limits::most_resources));
  for (const auto& s : x.scopes)
    if (s.size() > limits::name_most_bytes ||
        (s != everything && !is_plain_name(s) && !parse_scope(s)))
      return bad_request("scopes", "scopes are of the form resource:read, resource:write, or *");
  for (const auto& r : x.resources)
    if (r.size() > limits::name_most_bytes || !valid_resource(r))
      return bad_request("resources", "resources are of the form name, name/* or *");
  return std::nullopt;
}

/// A scope that this credential cannot give away.
std::optional<agentese::error> check_minter(const scopes& wanted, const agentese::caller& minter) {
  for (const auto& s : wanted) {
    const auto scope = parse_scope(s);
    const bool needs_write = s == everything || is_plain_name(s) || (scope && scope->write);
    const bool needs_read = s == everything || (scope && !scope->write);
    if (needs_write && !minter.write)
      return agentese::errors::scope_required("", "write");
    if (needs_read && !minter.read)
      return agentese::errors::scope_required("", "read");
  }
  return std::nullopt;
}

bool take_texts(const json::object& from, std::string_view name, size_t most, scopes& into) {
  const auto* x = from.if_contains(name);
  if (x == nullptr || !x->is_array() || x->get_array().size() > most)
    return false;
  for (const auto& y : x->get_array()) {
    if (!y.is_string())
      return false;
    into.emplace_back(y.get_string());
  }
  return true;
}

bool take_text(const json::object& from, std::string_view name, std::string& into) {
  const auto* x = from.if_contains(name);
  if (x == nullptr || !x->is_string())
    return false;
  into = x->get_string();
  return true;
}

bool take_time(const json::object& from, std::string_view name, std::chrono::sys_seconds& into) {
  std::string text;
  if (!take_text(from, name, text))
    return false;
  const auto x = parse_instant(text, instant{});
  if (!x)
    return false;
  into = std::chrono::floor<std::chrono::seconds>(*x);
  return true;
}

struct presented {
  capability what;
  std::string proof;
};

std::optional<presented> decode(std::string_view token) {
  if (token.size() > limits::token_most_bytes)
    return std::nullopt;
  const auto text = from_base64url(token);
  if (!text)
    return std::nullopt;
  boost::system::error_code bad;
  const auto value = json::parse(*text, bad);
  if (bad || !value.is_object())
    return std::nullopt;
  const auto& from = value.get_object();
  presented out;
  auto& x = out.what;
  if (!take_text(from, "issuer", x.issuer) || !take_text(from, "audience", x.audience) ||
      !take_texts(from, "scopes", limits::most_scopes, x.scopes) ||
      !take_texts(from, "resources", limits::most_resources, x.resources) ||
      !take_time(from, "not_before", x.not_before) ||
      !take_time(from, "expires_at", x.expires_at) || !take_text(from, "parent", x.parent) ||
      !take_text(from, "proof", out.proof))
    return std::nullopt;
  if (from.contains("chain") && !take_texts(from, "chain", limits::most_chain, x.chain))
    return std::nullopt;
  return out;
}

std::array<unsigned char, 32> derived_key(std::string_view secret) {
  std::array<unsigned char, 32> key{};
  if (secret.empty()) {
    if (RAND_bytes(key.data(), static_cast<int>(key.size())) != 1)
      throw std::runtime_error{"no random numbers for the key of capability tokens"};
    return key;
  }
  constexpr std::string_view label = "kgents capability v1";
  const std::unique_ptr<EVP_KDF, decltype(&EVP_KDF_free)> kdf{
      EVP_KDF_fetch(nullptr, "HKDF", nullptr), EVP_KDF_free};
  const std::unique_ptr<EVP_KDF_CTX, decltype(&EVP_KDF_CTX_free)> context{
      kdf == nullptr ? nullptr : EVP_KDF_CTX_new(kdf.get()), EVP_KDF_CTX_free};
  std::string digest = "SHA256";
  std::string from{secret};
  std::string info{label};
  const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("digest", digest.data(), 0),
                               OSSL_PARAM_construct_octet_string("key", from.data(), from.size()),
                               OSSL_PARAM_construct_octet_string("info", info.data(), info.size()),
                               OSSL_PARAM_construct_end()};
  const bool done =
      context != nullptr && EVP_KDF_derive(context.get(), key.data(), key.size(), params) == 1;
  OPENSSL_cleanse(from.data(), from.size());
  if (!done)
    throw std::runtime_error{"the key of capability tokens cannot be derived"};
  return key;
}

}  // namespace

json::object to_json(const capability& x) {
  json::object out{{"issuer", x.issuer},
                   {"audience", x.audience},
                   {"scopes", listed(x.scopes)},
                   {"resources", listed(x.resources)},
                   {"not_before", time_text(x.not_before)},
                   {"expires_at", time_text(x.expires_at)},
                   {"parent", x.parent}};
  if (!x.chain.empty())
    out["chain"] = listed(x.chain);
  return out;
}

std::vector<api_key_id> keys_behind(const capability& x) {
  std::vector<api_key_id> out;
  const auto add = [&](std::string_view did) {
    if (!did.starts_with(key_did))
      return;
    const auto id = uuid::parse(did.substr(key_did.size()));
    if (id && std::find(out.begin(), out.end(), api_key_id{*id}) == out.end())
      out.emplace_back(*id);
  };
  add(x.issuer);
  for (const auto& did : x.chain)
    add(did);
  return out;
}

agentese::error revoked_capability() {
  return refused("revoked", "A key that the capability token came from may act no more");
}

capability_authority::capability_authority(std::string_view secret) : key_{derived_key(secret)} {}

/// Over the members as we print them, in our order: what else a token may hold proves nothing.
std::string capability_authority::proof_of(const capability& x) const {
  const auto text = json::serialize(to_json(x));
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  HMAC(EVP_sha256(), key_.data(), static_cast<int>(key_.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(), &length);
  return to_base64url({reinterpret_cast<const char*>(digest.data()), length});
}

std::string capability_authority::sign(const capability& x) const {
  auto body = to_json(x);
  body["proof"] = proof_of(x);
  return to_base64url(json::serialize(body));
}

capability_authority::token_or_error capability_authority::mint(tenant_id tenant,
                                                                const agentese::caller& minter,
                                                                const capability_request& what,
                                                                time now) const {
  if (auto wrong = check_request(what))
    return std::move(*wrong);
  capability x;
  x.scopes = what.scopes;
  if (x.scopes.empty() && minter.read && minter.write)
    x.scopes.emplace_back(everything);
  if (x.scopes.empty())
    return bad_request("scopes", "scopes required");
  if (auto wrong = check_minter(x.scopes, minter))
    return std::move(*wrong);
  x.issuer = issuer_of(minter);
  x.audience = audience_of(tenant);
  x.resources = what.resources;
  if (x.resources.empty())
    for (const auto& s : x.scopes) {
      const auto scope = parse_scope(s);
      const auto all = scope ? std::string{scope->resource} + "/*" : std::string{everything};
      if ((scope || s == everything) && !covered(x.resources, all))
        x.resources.push_back(all);
    }
  x.not_before = what.not_before.value_or(now);
  x.expires_at = what.expires_at.value_or(x.not_before + limits::usual_life);
  if (x.expires_at <= std::max(x.not_before, now))
    return bad_request("expires_at", "expires_at must be after not_before and in the future");
  if (x.expires_at > now + limits::longest_life)
    return bad_request("expires_at", "expires_at must be within " +
                                         std::to_string(limits::longest_life.count()) + " hours");
  return sign(x);
}

capability_authority::token_or_error capability_authority::narrow(tenant_id tenant,
                                                                  const agentese::caller& holder,
                                                                  std::string_view token,
                                                                  const capability_request& what,
                                                                  time now) const {
  if (auto wrong = check_request(what))
    return std::move(*wrong);
  auto verified = verify(tenant, token, now);
  if (auto* wrong = std::get_if<agentese::error>(&verified))
    return std::move(*wrong);
  const auto& from = std::get<capability>(verified);
  auto x = from;
  if (std::find(x.chain.begin(), x.chain.end(), from.issuer) == x.chain.end())
    x.chain.push_back(from.issuer);
  if (x.chain.size() > limits::most_chain)
    return bad_request("parent", "The token has gone through " +
                                     std::to_string(limits::most_chain) + " hands already");
  x.issuer = issuer_of(holder);
  x.parent = proof_of(from);
  if (!what.scopes.empty())
    x.scopes = what.scopes;
  if (!what.resources.empty())
    x.resources = what.resources;
  x.not_before = what.not_before.value_or(from.not_before);
  x.expires_at = what.expires_at.value_or(from.expires_at);
  const auto widened = [](std::string_view member, std::string_view which) {
    return refused("widened", "Delegation may only narrow: " + std::string{member} + " " +
                                  std::string{which} + " is not in the token");
  };
  for (const auto& s : x.scopes)
    if (!has_scope(from.scopes, s))
      return widened("scope", s);
  for (const auto& r : x.resources)
    if (!covered(from.resources, r))
      return widened("resource", r);
  if (x.not_before < from.not_before)
    return widened("not_before", time_text(x.not_before));
  if (x.expires_at > from.expires_at)
    return widened("expires_at", time_text(x.expires_at));
  if (x.expires_at <= std::max(x.not_before, now))
    return bad_request("expires_at", "expires_at must be after not_before and in the future");
  return sign(x);
}

capability_authority::capability_or_error capability_authority::verify(tenant_id tenant,
                                                                       std::string_view token,
                                                                       time now) const {
  auto x = decode(token);
  if (!x)
    return refused("malformed", "This is no capability token");
  // First of all: of a token that is not ours, nothing else is told.
  const auto expected = proof_of(x->what);
  if (expected.size() != x->proof.size() ||
      CRYPTO_memcmp(expected.data(), x->proof.data(), expected.size()) != 0)
    return refused("forged", "The proof of the capability token does not hold");
  if (x->what.audience != audience_of(tenant))
    return refused("other_audience", "The capability token is for another tenant");
  if (now < x->what.not_before)
    return refused("not_yet_valid", "The capability token is not valid yet");
  if (now >= x->what.expires_at)
    return refused("expired", "The capability token has expired");
  return std::move(x->what);
}

std::vector<std::string> proven_scopes(const capability& x, std::span<const std::string> known) {
  std::vector<std::string> out;
  for (const auto& wanted : known) {
    if (!has_scope(x.scopes, wanted))
      continue;
    const auto scope = parse_scope(wanted);
    const auto whole = scope ? std::string{scope->resource} + "/*" : std::string{};
    // `name` alone stands for the whole of it too.
    if (!scope || covered(x.resources, whole) || covered(x.resources, scope->resource))
      out.push_back(wanted);
  }
  return out;
}

std::vector<std::string> known_scopes(const registry& nodes) {
  std::set<std::string> out{std::begin(plain_names), std::end(plain_names)};
  for (const auto* node : nodes.list())
    for (const auto& aspect : node->aspects()) {
      for (const auto& x : agentese::required_capabilities(aspect.effects))
        out.insert(x);
      for (const auto& x : aspect.effects.reads)
        out.insert(x + ":read");
    }
  return {out.begin(), out.end()};
}

}  // namespace kgents::actors
