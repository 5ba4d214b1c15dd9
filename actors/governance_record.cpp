#include "actors/governance_record.hpp"

#include <openssl/evp.h>

#include <array>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "sql/audit.hpp"

namespace kgents::actors {

namespace {

std::string sha256_hex(std::string_view text) {
  std::array<unsigned char, 32> digest{};
  EVP_Digest(text.data(), text.size(), digest.data(), nullptr, EVP_sha256(), nullptr);
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (const auto byte : digest) {
    out += digits[byte >> 4];
    out += digits[byte & 15];
  }
  return out;
}

}  // namespace

sql::statement governance_record(api_key_id key, const persona::governance_request& ask,
                                 const persona::verdict& x) {
  const boost::json::object details{{"action_sha256", sha256_hex(ask.action)},
                                    {"severity", ask.severity},
                                    {"confidence", x.confidence},
                                    {"was_deep", x.was_deep}};
  return sql::audit::governance_statement(key, persona::name(x.advice),
                                          boost::json::serialize(details));
}

}  // namespace kgents::actors
