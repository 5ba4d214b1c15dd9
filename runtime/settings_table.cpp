#include <algorithm>
#include <thread>

#include "runtime/settings.hpp"
#include "runtime/settings_parse.hpp"

// The one table of settings: a new one is a line here and a member of `settings`. Values that the
// table can judge alone are judged here; what depends on others in settings.cpp.

namespace kgents::runtime {

namespace {

constexpr std::string_view ok{};

template <secret settings::*Member>
std::string_view keep_secret(settings& out, std::string_view value) {
  out.*Member = secret{std::string{value}};
  return ok;
}

template <auto Member>
std::string_view keep_text(settings& out, std::string_view value) {
  out.*Member = value;
  return ok;
}

template <auto Member, uint64_t Least, uint64_t Most>
std::string_view keep_number(settings& out, std::string_view value) {
  const auto number = parse::number(value, Least, Most);
  if (!number) {
    static const auto expected =
        "a number from " + std::to_string(Least) + " to " + std::to_string(Most);
    return expected;
  }
  out.*Member = static_cast<std::remove_reference_t<decltype(out.*Member)>>(*number);
  return ok;
}

template <bool settings::*Member>
std::string_view keep_boolean(settings& out, std::string_view value) {
  const auto flag = parse::boolean(value);
  if (!flag)
    return "true, 1, yes, on or false, 0, no, off";
  out.*Member = *flag;
  return ok;
}

constexpr std::string_view expected_seconds =
    "seconds above 0 and at most 86400, with up to three decimals";

template <std::chrono::milliseconds settings::*Member>
std::string_view keep_seconds(settings& out, std::string_view value) {
  const auto time = parse::seconds(value);
  if (!time)
    return expected_seconds;
  out.*Member = *time;
  return ok;
}

template <std::chrono::milliseconds llm_deadlines::*Member>
std::string_view keep_llm_seconds(settings& out, std::string_view value) {
  const auto time = parse::seconds(value);
  if (!time)
    return expected_seconds;
  out.llm_timeouts.*Member = *time;
  return ok;
}

template <size_t settings::*Member>
std::string_view keep_cores(settings& out, std::string_view value) {
  if (value == "cores") {
    out.*Member = std::max(1u, std::thread::hardware_concurrency());
    return ok;
  }
  const auto number = parse::number(value, 1, 256);
  if (!number)
    return "cores, or a number from 1 to 256";
  out.*Member = *number;
  return ok;
}

template <secret settings::*Member>
std::string_view keep_postgres(settings& out, std::string_view value) {
  // Also "host=/run/postgresql user=kg_app": libpq's other form, the handy one for Unix sockets.
  const bool url = value.starts_with("postgresql://") || value.starts_with("postgres://");
  if (!url && (value.find("://") != std::string_view::npos || value.find('=') == value.npos))
    return "a libpq URL such as postgresql://kg_app@host:5432/kgents";
  return keep_secret<Member>(out, value);
}

template <provider_settings settings::*Provider>
std::string_view keep_base_url(settings& out, std::string_view value) {
  if (!parse::is_url(value, {"http", "https"}))
    return "a URL that begins with http:// or https://";
  while (value.ends_with('/'))
    value.remove_suffix(1);
  (out.*Provider).base_url = value;
  return ok;
}

template <provider_settings settings::*Provider>
std::string_view keep_api_key(settings& out, std::string_view value) {
  // It becomes a header line, where a line break would start another.
  if (std::ranges::any_of(value, [](unsigned char c) { return c <= ' ' || c >= 0x7f; }))
    return "visible ASCII characters without blanks";
  (out.*Provider).api_key = secret{std::string{value}};
  return ok;
}

template <provider_settings settings::*Provider>
std::string_view keep_model(settings& out, std::string_view value) {
  (out.*Provider).model = value;
  return ok;
}

template <class T, size_t N>
const T* find_word(const std::pair<std::string_view, T> (&words)[N], std::string_view value) {
  const auto word = parse::lower(value);
  const auto hit = std::ranges::find(words, word, &std::pair<std::string_view, T>::first);
  return hit == std::end(words) ? nullptr : &hit->second;
}

constexpr std::pair<std::string_view, provider_kind> providers[] = {
    {"embedded", provider_kind::embedded},
    {"openai", provider_kind::openai},
    {"anthropic", provider_kind::anthropic}};
constexpr std::pair<std::string_view, environment> environments[] = {
    {"dev", environment::dev},
    {"test", environment::test},
    {"staging", environment::staging},
    {"production", environment::production},
    {"enterprise", environment::enterprise}};
constexpr std::pair<std::string_view, node_role> roles[] = {{"gateway", node_role::gateway},
                                                            {"agentese", node_role::agentese},
                                                            {"kgent", node_role::kgent},
                                                            {"control", node_role::control},
                                                            {"meter", node_role::meter}};
constexpr std::pair<std::string_view, log_severity> levels[] = {{"debug", log_severity::debug},
                                                                {"info", log_severity::info},
                                                                {"warn", log_severity::warn},
                                                                {"warning", log_severity::warn},
                                                                {"error", log_severity::error}};

std::string_view keep_llm(settings& out, std::string_view value) {
  constexpr std::string_view expected =
      "one or more of embedded, openai, anthropic, comma-separated, each once";
  std::vector<provider_kind> kinds;
  for (const auto& name : parse::list(value)) {
    const auto* kind = find_word(providers, name);
    if (kind == nullptr || std::ranges::find(kinds, *kind) != kinds.end())
      return expected;
    kinds.push_back(*kind);
  }
  if (kinds.empty())
    return expected;
  out.llm = std::move(kinds);
  return ok;
}

std::string_view keep_roles(settings& out, std::string_view value) {
  constexpr std::string_view expected =
      "all, or some of gateway, agentese, kgent, control, meter, comma-separated";
  std::vector<node_role> chosen;
  if (parse::lower(value) == "all") {
    for (const auto& [name, role] : roles)
      chosen.push_back(role);
  } else {
    for (const auto& name : parse::list(value)) {
      const auto* role = find_word(roles, name);
      if (role == nullptr)
        return expected;
      if (std::ranges::find(chosen, *role) == chosen.end())
        chosen.push_back(*role);
    }
  }
  if (chosen.empty())
    return expected;
  out.roles = std::move(chosen);
  return ok;
}

std::string_view keep_cors(settings& out, std::string_view value) {
  constexpr std::string_view expected =
      "none, *, or origins such as https://app.example.com, comma-separated";
  const auto origins = parse::list(value);
  cors_policy policy;
  if (origins.size() == 1 && origins[0] == "*") {
    policy.allow = cors_policy::kind::any;
  } else if (origins.size() == 1 && parse::lower(origins[0]) == "none") {
    policy.allow = cors_policy::kind::off;
  } else {
    if (origins.empty())
      return expected;
    policy.allow = cors_policy::kind::list;
    for (const auto& origin : origins) {
      // What a browser sends has no path; an entry with one would never match.
      if (!parse::is_url(origin, {"http", "https"}) ||
          origin.find('/', origin.find("://") + 3) != std::string::npos)
        return expected;
      policy.origins.push_back(parse::lower(origin));
    }
  }
  out.cors_origins = std::move(policy);
  return ok;
}

std::string_view keep_environment(settings& out, std::string_view value) {
  const auto* hit = find_word(environments, value);
  if (hit == nullptr)
    return "dev, test, staging, production or enterprise";
  out.env = *hit;
  return ok;
}

std::string_view keep_durability(settings& out, std::string_view value) {
  const auto word = parse::lower(value);
  if (word != "durable" && word != "memory")
    return "durable or memory";
  out.durability = word == "durable" ? stream_durability::durable : stream_durability::memory;
  return ok;
}

std::string_view keep_level(settings& out, std::string_view value) {
  const auto* hit = find_word(levels, value);
  if (hit == nullptr)
    return "DEBUG, INFO, WARN or ERROR";
  out.log_level = *hit;
  return ok;
}

std::string_view keep_form(settings& out, std::string_view value) {
  const auto word = parse::lower(value);
  if (word != "json" && word != "text")
    return "json or text";
  out.log_format = word == "json" ? log_form::json : log_form::text;
  return ok;
}

std::string_view keep_node_name(settings& out, std::string_view value) {
  const auto allowed = [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  if (value.size() > 253 || !std::ranges::all_of(value, allowed))
    return "at most 253 letters, digits, '-', '_' and '.'";
  out.node_name = value;
  return ok;
}

std::string_view keep_cluster_name(settings& out, std::string_view value) {
  if (value.empty() || value.size() > 64 ||
      std::ranges::any_of(value, [](unsigned char c) { return c <= ' ' || c >= 0x7f; }))
    return "1 to 64 visible ASCII characters without blanks";
  out.cluster_name = value;
  return ok;
}

std::string_view keep_cluster_host(settings& out, std::string_view value) {
  const auto colons = std::ranges::count(value, ':');  // an IPv6 address has two at least
  const bool wild = value == "0.0.0.0" || value == "::";
  if (wild || colons == 1 || value.size() > 253 ||
      std::ranges::any_of(value, [](unsigned char c) {
        return c <= ' ' || c >= 0x7f || c == '/' || c == '[' || c == ']';
      }))
    return "the address or host name that other nodes dial, without a port";
  out.cluster_host = value;
  return ok;
}

std::string_view keep_nats_servers(settings& out, std::string_view value) {
  auto servers = parse::list(value);
  for (const auto& server : servers)
    if (!parse::is_url(server, {"nats", "tls"}))
      return "URLs such as nats://host:4222, comma-separated";
  out.nats_servers = std::move(servers);
  return ok;
}

std::string_view keep_redis(settings& out, std::string_view value) {
  if (!parse::is_url(value, {"redis", "rediss"}))
    return "a URL that begins with redis:// or rediss://";
  return keep_secret<&settings::redis_url>(out, value);
}

std::string_view keep_jwks(settings& out, std::string_view value) {
  if (!parse::is_url(value, {"http", "https"}))
    return "a URL that begins with http:// or https://";
  out.auth_jwks_url = value;
  return ok;
}

// Names of a deployment that shape nothing in `settings`: only their form is judged.
std::string_view any_text(settings&, std::string_view) { return ok; }

std::string_view any_boolean(settings&, std::string_view value) {
  return parse::boolean(value) ? ok : "true, 1, yes, on or false, 0, no, off";
}

std::string_view any_count(settings&, std::string_view value) {
  return parse::number(value, 1, 1'000'000) ? ok : "a number from 1 to 1000000";
}

std::string_view any_seconds(settings&, std::string_view value) {
  return parse::seconds(value) ? ok : expected_seconds;
}

std::string_view any_http_url(settings&, std::string_view value) {
  return parse::is_url(value, {"http", "https"}) ? ok
                                                 : "a URL that begins with http:// or https://";
}

using s = settings;

constexpr setting table[] = {
    {"API_HOST", "0.0.0.0", "127.0.0.1", "address of the HTTP listener", keep_text<&s::host>},
    {"API_PORT", "8000", "8000", "its port; 0: any free one, printed in the ready line",
     keep_number<&s::port, 0, 65535>},
    {"API_TLS_CERT", "", "", "PEM certificate chain: serve HTTPS", keep_text<&s::tls_cert>},
    {"API_TLS_KEY", "", "", "PEM key of API_TLS_CERT", keep_text<&s::tls_key>},
    {"API_MAX_BODY_BYTES", "10485760", "10485760", "larger bodies get 413",
     keep_number<&s::max_body_bytes, 1024, 1'073'741'824>},
    {"API_HEADER_TIMEOUT", "10", "10", "seconds a request's header may take",
     keep_seconds<&s::header_timeout>},
    {"API_BODY_TIMEOUT", "30", "30", "seconds a request's body may take",
     keep_seconds<&s::body_timeout>},
    {"API_IDLE_TIMEOUT", "75", "75", "seconds a connection may wait for its next request",
     keep_seconds<&s::idle_timeout>},
    {"API_WRITE_TIMEOUT", "30", "30", "seconds a client may take nothing before it is closed",
     keep_seconds<&s::write_timeout>},
    {"CORS_ORIGINS", "none", "*", "origins that browsers may call from; none, or * for any",
     keep_cors},

    {"DATABASE_URL", "", "", "libpq URL as kg_app (required by serve)",
     keep_postgres<&s::database_url>, true},
    {"DATABASE_CONTROL_URL", "", "", "libpq URL as kg_control (required by serve)",
     keep_postgres<&s::control_url>, true},
    {"DATABASE_ADMIN_URL", "", "", "libpq URL as kg_migrator (required by migrate)",
     keep_postgres<&s::admin_url>, true},
    {"DATABASE_POOL_SIZE", "8", "8", "connections per database",
     keep_number<&s::pool_size, 1, 500>},

    {"KGENTS_ENV", "production", "dev",
     "dev, test, staging, production or enterprise; production refuses development keys",
     keep_environment},
    {"KGENTS_SEED_DEV", "false", "true", "migrate creates the development tenant and keys",
     keep_boolean<&s::seed_dev>},
    {"KGENTS_NODE_NAME", "", "", "name of the node; the host name by default", keep_node_name},
    {"KGENTS_ROLES", "all", "all", "all, or some of gateway, agentese, kgent, control, meter",
     keep_roles, false, false},
    {"KGENTS_CLUSTER_NAME", "kgents", "kgents",
     "nodes link to nodes of the same cluster name only", keep_cluster_name},
    {"KGENTS_CLUSTER_HOST", "", "", "address other nodes reach this one at; none: a cluster of one",
     keep_cluster_host},
    {"KGENTS_CLUSTER_PORT", "4710", "4710", "port between nodes",
     keep_number<&s::cluster_port, 1, 65535>},
    {"KGENTS_CLUSTER_TLS_CA", "", "", "PEM: who signs the nodes' certificates",
     keep_text<&s::cluster_tls_ca>},
    {"KGENTS_CLUSTER_TLS_CERT", "", "", "PEM certificate of this node",
     keep_text<&s::cluster_tls_cert>},
    {"KGENTS_CLUSTER_TLS_KEY", "", "", "PEM key of KGENTS_CLUSTER_TLS_CERT",
     keep_text<&s::cluster_tls_key>},
    {"KGENTS_WORKERS", "cores", "cores", "threads that run actors", keep_cores<&s::workers>},
    {"KGENTS_IO_THREADS", "cores", "cores", "threads that serve connections",
     keep_cores<&s::io_threads>},
    {"KGENTS_DRAIN_SECONDS", "30", "30", "longest drain after SIGTERM", keep_seconds<&s::drain>},
    {"KGENTS_STREAM_DURABILITY", "durable", "durable",
     "durable: a token is shown once it is committed; memory: shown first, written behind",
     keep_durability},
    {"KGENTS_API_KEY_PEPPER", "", "", "keyed hash for API keys instead of a plain one",
     keep_secret<&s::key_pepper>, true},
    {"KGENTS_PLATFORM_KEY", "", "", "the operator's key for administration routes",
     keep_secret<&s::platform_key>, true},

    {"KGENTS_LLM", "embedded", "embedded",
     "model providers in order of preference: embedded, openai, anthropic", keep_llm, false, false},
    {"KGENTS_EMBEDDED_TOKENS_PER_SECOND", "0", "40",
     "pace of the embedded persona; 0: as fast as it can",
     keep_number<&s::embedded_tokens_per_second, 0, 1'000'000>},
    {"OPENAI_BASE_URL", "https://api.openai.com/v1", "https://api.openai.com/v1",
     "an OpenAI-compatible endpoint", keep_base_url<&s::openai>},
    {"OPENAI_API_KEY", "", "", "its key; none for endpoints that ask for none",
     keep_api_key<&s::openai>, true},
    {"OPENAI_MODEL", "", "", "its model (required by KGENTS_LLM=openai)", keep_model<&s::openai>},
    {"ANTHROPIC_BASE_URL", "https://api.anthropic.com", "https://api.anthropic.com",
     "an Anthropic-compatible endpoint", keep_base_url<&s::anthropic>},
    {"ANTHROPIC_API_KEY", "", "", "its key (required by KGENTS_LLM=anthropic)",
     keep_api_key<&s::anthropic>, true},
    {"ANTHROPIC_MODEL", "", "", "its model (required by KGENTS_LLM=anthropic)",
     keep_model<&s::anthropic>},
    {"KGENTS_LLM_CONNECT_TIMEOUT", "5", "5", "seconds to reach a model provider",
     keep_llm_seconds<&llm_deadlines::connect>},
    {"KGENTS_LLM_FIRST_CHUNK_TIMEOUT", "30", "30", "seconds until its first chunk",
     keep_llm_seconds<&llm_deadlines::first_chunk>},
    {"KGENTS_LLM_CHUNK_TIMEOUT", "30", "30", "seconds between two chunks",
     keep_llm_seconds<&llm_deadlines::between_chunks>},
    {"KGENTS_LLM_TIMEOUT", "300", "300", "seconds for a whole answer",
     keep_llm_seconds<&llm_deadlines::whole>},

    {"LOG_LEVEL", "INFO", "INFO", "DEBUG, INFO, WARN or ERROR", keep_level},
    {"KGENTS_LOG_FORMAT", "json", "json", "json, or text for people (dev on a terminal: text)",
     keep_form},

    {"AUTH_JWKS_URL", "", "", "keys that verify JWTs (RS256, ES256)", keep_jwks},
    {"AUTH_ISSUER", "", "", "required iss of a JWT", keep_text<&s::auth_issuer>},
    {"AUTH_AUDIENCE", "", "", "required aud of a JWT", keep_text<&s::auth_audience>},
    {"AUTH_JWT_SECRET", "", "", "HS256 secret, for development", keep_secret<&s::auth_jwt_secret>,
     true},
    {"REDIS_URL", "", "", "idempotency store; none: in memory", keep_redis, true},
    {"NATS_ENABLED", "false", "true", "publish copies of events to NATS JetStream",
     keep_boolean<&s::nats_enabled>},
    {"NATS_SERVERS", "nats://localhost:4222", "",
     "its servers, comma-separated; dev starts its own", keep_nats_servers},
    {"NATS_STREAM_NAME", "kgent-events", "kgent-events", "stream of session events", any_text},
    {"NATS_MAX_RECONNECT", "-1", "-1", "reconnect attempts; the server never gives up", any_text},

    {"OPENMETER_ENABLED", "false", "false", "export usage to OpenMeter", any_boolean},
    {"OPENMETER_API_KEY", "", "", "its key", any_text, true},
    {"OPENMETER_BASE_URL", "https://openmeter.cloud", "https://openmeter.cloud", "its address",
     any_http_url},
    {"OPENMETER_BATCH_SIZE", "100", "100", "events per request", any_count},
    {"OPENMETER_FLUSH_INTERVAL", "1.0", "1.0", "seconds between requests", any_seconds},
    {"STRIPE_API_KEY", "", "", "key for Stripe's API", any_text, true},
    {"STRIPE_SECRET_KEY", "", "", "another name of STRIPE_API_KEY", any_text, true},
    {"STRIPE_API_BASE", "https://api.stripe.com", "https://api.stripe.com", "its address",
     any_http_url},
    {"STRIPE_WEBHOOK_SECRET", "", "", "verifies webhook signatures", any_text, true},
    {"STRIPE_WEBHOOK_SECRET_PREVIOUS", "", "", "the one before, during rotation", any_text, true},
    {"STRIPE_WEBHOOK_TOLERANCE", "300", "300", "seconds a signature may be old", any_seconds},
    {"STRIPE_PRICE_STARTER_MONTHLY", "", "", "price id of a tier", any_text},
    {"STRIPE_PRICE_PRO_MONTHLY", "", "", "price id of a tier", any_text},
    {"STRIPE_PRICE_PRO_YEARLY", "", "", "price id of a tier", any_text},
    {"STRIPE_PRICE_TEAMS_MONTHLY", "", "", "price id of a tier", any_text},
    {"STRIPE_PRICE_ENTERPRISE", "", "", "price id of a tier", any_text},
    {"KGENTS_TELEMETRY_ENABLED", "false", "false", "traces by OTLP", any_boolean},
    {"OTEL_EXPORTER_OTLP_ENDPOINT", "", "", "where to", any_http_url},
    {"OTEL_SERVICE_NAME", "kgent-api", "kgent-api", "service name in traces", any_text},
    {"OTEL_RESOURCE_ATTRIBUTES", "", "", "more attributes of traces", any_text},
    {"OTEL_TRACES_SAMPLER_ARG", "0.1", "1.0", "share of requests that is traced", any_text},

    {"KGENTS_URL", "", "", "server that kg talks to; not read by kgentsd", any_text},
    {"KGENTS_API_KEY", "", "", "key that kg uses; not read by kgentsd", any_text, true},
};

}  // namespace

std::span<const setting> all_settings() noexcept { return table; }

std::string_view to_string(environment x) noexcept {
  return std::ranges::find(environments, x, &std::pair<std::string_view, environment>::second)
      ->first;
}

std::string_view to_string(provider_kind x) noexcept {
  return std::ranges::find(providers, x, &std::pair<std::string_view, provider_kind>::second)
      ->first;
}

}  // namespace kgents::runtime
