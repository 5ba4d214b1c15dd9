#pragma once

#include <cjose/cjose.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

namespace kgents::runtime::identity {

/// An identity provider's private key.
class signer {
public:
  static signer rsa(std::string id, size_t bits = 2048) {
    const uint8_t exponent[] = {1, 0, 1};
    cjose_err why{};
    return {cjose_jwk_create_RSA_random(bits, exponent, sizeof exponent, &why), std::move(id),
            "RS256"};
  }
  static signer p256(std::string id) {
    cjose_err why{};
    return {cjose_jwk_create_EC_random(CJOSE_JWK_EC_P_256, &why), std::move(id), "ES256"};
  }
  static signer p384(std::string id) {
    cjose_err why{};
    return {cjose_jwk_create_EC_random(CJOSE_JWK_EC_P_384, &why), std::move(id), "ES384"};
  }
  static signer secret(std::string_view text, std::string id = "") {
    cjose_err why{};
    return {cjose_jwk_create_oct_spec(reinterpret_cast<const uint8_t*>(text.data()), text.size(),
                                      &why),
            std::move(id), "HS256"};
  }

  /// The public key as a member of a JWKS; `more` is put before the other members.
  [[nodiscard]] std::string jwk(const std::string& more = "") const {
    cjose_err why{};
    const std::unique_ptr<char, decltype(&::free)> text{cjose_jwk_to_json(key_.get(), false, &why),
                                                        &::free};
    return "{" + more + "\"kid\":\"" + id_ + "\"," + (text.get() + 1);
  }

  [[nodiscard]] std::string sign(const std::string& claims) const {
    cjose_err why{};
    const std::unique_ptr<cjose_header_t, decltype(&cjose_header_release)> header{
        cjose_header_new(&why), &cjose_header_release};
    cjose_header_set(header.get(), CJOSE_HDR_ALG, alg_.c_str(), &why);
    if (!id_.empty())
      cjose_header_set(header.get(), CJOSE_HDR_KID, id_.c_str(), &why);
    const std::unique_ptr<cjose_jws_t, decltype(&cjose_jws_release)> made{
        cjose_jws_sign(key_.get(), header.get(), reinterpret_cast<const uint8_t*>(claims.data()),
                       claims.size(), &why),
        &cjose_jws_release};
    const char* text = nullptr;
    if (!made || !cjose_jws_export(made.get(), &text, &why))
      throw std::runtime_error{why.message};
    return text;
  }

private:
  signer(cjose_jwk_t* key, std::string id, std::string alg)
      : key_{key, &cjose_jwk_release}, id_{std::move(id)}, alg_{std::move(alg)} {
    if (key == nullptr)
      throw std::runtime_error{"no key"};
  }

  std::shared_ptr<cjose_jwk_t> key_;
  std::string id_;
  std::string alg_;
};

}  // namespace kgents::runtime::identity
