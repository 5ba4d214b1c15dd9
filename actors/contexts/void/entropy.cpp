// void.entropy: the pool itself.

#include "actors/contexts/void/nodes.hpp"
#include "actors/contexts/void/pool.hpp"

namespace kgents::actors::void_nodes {

namespace json = boost::json;
namespace entropy = sql::agentese_entropy;

namespace {

constexpr std::string_view nothing_to_pour = "amount or unused grant required";

task<outcome> manifest(aspect_call& c) {
  auto ask = entropy::state(c.tenant(), entropy::tenant_pool);
  const auto now = co_await c.read(std::move(ask));
  co_return json::object{
      {"summary", "The accursed share"},
      {"content",
       "What is left over, to be spent without purpose: sip from it, pour back what was "
       "not needed, tithe so that it grows again."},
      {"metadata", json::object{{"remaining", now.remaining.units()},
                                {"initial", entropy::cap.units()},
                                {"history_length", now.moves}}}};
}

task<outcome> witness(aspect_call& c) {
  auto ask =
      entropy::history(c.tenant(), entropy::tenant_pool, static_cast<uint32_t>(c.integer("limit")));
  const auto moves = co_await c.read(std::move(ask));
  json::array history;
  for (const auto& x : moves) {
    json::object one{{"action", x.action}, {"amount", x.amount.units()}};
    if (x.seed)
      one["seed"] = *x.seed;
    one["remaining"] = x.remaining.units();
    one["timestamp"] = x.timestamp;
    history.push_back(std::move(one));
  }
  const auto count = history.size();
  co_return json::object{{"handle", c.node()}, {"history", std::move(history)}, {"count", count}};
}

task<outcome> sample(aspect_call& c) { co_return json::object{{"sample", unit_of(c.seed())}}; }

task<outcome> status(aspect_call& c) {
  auto ask = entropy::state(c.tenant(), entropy::tenant_pool);
  const auto now = co_await c.read(std::move(ask));
  co_return json::object{{"remaining", now.remaining.units()},
                         {"initial", entropy::cap.units()},
                         {"history_count", now.moves}};
}

json::object poured_text(const sql::entropy_poured& x) {
  return {{"returned", x.returned.units()},
          {"recovered", x.recovered.units()},
          {"remaining", x.remaining.units()}};
}

/// A grant by its name, or as `sip` answered it.
std::optional<uuid> grant_of(const json::value& x) {
  const auto* name = &x;
  if (x.is_object())
    name = x.get_object().if_contains("grant");
  return name != nullptr && name->is_string() ? uuid::parse(name->get_string()) : std::nullopt;
}

task<outcome> pour_grant(aspect_call& c, uuid grant) {
  const auto held = co_await c.lock(std::string{pool_lock});
  auto look = entropy::unused(c.tenant(), entropy::tenant_pool, grant);
  const auto amount = co_await c.read(std::move(look));
  if (!amount)
    co_return c.missing(nothing_to_pour);
  auto& seen = c.live<pool_view>();
  seen.remaining.reset();
  auto ask = entropy::pour_grant(c.tenant(), entropy::tenant_pool, grant);
  json::object change{{"action", "pour"}, {"amount", amount->units()}};
  const auto got = co_await c.write(std::move(ask), std::move(change), pool_node);
  if (!got)
    co_return c.missing(nothing_to_pour);
  seen.remaining = got->remaining;
  co_return poured_text(*got);
}

task<outcome> pour(aspect_call& c) {
  if (const auto* given = c.find("grant"); given != nullptr) {
    const auto grant = grant_of(*given);
    if (!grant)
      co_return c.missing(nothing_to_pour);
    auto out = co_await pour_grant(c, *grant);
    co_return out;
  }
  const auto amount = sql::nano_amount::of(c.number("amount"));
  if (!amount)
    co_return c.missing(nothing_to_pour);
  const auto held = co_await c.lock(std::string{pool_lock});
  auto& seen = c.live<pool_view>();
  seen.remaining.reset();
  auto ask = entropy::pour(c.tenant(), entropy::tenant_pool, *amount);
  json::object change{{"action", "pour"}, {"amount", amount->units()}};
  const auto got = co_await c.write(std::move(ask), std::move(change), pool_node);
  seen.remaining = got.remaining;
  co_return poured_text(got);
}

/// For the logos: what an invocation may spend is taken before it runs.
task<outcome> charge(aspect_call& c) {
  const auto asked = c.number("amount");
  const auto amount = sql::nano_amount::of(asked);
  if (!amount)
    co_return agentese::errors::invalid_argument(c.full_path(), "amount",
                                                 "amount must be more than 0");
  const auto held = co_await c.lock(std::string{pool_lock});
  const auto now = co_await affordable(c, *amount);
  if (!now.done) {
    auto look = entropy::charged(c.tenant(), c.text("id"));
    const auto before = co_await c.read(std::move(look));
    if (!before)
      co_return agentese::errors::budget_exhausted(c.full_path(), now.remaining.units(), asked);
    co_return json::object{{"charged", before->units()}, {"remaining", now.remaining.units()}};
  }
  auto& seen = c.live<pool_view>();
  seen.remaining.reset();
  auto ask = entropy::charge(c.tenant(), entropy::tenant_pool, c.text("id"), *amount);
  json::object change{{"action", "charge"}, {"amount", amount->units()}};
  const auto got = co_await c.write(std::move(ask), std::move(change), pool_node);
  seen.remaining = got.remaining;
  if (!got.done)
    co_return agentese::errors::budget_exhausted(c.full_path(), got.remaining.units(), asked);
  co_return json::object{{"charged", got.changed.units()}, {"remaining", got.remaining.units()}};
}

task<outcome> refund(aspect_call& c) {
  const auto held = co_await c.lock(std::string{pool_lock});
  auto look = entropy::charged(c.tenant(), c.text("id"));
  const auto amount = co_await c.read(std::move(look));
  if (!amount)
    co_return json::object{{"refunded", 0.0}};
  auto& seen = c.live<pool_view>();
  seen.remaining.reset();
  auto ask = entropy::refund(c.tenant(), entropy::tenant_pool, c.text("id"));
  json::object change{{"action", "refund"}, {"amount", amount->units()}};
  const auto got = co_await c.write(std::move(ask), std::move(change), pool_node);
  if (got.done)
    seen.remaining = got.remaining;
  co_return json::object{{"refunded", got.changed.units()}};
}

constexpr argument witness_args[] = {{.name = "limit",
                                      .type = argument_type::integer,
                                      .default_json = "100",
                                      .meaning = "newest moves, at most",
                                      .least = 1,
                                      .most = entropy::kept_moves}};
constexpr argument pour_args[] = {
    {.name = "amount", .type = argument_type::number, .meaning = "more than 0"},
    {.name = "grant",
     .type = argument_type::any,
     .meaning = "what a sip answered, or its `grant`"}};
constexpr argument charge_args[] = {
    {.name = "id", .required = true, .meaning = "charged once under it", .max_bytes = 128},
    {.name = "amount", .type = argument_type::number, .required = true}};
constexpr argument refund_args[] = {
    {.name = "id", .required = true, .meaning = "of the charge", .max_bytes = 128}};

constexpr aspect_spec aspects[] = {
    {.name = "manifest",
     .run = manifest,
     .help = "What remains of the pool.",
     .returns = "{summary: string, content: string, metadata: {remaining: number, initial: number, "
                "history_length: integer}}",
     .effects = "reads:entropy"},
    {.name = "witness",
     .run = witness,
     .help = "The pool's moves, newest last.",
     .args = witness_args,
     .returns = "{handle: string, history: [{action: string, amount: number, seed?: number, "
                "remaining: number, timestamp: string}], count: integer}",
     .effects = "reads:entropy"},
    {.name = "sip",
     .category = aspect_category::entropy,
     .run = sip,
     .help = "Draws an amount from the pool, and chance with it.",
     .args = sip_args,
     .returns = sip_shape,
     .effects = "charges:entropy",
     .example = R"({"amount": 0.1})"},
    {.name = "pour",
     .category = aspect_category::entropy,
     .run = pour,
     .help = "Gives back what was not needed; half of it is recovered.",
     .args = pour_args,
     .returns = "{returned: number, recovered: number, remaining: number} | {error: string}",
     .effects = "earns:entropy",
     .example = R"({"amount": 10})"},
    {.name = "sample",
     .category = aspect_category::entropy,
     .run = sample,
     .help = "A number of chance in [0, 1), free of charge.",
     .returns = "{sample: number}"},
    {.name = "status",
     .run = status,
     .help = "What remains, what a pool begins with, and how often it was moved.",
     .returns = "{remaining: number, initial: number, history_count: integer}",
     .effects = "reads:entropy"},
    {.name = "charge",
     .category = aspect_category::entropy,
     .run = charge,
     .help = "Takes an amount once under a name.",
     .args = charge_args,
     .returns = "{charged: number, remaining: number}",
     .effects = "charges:entropy",
     .idempotent = true,
     .internal = true},
    {.name = "refund",
     .category = aspect_category::entropy,
     .run = refund,
     .help = "Gives a charge back, once.",
     .args = refund_args,
     .returns = "{refunded: number}",
     .effects = "earns:entropy",
     .idempotent = true,
     .internal = true},
};

}  // namespace

void register_entropy(registry& to) {
  static constexpr node_spec spec{
      .path = "void.entropy",
      .description =
          "The pool of entropy: 100 to begin with, drawn by sips, refilled by pours and "
          "tithes.",
      .aspects = aspects,
      .common = "*"};
  to.add(spec);
}

}  // namespace kgents::actors::void_nodes
