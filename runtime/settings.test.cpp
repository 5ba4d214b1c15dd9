#define CAF_SUITE settings

#include "runtime/settings.hpp"

#include <unistd.h>

#include <fstream>
#include <set>
#include <sstream>

#include "runtime/settings_parse.hpp"

#include <caf/test/dsl.hpp>  // last: it defines macros named expect, allow, inject

using namespace std::chrono_literals;
using namespace kgents::runtime;

namespace {

struct fixture {
  variables from;

  settings loaded(program which = program::dev) {
    auto result = load_settings(which, from);
    if (auto* wrong = std::get_if<settings_error>(&result))
      CAF_FAIL(wrong->message);
    return std::get<settings>(std::move(result));
  }

  /// The message of a refused start; empty when it was not refused.
  std::string refusal(program which = program::dev) {
    auto result = load_settings(which, from);
    auto* wrong = std::get_if<settings_error>(&result);
    return wrong == nullptr ? "" : wrong->message;
  }

  std::string refusal_of(const char* name, const char* value) {
    from = {{name, value}};
    return refusal();
  }

  void give_databases() {
    from["DATABASE_URL"] = "postgresql://kg_app@db/kgents";
    from["DATABASE_CONTROL_URL"] = "postgresql://kg_control@db/kgents";
  }
};

bool names(const std::string& message, std::string_view part) {
  return message.find(part) != std::string::npos;
}

}  // namespace

CAF_TEST_FIXTURE_SCOPE(settings_tests, fixture)

CAF_TEST(dev needs nothing and listens on loopback) {
  const auto x = loaded();
  CAF_CHECK_EQUAL(x.host, "127.0.0.1");
  CAF_CHECK_EQUAL(x.port, 8000);
  CAF_CHECK(x.env == environment::dev);
  CAF_CHECK(x.seed_dev);
  CAF_CHECK_EQUAL(x.embedded_tokens_per_second, 40u);
  CAF_CHECK(x.cors_origins.allow == cors_policy::kind::any);
  CAF_CHECK(x.llm == std::vector{provider_kind::embedded});
  CAF_CHECK_EQUAL(x.roles.size(), 6u);
  CAF_CHECK(x.workers >= 1 && x.io_threads >= 1);
  CAF_CHECK(!x.node_name.empty());
  CAF_CHECK(x.header_timeout == 10s && x.body_timeout == 30s && x.idle_timeout == 75s);
  CAF_CHECK(x.llm_timeouts.connect == 5s && x.llm_timeouts.whole == 300s);
}

CAF_TEST(serve is closed by default) {
  give_databases();
  const auto x = loaded(program::serve);
  CAF_CHECK_EQUAL(x.host, "0.0.0.0");
  CAF_CHECK(x.env == environment::production);
  CAF_CHECK(!x.seed_dev);
  CAF_CHECK_EQUAL(x.embedded_tokens_per_second, 0u);
  CAF_CHECK(x.cors_origins.allow == cors_policy::kind::off);
}

CAF_TEST(what a program cannot do without is named) {
  CAF_CHECK(names(refusal(program::serve), "DATABASE_URL"));
  from["DATABASE_URL"] = "postgresql://kg_app@db/kgents";
  CAF_CHECK(names(refusal(program::serve), "DATABASE_CONTROL_URL"));
  CAF_CHECK(names(refusal(program::migrate), "DATABASE_ADMIN_URL"));
  CAF_CHECK_EQUAL(refusal(program::check), "");
}

CAF_TEST(an unknown setting is refused with the nearest known one) {
  const auto message = refusal_of("KGENTS_DRAIN_SECOND", "3");
  CAF_CHECK(names(message, "KGENTS_DRAIN_SECOND;"));
  CAF_CHECK(names(message, "did you mean KGENTS_DRAIN_SECONDS?"));
  CAF_CHECK(names(refusal_of("API_PROT", "80"), "API_PORT"));
  CAF_CHECK_EQUAL(refusal_of("SOMETHING_ELSE", "80"), "");
}

CAF_TEST(variables that belong to others beside the server are no mistake) {
  from = {{"KGENTS_URL", "http://127.0.0.1:8000"}, {"KGENTS_API_KEY", "kg_x"},
          {"KGENTS_TEST_PG", "postgresql:///x"},   {"KGENTS_SERVICE_HOST", "10.0.0.1"},
          {"KGENTS_PORT", "tcp://10.0.0.1:80"},    {"KGENTS_PORT_80_TCP_ADDR", "10.0.0.1"},
          {"API_SERVICE_PORT_HTTP", "80"}};
  CAF_CHECK_EQUAL(refusal(), "");
}

