#define CAF_SUITE key_secret

#include "gateway/key_secret.hpp"

#include <algorithm>
#include <set>

#include <caf/test/dsl.hpp>

using namespace kgents::gateway;

namespace {

bool all_of(std::string_view text, std::string_view letters) {
  return text.find_first_not_of(letters) == std::string_view::npos;
}

}  // namespace

CAF_TEST(a key has the form that is published and no two are the same) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const auto x = make_key_secret("");
    CAF_REQUIRE_EQUAL(x.key.size(), 52u);
    CAF_CHECK_EQUAL(x.key.substr(0, 3), "kg_");
    CAF_CHECK(all_of(x.key.substr(3, 5), "abcdefghijklmnopqrstuvwxyz0123456789"));
    CAF_CHECK_EQUAL(x.key[8], '_');
    CAF_CHECK(all_of(x.key.substr(9), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                      "0123456789-_"));
    CAF_CHECK_EQUAL(x.prefix, x.key.substr(0, 8));
    CAF_CHECK_EQUAL(x.hash, key_hash(x.key, ""));
    CAF_CHECK(seen.insert(x.key).second);
  }
}

CAF_TEST(a hash is SHA - 256 or with a pepper HMAC) {
  CAF_CHECK_EQUAL(key_hash("kg_dev_alice", ""),
                  "78d873d604704d61cb530a6c2f86877c5a9d84579ae87757081d13582489babe");
  // RFC 4231, test case 2.
  CAF_CHECK_EQUAL(key_hash("what do ya want for nothing?", "Jefe"),
                  "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}
