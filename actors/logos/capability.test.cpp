#define CAF_SUITE capability

#include "actors/logos/capability.hpp"

#include <algorithm>

#include <caf/test/dsl.hpp>

using namespace std::chrono_literals;
using namespace kgents;
using namespace kgents::actors;

namespace {

struct fixture {
  const capability_authority authority{"a pepper"};
  const tenant_id tenant{uuid::random()};
  const tenant_id other{uuid::random()};
  const std::chrono::sys_seconds now{std::chrono::seconds{1'767'600'000}};
  const std::vector<std::string> known{"define", "garden:write", "memory:read", "memory:write"};

  agentese::caller caller(bool write) const {
    agentese::caller out;
    out.user = "ana";
    out.read = true;
    out.write = write;
    return out;
  }
  std::string minted(capability_request what) const {
    auto out = authority.mint(tenant, caller(true), what, now);
    if (const auto* wrong = std::get_if<agentese::error>(&out))
      CAF_FAIL(wrong->message);
    return std::get<std::string>(out);
  }
  std::string reason(const std::variant<capability, agentese::error>& x) const {
    const auto* wrong = std::get_if<agentese::error>(&x);
    return wrong == nullptr ? "valid" : std::string{wrong->details.at("reason").as_string()};
  }
  std::string verified(std::string_view token, std::chrono::seconds later = 0s) const {
    return reason(authority.verify(tenant, token, now + later));
  }
  std::string narrowed(std::string_view token, capability_request what) const {
    auto out = authority.narrow(tenant, caller(false), token, what, now);
    if (const auto* wrong = std::get_if<agentese::error>(&out)) {
      const auto* why = wrong->details.if_contains("reason");
      return why != nullptr ? std::string{why->as_string()} : wrong->code;
    }
    return "narrowed";
  }
  std::string proves(std::string_view token) const {
    const auto x = authority.verify(tenant, token, now);
    std::string out;
    for (const auto& s : proven_scopes(std::get<capability>(x), known))
      out += (out.empty() ? "" : " ") + s;
    return out;
  }
};

}  // namespace

CAF_TEST_FIXTURE_SCOPE(capability_tests, fixture)

CAF_TEST(a token is valid for its tenant and its time) {
  const auto token = minted({.scopes = {"memory:write"}});
  CAF_CHECK_EQUAL(verified(token), "valid");
  CAF_CHECK_EQUAL(verified(token, 3599s), "valid");
  CAF_CHECK_EQUAL(verified(token, 3600s), "expired");
  CAF_CHECK_EQUAL(verified(token, -1s), "not_yet_valid");
  CAF_CHECK_EQUAL(reason(authority.verify(other, token, now)), "other_audience");
  CAF_CHECK_EQUAL(proves(token), "memory:write");
}

CAF_TEST(whoever has the same secret verifies it and nobody else) {
  const auto token = minted({.scopes = {"memory:write"}});
  CAF_CHECK_EQUAL(reason(capability_authority{"a pepper"}.verify(tenant, token, now)), "valid");
  CAF_CHECK_EQUAL(reason(capability_authority{"another"}.verify(tenant, token, now)), "forged");
  // Without a secret the key is random: an empty one is no key that all the world knows.
  CAF_CHECK_EQUAL(reason(capability_authority{""}.verify(tenant, token, now)), "forged");
  const auto there = capability_authority{""}.mint(tenant, caller(true), {.scopes = {"*"}}, now);
  CAF_CHECK_EQUAL(
      reason(capability_authority{""}.verify(tenant, std::get<std::string>(there), now)), "forged");
}

CAF_TEST(no character of a token can be changed) {
  const auto token = minted({.scopes = {"memory:read"}, .resources = {"memory/*"}});
  for (size_t i = 0; i < token.size(); ++i) {
    auto changed = token;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    const auto x = verified(changed);
    CAF_CHECK(x == "forged" || x == "malformed");
  }
  for (size_t n = 0; n < token.size(); ++n)
    CAF_CHECK(verified(std::string_view{token}.substr(0, n)) != "valid");
}

CAF_TEST(what is no token is malformed) {
  for (const std::string_view x : {"", "x", "====", "e30", "bnVsbA", "a.b.c", "\xff\xff"})
    CAF_CHECK_EQUAL(verified(x), "malformed");
  CAF_CHECK_EQUAL(verified(std::string(capability_limits::token_most_bytes + 1, 'A')), "malformed");
}

CAF_TEST(nobody mints more than his credential allows) {
  const auto code = [&](std::vector<std::string> what, bool write) {
    const auto x = authority.mint(tenant, caller(write), {.scopes = what}, now);
    const auto* wrong = std::get_if<agentese::error>(&x);
    return wrong == nullptr ? std::string{"minted"} : wrong->code;
  };
  CAF_CHECK_EQUAL(code({"memory:read"}, false), "minted");
  CAF_CHECK_EQUAL(code({"memory:write"}, false), "SCOPE_REQUIRED");
  CAF_CHECK_EQUAL(code({"memory:read", "memory:write"}, false), "SCOPE_REQUIRED");
  CAF_CHECK_EQUAL(code({"define"}, false), "SCOPE_REQUIRED");
  CAF_CHECK_EQUAL(code({"*"}, false), "SCOPE_REQUIRED");
  CAF_CHECK_EQUAL(code({"*"}, true), "minted");
  CAF_CHECK_EQUAL(code({}, true), "minted");
  CAF_CHECK_EQUAL(code({}, false), "INVALID_ARGUMENT");
}

CAF_TEST(requests that make no sense are refused) {
  const auto code = [&](capability_request what) {
    const auto x = authority.mint(tenant, caller(true), what, now);
    const auto* wrong = std::get_if<agentese::error>(&x);
    return wrong == nullptr ? std::string{"minted"} : wrong->code;
  };
  for (const auto* x : {"", "memory", "memory:", "memory:admin", "Memory:read", ":read", "admin",
                        "memory:read:write", "**"})
    CAF_CHECK_EQUAL(code({.scopes = {x}}), "INVALID_ARGUMENT");
  for (const auto* x : {"", "m*", "*/x", "a/*/b", "A", "a b"})
    CAF_CHECK_EQUAL(code({.scopes = {"memory:read"}, .resources = {x}}), "INVALID_ARGUMENT");
  CAF_CHECK_EQUAL(code({.scopes = {"memory:read"}, .expires_at = now}), "INVALID_ARGUMENT");
  CAF_CHECK_EQUAL(code({.scopes = {"memory:read"}, .expires_at = now + 25h}), "INVALID_ARGUMENT");
  CAF_CHECK_EQUAL(code({.scopes = {"memory:read"}, .not_before = now + 2h, .expires_at = now + 1h}),
                  "INVALID_ARGUMENT");
  CAF_CHECK_EQUAL(code({.scopes = std::vector<std::string>(33, "memory:read")}),
                  "INVALID_ARGUMENT");
}

CAF_TEST(delegation only narrows) {
  const auto token = minted({.scopes = {"memory:read", "memory:write"},
                             .resources = {"memory/*"},
                             .not_before = now,
                             .expires_at = now + 1h});
  CAF_CHECK_EQUAL(narrowed(token, {}), "narrowed");
  CAF_CHECK_EQUAL(narrowed(token, {.scopes = {"memory:read"}}), "narrowed");
  CAF_CHECK_EQUAL(narrowed(token, {.resources = {"memory/notes"}}), "narrowed");
  CAF_CHECK_EQUAL(narrowed(token, {.resources = {"memory/notes/*"}}), "narrowed");
  CAF_CHECK_EQUAL(narrowed(token, {.expires_at = now + 30min}), "narrowed");
  CAF_CHECK_EQUAL(narrowed(token, {.scopes = {"garden:write"}}), "widened");
  CAF_CHECK_EQUAL(narrowed(token, {.scopes = {"*"}}), "widened");
  CAF_CHECK_EQUAL(narrowed(token, {.resources = {"*"}}), "widened");
  CAF_CHECK_EQUAL(narrowed(token, {.resources = {"memory2"}}), "widened");
  CAF_CHECK_EQUAL(narrowed(token, {.not_before = now - 1s}), "widened");
  CAF_CHECK_EQUAL(narrowed(token, {.expires_at = now + 61min}), "widened");
  CAF_CHECK_EQUAL(narrowed(token, {.expires_at = now}), "INVALID_ARGUMENT");
  CAF_CHECK_EQUAL(narrowed("x", {}), "malformed");
}

CAF_TEST(a token names every key it came from) {
  const auto with_key = [&](api_key_id key) {
    auto out = caller(true);
    out.key = key;
    return out;
  };
  const api_key_id first{uuid::random()};
  const api_key_id second{uuid::random()};
  auto token = std::get<std::string>(authority.mint(tenant, with_key(first), {}, now));
  const auto behind = [&] {
    return keys_behind(std::get<actors::capability>(authority.verify(tenant, token, now)));
  };
  CAF_CHECK_EQUAL(behind(), std::vector{first});
  // Each of them once, however often it narrows.
  for (int i = 0; i < 20; ++i)
    token = std::get<std::string>(
        authority.narrow(tenant, with_key(i % 2 == 0 ? second : first), token, {}, now));
  auto all = behind();
  std::sort(all.begin(), all.end());
  CAF_CHECK_EQUAL(all, (std::vector{std::min(first, second), std::max(first, second)}));
  for (size_t i = 2; i < capability_limits::most_chain; ++i)
    token = std::get<std::string>(
        authority.narrow(tenant, with_key(api_key_id{uuid::random()}), token, {}, now));
  token = std::get<std::string>(authority.narrow(tenant, with_key(first), token, {}, now));
  CAF_CHECK_EQUAL(behind().size(), capability_limits::most_chain);
  token = std::get<std::string>(
      authority.narrow(tenant, with_key(api_key_id{uuid::random()}), token, {}, now));
  CAF_CHECK_EQUAL(narrowed(token, {}), "INVALID_ARGUMENT");
  CAF_CHECK_EQUAL(std::string{revoked_capability().details.at("reason").as_string()}, "revoked");
}

CAF_TEST(what was narrowed away does not come back) {
  const auto token = minted({.scopes = {"*"}});
  const auto once =
      authority.narrow(tenant, caller(false), token, {.scopes = {"memory:read"}}, now);
  const auto& child = std::get<std::string>(once);
  CAF_CHECK_EQUAL(proves(child), "memory:read");
  CAF_CHECK_EQUAL(narrowed(child, {.scopes = {"memory:write"}}), "widened");
  const auto x = std::get<actors::capability>(authority.verify(tenant, child, now));
  CAF_CHECK(!x.parent.empty());
  CAF_CHECK_EQUAL(x.issuer, "did:kgents:user:ana");
}

CAF_TEST(a scope counts only for resources that are covered whole) {
  CAF_CHECK_EQUAL(proves(minted({.scopes = {"*"}})),
                  "define garden:write memory:read memory:write");
  CAF_CHECK_EQUAL(proves(minted({.scopes = {"*"}, .resources = {"memory"}})),
                  "define memory:read memory:write");
  CAF_CHECK_EQUAL(proves(minted({.scopes = {"memory:write"}, .resources = {"garden/*"}})), "");
  CAF_CHECK_EQUAL(proves(minted({.scopes = {"memory:write"}, .resources = {"memory/notes/*"}})),
                  "");
  CAF_CHECK_EQUAL(proves(minted({.scopes = {"define"}})), "define");
}

CAF_TEST_FIXTURE_SCOPE_END()
