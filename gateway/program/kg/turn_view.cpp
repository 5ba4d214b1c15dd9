#include "gateway/program/kg/turn_view.hpp"

#include <algorithm>
#include <boost/json/parse.hpp>

#include "protocol/cursor.hpp"

namespace kgents::kg {

namespace json = boost::json;

namespace {

std::string text_of(const json::object& x, std::string_view name) {
  const auto* value = x.if_contains(name);
  return value != nullptr && value->is_string() ? std::string{value->get_string()} : std::string{};
}

json::object read(std::string_view data) {
  json::error_code error;
  auto value = json::parse(data, error);
  return !error && value.is_object() ? std::move(value.get_object()) : json::object{};
}

}  // namespace

turn_news turn_view::take(const llm::sse_event& x) {
  using kind = turn_news::kind;
  if (x.name == "reconnect")
    return {kind::reconnect};
  const auto place = cursor::parse(x.id);
  if (!place) {
    // What ends the stream rather than the turn: a key that was revoked.
    if (x.name != "error")
      return {};
    const auto data = read(x.data);
    return {kind::error, text_of(data, "error"), text_of(data, "type")};
  }
  const auto turn = place->turn.text();
  if (turn_.empty() && x.name != "gap")
    turn_ = turn;
  if (turn != turn_)
    return {};
  if (x.name == "gap")
    return {kind::hole};
  if (x.name == "chunk")
    return take_chunk(x, place->index);
  if (x.name != "complete" && x.name != "error") {
    last_id_ = x.id;
    return {};
  }
  last_id_ = x.id;
  const auto data = read(x.data);
  if (x.name == "error")
    return {kind::error, text_of(data, "error"), text_of(data, "type")};
  return {kind::complete, catch_up(text_of(data, "text"), next_), text_of(data, "finish_reason")};
}

turn_news turn_view::take_chunk(const llm::sse_event& x, int64_t index) {
  if (index < next_)
    return {};
  if (index > next_)
    return {turn_news::kind::hole};
  next_ = index + 1;
  last_id_ = x.id;
  auto text = text_of(read(x.data), "text");
  shown_ += text;
  return {turn_news::kind::text, std::move(text)};
}

std::string turn_view::catch_up(std::string_view whole, int64_t chunks) {
  next_ = std::max(next_, chunks);
  if (!whole.starts_with(shown_))
    return {};
  std::string missing{whole.substr(shown_.size())};
  shown_ = whole;
  return missing;
}

}  // namespace kgents::kg
