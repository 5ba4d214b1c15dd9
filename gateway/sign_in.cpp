#include "gateway/sign_in.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>

#include "actors/llm/http_url.hpp"
#include "runtime/telemetry/log.hpp"

namespace kgents::gateway {

namespace identity = runtime::identity;

namespace {

/// What a role may do, in either vocabulary.
enum class rank : uint8_t { reader, member, admin };

rank rank_of(std::string_view role) {
  if (role == "owner" || role == "admin" || role == "super_admin")
    return rank::admin;
  if (role == "member" || role == "developer")
    return rank::member;
  return rank::reader;
}

rank best_of(const std::vector<std::string>& roles) {
  auto out = rank::reader;
  for (const auto& x : roles)
    out = std::max(out, rank_of(x));
  return out;
}

bool permits_writing(std::string_view x) {
  return x == "agentese:invoke" || x == "kgent:create" || x.ends_with(":write");
}

}  // namespace

outbound::http_client jwks_client(const std::string& url) {
  return outbound::http_client{url, identity::key_set::most_bytes};
}

outbound::http_request jwks_request(const std::string& url) {
  outbound::http_request out;
  const auto read = llm::parse_http_url(url);
  // The client's base URL has no slash at its end, but whoever named one meant it.
  out.target = url.substr(url.find_last_not_of('/') + 1);
  if (read && read->path.empty() && out.target.empty())
    out.target = "/";
  out.header_lines = "Accept: application/jwk-set+json, application/json\r\n";
  out.deadline = std::chrono::seconds{5};
  return out;
}

std::optional<std::string> jwks_of(outbound::http_result x) {
  auto* answer = std::get_if<outbound::http_answer>(&x);
  if (answer == nullptr || answer->status != 200)
    return std::nullopt;
  return std::move(answer->body);
}

std::string role_of(const identity::claims& x) {
  if (!x.roles)
    return "member";
  switch (best_of(*x.roles)) {
    case rank::admin:
      return "admin";
    case rank::member:
      return "member";
    case rank::reader:
      break;
  }
  return "readonly";
}

sql::key_scopes scopes_of(const identity::claims& x, const sql::key_scopes& users) {
  auto out = users;
  if (x.roles) {
    const auto best = best_of(*x.roles);
    out.write &= best >= rank::member;
    out.admin &= best == rank::admin;
    out.billing &= best == rank::admin;
  }
  if (x.permissions) {
    const auto& list = *x.permissions;
    out.read &= std::any_of(list.begin(), list.end(),
                            [](std::string_view one) { return one.ends_with(":read"); });
    out.write &= std::any_of(list.begin(), list.end(), permits_writing);
    // No permission says admin: only a role that is named does.
    out.admin &= x.roles.has_value();
    out.billing &= x.roles.has_value();
  }
  return out;
}

sign_in_desk::sign_in_desk(const runtime::identity_settings& config, runtime::io_thread& fetches,
                           runtime::identity_metrics& figures, std::function<void()> keys_gone)
    : enabled_{config.enabled()},
      provision_{config.provision},
      issuer_{config.issuer},
      thread_{fetches},
      figures_{figures},
      keys_gone_{std::move(keys_gone)},
      secret_{config.jwt_secret.empty() ? identity::key_set{}
                                        : identity::key_set::of_secret(config.jwt_secret.reveal())},
      source_{[this, ask = jwks_request(config.jwks_url)](auto done) {
                provider_->call(thread_, ask, [done = std::move(done)](outbound::http_result x) {
                  done(jwks_of(std::move(x)));
                });
              },
              [this](bool good, size_t keys, bool gone) { fetched(good, keys, gone); }},
      verifier_{config.issuer, config.audience} {
  if (!config.jwks_url.empty())
    provider_.emplace(jwks_client(config.jwks_url));
  else if (enabled_)
    figures_.keys.Set(1);
}

void sign_in_desk::tick() {
  if (provider_)
    source_.tick();
}

void sign_in_desk::fetched(bool good, size_t keys, bool some_gone) {
  (good ? figures_.fetched : figures_.fetch_failed).Increment();
  figures_.keys.Set(static_cast<double>(keys));
  if (!good)
    log::warn("the identity provider's keys cannot be read; the known ones stay",
              {{"keys", static_cast<uint64_t>(keys)}});
  if (some_gone)
    keys_gone_();
}

identity::verified sign_in_desk::verify(std::string_view token) const {
  const auto now = std::chrono::system_clock::now();
  return provider_ ? verifier_.verify(token, *source_.keys(), now)
                   : verifier_.verify(token, secret_, now);
}

identity::verified sign_in_desk::counted(identity::verified x) {
  if (const auto* wrong = std::get_if<identity::fault>(&x))
    figures_.refused(*wrong).Increment();
  else
    figures_.accepted.Increment();
  return x;
}

void sign_in_desk::look(runtime::io_thread& thread, std::string token,
                        std::function<void(identity::verified)> done) {
  auto first = verify(token);
  const auto* wrong = std::get_if<identity::fault>(&first);
  if (wrong == nullptr || *wrong != identity::fault::unknown_key || !provider_) {
    done(counted(std::move(first)));
    return;
  }
  source_.renew([this, &thread, token = std::move(token), done = std::move(done)]() mutable {
    boost::asio::post(thread.context(), [this, token = std::move(token), done = std::move(done)] {
      done(counted(verify(token)));
    });
  });
}

sql::keys::sign_in sign_in_desk::asks_for(const identity::claims& x) const {
  return {.issuer = issuer_,
          .subject = x.subject,
          .tenant = x.tenant,
          .email = x.email,
          .name = x.name,
          .role = role_of(x),
          .provision = provision_};
}

}  // namespace kgents::gateway
