#include "actors/contexts/void/pool.hpp"

#include <array>

#include "actors/persona/random.hpp"

namespace kgents::actors::void_nodes {

namespace json = boost::json;
namespace entropy = sql::agentese_entropy;

namespace {

constexpr std::array<std::string_view, 8> thanks{
    "What was given comes round again.",
    "The surplus thanks you for spending it.",
    "Nothing is owed, and still you gave.",
    "A little less hoarded, a little more alive.",
    "The void keeps no accounts, and remembers this one.",
    "Given without a reason: the best one there is.",
    "What you let go of makes room for what comes.",
    "The sun gives without asking back; so did you.",
};

json::object moved(std::string_view action, sql::nano_amount amount) {
  return {{"action", action}, {"amount", amount.units()}};
}

}  // namespace

task<drawn> affordable(aspect_call& c, sql::nano_amount amount) {
  auto ask = entropy::state(c.tenant(), entropy::tenant_pool);
  const auto now = co_await c.read(std::move(ask));
  co_return drawn{now.remaining >= amount, now.remaining};
}

task<drawn> draw(aspect_call& c, draw_request what) {
  const auto held = co_await c.lock(std::string{pool_lock});
  auto& seen = c.live<pool_view>();
  if (!seen.remaining || *seen.remaining < what.amount) {
    const auto now = co_await affordable(c, what.amount);
    if (!now.done)
      co_return now;
  }
  seen.remaining.reset();  // not known while it is being written, nor if that fails
  auto ask = entropy::draw(c.tenant(), entropy::tenant_pool, what.action, what.amount, what.seed,
                           what.grant);
  const auto got = co_await c.write(std::move(ask), moved(what.action, what.amount), pool_node);
  seen.remaining = got.remaining;
  co_return drawn{got.done, got.remaining};
}

task<sql::nano_amount> regenerate(aspect_call& c) {
  const auto held = co_await c.lock(std::string{pool_lock});
  auto& seen = c.live<pool_view>();
  seen.remaining.reset();
  auto ask = entropy::tithe(c.tenant(), entropy::tenant_pool, "tithe");
  const auto got =
      co_await c.write(std::move(ask), moved("tithe", entropy::regeneration), pool_node);
  seen.remaining = got.remaining;
  co_return got.remaining;
}

task<outcome> sip(aspect_call& c) {
  const auto asked = c.number("amount");
  const auto amount = sql::nano_amount::of(asked);
  if (!amount)
    co_return agentese::errors::invalid_argument(c.full_path(), "amount",
                                                 "amount must be more than 0");
  const auto seed = unit_of(c.seed());
  const auto grant = uuid::random();
  draw_request ask{*amount, "sip", seed, grant};
  const auto got = co_await draw(c, std::move(ask));
  if (!got.done)
    co_return agentese::errors::budget_exhausted(c.full_path(), got.remaining.units(), asked);
  co_return json::object{{"amount", amount->units()},
                         {"seed", seed},
                         {"source", "accursed_share"},
                         {"grant", grant.text()},
                         {"remaining", got.remaining.units()}};
}

task<outcome> tithe(aspect_call& c) {
  const auto remaining = co_await regenerate(c);
  co_return json::object{{"gratitude", persona::random_choice{c.seed()}.pick(thanks)},
                         {"regenerated", entropy::regeneration.units()},
                         {"remaining", remaining.units()}};
}

outcome exhausted(const drawn& got, sql::nano_amount requested) {
  return json::object{{"status", "budget_exhausted"},
                      {"remaining", got.remaining.units()},
                      {"requested", requested.units()}};
}

}  // namespace kgents::actors::void_nodes