CAF_TEST(every malformed value is refused with its name and what would be right) {
  const std::pair<const char*, const char*> wrong[] = {
      {"API_PORT", "65536"},
      {"API_PORT", "-1"},
      {"API_PORT", "80a"},
      {"API_PORT", "tcp://10.0.0.1:80"},
      {"API_MAX_BODY_BYTES", "10MB"},
      {"API_HEADER_TIMEOUT", "0"},
      {"API_WRITE_TIMEOUT", "1.2345"},
      {"API_IDLE_TIMEOUT", "forever"},
      {"KGENTS_DRAIN_SECONDS", "-5"},
      {"KGENTS_LLM", ""},
      {"KGENTS_LLM", " , "},
      {"KGENTS_LLM", "embedded,gpt"},
      {"KGENTS_LLM", "embedded,embedded"},
      {"KGENTS_LLM_TIMEOUT", "x"},
      {"KGENTS_ROLES", ""},
      {"KGENTS_ROLES", "gateway,cook"},
      {"KGENTS_ENV", "prod"},
      {"KGENTS_SEED_DEV", "maybe"},
      {"KGENTS_STREAM_DURABILITY", "fast"},
      {"KGENTS_WORKERS", "0"},
      {"KGENTS_NODE_NAME", "a b"},
      {"KGENTS_CLUSTER_NAME", "a b"},
      {"KGENTS_CLUSTER_NAME", "12345678901234567890123456789012345678901234567890123456789012345"},
      {"KGENTS_CLUSTER_HOST", "10.0.0.1:4710"},
      {"KGENTS_CLUSTER_HOST", "tls://10.0.0.1"},
      {"KGENTS_CLUSTER_HOST", "[fd00::1]"},
      {"KGENTS_CLUSTER_HOST", "0.0.0.0"},
      {"KGENTS_LOG_FORMAT", "xml"},
      {"KGENTS_EMBEDDED_TOKENS_PER_SECOND", "fast"},
      {"DATABASE_POOL_SIZE", "0"},
      {"DATABASE_URL", "mysql://x"},
      {"OPENAI_BASE_URL", "api.openai.com"},
      {"CORS_ORIGINS", "https://a.example/path"},
      {"CORS_ORIGINS", "*, https://a.example"},
      {"LOG_LEVEL", "LOUD"},
      {"NATS_SERVERS", "localhost:4222"},
      {"NATS_SERVERS", " , "},
      {"NATS_ENABLED", "maybe"},
      {"NATS_STREAM_NAME", "kgent.events"},
      {"NATS_MAX_RECONNECT", "-2"},
      {"NATS_REPLICAS", "6"},
      {"REDIS_URL", "redis://cache/one"},
      {"OPENMETER_ENABLED", "2"},
      {"OPENMETER_BASE_URL", "openmeter.cloud"},
      {"OPENMETER_BATCH_SIZE", "0"},
      {"OPENMETER_BATCH_SIZE", "1e3"},
      {"OPENMETER_FLUSH_INTERVAL", "often"},
      {"STRIPE_API_BASE", "ftp://stripe"},
      {"STRIPE_WEBHOOK_TOLERANCE", "-300"},
      {"QDRANT_URL", "qdrant:6333"},
      {"SYNAPSE_BATCH_SIZE", "many"},
      {"SYNAPSE_POLL_INTERVAL_MS", "1"},
      {"EMBEDDING_PROVIDER", "word2vec"},
      {"EMBEDDING_DIMENSION", "0"},
      {"AUTH_JWKS_URL", "file:///etc/passwd"},
  };
  for (const auto& [name, value] : wrong) {
    const auto message = refusal_of(name, value);
    CAF_MESSAGE(std::string{name} << "=" << value << ": " << message);
    CAF_CHECK(message.starts_with(name));
    CAF_CHECK(names(message, "it should be "));
    CAF_CHECK_EQUAL(message.find('\n'), std::string::npos);
  }
}

