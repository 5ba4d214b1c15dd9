#include "actors/cdc/point.hpp"

#include <openssl/evp.h>

#include <array>
#include <boost/json/parse.hpp>

namespace kgents::cdc {

namespace json = boost::json;

namespace {

/// RFC 9562's namespace of URLs.
uuid url_space() {
  static const uuid space = *uuid::parse("6ba7b811-9dad-11d1-80b4-00c04fd430c8");
  return space;
}

std::string_view text_of(const json::object& row) {
  const auto* x = row.if_contains("content");
  return x != nullptr && x->is_string() ? std::string_view{x->get_string()} : std::string_view{};
}

}  // namespace

uuid point_id(tenant_id tenant, std::string_view table, std::string_view row) {
  auto name = tenant.text();
  name.append("/").append(table).append("/").append(row);
  return uuid::derived(url_space(), name);
}

std::string sha256_text(std::string_view text) {
  static constexpr char digits[] = "0123456789abcdef";
  std::array<unsigned char, 32> digest{};
  EVP_Digest(text.data(), text.size(), digest.data(), nullptr, EVP_sha256(), nullptr);
  std::string out;
  out.reserve(2 * digest.size());
  for (const auto x : digest) {
    out.push_back(digits[x >> 4]);
    out.push_back(digits[x & 15]);
  }
  return out;
}

point_change to_point(const change& x) {
  const auto id = point_id(x.tenant, x.table, x.row);
  if (x.what == sql::cdc::operation::remove)
    return delete_point{id};
  boost::system::error_code wrong;
  auto row = json::parse(x.payload, wrong);
  if (wrong || !row.is_object())
    return invalid_point{"the payload is no JSON object"};
  auto payload = std::move(row.get_object());
  std::string text{text_of(payload)};
  if (text.empty())
    return delete_point{id};
  auto sha256 = sha256_text(text);
  payload["source"] = "postgres";
  payload["table"] = x.table;
  payload["tenant_id"] = x.tenant.text();
  payload["row_id"] = x.row;
  payload["content_sha256"] = sha256;
  return upsert_point{id, std::move(text), std::move(sha256), std::move(payload)};
}

uint64_t fnv1a(std::string_view text) noexcept {
  uint64_t hash = 14695981039346656037u;
  for (const unsigned char c : text)
    hash = (hash ^ c) * 1099511628211u;
  return hash;
}

std::vector<float> mock_embedding(std::string_view text, size_t dimension) {
  const auto seed = fnv1a(text) % 1000;
  std::vector<float> out(dimension);
  for (size_t i = 0; i < dimension; ++i)
    out[i] = static_cast<float>(static_cast<double>(seed + i) / 1000.0);
  return out;
}

}  // namespace kgents::cdc
