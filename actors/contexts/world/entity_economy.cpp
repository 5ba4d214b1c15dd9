// An entity as something that has a price.

#include "actors/contexts/defined_node.hpp"
#include "actors/contexts/world/entity_aspects.hpp"
#include "actors/contexts/world/valuation.hpp"

namespace kgents::actors::entity {

namespace json = boost::json;

namespace {

json::value number_or_null(const std::optional<double>& x) {
  return x ? json::value(*x) : json::value(nullptr);
}

std::optional<outcome> trade_edit(aspect_call& c, stored_node& node, json::object& result) {
  json::object deal{{"price", c.number("price")},
                    {"quantity", c.number("quantity")},
                    {"by", c.who().id},
                    {"timestamp", c.now_text()}};
  if (c.has("with"))
    deal["with"] = c.text("with");
  append(node.state, "trades", deal);
  const auto worth = valued(node.state);
  node.state["market_value"] = number_or_null(worth.value);
  result["status"] = "traded";
  result["trade"] = std::move(deal);
  result["market_value"] = number_or_null(worth.value);
  return std::nullopt;
}

}  // namespace

task<outcome> appraise(aspect_call& c) {
  const auto node = co_await explored(c);
  const auto worth = valued(node->state);
  co_return json::object{{"entity", c.name()},
                         {"market_value", number_or_null(worth.value)},
                         {"trend", worth.trend_text()},
                         {"confidence", worth.confidence},
                         {"basis", worth.trades > 0 ? "trades"
                                   : worth.value    ? "market_value"
                                                    : "none"},
                         {"comparable_sales", list_in(node->state, "trades")}};
}

task<outcome> forecast(aspect_call& c) {
  const auto horizon = c.text("horizon");
  const auto days = days_of(horizon);
  if (!days)
    co_return agentese::errors::invalid_argument(
        c.full_path(), "horizon", "horizon must be a number with m, h, d, w or y, such as 7d");
  const auto node = co_await explored(c);
  const auto worth = valued(node->state);
  // Trades stand for time where nothing says how often there are any: one a day.
  const auto expected = worth.after(*days);
  co_return json::object{{"entity", c.name()},
                         {"horizon", horizon},
                         {"market_value", number_or_null(worth.value)},
                         {"expected_value", number_or_null(expected)},
                         {"trend", worth.trend_text()},
                         {"confidence", worth.confidence},
                         {"note", worth.trades < 2 ? "Fewer than two trades: no trend is known."
                                                   : "Least squares over the newest trades."}};
}

task<outcome> compare(aspect_call& c) {
  auto other = c.text("other");
  if (other.find('.') == std::string::npos)
    other = "world." + other;
  const auto parsed = agentese::parse_path(other, agentese::needs::node);
  if (parsed.index() != 0 || std::get<0>(parsed).context != agentese::context::world)
    co_return agentese::errors::invalid_argument(c.full_path(), "other",
                                                 "other must be an entity of world");
  const auto node = co_await explored(c);
  const auto loaded = co_await node_store::load(c, other);
  static const stored_node nothing;
  const auto& that = loaded == nullptr ? nothing : *loaded;
  json::array same;
  json::object different;
  json::array only_here;
  json::array only_there;
  for (const auto& [name, x] : node->state) {
    const auto* y = that.state.if_contains(name);
    if (y == nullptr)
      only_here.emplace_back(name);
    else if (*y == x)
      same.emplace_back(name);
    else
      different[name] = json::object{{"here", x}, {"there", *y}};
  }
  for (const auto& [name, x] : that.state)
    if (!node->state.contains(name))
      only_there.emplace_back(name);
  const auto here = valued(node->state).value;
  const auto there = valued(that.state).value;
  co_return json::object{
      {"entity", c.name()},
      {"other", other},
      {"other_exists", loaded != nullptr},
      {"same", std::move(same)},
      {"different", std::move(different)},
      {"only_here", std::move(only_here)},
      {"only_there", std::move(only_there)},
      {"value_difference", here && there ? json::value(*here - *there) : json::value(nullptr)}};
}

task<outcome> trade(aspect_call& c) {
  auto out = co_await change_node(c, trade_edit);
  co_return std::move(out);
}

}  // namespace kgents::actors::entity