CAF_TEST(contradictions are refused) {
  from = {{"API_TLS_CERT", "/nowhere/cert.pem"}};
  CAF_CHECK(names(refusal(), "API_TLS_KEY"));
  from = {{"API_TLS_KEY", "/nowhere/key.pem"}};
  CAF_CHECK(names(refusal(), "API_TLS_CERT"));
  from = {{"API_TLS_CERT", "/nowhere/cert.pem"}, {"API_TLS_KEY", "/nowhere/key.pem"}};
  CAF_CHECK(names(refusal(), "/nowhere/cert.pem cannot be read"));
  from = {{"KGENTS_CLUSTER_TLS_CA", "/dev/null"}};
  CAF_CHECK(names(refusal(), "KGENTS_CLUSTER_TLS_KEY"));
  CAF_CHECK(names(refusal_of("KGENTS_LLM", "openai"), "OPENAI_MODEL"));
  CAF_CHECK(names(refusal_of("KGENTS_LLM", "embedded,anthropic"), "ANTHROPIC_MODEL"));
  from = {{"KGENTS_LLM", "anthropic"}, {"ANTHROPIC_MODEL", "m"}};
  CAF_CHECK(names(refusal(), "ANTHROPIC_API_KEY"));
  CAF_CHECK(names(refusal_of("KGENTS_ENV", "production"), "KGENTS_ENV"));
  CAF_CHECK(names(refusal_of("KGENTS_PLATFORM_KEY", "short"), "KGENTS_PLATFORM_KEY"));
  CAF_CHECK(names(refusal_of("KGENTS_LLM_TIMEOUT", "1"), "KGENTS_LLM_FIRST_CHUNK_TIMEOUT"));
  from = {{"KGENTS_SEED_DEV", "yes"}, {"KGENTS_ENV", "staging"}};
  CAF_CHECK(names(refusal(program::check), "KGENTS_SEED_DEV"));
  from = {{"AUTH_JWT_SECRET", "s"}, {"KGENTS_ENV", "production"}};
  CAF_CHECK(names(refusal(program::check), "AUTH_JWT_SECRET"));
}

CAF_TEST(tokens are accepted from one issuer for one audience) {
  const std::string keys = "https://id.example.org/keys";
  from = {{"AUTH_JWKS_URL", keys}, {"AUTH_ISSUER", "https://id.example.org"}};
  CAF_CHECK(names(refusal(), "AUTH_AUDIENCE"));
  from["AUTH_AUDIENCE"] = "kgents";
  CAF_CHECK(loaded().identity.enabled());
  CAF_CHECK(!loaded().identity.provision);
  from["AUTH_JWT_SECRET"] = "0123456789abcdef0123456789abcdef";
  CAF_CHECK(names(refusal(), "AUTH_JWKS_URL"));
  from.erase("AUTH_JWKS_URL");
  CAF_CHECK(loaded().identity.enabled());
  from["AUTH_JWT_SECRET"] = "short";
  CAF_CHECK(names(refusal(), "AUTH_JWT_SECRET"));
  from = {{"AUTH_PROVISION", "yes"}};
  CAF_CHECK(names(refusal(), "AUTH_PROVISION"));
  from = {{"AUTH_JWKS_URL", "http://id.example.org/keys"},
          {"AUTH_ISSUER", "i"},
          {"AUTH_AUDIENCE", "a"},
          {"KGENTS_ENV", "production"}};
  CAF_CHECK(names(refusal(program::check), "https"));
}

CAF_TEST(silos have their secrets in a directory) {
  from = {{"KGENTS_SILO_SECRETS", "/nowhere/silos"}};
  CAF_CHECK(names(refusal(), "KGENTS_SILO_SECRETS"));
  from = {{"KGENTS_SILO_SECRETS", "/tmp"}};
  CAF_CHECK_EQUAL(loaded().silo_secrets.string(), "/tmp");
}

CAF_TEST(what is set for Stripe must fit together) {
  from = {{"STRIPE_SECRET_KEY", "sk_one"}};
  CAF_CHECK_EQUAL(loaded().stripe.api_key.reveal(), "sk_one");
  from = {{"STRIPE_SECRET_KEY", "sk_one"}, {"STRIPE_API_KEY", "sk_one"}};
  CAF_CHECK_EQUAL(loaded().stripe.api_key.reveal(), "sk_one");
  from["STRIPE_API_KEY"] = "sk_two";
  CAF_CHECK(names(refusal(), "STRIPE_SECRET_KEY contradicts STRIPE_API_KEY"));
  CAF_CHECK(!names(refusal(), "sk_"));
  from = {{"STRIPE_PRICE_PRO_MONTHLY", "price_1"}, {"STRIPE_PRICE_PRO_YEARLY", "price_1"}};
  CAF_CHECK_EQUAL(loaded().stripe.tier_of_price.at("price_1"), "pro");
  from["STRIPE_PRICE_ENTERPRISE"] = "price_1";
  CAF_CHECK(refusal().starts_with("STRIPE_PRICE_ENTERPRISE=price_1"));
  // Without the secret no webhook is believed: fine for a try, not where people pay.
  from = {{"STRIPE_API_KEY", "sk_one"}};
  CAF_CHECK_EQUAL(refusal(), "");
  give_databases();
  from["KGENTS_ENV"] = "production";
  CAF_CHECK(names(refusal(program::serve), "STRIPE_WEBHOOK_SECRET"));
  CAF_CHECK(names(refusal(program::check), "STRIPE_WEBHOOK_SECRET"));
  from["STRIPE_WEBHOOK_SECRET"] = "whsec_1";
  CAF_CHECK_EQUAL(refusal(program::serve), "");
}

