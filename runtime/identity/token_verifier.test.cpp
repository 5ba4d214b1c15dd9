#define CAF_SUITE token_verifier

#include "runtime/identity/token_verifier.hpp"

#include <cstdint>
#include <random>

#include "protocol/base64url.hpp"
#include "runtime/identity/signer.test.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents;
using namespace kgents::runtime::identity;

namespace {

constexpr int64_t now_s = 1'800'000'000;
const auto now = std::chrono::system_clock::time_point{std::chrono::seconds{now_s}};
const std::string tenant = "7b1d6f0e-4b0a-4c62-9a3f-0d3c1f5b9a10";

std::string around(int64_t seconds) { return std::to_string(now_s + seconds); }

/// The members of a good token but those that `without` begins, with `more` behind them.
std::string payload(const std::string& more = "", std::string_view without = "") {
  const std::pair<std::string_view, std::string> members[] = {
      {"iss", "\"https://id.example.org\""},
      {"aud", "\"kgents\""},
      {"sub", "\"ada\""},
      {"exp", around(300)},
      {"tenant_id", '"' + tenant + '"'}};
  std::string out = "{";
  for (const auto& [name, value] : members)
    if (name != without)
      out += (out.size() > 1 ? ",\"" : "\"") + std::string{name} + "\":" + value;
  return out + more + "}";
}

struct fixture {
  signer rsa = signer::rsa("r1");
  signer ec = signer::p256("e1");
  key_set keys = *key_set::of_provider("{\"keys\":[" + rsa.jwk() + "," + ec.jwk() + "]}");
  token_verifier judge{"https://id.example.org", "kgents"};

  verified look(const std::string& token) { return judge.verify(token, keys, now); }

  /// Empty: it is good.
  std::string wrong(const std::string& token) {
    const auto out = look(token);
    const auto* x = std::get_if<fault>(&out);
    return x == nullptr ? "" : std::string{to_string(*x)};
  }
  std::string wrong_claims(const std::string& more, std::string_view without = "") {
    return wrong(ec.sign(payload(more, without)));
  }
};

/// The header and payload as text, with the signature of nothing.
std::string unsigned_token(std::string_view header, std::string_view claims) {
  return to_base64url(header) + '.' + to_base64url(claims) + '.' + to_base64url(std::string(64, 'x'));
}

}  // namespace

CAF_TEST_FIXTURE_SCOPE(token_verifier_tests, fixture)

CAF_TEST(good tokens of either algorithm say who it is) {
  for (const auto& token : {rsa.sign(payload()), ec.sign(payload())}) {
    const auto out = look(token);
    CAF_REQUIRE(std::holds_alternative<claims>(out));
    const auto& x = std::get<claims>(out);
    CAF_CHECK_EQUAL(x.subject, "ada");
    CAF_CHECK_EQUAL(x.tenant->text(), tenant);
    CAF_CHECK(x.good_until == now + std::chrono::seconds{360});
    CAF_CHECK(!x.roles && !x.permissions);
  }
}

CAF_TEST(claims are read or the token is not taken) {
  const auto out = look(ec.sign(payload(
      R"(,"roles":["developer","x"],"permissions":[],"email":"a@b.c","email_verified":true,"name":"Ada")")));
  CAF_REQUIRE(std::holds_alternative<claims>(out));
  const auto& x = std::get<claims>(out);
  CAF_CHECK(x.roles == std::vector<std::string>({"developer", "x"}));
  CAF_CHECK(x.permissions->empty());
  CAF_CHECK_EQUAL(x.email, "a@b.c");
  CAF_CHECK_EQUAL(x.name, "Ada");
  for (const auto* email : {R"(,"email":"a@b.c")", R"(,"email":"a@b.c","email_verified":"true")",
                            R"(,"email":"a@b.c","email_verified":false)"})
    CAF_CHECK_EQUAL(std::get<claims>(look(ec.sign(payload(email)))).email, "");
  for (const auto* odd : {R"(,"roles":7)", R"(,"roles":[1])", R"(,"permissions":{})"})
    CAF_CHECK_EQUAL(wrong_claims(odd), "claims");
  CAF_CHECK_EQUAL(wrong_claims(R"(,"tenant_id":"x")", "tenant_id"), "claims");
  CAF_CHECK_EQUAL(wrong_claims("", "tenant_id"), "");
}

