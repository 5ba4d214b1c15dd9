#define CAF_SUITE stripe_signature

#include "protocol/stripe_signature.hpp"

#include <string>
#include <vector>

#include <caf/test/unit_test.hpp>

using namespace kgents;
using namespace std::chrono_literals;

namespace {

// The vector of events-and-billing.md 4.2.
constexpr std::string_view secret = "whsec_test_secret";
constexpr std::string_view body =
    R"({"id":"evt_test_1","type":"invoice.paid","created":1702560000,"data":{"object":{"id":"in_test_1","customer":"cus_test_1","amount_paid":9900,"currency":"usd"}}})";
const std::string good = "2a8f8584a0efe3464057cea80fbd8afc65c3cc7e3af0e3459a37d8073eb5302a";
const std::string bad(64, '0');
constexpr std::chrono::system_clock::time_point signed_at{1702560000s};

bool accepted(std::string_view header, std::string_view what = body,
              std::chrono::system_clock::time_point now = signed_at,
              std::vector<std::string_view> secrets = {secret}) {
  return is_signed_by_stripe(header, what, secrets, now, 300s);
}

}  // namespace

CAF_TEST(the vector is accepted) {
  CAF_CHECK_EQUAL(body.size(), 159u);
  CAF_CHECK(accepted("t=1702560000,v1=" + good));
}

CAF_TEST(any v1 may match and other schemes are passed over) {
  CAF_CHECK(accepted("t=1702560000,v1=" + bad + ",v1=" + good));
  CAF_CHECK(accepted("v0=" + bad + ",v1=" + good + ",t=1702560000,junk"));
  CAF_CHECK(accepted("t=1702560000,v1=short,v1=" + good));
  CAF_CHECK(!accepted("t=1702560000,v0=" + good));
}

CAF_TEST(a changed body or time or digest is refused) {
  auto other = std::string{body};
  other[other.find("9900")] = '1';
  CAF_CHECK(!accepted("t=1702560000,v1=" + good, other));
  CAF_CHECK(!accepted("t=1702560001,v1=" + good));
  CAF_CHECK(!accepted("t=01702560000,v1=" + good));
  CAF_CHECK(!accepted("t=1702560000,v1=" + bad));
  CAF_CHECK(!accepted("t=1702560000,v1=" + good + "0"));
}

CAF_TEST(a header that is none is refused) {
  for (const std::string header :
       {"", "v1=", "t=1702560000", "t=,v1=", "t=x,v1=", "t=1702560000 ,v2="})
    CAF_CHECK(!accepted(header + good));
  CAF_CHECK(!accepted("v1=" + good));
  CAF_CHECK(!accepted("t=1702560000,t=1702560000,v1=" + good));
  CAF_CHECK(!accepted("t=99999999999999999999,v1=" + good));
  CAF_CHECK(!accepted("t=-9223372036854775808,v1=" + good));
  std::string many = "t=1702560000";
  for (int i = 0; i < 16; ++i)
    many += ",v1=" + bad;
  CAF_CHECK(!accepted(many + ",v1=" + good));
}

CAF_TEST(the tolerance holds both ways and its edge is inside) {
  const auto header = "t=1702560000,v1=" + good;
  CAF_CHECK(accepted(header, body, signed_at + 300s));
  CAF_CHECK(accepted(header, body, signed_at + 300s + 999ms));
  CAF_CHECK(!accepted(header, body, signed_at + 301s));
  CAF_CHECK(accepted(header, body, signed_at - 300s));
  CAF_CHECK(!accepted(header, body, signed_at - 301s));
}

CAF_TEST(both secrets of a rotation are good and an empty one matches nothing) {
  const auto header = "t=1702560000,v1=" + good;
  CAF_CHECK(accepted(header, body, signed_at, {"whsec_new", secret}));
  CAF_CHECK(accepted(header, body, signed_at, {secret, "whsec_old"}));
  CAF_CHECK(!accepted(header, body, signed_at, {"whsec_new", "whsec_old"}));
  CAF_CHECK(!accepted(header, body, signed_at, {"", ""}));
  // HMAC-SHA-256 under the empty key of the same payload would be a signature anybody can make.
  CAF_CHECK(!accepted(header, body, signed_at, {}));
}
