// void.capital: what an agent may spend on being let through, as a ledger of events.

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <array>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "actors/contexts/void/nodes.hpp"
#include "actors/contexts/void/pool.hpp"
#include "actors/persona/random.hpp"
#include "sql/agentese_capital.hpp"

namespace kgents::actors::void_nodes {

namespace json = boost::json;
namespace capital = sql::agentese_capital;

namespace {

constexpr std::string_view ledger_lock = "capital";
constexpr size_t token_bytes = 24;
constexpr uint32_t history_most = 1'000;

/// The agent is whoever the credential belongs to: what a caller says of himself cannot give him a
/// fresh balance.
std::string agent_of(const aspect_call& c) { return c.by().user.empty() ? "tenant" : c.by().user; }

std::string hex(std::span<const unsigned char> bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  for (const auto x : bytes) {
    out += digits[x >> 4];
    out += digits[x & 15];
  }
  return out;
}

std::string hash_of(std::string_view token) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  EVP_Digest(token.data(), token.size(), digest.data(), &length, EVP_sha256(), nullptr);
  return hex({digest.data(), length});
}

/// Empty when the system has no random numbers.
std::string new_token() {
  std::array<unsigned char, token_bytes> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1)
    return {};
  return "bypass_" + hex(bytes);
}

outcome not_positive(const aspect_call& c, std::string_view name) {
  return agentese::errors::invalid_argument(c.full_path(), name,
                                            std::string{name} + " must be more than 0");
}

task<outcome> balance(aspect_call& c) {
  const auto agent = agent_of(c);
  auto ask = capital::balance(c.tenant(), agent);
  const auto now = co_await c.read(std::move(ask));
  co_return json::object{
      {"agent", agent}, {"balance", now.units()}, {"max", capital::most.units()}};
}

task<outcome> history(aspect_call& c) {
  const auto agent = agent_of(c);
  auto ask = capital::history(c.tenant(), agent, static_cast<uint32_t>(c.integer("limit")));
  const auto all = co_await c.read(std::move(ask));
  json::array events;
  for (const auto& x : all)
    events.push_back(json::object{{"type", x.type},
                                  {"amount", x.amount.units()},
                                  {"timestamp", x.timestamp},
                                  {"metadata", json::parse(x.metadata)}});
  const auto count = events.size();
  co_return json::object{{"agent", agent}, {"events", std::move(events)}, {"count", count}};
}

outcome insufficient_capital(const aspect_call& c, sql::nano_amount required,
                             sql::nano_amount available) {
  return agentese::errors::insufficient_capital(c.full_path(), agent_of(c), required.units(),
                                                available.units());
}

task<outcome> tithe_capital(aspect_call& c) {
  const auto amount = sql::nano_amount::of(c.number("amount"));
  if (!amount)
    co_return not_positive(c, "amount");
  const auto agent = agent_of(c);
  const auto held = co_await c.lock(std::string{ledger_lock});
  auto look = capital::balance(c.tenant(), agent);
  const auto before = co_await c.read(std::move(look));
  if (before < *amount)
    co_return insufficient_capital(c, *amount, before);
  auto ask = capital::append(c.tenant(), agent, "POTLATCH", *amount, "{}");
  json::object change{{"agent", agent}, {"type", "POTLATCH"}, {"amount", amount->units()}};
  const auto got = co_await c.write(std::move(ask), std::move(change));
  if (!got.done)
    co_return insufficient_capital(c, *amount, got.balance);
  co_return json::object{{"ritual", "potlatch"},
                         {"agent", agent},
                         {"amount", amount->units()},
                         {"remaining", got.balance.units()},
                         {"gratitude", "What is given away for nothing is the only thing kept."}};
}

