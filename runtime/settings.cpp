#include "runtime/settings.hpp"

#include <unistd.h>

#include <algorithm>
#include <climits>
#include <fstream>
#include <optional>

#include "runtime/settings_parse.hpp"

namespace kgents::runtime {

namespace {

using complaint = std::optional<std::string>;

/// Kubernetes injects NAME_SERVICE_HOST, NAME_PORT=tcp://… for every service of a namespace; one
/// called `api` or `kgents` must not stop the pods beside it.
bool is_service_link(std::string_view name, std::string_view value) {
  return name.find("_SERVICE_HOST") != name.npos || name.find("_SERVICE_PORT") != name.npos ||
         name.find("_TCP") != name.npos || name.find("_UDP") != name.npos ||
         (name.ends_with("_PORT") && (value.starts_with("tcp://") || value.starts_with("udp://")));
}

complaint find_unknown(const variables& from) {
  for (const auto& [name, value] : from) {
    // KGENTS_TEST_ is the test run's own: where its servers are.
    if ((!name.starts_with("KGENTS_") && !name.starts_with("API_")) ||
        name.starts_with("KGENTS_TEST_"))
      continue;
    const auto known = all_settings();
    if (std::ranges::find(known, std::string_view{name}, &setting::name) != known.end() ||
        is_service_link(name, value))
      continue;
    const auto nearest = std::ranges::min_element(
        known, {}, [&name](const setting& x) { return parse::edit_distance(name, x.name); });
    return "unknown setting " + name + "; did you mean " + std::string{nearest->name} +
           "? (kgentsd --help lists all)";
  }
  return std::nullopt;
}

complaint apply(const setting& line, bool dev, const variables& from, settings& out) {
  const auto found = from.find(line.name);
  std::string_view value = dev ? line.dev_default : line.serve_default;
  if (found != from.end() && (!found->second.empty() || !line.empty_is_default)) {
    value = parse::trimmed(found->second);
  } else if (value.empty()) {
    return std::nullopt;
  }
  const auto expected = line.apply(out, value);
  if (expected.empty())
    return std::nullopt;
  std::string message{line.name};
  if (line.is_secret)
    message += " is malformed";
  else
    message += "=" + std::string{value.substr(0, 200)} + " is malformed";
  return message + "; it should be " + std::string{expected};
}

complaint unreadable(std::string_view name, const std::filesystem::path& path) {
  if (path.empty() || std::ifstream{path}.good())
    return std::nullopt;
  return std::string{name} + "=" + path.string() + " cannot be read; it should be a PEM file";
}

bool uses(const settings& x, provider_kind kind) {
  return std::ranges::find(x.llm, kind) != x.llm.end();
}

complaint check_tls(const settings& x) {
  if (x.tls_cert.empty() != x.tls_key.empty())
    return x.tls_key.empty() ? "API_TLS_CERT is set without API_TLS_KEY; set both or neither"
                             : "API_TLS_KEY is set without API_TLS_CERT; set both or neither";
  const bool some =
      !x.cluster_tls_ca.empty() || !x.cluster_tls_cert.empty() || !x.cluster_tls_key.empty();
  const bool all =
      !x.cluster_tls_ca.empty() && !x.cluster_tls_cert.empty() && !x.cluster_tls_key.empty();
  if (some && !all)
    return "KGENTS_CLUSTER_TLS_CA, KGENTS_CLUSTER_TLS_CERT and KGENTS_CLUSTER_TLS_KEY belong "
           "together; set all three or none";
  for (const auto& [name, path] :
       {std::pair<std::string_view, const std::filesystem::path&>{"API_TLS_CERT", x.tls_cert},
        {"API_TLS_KEY", x.tls_key},
        {"KGENTS_CLUSTER_TLS_CA", x.cluster_tls_ca},
        {"KGENTS_CLUSTER_TLS_CERT", x.cluster_tls_cert},
        {"KGENTS_CLUSTER_TLS_KEY", x.cluster_tls_key}})
    if (auto wrong = unreadable(name, path))
      return wrong;
  return std::nullopt;
}

complaint check_cluster(program which, const settings& x) {
  const auto has = [&](node_role role) {
    return std::ranges::find(x.roles, role) != x.roles.end();
  };
  if (x.cluster_host.empty()) {
    if (has(node_role::gateway) && !has(node_role::kgent))
      return "KGENTS_ROLES lists gateway without kgent, but KGENTS_CLUSTER_HOST is not set; a "
             "cluster of one has no other node to host its sessions";
    return std::nullopt;
  }
  if (which == program::dev)
    return "KGENTS_CLUSTER_HOST contradicts kgentsd dev, whose private PostgreSQL no other node "
           "reaches; unset it, or use kgentsd serve";
  const bool strict = x.env == environment::production || x.env == environment::enterprise;
  if (strict && x.cluster_tls_cert.empty())
    return "KGENTS_CLUSTER_HOST with KGENTS_ENV=" + std::string{to_string(x.env)} +
           " needs KGENTS_CLUSTER_TLS_CA, KGENTS_CLUSTER_TLS_CERT and KGENTS_CLUSTER_TLS_KEY; "
           "nodes trust each other by certificate";
  return std::nullopt;
}

complaint check_providers(const settings& x) {
  if (uses(x, provider_kind::openai) && x.openai.model.empty())
    return "KGENTS_LLM lists openai, but OPENAI_MODEL is not set";
  if (uses(x, provider_kind::anthropic) && x.anthropic.model.empty())
    return "KGENTS_LLM lists anthropic, but ANTHROPIC_MODEL is not set";
  if (uses(x, provider_kind::anthropic) && x.anthropic.api_key.empty())
    return "KGENTS_LLM lists anthropic, but ANTHROPIC_API_KEY is not set";
  if (x.llm_timeouts.whole < x.llm_timeouts.first_chunk)
    return "KGENTS_LLM_TIMEOUT is shorter than KGENTS_LLM_FIRST_CHUNK_TIMEOUT; it covers the whole "
           "answer";
  return std::nullopt;
}

complaint check_environment(program which, const settings& x) {
  const bool private_use = x.env == environment::dev || x.env == environment::test;
  if (which == program::dev && !private_use)
    return "KGENTS_ENV=" + std::string{to_string(x.env)} +
           " contradicts kgentsd dev, which has published keys; use dev or test, or kgentsd serve";
  if (x.seed_dev && !private_use)
    return "KGENTS_SEED_DEV contradicts KGENTS_ENV=" + std::string{to_string(x.env)} +
           "; development keys exist in dev and test only";
  if (!x.platform_key.empty() && x.platform_key.reveal().size() < 16)
    return "KGENTS_PLATFORM_KEY is too short; it should have at least 16 characters";
  return std::nullopt;
}

/// A checkout that no webhook can report would be paid and give nothing.
complaint check_stripe(const settings& x, const variables& from) {
  const auto key = from.find("STRIPE_API_KEY");
  const auto alias = from.find("STRIPE_SECRET_KEY");
  if (key != from.end() && alias != from.end() && !key->second.empty() && !alias->second.empty() &&
      key->second != alias->second)
    return "STRIPE_SECRET_KEY contradicts STRIPE_API_KEY; they are two names of one key, set one";
  const bool strict = x.env == environment::production || x.env == environment::enterprise;
  if (strict && !x.stripe.api_key.empty() && x.stripe.webhook_secret.empty())
    return "STRIPE_API_KEY is set without STRIPE_WEBHOOK_SECRET; with KGENTS_ENV=" +
           std::string{to_string(x.env)} + " set both, or what is bought has no effect";
  return std::nullopt;
}

complaint check_identity(const settings& x) {
  const auto& id = x.identity;
  const bool strict = x.env == environment::production || x.env == environment::enterprise;
  if (!id.jwt_secret.empty() && x.env != environment::dev && x.env != environment::test)
    return "AUTH_JWT_SECRET contradicts KGENTS_ENV=" + std::string{to_string(x.env)} +
           "; use AUTH_JWKS_URL outside dev and test";
  if (!id.jwt_secret.empty() && !id.jwks_url.empty())
    return "AUTH_JWT_SECRET contradicts AUTH_JWKS_URL; tokens are verified with one of the two";
  if (!id.jwt_secret.empty() && id.jwt_secret.reveal().size() < 32)
    return "AUTH_JWT_SECRET is too short; it should have at least 32 characters";
  if (id.enabled() && (id.issuer.empty() || id.audience.empty()))
    return "AUTH_ISSUER and AUTH_AUDIENCE are required to accept JWTs; a token for another service "
           "would be accepted without them";
  if (!id.enabled() && (!id.issuer.empty() || !id.audience.empty() || id.provision))
    return "AUTH_ISSUER, AUTH_AUDIENCE and AUTH_PROVISION have no effect without AUTH_JWKS_URL";
  if (strict && id.jwks_url.starts_with("http:"))
    return "AUTH_JWKS_URL begins with http://; with KGENTS_ENV=" + std::string{to_string(x.env)} +
           " keys are fetched over https:// only";
  return std::nullopt;
}

complaint check_databases(program which, const settings& x) {
  if (which == program::serve && x.database_url.empty())
    return "DATABASE_URL is not set; kgentsd serve needs a libpq URL as kg_app (kgentsd dev brings "
           "its own PostgreSQL)";
  if (which == program::serve && x.control_url.empty())
    return "DATABASE_CONTROL_URL is not set; kgentsd serve needs a libpq URL as kg_control";
  if (which == program::migrate && x.admin_url.empty())
    return "DATABASE_ADMIN_URL is not set; kgentsd migrate needs a libpq URL as kg_migrator";
  if (std::error_code unread;
      !x.silo_secrets.empty() && !std::filesystem::is_directory(x.silo_secrets, unread))
    return "KGENTS_SILO_SECRETS=" + x.silo_secrets.string() + " is not a directory";
  return std::nullopt;
}

std::string host_name() {
  char name[HOST_NAME_MAX + 1] = {};
  return ::gethostname(name, HOST_NAME_MAX) == 0 && name[0] != '\0' ? name : "kgents";
}

}  // namespace

variables process_environment() {
  variables result;
  for (char** line = environ; line != nullptr && *line != nullptr; ++line) {
    const std::string_view text{*line};
    if (const auto equals = text.find('='); equals != text.npos)
      result.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return result;
}

std::variant<settings, settings_error> load_settings(program which, const variables& from) {
  settings result;
  if (auto wrong = find_unknown(from))
    return settings_error{*std::move(wrong)};
  for (const auto& line : all_settings())
    if (auto wrong = apply(line, which == program::dev, from, result))
      return settings_error{*std::move(wrong)};
  if (result.node_name.empty())
    result.node_name = host_name();
  for (auto wrong : {check_tls(result), check_cluster(which, result), check_providers(result),
                     check_environment(which, result), check_stripe(result, from), check_identity(result),
                     check_databases(which, result)})
    if (wrong)
      return settings_error{*std::move(wrong)};
  return result;
}

}  // namespace kgents::runtime
