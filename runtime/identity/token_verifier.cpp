#include "runtime/identity/token_verifier.hpp"

#include <cjose/jws.h>

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <memory>

#include "protocol/base64url.hpp"
#include "runtime/identity/strict_json.hpp"

namespace kgents::runtime::identity {

namespace json = boost::json;

namespace {

using seconds = std::chrono::duration<double>;

constexpr size_t most_subject_characters = 255;
constexpr size_t most_email_characters = 254;
constexpr size_t most_name_characters = 200;
constexpr size_t most_listed = 256;
/// Nobody's token lasts beyond 2096, and later times do not fit the clock's nanoseconds.
constexpr auto end_of_time = seconds{4e9};

/// A token taken apart, with nothing believed yet.
struct parts {
  json::object header;
  json::object claims;
  std::string signature;
};

std::optional<parts> take_apart(std::string_view token) {
  if (token.size() > most_token_bytes)
    return std::nullopt;
  std::array<std::string_view, 3> text;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto dot = token.find('.');
    if ((dot == token.npos) != (i == 2))
      return std::nullopt;
    text[i] = token.substr(0, dot);
    token.remove_prefix(dot == token.npos ? token.size() : dot + 1);
  }
  const auto header = from_base64url(text[0]);
  const auto payload = from_base64url(text[1]);
  auto signature = from_base64url(text[2]);
  if (!header || !payload || !signature)
    return std::nullopt;
  auto read_header = parse_strictly(*header);
  auto read_claims = parse_strictly(*payload);
  if (!read_header || !read_claims)
    return std::nullopt;
  return parts{std::move(*read_header), std::move(*read_claims), std::move(*signature)};
}

const std::string* text_of(const json::value* x, std::string& room) {
  if (x == nullptr || !x->is_string())
    return nullptr;
  room.assign(x->get_string().data(), x->get_string().size());
  return &room;
}

/// `JWT`, `at+jwt` (RFC 9068), both also as media types; providers write them in any case.
bool is_token_type(std::string type) {
  std::transform(type.begin(), type.end(), type.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
  if (type.starts_with("application/"))
    type.erase(0, 12);
  return type == "jwt" || type == "at+jwt";
}

bool is_plain_header(const json::object& header) {
  for (const auto* name : {"crit", "b64", "enc", "zip", "cty"})
    if (header.contains(name))
      return false;
  const auto* type = header.if_contains("typ");
  std::string room;
  return type == nullptr || (text_of(type, room) != nullptr && is_token_type(room));
}

std::optional<seconds> time_of(const json::value& x) {
  if (x.is_int64())
    return seconds{static_cast<double>(x.get_int64())};
  if (x.is_double())
    return seconds{x.get_double()};
  return std::nullopt;  // an unsigned one lies beyond 2^63
}

/// No character that a log line or a column could not hold.
bool is_clean(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

size_t characters(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

/// A list of texts, or one text; false: neither.
bool read_list(const json::object& from, std::string_view name,
               std::optional<std::vector<std::string>>& out) {
  const auto* x = from.if_contains(name);
  if (x == nullptr)
    return true;
  out.emplace();
  if (x->is_string()) {
    out->emplace_back(x->get_string());
    return true;
  }
  if (!x->is_array() || x->get_array().size() > most_listed)
    return false;
  for (const auto& one : x->get_array()) {
    if (!one.is_string())
      return false;
    out->emplace_back(one.get_string());
  }
  return true;
}

std::optional<fault> check_times(const json::object& from, seconds now, seconds& until) {
  const auto* end = from.if_contains("exp");
  if (end == nullptr)
    return fault::claims;
  const auto expires = time_of(*end);
  if (!expires)
    return fault::claims;
  until = *expires + clock_skew;
  if (now >= until)
    return fault::expired;
  for (const auto* name : {"nbf", "iat"})
    if (const auto* x = from.if_contains(name)) {
      const auto time = time_of(*x);
      if (!time)
        return fault::claims;
      if (*time > now + clock_skew)
        return fault::not_yet;
    }
  return std::nullopt;
}

bool is_for(const json::object& from, std::string_view audience) {
  const auto* x = from.if_contains("aud");
  if (x == nullptr)
    return false;
  if (x->is_string())
    return x->get_string() == audience;
  return x->is_array() && std::any_of(x->get_array().begin(), x->get_array().end(),
                                      [&](const json::value& one) {
                                        return one.is_string() && one.get_string() == audience;
                                      });
}

/// Who it is; false: a claim is missing or is no such thing.
bool read_person(const json::object& from, claims& out) {
  std::string room;
  const auto* subject = text_of(from.if_contains("sub"), room);
  if (subject == nullptr || subject->empty() || characters(*subject) > most_subject_characters ||
      !is_clean(*subject))
    return false;
  out.subject = *subject;
  if (const auto* x = from.if_contains("tenant_id")) {
    if (text_of(x, room) == nullptr)
      return false;
    const auto id = uuid::parse(room);
    if (!id)
      return false;
    out.tenant = tenant_id{*id};
  }
  const auto* is_verified = from.if_contains("email_verified");
  if (is_verified != nullptr && is_verified->is_bool() && is_verified->get_bool())
    if (text_of(from.if_contains("email"), room) != nullptr && is_clean(room) &&
        characters(room) <= most_email_characters && room.find('@') != room.npos)
      out.email = room;
  if (text_of(from.if_contains("name"), room) != nullptr && is_clean(room) &&
      characters(room) <= most_name_characters)
    out.name = room;
  return read_list(from, "roles", out.roles) && read_list(from, "permissions", out.permissions);
}

bool is_signed(std::string_view token, const verification_key& key) {
  cjose_err why{};
  const std::unique_ptr<cjose_jws_t, decltype(&cjose_jws_release)> read{
      cjose_jws_import(token.data(), token.size(), &why), &cjose_jws_release};
  return read != nullptr && cjose_jws_verify(read.get(), key.jwk.get(), &why);
}

}  // namespace

verified token_verifier::verify(std::string_view token, const key_set& keys,
                                std::chrono::system_clock::time_point now) const {
  const auto x = take_apart(token);
  if (!x || !is_plain_header(x->header))
    return fault::malformed;
  std::string room;
  const auto* name = text_of(x->header.if_contains("alg"), room);
  const auto alg = name == nullptr ? std::nullopt : algorithm_of(*name);
  if (!alg || !keys.takes(*alg))
    return fault::algorithm;
  std::string id;
  const auto* kid = x->header.if_contains("kid");
  if (kid != nullptr && text_of(kid, id) == nullptr)
    return fault::malformed;

  // What it claims comes before its signature, so that an old token never has keys fetched for it.
  claims out;
  seconds until{};
  if (const auto wrong = check_times(x->claims, now.time_since_epoch(), until))
    return *wrong;
  out.good_until = std::chrono::system_clock::time_point{
      std::chrono::floor<std::chrono::seconds>(std::min(until, end_of_time))};
  if (const auto* issuer = text_of(x->claims.if_contains("iss"), room);
      issuer == nullptr || *issuer != issuer_)
    return fault::issuer;
  if (!is_for(x->claims, audience_))
    return fault::audience;
  if (!read_person(x->claims, out))
    return fault::claims;

  const auto* key = keys.find(*alg, kid == nullptr ? nullptr : &id);
  if (key == nullptr)  // one that names none where there are several means none of those to come
    return kid != nullptr || keys.size() == 0 ? fault::unknown_key : fault::malformed;
  // Of exactly the length that the key gives: a signature has one form.
  if (x->signature.size() != key->signature_bytes || !is_signed(token, *key))
    return fault::signature;
  return out;
}

}  // namespace kgents::runtime::identity
