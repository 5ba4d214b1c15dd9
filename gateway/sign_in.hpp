#pragma once

#include <functional>
#include <optional>
#include <string>

#include "actors/outbound/http_client.hpp"
#include "runtime/identity/key_source.hpp"
#include "runtime/identity/token_verifier.hpp"
#include "runtime/io_thread.hpp"
#include "runtime/settings.hpp"
#include "runtime/telemetry/identity_metrics.hpp"
#include "sql/keys.hpp"

namespace kgents::gateway {

/// The word of the identity provider (settings `AUTH_*`): verifies tokens with its keys, which it
/// reads again now and then, and says what they entitle to. Any thread.
class sign_in_desk {
public:
  /// `fetches` is where the provider is asked. `keys_gone`: some of its keys are used no more.
  sign_in_desk(const runtime::identity_settings& config, runtime::io_thread& fetches,
               runtime::identity_metrics& figures, std::function<void()> keys_gone);

  [[nodiscard]] bool enabled() const noexcept { return enabled_; }

  /// Reads the provider's keys when it is time; called about once a second.
  void tick();

  /// `done` comes on `thread`, at once or after the provider was asked for a key that is new.
  /// Blocks for a signature's time (some 50 us).
  void look(runtime::io_thread& thread, std::string token,
            std::function<void(runtime::identity::verified)> done);

  /// What to look the person up by.
  [[nodiscard]] sql::keys::sign_in asks_for(const runtime::identity::claims& x) const;

  /// A good token was nobody's.
  void knows_nobody() { figures_.nobody.Increment(); }

private:
  void fetched(bool good, size_t keys, bool some_gone);
  runtime::identity::verified verify(std::string_view token) const;
  runtime::identity::verified counted(runtime::identity::verified x);

  const bool enabled_;
  const bool provision_;
  const std::string issuer_;
  runtime::io_thread& thread_;
  runtime::identity_metrics& figures_;
  const std::function<void()> keys_gone_;
  std::optional<outbound::http_client> provider_;  // none: there is a secret, or nothing
  const runtime::identity::key_set secret_;
  runtime::identity::key_source source_;
  const runtime::identity::token_verifier verifier_;
};

/// Where a JWKS is read: within 5 s, 256 KiB and without redirects.
[[nodiscard]] outbound::http_client jwks_client(const std::string& url);
[[nodiscard]] outbound::http_request jwks_request(const std::string& url);
/// The body, if it may be one.
[[nodiscard]] std::optional<std::string> jwks_of(outbound::http_result x);

/// The role of a user that is made for a token (data.md 5.2): its best known one, but never owner.
/// A token without `roles` makes a member, one with unknown ones a reader.
[[nodiscard]] std::string role_of(const runtime::identity::claims& x);

/// What a token leaves of its user's scopes (http-api.md 2.7): no more than its `roles` allow, and
/// of reading and writing no more than its `permissions`. Without them it leaves all.
[[nodiscard]] sql::key_scopes scopes_of(const runtime::identity::claims& x,
                                        const sql::key_scopes& users);

}  // namespace kgents::gateway