CAF_TEST(the services beside the server are configured as the table says) {
  give_databases();
  const auto plain = loaded(program::serve);
  CAF_CHECK(!plain.nats_enabled);
  CAF_CHECK_EQUAL(plain.nats_servers, (std::vector<std::string>{"nats://localhost:4222"}));
  CAF_CHECK_EQUAL(plain.nats_stream, "kgent-events");
  CAF_CHECK_EQUAL(plain.nats_max_reconnect, -1);
  CAF_CHECK(!plain.openmeter.configured());
  CAF_CHECK_EQUAL(plain.openmeter.base_url, "https://openmeter.cloud");
  CAF_CHECK_EQUAL(plain.openmeter.batch_size, 100u);
  CAF_CHECK(plain.openmeter.flush_interval == 1s);
  CAF_CHECK(plain.stripe.tolerance == 300s);
  CAF_CHECK(plain.redis_url.empty() && plain.cdc.qdrant_url.empty());
  from["NATS_ENABLED"] = "Yes";
  from["NATS_SERVERS"] = " nats://a:4222 ,, tls://b , ";
  from["NATS_MAX_RECONNECT"] = "10";
  from["OPENMETER_ENABLED"] = "1";
  from["OPENMETER_BASE_URL"] = "http://127.0.0.1:8888/";
  from["OPENMETER_FLUSH_INTERVAL"] = "0.25";
  from["REDIS_URL"] = "rediss://:secret@cache:6380/1";
  auto x = loaded(program::serve);
  CAF_CHECK(x.nats_enabled);
  CAF_CHECK_EQUAL(x.nats_servers, (std::vector<std::string>{"nats://a:4222", "tls://b"}));
  CAF_CHECK_EQUAL(x.nats_max_reconnect, 10);
  CAF_CHECK_EQUAL(x.openmeter.base_url, "http://127.0.0.1:8888");
  CAF_CHECK(x.openmeter.flush_interval == 250ms);
  CAF_CHECK(x.openmeter.enabled && !x.openmeter.configured());
  from["OPENMETER_API_KEY"] = "om_1";
  CAF_CHECK(loaded(program::serve).openmeter.configured());
  for (const auto* yes : {"true", "1", "yes", "on", "TRUE", "On"}) {
    from["OPENMETER_ENABLED"] = yes;
    CAF_CHECK(loaded(program::serve).openmeter.enabled);
  }
  for (const auto* no : {"false", "0", "no", "off", "False", ""}) {
    from["OPENMETER_ENABLED"] = no;
    CAF_CHECK(!loaded(program::serve).openmeter.enabled);
  }
}

CAF_TEST(a cluster in production needs certificates) {
  give_databases();
  from["KGENTS_CLUSTER_HOST"] = "10.0.0.1";
  for (const auto* env : {"production", "enterprise"}) {
    from["KGENTS_ENV"] = env;
    for (const auto which : {program::serve, program::check}) {
      const auto message = refusal(which);
      for (const auto* name :
           {"KGENTS_CLUSTER_TLS_CA", "KGENTS_CLUSTER_TLS_CERT", "KGENTS_CLUSTER_TLS_KEY"})
        CAF_CHECK(names(message, name));
    }
  }
  for (const auto* name :
       {"KGENTS_CLUSTER_TLS_CA", "KGENTS_CLUSTER_TLS_CERT", "KGENTS_CLUSTER_TLS_KEY"})
    from[name] = "/dev/null";
  CAF_CHECK_EQUAL(refusal(program::serve), "");
  from = {};
  give_databases();
  from["KGENTS_ENV"] = "staging";
  from["KGENTS_CLUSTER_HOST"] = "fd00::1";
  const auto x = loaded(program::serve);
  CAF_CHECK_EQUAL(x.cluster_host, "fd00::1");
  CAF_CHECK_EQUAL(x.cluster_name, "kgents");
}