task<outcome> bypass(aspect_call& c) {
  const auto cost = sql::nano_amount::of(c.number("cost"));
  if (!cost)
    co_return not_positive(c, "cost");
  const auto agent = agent_of(c);
  const auto check = c.text("check");
  const auto token = new_token();
  if (token.empty())
    co_return agentese::errors::unavailable(c.full_path(), "No random numbers can be had now");
  const auto held = co_await c.lock(std::string{ledger_lock});
  auto look = capital::balance(c.tenant(), agent);
  const auto before = co_await c.read(std::move(look));
  if (before < *cost)
    co_return insufficient_capital(c, *cost, before);
  auto ask = capital::bypass(c.tenant(), agent, check, *cost,
                             static_cast<uint32_t>(c.integer("ttl")), hash_of(token));
  json::object change{{"agent", agent}, {"type", "BYPASS"}, {"amount", cost->units()}};
  const auto got = co_await c.write(std::move(ask), std::move(change));
  using enum sql::capital_token::outcome;
  if (got.what == insufficient)
    co_return insufficient_capital(c, *cost, got.balance);
  if (got.what == full) {
    agentese::error wrong;
    wrong.category = agentese::category::quota_exceeded;
    wrong.code = "TOO_MANY_TOKENS";
    wrong.message = "There are " + std::to_string(capital::most_tokens) +
                    " unused tokens already, the most a tenant may have";
    wrong.suggested_action = "use one of them, or wait until some have expired";
    wrong.path = c.full_path();
    wrong.retry_after = 60;
    co_return wrong;
  }
  co_return json::object{{"token", token},
                         {"agent", agent},
                         {"check", check},
                         {"cost", cost->units()},
                         {"expires_at", got.expires_at},
                         {"remaining", got.balance.units()}};
}

std::string_view reason_of(sql::token_state x) {
  using enum sql::token_state;
  switch (x) {
    case unknown:
      return "unknown token";
    case other_check:
      return "the token is for another check";
    case expired:
      return "the token has expired";
    case used:
      return "the token was used before";
    case valid:
      break;
  }
  return "the token was used just now";
}

/// The check that a token was bought for asks here whether to let its bearer through.
task<outcome> redeem(aspect_call& c) {
  const auto hash = hash_of(c.text("token"));
  const auto check = c.text("check");
  const auto held = co_await c.lock(std::string{ledger_lock});
  auto look = capital::look_at_token(c.tenant(), hash, check);
  const auto state = co_await c.read(std::move(look));
  if (state != sql::token_state::valid)
    co_return json::object{{"valid", false}, {"check", check}, {"reason", reason_of(state)}};
  auto ask = capital::redeem(c.tenant(), hash, check);
  json::object change{{"type", "redeemed"}, {"check", check}};
  const auto got = co_await c.write(std::move(ask), std::move(change));
  if (!got)
    co_return json::object{{"valid", false}, {"check", check}, {"reason", reason_of(state)}};
  co_return json::object{
      {"valid", true}, {"check", check}, {"agent", got->agent}, {"cost", got->cost.units()}};
}

/// For the server: earns an agent something.
task<outcome> credit(aspect_call& c) {
  const auto amount = sql::nano_amount::of(c.number("amount"));
  if (!amount)
    co_return not_positive(c, "amount");
  const auto held = co_await c.lock(std::string{ledger_lock});
  auto ask = capital::append(c.tenant(), c.text("agent"), "CREDIT", *amount,
                             json::serialize(json::object{{"reason", c.text("reason")}}));
  json::object change{{"agent", c.text("agent")}, {"type", "CREDIT"}, {"amount", amount->units()}};
  const auto got = co_await c.write(std::move(ask), std::move(change));
  co_return json::object{{"agent", c.text("agent")}, {"balance", got.balance.units()}};
}

/// For the server: one per cent of what an agent has goes.
task<outcome> decay(aspect_call& c) {
  const auto held = co_await c.lock(std::string{ledger_lock});
  auto ask = capital::append(c.tenant(), c.text("agent"), "DECAY", std::nullopt, "{}");
  json::object change{{"agent", c.text("agent")}, {"type", "DECAY"}};
  const auto got = co_await c.write(std::move(ask), std::move(change));
  co_return json::object{{"agent", c.text("agent")}, {"balance", got.balance.units()}};
}

