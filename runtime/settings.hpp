#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace kgents::runtime {

/// A string that no log and no error message shows: it prints as `***` (empty: nothing).
class secret {
public:
  secret() = default;
  explicit secret(std::string value) : value_{std::move(value)} {}

  [[nodiscard]] const std::string& reveal() const noexcept { return value_; }
  [[nodiscard]] bool empty() const noexcept { return value_.empty(); }

  friend std::ostream& operator<<(std::ostream& out, const secret& x) {
    return out << (x.empty() ? "" : "***");
  }

private:
  std::string value_;
};

enum class environment : uint8_t { dev, test, staging, production, enterprise };
enum class stream_durability : uint8_t { durable, memory };
enum class provider_kind : uint8_t { embedded, openai, anthropic };
enum class log_severity : uint8_t { debug, info, warn, error };
enum class log_form : uint8_t { json, text };

[[nodiscard]] std::string_view to_string(environment x) noexcept;
[[nodiscard]] std::string_view to_string(provider_kind x) noexcept;

/// What a node does. All of them by default; `cdc` has work only where Qdrant or NATS is set.
enum class node_role : uint8_t { gateway, agentese, kgent, control, meter, cdc };

/// Who may call from a browser. `any` never carries credentials.
struct cors_policy {
  enum class kind : uint8_t { off, any, list };
  kind allow = kind::off;
  std::vector<std::string> origins;  ///< for `list`: scheme://host[:port], as browsers send it
};

/// An endpoint of a model provider.
struct provider_settings {
  std::string base_url;  ///< http or https, without a trailing slash
  secret api_key;
  std::string model;
};

/// Where usage is exported to (events-and-billing.md section 3).
struct openmeter_settings {
  bool enabled = false;
  std::string base_url;  ///< without a trailing slash
  secret api_key;
  size_t batch_size = 0;
  std::chrono::milliseconds flush_interval{};

  /// Enabled with a key; otherwise events stay unexported in PostgreSQL.
  [[nodiscard]] bool configured() const noexcept { return enabled && !api_key.empty(); }
};

/// Stripe's API, its webhooks and what its prices mean (events-and-billing.md sections 4 and 6).
struct stripe_settings {
  std::string base_url;  ///< without a trailing slash
  secret api_key;
  secret webhook_secret;
  secret webhook_secret_previous;  ///< also accepted, during rotation
  std::chrono::milliseconds tolerance{};
  std::map<std::string, std::string, std::less<>> tier_of_price;  ///< price id -> tier
  std::map<std::string, std::string, std::less<>> prices;  ///< plan code -> price id
};

/// The worker that keeps a vector index in step with PostgreSQL (data.md section 11).
struct cdc_settings {
  std::string qdrant_url;  ///< empty: nothing is vectorised; changes still go to NATS
  secret qdrant_api_key;
  size_t batch_size = 0;
  std::chrono::milliseconds poll_interval{};
  std::string collection;  ///< prefix of the collections' names
  uint32_t max_retries = 0;
  std::string embedding_provider;  ///< mock or openai
  std::string embedding_model;
  uint32_t embedding_dimension = 0;
  bool messages = false;  ///< vectorise messages too
};

/// Deadlines of one model call.
struct llm_deadlines {
  std::chrono::milliseconds connect;
  std::chrono::milliseconds first_chunk;
  std::chrono::milliseconds between_chunks;
  std::chrono::milliseconds whole;
};

/// Who may vouch for users with a JWT. Off when neither the keys' address nor the secret is set.
struct identity_settings {
  std::string jwks_url;  ///< keys for RS256 and ES256
  std::string issuer;    ///< required `iss`
  std::string audience;  ///< required in `aud`
  secret jwt_secret;     ///< HS256, in development and tests only
  bool provision = false;  ///< a user seen for the first time is made, in the tenant of the token

  [[nodiscard]] bool enabled() const noexcept { return !jwks_url.empty() || !jwt_secret.empty(); }
};