CAF_TEST(dev is a cluster of one) {
  const auto message = refusal_of("KGENTS_CLUSTER_HOST", "127.0.0.1");
  CAF_CHECK(names(message, "KGENTS_CLUSTER_HOST"));
  CAF_CHECK(names(message, "kgentsd dev"));
}

CAF_TEST(a gateway alone has nobody to host its sessions) {
  give_databases();
  from["KGENTS_ENV"] = "test";
  from["KGENTS_ROLES"] = "gateway,control";
  const auto message = refusal(program::serve);
  CAF_CHECK(names(message, "KGENTS_ROLES"));
  CAF_CHECK(names(message, "KGENTS_CLUSTER_HOST"));
  from["KGENTS_CLUSTER_HOST"] = "10.0.0.1";
  CAF_CHECK_EQUAL(refusal(program::serve), "");
}

CAF_TEST(no message shows a secret) {
  const char* const value = "mysql://kg_app:hunter2@db";
  const auto message = refusal_of("DATABASE_URL", value);
  CAF_CHECK(names(message, "DATABASE_URL"));
  CAF_CHECK(!names(message, "hunter2"));
  CAF_CHECK(!names(refusal_of("OPENAI_API_KEY", "sk-1\nX-Evil: 1"), "sk-1"));
  CAF_CHECK(!names(refusal_of("KGENTS_PLATFORM_KEY", "hunter2"), "hunter2"));
  CAF_CHECK(!names(refusal_of("REDIS_URL", "redis://hunter2@cache"), "hunter2"));
  std::ostringstream out;
  out << secret{"hunter2"};
  CAF_CHECK_EQUAL(out.str(), "***");
}

CAF_TEST(values are read in all their forms) {
  from = {{"CORS_ORIGINS", "https://A.example , http://b.example:8080,"},
          {"KGENTS_LLM", "OpenAI, embedded"},
          {"OPENAI_MODEL", "m"},
          {"OPENAI_BASE_URL", "http://127.0.0.1:11434/v1/"},
          {"KGENTS_ROLES", "gateway,kgent,gateway"},
          {"KGENTS_DRAIN_SECONDS", "0.5"},
          {"API_HOST", ""},
          {"NATS_ENABLED", "ON"},
          {"LOG_LEVEL", "warning"},
          {"DATABASE_URL", "host=/run/postgresql user=kg_app"},
          {"KGENTS_STREAM_DURABILITY", "Memory"}};
  const auto x = loaded();
  CAF_CHECK(x.cors_origins.allow == cors_policy::kind::list);
  CAF_CHECK_EQUAL(x.cors_origins.origins,
                  (std::vector<std::string>{"https://a.example", "http://b.example:8080"}));
  CAF_CHECK(x.llm == (std::vector{provider_kind::openai, provider_kind::embedded}));
  CAF_CHECK_EQUAL(x.openai.base_url, "http://127.0.0.1:11434/v1");
  CAF_CHECK(x.roles == (std::vector{node_role::gateway, node_role::kgent}));
  CAF_CHECK(x.drain == 500ms);
  CAF_CHECK_EQUAL(x.host, "127.0.0.1");
  CAF_CHECK(x.nats_enabled);
  CAF_CHECK(x.log_level == log_severity::warn);
  CAF_CHECK(x.durability == stream_durability::memory);
}

CAF_TEST(the table names each setting once and its own defaults are well formed) {
  std::set<std::string_view> seen;
  for (const auto& line : all_settings()) {
    CAF_CHECK(seen.insert(line.name).second);
    CAF_CHECK(!line.meaning.empty());
    settings scratch;
    for (auto value : {line.serve_default, line.dev_default})
      if (!value.empty())
        CAF_CHECK_EQUAL(line.apply(scratch, value), "");
  }
}

CAF_TEST(distance counts insertions removals and replacements) {
  CAF_CHECK_EQUAL(parse::edit_distance("", "abc"), 3u);
  CAF_CHECK_EQUAL(parse::edit_distance("abc", "abc"), 0u);
  CAF_CHECK_EQUAL(parse::edit_distance("kitten", "sitting"), 3u);
}

CAF_TEST_FIXTURE_SCOPE_END()
