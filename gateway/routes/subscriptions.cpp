// Subscriptions to what happens in the tenant (http-api.md section 12, agentese.md section 13).

#include "gateway/stream/subscription.hpp"

#include <boost/json/serialize.hpp>

#include "actors/contexts/time/instant.hpp"
#include "gateway/agentese/asking.hpp"
#include "gateway/agentese/problems.hpp"

namespace kgents::gateway {

namespace json = boost::json;
namespace feed = runtime::agentese;

namespace {

constexpr std::string_view deliveries[] = {"at_most_once", "at_least_once"};
constexpr std::string_view orderings[] = {"per_path_fifo", "global_clock"};

constexpr field subscribe_query[] = {
    {.name = "pattern",
     .required = true,
     .meaning = "Node paths: one as it is, `x.*` (one more segment), `x.**` (one or more), `*` or "
                "`**` (all).",
     .max_bytes = 512},
    {.name = "aspect", .meaning = "Only events of this aspect, as shown.", .max_bytes = 128},
    {.name = "delivery",
     .default_json = "\"at_most_once\"",
     .meaning = "at_least_once: what is not acknowledged within 30 s comes again, three times.",
     .one_of = deliveries},
    {.name = "ordering",
     .default_json = "\"per_path_fifo\"",
     .meaning = "global_clock: events carry `seq`, their place in the tenant's log.",
     .one_of = orderings},
    {.name = "buffer_size",
     .type = value_type::integer,
     .default_json = "1000",
     .meaning = "Events that the subscriber may be behind; what is more is dropped and told as a "
                "gap.",
     .least = 1,
     .most = feed::limits::buffer_most},
    {.name = "heartbeat_interval",
     .type = value_type::integer,
     .default_json = "30",
     .meaning = "Seconds of silence after which a heartbeat is sent.",
     .least = feed::limits::heartbeat_least.count(),
     .most = feed::limits::heartbeat_most.count()},
    {.name = "replay_from",
     .meaning = "A time (ISO 8601): what happened since, as far as it is retained, comes first.",
     .max_bytes = 64},
    {.name = "replay_offset",
     .type = value_type::integer,
     .meaning = "A `seq`: what follows it comes first; 0: all that is retained.",
     .least = 0},
    {.name = "after",
     .meaning = "An event's id: what follows it comes first; as the header Last-Event-ID, which "
                "goes before it.",
     .max_bytes = 64},
    {.name = "archetype",
     .meaning = "As the header X-Observer-Archetype, for clients that can set none.",
     .max_bytes = 128},
};

constexpr field listing_fields[] = {
    {.name = "subscriptions",
     .type = value_type::array,
     .required = true,
     .meaning = "`{id, pattern, active, pending, delivery, buffer_size}` of those on this node"},
};
constexpr schema listing_shape{"SubscriptionList", listing_fields};

constexpr field ack_fields[] = {{.name = "event_id", .required = true, .max_bytes = 64}};
constexpr schema ack_body{"AcknowledgeRequest", ack_fields};
constexpr field acked_fields[] = {
    {.name = "acknowledged",
     .type = value_type::boolean,
     .required = true,
     .meaning = "false: it was acknowledged before, given up, or never delivered"},
};
constexpr schema acked_shape{"AcknowledgeResponse", acked_fields};

void refuse_with(const call_ptr& c, const agentese::error& why) {
  const auto x = gateway_problem(why, {});
  c->reply(x.status, x.text(), "application/json", x.lines);
}

agentese::error bad(std::string_view name, std::string message) {
  return agentese::errors::invalid_argument("", name, std::move(message));
}

std::string_view query_text(const call& c, std::string_view name) {
  const auto* x = c.query.if_contains(name);
  return x != nullptr && x->is_string() ? std::string_view{x->get_string()} : std::string_view{};
}

/// Which of two it is; none when it is neither.
template <class T>
std::optional<T> choice(std::string_view text, std::span<const std::string_view, 2> names) {
  for (size_t i = 0; i < names.size(); ++i)
    if (names[i] == text)
      return static_cast<T>(i);
  return std::nullopt;
}

using place = std::variant<feed::begin_where, agentese::error>;

place read_begin(const call& c) {
  const auto& in = c.x->in();
  const auto last =
      in.has_header("last-event-id") ? in.header("last-event-id") : query_text(c, "after");
  if (!last.empty()) {
    if (const auto id = uuid::parse(last))
      return feed::begin_where{feed::begin_behind_event{*id}};
    return bad("Last-Event-ID", "Last-Event-ID must be the id of an event");
  }
  const auto from = query_text(c, "replay_from");
  const auto* offset = c.query.if_contains("replay_offset");
  if (!from.empty() && offset != nullptr)
    return bad("replay_from", "Either replay_from or replay_offset, not both");
  if (offset != nullptr)
    return feed::begin_where{feed::begin_behind_seq{offset->to_number<int64_t>()}};
  if (from.empty())
    return feed::begin_where{feed::begin_live{}};
  // In a query string a plus sign is a space, and few clients escape the one of a time zone.
  std::string text{from};
  if (const auto space = text.rfind(' '); space != std::string::npos && space > 10)
    text[space] = '+';
  const auto time = actors::parse_instant(text, actors::now_instant());
  if (!time)
    return bad("replay_from", "replay_from must be a time in ISO 8601, as 2026-01-05T09:00:00Z");
  return feed::begin_where{feed::begin_at_time{*time}};
}

/// What the subscriber would see by asking: the aspects of its archetype, with the capabilities
/// that its credential carries.
std::shared_ptr<const feed::afforded_check> afforded_to(const call& c, agentese::observer who) {
  const auto by = caller_of(*c.who);
  std::erase_if(who.capabilities, [&](const std::string& x) {
    return !((x == "read" && by.read) || (x == "write" && by.write) || (x == "admin" && by.admin));
  });
  return std::make_shared<const feed::afforded_check>(
      [&nodes = c.at.logos.nodes(), who = std::move(who)](std::string_view node,
                                                          std::string_view aspect) {
        const auto at = nodes.find(node);
        return at.node != nullptr && at.node->affords(who.archetype, who.capabilities, aspect);
      });
}

std::variant<subscription_request, agentese::error> read_request(const call& c) {
  auto pattern = agentese::parse_pattern(query_text(c, "pattern"));
  if (auto* wrong = std::get_if<agentese::error>(&pattern))
    return std::move(*wrong);
  const auto delivery = choice<feed::delivery_mode>(query_text(c, "delivery"), deliveries);
  if (!delivery)
    return bad("delivery", "delivery must be at_most_once or at_least_once");
  const auto ordering = choice<feed::ordering_mode>(query_text(c, "ordering"), orderings);
  if (!ordering)
    return bad("ordering", "ordering must be per_path_fifo or global_clock");
  auto from = read_begin(c);
  if (auto* wrong = std::get_if<agentese::error>(&from))
    return std::move(*wrong);
  auto who = observer_of_headers(c.x->in(), gateway_observer);
  if (auto* wrong = std::get_if<agentese::error>(&who))
    return std::move(*wrong);
  auto& observer = std::get<agentese::observer>(who);
  if (const auto archetype = query_text(c, "archetype"); !archetype.empty())
    observer.archetype = archetype;

  subscription_request out;
  out.config.pattern = std::get<agentese::pattern>(std::move(pattern));
  out.config.aspect_filter = query_text(c, "aspect");
  out.config.delivery = *delivery;
  out.config.ordering = *ordering;
  out.config.buffer_size = c.query.at("buffer_size").to_number<uint32_t>();
  out.heartbeat = std::chrono::seconds{c.query.at("heartbeat_interval").to_number<int64_t>()};
  out.afforded = afforded_to(c, std::move(observer));
  out.from = std::get<feed::begin_where>(from);
  return out;
}

template <class Open>
void subscribe_with(const call_ptr& c, Open open) {
  auto what = read_request(*c);
  if (const auto* wrong = std::get_if<agentese::error>(&what))
    refuse_with(c, *wrong);
  else
    open(c, std::get<subscription_request>(std::move(what)));
}

void subscribe(const call_ptr& c) { subscribe_with(c, stream_subscription); }
void subscribe_socket(const call_ptr& c) { subscribe_with(c, open_subscription_socket); }

/// Runs `f` on the call's thread.
template <class F>
void back_on(const call_ptr& c, F f) {
  boost::asio::post(c->x->thread().context(), std::move(f));
}

void list(const call_ptr& c) {
  c->at.events.list(c->tenant(), [c](std::vector<feed::listed_subscription> all) {
    back_on(c, [c, all = std::move(all)] {
      json::array out;
      for (const auto& x : all)
        out.push_back(json::object{{"id", x.id},
                                   {"pattern", x.pattern},
                                   {"active", true},
                                   {"pending", x.pending},
                                   {"delivery", to_string(x.delivery)},
                                   {"buffer_size", x.buffer_size}});
      c->reply_json(200, json::object{{"subscriptions", std::move(out)}});
    });
  });
}

void acknowledge(const call_ptr& c) {
  const auto event = uuid::parse(c->text_of("event_id"));
  if (!event) {
    refuse_with(c, bad("event_id", "event_id must be the id of an event"));
    return;
  }
  c->at.events.acknowledge(c->tenant(), c->segments[0], *event, [c](std::optional<bool> known) {
    back_on(c, [c, known] {
      if (known)
        c->reply_json(200, json::object{{"acknowledged", *known}});
      else
        c->refuse(404,
                  "Subscription not found on this node. It may have ended, or be on another node: "
                  "acknowledge over its WebSocket.");
    });
  });
}

constexpr std::string_view needs_read = "API key requires 'read' scope";

constexpr route table[] = {
    {.method = "GET",
     .path = "/agentese/subscribe",
     .tag = "agentese",
     .summary = "Hear of what is invoked and changed, as it happens or from before",
     .who = access::query_key,
     .needs = scope::read,
     .refusal_text = needs_read,
     .query = subscribe_query,
     .answer_type = "text/event-stream",
     .handle = subscribe},
    {.method = "GET",
     .path = "/agentese/ws/subscribe",
     .tag = "agentese",
     .summary = "The same over a WebSocket, which also takes acknowledgements",
     .who = access::query_key,
     .needs = scope::read,
     .refusal_text = needs_read,
     .query = subscribe_query,
     .success = 101,
     .handle = subscribe_socket},
    {.method = "GET",
     .path = "/agentese/subscriptions",
     .tag = "agentese",
     .summary = "The tenant's open subscriptions on this node",
     .needs = scope::read,
     .refusal_text = needs_read,
     .answer = &listing_shape,
     .handle = list},
    {.method = "POST",
     .path = "/agentese/subscriptions/{subscription}/ack",
     .tag = "agentese",
     .summary = "Acknowledge an event of a subscription with at_least_once, on its node",
     .needs = scope::read,
     .refusal_text = needs_read,
     .body = &ack_body,
     .answer = &acked_shape,
     .handle = acknowledge},
};

}  // namespace

std::span<const route> subscription_routes() { return table; }

}  // namespace kgents::gateway
