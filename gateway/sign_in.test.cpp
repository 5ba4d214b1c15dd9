#define CAF_SUITE sign_in

#include "gateway/sign_in.hpp"

#include <caf/test/dsl.hpp>

using namespace kgents::gateway;

CAF_TEST(keys are asked for where the operator said to the last slash) {
  // The client puts the URL's path, without slashes at its end, before the target.
  CAF_CHECK_EQUAL(jwks_request("https://id.example").target, "/");
  CAF_CHECK_EQUAL(jwks_request("https://id.example/").target, "/");
  CAF_CHECK_EQUAL(jwks_request("https://id.example/jwks").target, "");
  CAF_CHECK_EQUAL(jwks_request("https://id.example/jwks/").target, "/");
}