/// Everything that can be configured, checked. Filled by `load_settings` from the table behind
/// `all_settings`, which holds the defaults, and immutable once the server runs.
struct settings {
  std::string host;
  uint16_t port = 0;               ///< 0: any free one
  std::filesystem::path tls_cert;  ///< both or none; PEM
  std::filesystem::path tls_key;
  size_t max_body_bytes = 0;
  std::chrono::milliseconds header_timeout{};
  std::chrono::milliseconds body_timeout{};
  std::chrono::milliseconds idle_timeout{};
  std::chrono::milliseconds write_timeout{};
  cors_policy cors_origins;

  secret database_url;  ///< as kg_app
  secret control_url;   ///< as kg_control
  secret admin_url;     ///< as kg_migrator; empty: this process cannot migrate
  /// As kg_control, for LISTEN: around a pooler, which would hear nothing. Empty: `control_url`.
  secret listen_url;
  /// A directory for each silo's secret, named by `silo_dsn_ref`. Empty: silos are databases of the
  /// same server.
  std::filesystem::path silo_secrets;
  size_t pool_size = 0;

  environment env = environment::production;
  bool seed_dev = false;
  std::string node_name;
  std::vector<node_role> roles;
  std::string cluster_name;  ///< nodes of another one are refused
  std::string cluster_host;  ///< empty: a cluster of one
  uint16_t cluster_port = 0;
  std::filesystem::path cluster_tls_ca;  ///< all three or none; PEM
  std::filesystem::path cluster_tls_cert;
  std::filesystem::path cluster_tls_key;
  size_t workers = 0;
  size_t io_threads = 0;
  std::chrono::milliseconds drain{};
  stream_durability durability = stream_durability::durable;
  secret key_pepper;    ///< empty: keys are hashed with plain SHA-256
  secret platform_key;  ///< empty: the platform administrator's routes answer 404

  std::vector<provider_kind> llm;           ///< in order of preference, never empty
  uint32_t embedded_tokens_per_second = 0;  ///< 0: as fast as it can
  provider_settings openai;
  provider_settings anthropic;
  llm_deadlines llm_timeouts{};

  bool nats_enabled = false;
  std::vector<std::string> nats_servers;
  std::string nats_stream;         ///< of session events
  int64_t nats_max_reconnect = 0;  ///< -1: for ever
  uint32_t nats_replicas = 0;      ///< of the streams
  openmeter_settings openmeter;
  stripe_settings stripe;
  cdc_settings cdc;
  secret redis_url;  ///< empty: idempotency in memory
  identity_settings identity;

  log_severity log_level = log_severity::info;
  log_form log_format = log_form::json;

  std::filesystem::path state_dir;  ///< `dev` only: where its children keep their data
};

/// Where notifications are heard.
[[nodiscard]] inline const secret& listen_url(const settings& x) {
  return x.listen_url.empty() ? x.control_url : x.listen_url;
}

/// Which program asks: it decides the defaults and what is required.
/// `migrate` needs DATABASE_ADMIN_URL only; `check` reports what is missing itself.
enum class program : uint8_t { serve, dev, migrate, check };

/// One line of the table: what `--help` prints and how the value gets into `settings`.
struct setting {
  std::string_view name;           ///< of the environment variable
  std::string_view serve_default;  ///< in the variable's own syntax; empty: unset
  std::string_view dev_default;
  std::string_view meaning;
  /// Returns what would be right ("a number from 0 to 65535") when the value is not.
  std::string_view (*apply)(settings&, std::string_view value);
  bool is_secret = false;        ///< its value is never shown
  bool empty_is_default = true;  ///< else set but empty is malformed
};

[[nodiscard]] std::span<const setting> all_settings() noexcept;

/// Environment variables by name.
using variables = std::map<std::string, std::string, std::less<>>;

/// This process's.
[[nodiscard]] variables process_environment();

/// Why a program cannot start, in one line that names the setting, its value (unless secret) and
/// what would be right.
struct settings_error {
  std::string message;
};

/// Pure but for reading TLS files' existence and the host name. Variables that begin with KGENTS_
/// or API_ and are not in the table are errors, since a typing error there would silently change
/// what the server does.
[[nodiscard]] std::variant<settings, settings_error> load_settings(program which,
                                                                   const variables& from);

}  // namespace kgents::runtime