constexpr argument history_args[] = {{.name = "limit",
                                      .type = argument_type::integer,
                                      .default_json = "100",
                                      .meaning = "newest events, at most",
                                      .least = 1,
                                      .most = history_most}};
constexpr argument tithe_args[] = {{.name = "amount",
                                    .type = argument_type::number,
                                    .default_json = "0.1",
                                    .meaning = "more than 0, at most the balance"}};
constexpr argument bypass_args[] = {{.name = "check",
                                     .default_json = R"("trust_gate")",
                                     .meaning = "what the token lets its bearer pass",
                                     .max_bytes = 128},
                                    {.name = "cost",
                                     .type = argument_type::number,
                                     .default_json = "0.1",
                                     .meaning = "more than 0, at most the balance"},
                                    {.name = "ttl",
                                     .type = argument_type::integer,
                                     .default_json = "60",
                                     .meaning = "seconds until it expires",
                                     .least = 1,
                                     .most = 3600}};
constexpr argument redeem_args[] = {
    {.name = "token", .required = true, .meaning = "of a bypass", .max_bytes = 256},
    {.name = "check",
     .default_json = R"("trust_gate")",
     .meaning = "which its bearer wants to pass",
     .max_bytes = 128}};
constexpr argument credit_args[] = {
    {.name = "agent", .required = true, .max_bytes = 256},
    {.name = "amount", .type = argument_type::number, .required = true},
    {.name = "reason", .default_json = R"("")", .max_bytes = 256}};
constexpr argument decay_args[] = {{.name = "agent", .required = true, .max_bytes = 256}};

constexpr std::string_view written_shape = "{agent: string, balance: number}";

constexpr aspect_spec aspects[] = {
    {.name = "balance",
     .run = balance,
     .help = "What the caller's agent has: 0.5 to begin with, never more than 1.",
     .returns = "{agent: string, balance: number, max: number}",
     .effects = "reads:capital"},
    {.name = "history",
     .run = history,
     .help = "The ledger of the caller's agent, newest last.",
     .args = history_args,
     .returns = "{agent: string, events: [{type: string, amount: number, timestamp: string, "
                "metadata: object}], count: integer}",
     .effects = "reads:capital"},
    {.name = "tithe",
     .category = aspect_category::entropy,
     .run = tithe_capital,
     .help = "Gives capital away for nothing: a potlatch.",
     .args = tithe_args,
     .returns = "{ritual: 'potlatch', agent: string, amount: number, remaining: number, "
                "gratitude: string}",
     .effects = "charges:capital"},
    {.name = "bypass",
     .category = aspect_category::mutation,
     .run = bypass,
     .help = "Buys a token that passes one check, once.",
     .args = bypass_args,
     .returns = "{token: string, agent: string, check: string, cost: number, expires_at: string, "
                "remaining: number}",
     .effects = "writes:capital, charges:capital",
     .example = R"({"check": "trust_gate", "cost": 0.1})"},
    {.name = "redeem",
     .category = aspect_category::mutation,
     .run = redeem,
     .help = "Uses a token up; says whether it lets its bearer pass.",
     .args = redeem_args,
     .returns = "{valid: boolean, check: string, agent?: string, cost?: number, reason?: string}"
                " | {error: string}",
     .effects = "writes:capital"},
    {.name = "credit",
     .category = aspect_category::mutation,
     .run = credit,
     .help = "Adds to an agent's ledger.",
     .args = credit_args,
     .returns = written_shape,
     .effects = "writes:capital, earns:capital",
     .internal = true},
    {.name = "decay",
     .category = aspect_category::mutation,
     .run = decay,
     .help = "Takes one per cent of an agent's balance.",
     .args = decay_args,
     .returns = written_shape,
     .effects = "writes:capital",
     .internal = true},
};

}  // namespace

void register_capital(registry& to) {
  static constexpr node_spec spec{
      .path = "void.capital",
      .description =
          "Accursed capital: what an agent may give away, or spend on being let through.",
      .aspects = aspects,
      .common = "*"};
  to.add(spec);
}

}  // namespace kgents::actors::void_nodes