CAF_TEST(expiry is required and both clocks may differ by a minute) {
  CAF_CHECK_EQUAL(wrong_claims("", "exp"), "claims");
  CAF_CHECK_EQUAL(wrong_claims(",\"exp\":\"" + around(300) + '"', "exp"), "claims");
  CAF_CHECK_EQUAL(wrong_claims(",\"exp\":" + around(-59), "exp"), "");
  CAF_CHECK_EQUAL(wrong_claims(",\"exp\":" + around(-60), "exp"), "expired");
  CAF_CHECK_EQUAL(wrong_claims(",\"exp\":-1", "exp"), "expired");
  CAF_CHECK_EQUAL(wrong_claims(",\"exp\":1e300", "exp"), "");
  CAF_CHECK_EQUAL(wrong_claims(",\"nbf\":" + around(60)), "");
  CAF_CHECK_EQUAL(wrong_claims(",\"nbf\":" + around(61)), "not_yet");
  CAF_CHECK_EQUAL(wrong_claims(",\"iat\":" + around(61)), "not_yet");
  CAF_CHECK_EQUAL(wrong_claims(",\"iat\":null"), "claims");
}

CAF_TEST(issuer audience and subject are compared as they are) {
  CAF_CHECK_EQUAL(wrong_claims("", "iss"), "issuer");
  CAF_CHECK_EQUAL(wrong_claims(R"(,"iss":"https://id.example.org/")", "iss"), "issuer");
  CAF_CHECK_EQUAL(wrong_claims(R"(,"iss":["https://id.example.org"])", "iss"), "issuer");
  CAF_CHECK_EQUAL(wrong_claims("", "aud"), "audience");
  CAF_CHECK_EQUAL(wrong_claims(R"(,"aud":"Kgents")", "aud"), "audience");
  CAF_CHECK_EQUAL(wrong_claims(R"(,"aud":["other",7])", "aud"), "audience");
  CAF_CHECK_EQUAL(wrong_claims(R"(,"aud":["other","kgents"])", "aud"), "");
  CAF_CHECK_EQUAL(wrong_claims("", "sub"), "claims");
  CAF_CHECK_EQUAL(wrong_claims(R"(,"sub":"")", "sub"), "claims");
  CAF_CHECK_EQUAL(wrong_claims(R"(,"sub":"a\u0000b")", "sub"), "claims");
  CAF_CHECK_EQUAL(wrong_claims(",\"sub\":\"" + std::string(255, 'x') + '"', "sub"), "");
  CAF_CHECK_EQUAL(wrong_claims(",\"sub\":\"" + std::string(256, 'x') + '"', "sub"), "claims");
}

CAF_TEST(a token does not choose what verifies it) {
  CAF_CHECK_EQUAL(wrong(unsigned_token(R"({"alg":"none"})", payload())), "algorithm");
  CAF_CHECK_EQUAL(wrong(to_base64url(R"({"alg":"none"})") + '.' + to_base64url(payload()) + '.'),
                  "algorithm");
  for (const auto* alg : {"NONE", "None", "rs256", "RS384", "PS256", "ES384", "EdDSA", "HS256", ""})
    CAF_CHECK_EQUAL(wrong(unsigned_token("{\"alg\":\"" + std::string{alg} + "\",\"kid\":\"r1\"}",
                                         payload())),
                    "algorithm");
  CAF_CHECK_EQUAL(wrong(unsigned_token("{}", payload())), "algorithm");
  CAF_CHECK_EQUAL(wrong(unsigned_token(R"({"alg":["ES256"]})", payload())), "algorithm");
  // The public key as a secret: what confused verifiers take it for.
  CAF_CHECK_EQUAL(wrong(signer::secret(rsa.jwk(), "r1").sign(payload())), "algorithm");
  // A key for another algorithm than its own.
  CAF_CHECK_EQUAL(wrong(unsigned_token(R"({"alg":"RS256","kid":"e1"})", payload())), "unknown_key");
  CAF_CHECK_EQUAL(wrong(unsigned_token(R"({"alg":"ES256","kid":"r1"})", payload())), "unknown_key");
}

CAF_TEST(keys are named where there are several) {
  CAF_CHECK_EQUAL(wrong(signer::p256("e2").sign(payload())), "unknown_key");
  CAF_CHECK_EQUAL(wrong(signer::p256("e1").sign(payload())), "signature");
  const auto nameless = signer::p256("");
  CAF_CHECK_EQUAL(wrong(nameless.sign(payload())), "malformed");
  keys = *key_set::of_provider("{\"keys\":[" + nameless.jwk() + "]}");
  CAF_CHECK_EQUAL(wrong(nameless.sign(payload())), "");
  CAF_CHECK_EQUAL(wrong(ec.sign(payload())), "unknown_key");
  keys = key_set{};
  CAF_CHECK_EQUAL(wrong(nameless.sign(payload())), "unknown_key");
}

CAF_TEST(headers that matter and are not understood are refused) {
  for (const auto* more :
       {R"("crit":["exp"])", R"("crit":[])", R"("b64":false)", R"("b64":true)", R"("cty":"JWT")",
        R"("enc":"A128GCM")", R"("zip":"DEF")", R"("typ":"logout+jwt")", R"("typ":1)",
        R"("alg":"ES256")", R"("\u0061lg":"ES256")", R"("kid":"e1","kid":"e1")", R"("kid":1)",
        R"("x":{"a":1,"a":2})"})
    CAF_CHECK_EQUAL(
        wrong(unsigned_token("{\"alg\":\"ES256\"," + std::string{more} + '}', payload())),
        "malformed");
  for (const auto* more : {R"("typ":"JWT")", R"("typ":"application/at+jwt")",
                           R"("jku":"http://127.0.0.1/k")", R"("jwk":{"kty":"oct","k":"eA"})"})
    CAF_CHECK_EQUAL(wrong(unsigned_token("{\"alg\":\"ES256\",\"kid\":\"e1\"," + std::string{more} + '}',
                                         payload())),
                    "signature");
  CAF_CHECK_EQUAL(wrong_claims(R"(,"sub":"eve")"), "malformed");
  CAF_CHECK_EQUAL(wrong_claims(R"(,"address":{"a":1,"a":2})"), "malformed");
}

CAF_TEST(a token with anything cut off or changed is none) {
  const auto good = ec.sign(payload());
  for (size_t i = 0; i < good.size(); ++i)
    CAF_REQUIRE(wrong(good.substr(0, i)) != "");
  for (size_t i = 0; i < good.size(); ++i) {
    auto other = good;
    other[i] = other[i] == 'A' ? 'B' : 'A';
    CAF_REQUIRE(wrong(other) != "");
  }
  for (const auto& odd : {good + "=", good + ".", "." + good, good + "." + good, good + "\n",
                          good + std::string(1, '\0'), std::string{}, std::string{".."}})
    CAF_CHECK_EQUAL(wrong(odd), "malformed");
  const auto dot = good.rfind('.');
  const auto raw = *from_base64url(good.substr(dot + 1));
  for (const auto& form : {raw + '\0', '\0' + raw, raw.substr(1), raw.substr(0, 63), raw + raw,
                           std::string(64, '\0'), std::string{}})
    CAF_CHECK_EQUAL(wrong(good.substr(0, dot + 1) + to_base64url(form)), "signature");
  CAF_CHECK_EQUAL(wrong(ec.sign(payload(",\"x\":\"" + std::string(8192, 'x') + '"'))), "malformed");
}

CAF_TEST(a secret verifies HS256 and nothing else) {
  const std::string text = "0123456789abcdef0123456789abcdef";
  keys = key_set::of_secret(text);
  CAF_CHECK_EQUAL(wrong(signer::secret(text).sign(payload())), "");
  CAF_CHECK_EQUAL(wrong(signer::secret(text, "any").sign(payload())), "");
  CAF_CHECK_EQUAL(wrong(signer::secret(text + "0").sign(payload())), "signature");
  CAF_CHECK_EQUAL(wrong(ec.sign(payload())), "algorithm");
  CAF_CHECK_EQUAL(wrong(rsa.sign(payload())), "algorithm");
}

CAF_TEST(only keys that are fit for it are taken from a provider) {
  const auto taken = [](const std::string& list) {
    const auto x = key_set::of_provider("{\"keys\":[" + list + "]}");
    return x ? x->size() : 0;
  };
  CAF_CHECK_EQUAL(taken(rsa.jwk() + "," + ec.jwk()), 2u);
  for (const auto* more : {R"("use":"enc",)", R"("alg":"HS256",)", R"("alg":"PS256",)",
                           R"("key_ops":["sign"],)", R"("key_ops":"verify",)", R"("d":"AA",)"}) {
    CAF_CHECK_EQUAL(taken(rsa.jwk(more)), 0u);
    CAF_CHECK_EQUAL(taken(rsa.jwk(more) + "," + ec.jwk()), 1u);
  }
  CAF_CHECK_EQUAL(taken(rsa.jwk(R"("use":"sig","alg":"RS256","key_ops":["verify"],)")), 1u);
  CAF_CHECK_EQUAL(taken(signer::rsa("small", 1024).jwk()), 0u);
  CAF_CHECK_EQUAL(taken(signer::p384("e").jwk()), 0u);
  CAF_CHECK_EQUAL(taken(R"({"kty":"oct","kid":"s","k":"MDEyMzQ1Njc4OWFiY2RlZg"})"), 0u);
  // No point of the curve.
  const auto one = to_base64url(std::string(31, '\0') + '\1');
  CAF_CHECK_EQUAL(
      taken(R"({"kty":"EC","crv":"P-256","x":")" + one + R"(","y":")" + one + "\"}"), 0u);
  CAF_CHECK_EQUAL(taken("1,\"x\",null,[]," + ec.jwk()), 1u);
  std::string many;
  for (int i = 0; i < 100; ++i)
    many += (i == 0 ? "" : ",") + ec.jwk();
  CAF_CHECK_EQUAL(taken(many), key_set::most_keys);
  for (const auto* odd : {"", "[]", "{}", R"({"keys":{}})", R"({"keys":[]})", "{\"keys\":[}"})
    CAF_CHECK(!key_set::of_provider(odd));
  CAF_CHECK(!key_set::of_provider("{\"keys\":[" + ec.jwk() + "],\"x\":\"" +
                                  std::string(key_set::most_bytes, 'x') + "\"}"));
}

CAF_TEST(noise and damaged tokens are refused and harm nothing) {
  std::mt19937 dice{20261121};
  const auto roll = [&](size_t sides) { return dice() % sides; };
  const auto good = rsa.sign(payload(R"(,"roles":["admin"],"permissions":["kgent:read"])"));
  const auto dot = good.find('.');
  const auto header = *from_base64url(good.substr(0, dot));
  for (int round = 0; round < 20'000; ++round) {
    std::string token;
    if (round % 3 == 0) {
      token.resize(roll(200));
      for (auto& c : token)
        c = static_cast<char>(roll(256));
    } else if (round % 3 == 1) {
      token = good;
      for (auto n = 1 + roll(4); n > 0; --n)
        token[roll(token.size())] = static_cast<char>(roll(256));
    } else {  // well-formed text around a damaged header or payload
      auto head = header;
      auto body = payload();
      auto& hurt = roll(2) == 0 ? head : body;
      for (auto n = 1 + roll(3); n > 0; --n)
        hurt[roll(hurt.size())] = static_cast<char>(roll(256));
      token = to_base64url(head) + '.' + to_base64url(body) + good.substr(good.rfind('.'));
    }
    if (token != good)
      CAF_REQUIRE(wrong(token) != "");
  }
}

CAF_TEST_FIXTURE_SCOPE_END()
