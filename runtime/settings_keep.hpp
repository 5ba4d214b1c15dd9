#pragma once

#include <algorithm>
#include <array>
#include <cctype>
#include <thread>

#include "runtime/settings.hpp"
#include "runtime/idempotency/redis_url.hpp"
#include "runtime/settings_parse.hpp"

/// How the value of a setting gets into `settings`: each takes the text, keeps what it says and
/// returns nothing, or what would have been right. What depends on other settings is judged in
/// settings.cpp. Only for settings_table.cpp.
namespace kgents::runtime::keep {

inline constexpr std::string_view ok{};

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

inline constexpr std::string_view expected_seconds =
    "seconds above 0 and at most 86400, with up to three decimals";

template <std::chrono::milliseconds settings::*Member>
std::string_view keep_seconds(settings& out, std::string_view value) {
  const auto time = parse::seconds(value);
  if (!time)
    return expected_seconds;
  out.*Member = *time;
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

template <class T, size_t N>
const T* find_word(const std::pair<std::string_view, T> (&words)[N], std::string_view value) {
  const auto word = parse::lower(value);
  const auto hit = std::ranges::find(words, word, &std::pair<std::string_view, T>::first);
  return hit == std::end(words) ? nullptr : &hit->second;
}

inline constexpr std::pair<std::string_view, provider_kind> providers[] = {
    {"embedded", provider_kind::embedded},
    {"openai", provider_kind::openai},
    {"anthropic", provider_kind::anthropic}};
inline constexpr std::pair<std::string_view, environment> environments[] = {
    {"dev", environment::dev},
    {"test", environment::test},
    {"staging", environment::staging},
    {"production", environment::production},
    {"enterprise", environment::enterprise}};
inline constexpr std::pair<std::string_view, node_role> roles[] = {{"gateway", node_role::gateway},
                                                            {"agentese", node_role::agentese},
                                                            {"kgent", node_role::kgent},
                                                            {"control", node_role::control},
                                                            {"meter", node_role::meter},
                                                            {"cdc", node_role::cdc}};
inline constexpr std::pair<std::string_view, log_severity> levels[] = {
    {"debug", log_severity::debug},
    {"info", log_severity::info},
    {"warn", log_severity::warn},
    {"warning", log_severity::warn},
    {"error", log_severity::error}};

inline std::string_view keep_llm(settings& out, std::string_view value) {
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

inline std::string_view keep_roles(settings& out, std::string_view value) {
  constexpr std::string_view expected =
      "all, or some of gateway, agentese, kgent, control, meter, cdc, comma-separated";
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

inline std::string_view keep_cors(settings& out, std::string_view value) {
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

inline std::string_view keep_environment(settings& out, std::string_view value) {
  const auto* hit = find_word(environments, value);
  if (hit == nullptr)
    return "dev, test, staging, production or enterprise";
  out.env = *hit;
  return ok;
}

inline std::string_view keep_durability(settings& out, std::string_view value) {
  const auto word = parse::lower(value);
  if (word != "durable" && word != "memory")
    return "durable or memory";
  out.durability = word == "durable" ? stream_durability::durable : stream_durability::memory;
  return ok;
}

inline std::string_view keep_level(settings& out, std::string_view value) {
  const auto* hit = find_word(levels, value);
  if (hit == nullptr)
    return "DEBUG, INFO, WARN or ERROR";
  out.log_level = *hit;
  return ok;
}

inline std::string_view keep_form(settings& out, std::string_view value) {
  const auto word = parse::lower(value);
  if (word != "json" && word != "text")
    return "json or text";
  out.log_format = word == "json" ? log_form::json : log_form::text;
  return ok;
}

inline std::string_view keep_node_name(settings& out, std::string_view value) {
  const auto allowed = [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  if (value.size() > 253 || !std::ranges::all_of(value, allowed))
    return "at most 253 letters, digits, '-', '_' and '.'";
  out.node_name = value;
  return ok;
}

inline std::string_view keep_cluster_name(settings& out, std::string_view value) {
  if (value.empty() || value.size() > 64 ||
      std::ranges::any_of(value, [](unsigned char c) { return c <= ' ' || c >= 0x7f; }))
    return "1 to 64 visible ASCII characters without blanks";
  out.cluster_name = value;
  return ok;
}

inline std::string_view keep_cluster_host(settings& out, std::string_view value) {
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

inline std::string_view keep_nats_servers(settings& out, std::string_view value) {
  constexpr std::string_view expected = "URLs such as nats://host:4222, comma-separated";
  auto servers = parse::list(value);
  if (servers.empty())
    return expected;
  for (const auto& server : servers)
    if (!parse::is_url(server, {"nats", "tls"}))
      return expected;
  out.nats_servers = std::move(servers);
  return ok;
}

inline std::string_view keep_redis(settings& out, std::string_view value) {
  if (!idempotency::parse_redis_url(value))
    return "redis[s]://[[user]:password@]host[:port][/database], user and password "
           "percent-encoded";
  return keep_secret<&settings::redis_url>(out, value);
}

template <auto Group, auto Member>
std::string_view keep_url_in(settings& out, std::string_view value) {
  if (!parse::is_url(value, {"http", "https"}))
    return "a URL that begins with http:// or https://";
  while (value.ends_with('/'))
    value.remove_suffix(1);
  (out.*Group).*Member = value;
  return ok;
}

template <auto Group, auto Member>
std::string_view keep_key_in(settings& out, std::string_view value) {
  // It becomes a header line, where a line break would start another.
  if (std::ranges::any_of(value, [](unsigned char c) { return c <= ' ' || c >= 0x7f; }))
    return "visible ASCII characters without blanks";
  (out.*Group).*Member = secret{std::string{value}};
  return ok;
}

template <auto Group, auto Member>
std::string_view keep_text_in(settings& out, std::string_view value) {
  (out.*Group).*Member = value;
  return ok;
}

template <auto Group, auto Member>
std::string_view keep_boolean_in(settings& out, std::string_view value) {
  const auto flag = parse::boolean(value);
  if (!flag)
    return "true, 1, yes, on or false, 0, no, off";
  (out.*Group).*Member = *flag;
  return ok;
}

template <auto Group, auto Member, uint64_t Least, uint64_t Most>
std::string_view keep_number_in(settings& out, std::string_view value) {
  const auto number = parse::number(value, Least, Most);
  if (!number) {
    static const auto expected =
        "a number from " + std::to_string(Least) + " to " + std::to_string(Most);
    return expected;
  }
  auto& member = (out.*Group).*Member;
  if constexpr (std::is_same_v<std::remove_reference_t<decltype(member)>,
                               std::chrono::milliseconds>)
    member = std::chrono::milliseconds{*number};
  else
    member = static_cast<std::remove_reference_t<decltype(member)>>(*number);
  return ok;
}

template <auto Group, auto Member>
std::string_view keep_seconds_in(settings& out, std::string_view value) {
  const auto time = parse::seconds(value);
  if (!time)
    return expected_seconds;
  (out.*Group).*Member = *time;
  return ok;
}

enum class plan : uint8_t { starter_monthly, pro_monthly, pro_yearly, team_monthly, enterprise };

/// A price id of Stripe, the plan code by which clients ask for it and the tier that it buys.
template <plan Which>
std::string_view keep_price(settings& out, std::string_view value) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 5> plans = {
      {{"starter", "starter"},
       {"pro", "pro"},
       {"pro_yearly", "pro"},
       {"team", "team"},
       {"enterprise", "enterprise"}}};
  const auto [code, tier] = plans[static_cast<size_t>(Which)];
  const auto known = out.stripe.tier_of_price.find(value);
  if (known != out.stripe.tier_of_price.end() && known->second != tier)
    return "a price id that no other tier has";
  out.stripe.tier_of_price[std::string{value}] = tier;
  out.stripe.prices[std::string{code}] = value;
  return ok;
}

inline std::string_view keep_reconnects(settings& out, std::string_view value) {
  if (value == "-1") {
    out.nats_max_reconnect = -1;
    return ok;
  }
  const auto number = parse::number(value, 0, 1'000'000);
  if (!number)
    return "-1 (for ever), or a number from 0 to 1000000";
  out.nats_max_reconnect = static_cast<int64_t>(*number);
  return ok;
}

inline std::string_view keep_stream_name(settings& out, std::string_view value) {
  if (value.size() > 64 || std::ranges::any_of(value, [](unsigned char c) {
        return !(std::isalnum(c) || c == '-' || c == '_');
      }))
    return "at most 64 letters, digits, '-' and '_'";
  out.nats_stream = value;
  return ok;
}

inline std::string_view keep_embedding_provider(settings& out, std::string_view value) {
  const auto word = parse::lower(value);
  if (word != "mock" && word != "openai")
    return "mock or openai";
  out.cdc.embedding_provider = word;
  return ok;
}

// Names of a deployment that shape nothing in `settings`: only their form is judged.
inline std::string_view any_text(settings&, std::string_view) { return ok; }

inline std::string_view any_boolean(settings&, std::string_view value) {
  return parse::boolean(value) ? ok : "true, 1, yes, on or false, 0, no, off";
}

inline std::string_view any_http_url(settings&, std::string_view value) {
  return parse::is_url(value, {"http", "https"}) ? ok
                                                 : "a URL that begins with http:// or https://";
}

}  // namespace kgents::runtime::keep
