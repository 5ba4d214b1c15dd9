// Messages to a session and the turns that answer them: sent, followed, resumed, canceled, looked
// at.

#include <boost/json/serialize.hpp>

#include "gateway/messages.hpp"
#include "gateway/route.hpp"
#include "gateway/shapes.hpp"
#include "gateway/stream/sse.hpp"
#include "gateway/stream/websocket.hpp"
#include "sql/turns.hpp"

namespace kgents::gateway {

namespace json = boost::json;

namespace {

constexpr field follow_query[] = {
    {.name = "after",
     .meaning = "The id of the last event you have; without it (and without Last-Event-ID): live."},
};

/// How a turn that failed answers a client that waits for it whole (design.md section 10).
unsigned status_of_error(std::string_view type) {
  if (type == "provider_timeout")
    return 504;
  if (type == "provider_rate_limited" || type == "overloaded")
    return 503;
  return type == "internal" ? 500 : 502;
}

/// Waits for the last event of one turn and answers with the assistant's message.
class whole_answer : public std::enable_shared_from_this<whole_answer> {
public:
  whole_answer(const call_ptr& c, session_id session, std::shared_ptr<session_reader> reader,
               std::string lines)
      : c_{c}, session_{session}, reader_{std::move(reader)}, lines_{std::move(lines)} {}

  void begin(std::function<void()> gone) {
    c_->x->on_gone([self = shared_from_this(), gone = std::move(gone)] {
      self->finish();
      if (gone)
        gone();
    });
    reader_->on_ready = [self = shared_from_this()] { self->look(); };
    reader_->start([self = shared_from_this()](std::optional<refusal> no) {
      if (no) {
        self->c_->refuse(*no);
        self->finish();
      }
    });
  }

private:
  void look() {
    std::vector<event_ptr> events;
    do {
      events.clear();
      reader_->pull(events, 256);
      for (const auto& e : events)
        if (e->end != nullptr) {
          answer(*e->end);
          finish();
          return;
        }
    } while (!events.empty());
    if (reader_->ended()) {
      c_->refuse(404, "Session not found");
      finish();
    }
  }

  void answer(const turn_end& end) {
    if (!end.error_type.empty()) {
      const json::object body{{"detail", end.error}, {"type", end.error_type}};
      auto lines = lines_;
      if (end.error_type == "provider_rate_limited" || end.error_type == "overloaded")
        lines += "Retry-After: " + std::to_string(std::max(1u, end.retry_after_seconds)) + "\r\n";
      c_->reply_json(status_of_error(end.error_type), body, lines);
      return;
    }
    // A canceled turn without a word stored no message: it is answered as an empty one.
    c_->reply_json(
        200,
        message_json(end.answer, session_, "assistant", end.text, end.tokens_used, end.created_at),
        lines_);
  }

  /// Breaks the circle of callbacks; `this` may go with it.
  void finish() {
    const auto keep = shared_from_this();
    reader_->on_ready = [] {};
    reader_->stop();
    c_->x->on_gone([] {});
  }

  call_ptr c_;
  const session_id session_;
  std::shared_ptr<session_reader> reader_;
  const std::string lines_;
};

void send(const call_ptr& c) {
  const auto id = id_segment(c, 0, "session");
  if (!id)
    return;
  const session_id session{*id};
  auto made = make_message(c->body, *c->who, c->x->in().header("idempotency-key"));
  if (auto* no = std::get_if<refusal>(&made)) {
    // An unknown session is a 404 before what is wrong with the message (http-api.md 1.7, rows 10
    // and 11).
    c->ask<session_view>(session_entity(c->tenant(), session), get_session{},
                         [c, no = *no](const session_view&) { c->refuse(no); });
    return;
  }
  auto message = std::get<send_message>(std::move(made));
  const bool stream = c->body.at("stream").as_bool();
  const bool cancel = message.cancel_on_disconnect;
  c->ask<accepted>(
      session_entity(c->tenant(), session), std::move(message),
      [c, session, stream, cancel](const accepted& x) {
        const auto entity = session_entity(c->tenant(), session);
        auto reader = std::make_shared<session_reader>(
            c->hub(), c->port(), entity,
            session_reader::options{cursor{x.turn, x.epoch, cursor::before_turn}, true});
        auto lines = "X-Turn-Id: " + x.turn.text() + "\r\n";
        std::function<void()> gone;
        if (cancel)
          gone = [&port = c->port(), entity, turn = x.turn] {
            port.ask<canceled>(entity, cancel_turn{turn}, [](const answer<canceled>&) {});
          };
        if (stream)
          stream_sse(c, std::move(reader), true, lines, std::move(gone));
        else
          std::make_shared<whole_answer>(c, session, std::move(reader), std::move(lines))
              ->begin(std::move(gone));
      });
}

void follow(const call_ptr& c) {
  const auto id = id_segment(c, 0, "session");
  if (!id)
    return;
  session_reader::options how;
  std::string after{c->x->in().header("last-event-id")};
  if (const auto* x = c->query.if_contains("after"); after.empty() && x != nullptr)
    after = x->as_string();
  if (!after.empty()) {
    how.from = cursor::parse(after);
    if (!how.from) {
      c->refuse(400, "Malformed cursor: Last-Event-ID and 'after' take the id of an event");
      return;
    }
  }
  stream_sse(c,
             std::make_shared<session_reader>(c->hub(), c->port(),
                                              session_entity(c->tenant(), session_id{*id}), how),
             false, "", nullptr);
}

void websocket(const call_ptr& c) {
  if (const auto id = id_segment(c, 0, "session"))
    open_websocket(c, session_entity(c->tenant(), session_id{*id}));
}

void cancel(const call_ptr& c) {
  const auto id = id_segment(c, 0, "session");
  if (!id)
    return;
  c->ask<canceled>(session_entity(c->tenant(), session_id{*id}), cancel_turn{},
                   [c](const canceled& x) {
                     json::object out{{"turn_id", nullptr}, {"status", "idle"}};
                     if (!x.turn.value.is_nil())
                       out = {{"turn_id", x.turn.text()}, {"status", "canceled"}};
                     c->reply_json(200, out);
                   });
}

void get(const call_ptr& c) {
  const auto session = id_segment(c, 0, "session");
  const auto turn = session ? id_segment(c, 1, "turn") : std::nullopt;
  if (!turn)
    return;
  c->query_database(sql::turns::get(c->tenant(), session_id{*session}, turn_id{*turn}),
                    [c](const std::optional<sql::turn_row>& row) {
                      if (!row) {
                        c->refuse(404, "Turn not found");
                        return;
                      }
                      const auto text = [](const std::optional<std::string>& x) {
                        return x ? json::value(json::string(*x)) : json::value(nullptr);
                      };
                      json::object out{{"turn_id", row->id.text()},
                                       {"session_id", row->session.text()},
                                       {"status", sql::name(row->status)},
                                       {"text", row->answer.text},
                                       {"chunks", row->answer.chunks()},
                                       {"tokens_used", row->tokens_used},
                                       {"finish_reason", text(row->finish_reason)},
                                       {"error", nullptr},
                                       {"created_at", row->created_at},
                                       {"ended_at", text(row->ended_at)}};
                      if (row->error_type)
                        out["error"] = json::object{{"error", row->error.value_or("")},
                                                    {"type", *row->error_type}};
                      c->reply_json(200, out);
                    });
}

constexpr std::string_view events = "text/event-stream";

const route table[] = {
    {.method = "POST",
     .path = "/v1/kgent/sessions/{id}/messages",
     .tag = "kgent",
     .summary = "Say something; the answer streams (or comes whole with stream:false)",
     .needs = scope::write,
     .refusal_text = "API key requires 'write' scope",
     .metered = true,
     .body = &message_body,
     .answer_type = events,
     .answer = &message_shape,
     .handle = send},
    {.method = "GET",
     .path = "/v1/kgent/sessions/{id}/stream",
     .tag = "kgent",
     .summary = "Follow a session: every turn by anybody, from now on or from a cursor",
     .who = access::query_key,
     .needs = scope::read,
     .refusal_text = "API key requires 'read' scope",
     .query = follow_query,
     .answer_type = events,
     .handle = follow},
    {.method = "GET",
     .path = "/v1/kgent/sessions/{id}/ws",
     .tag = "kgent",
     .summary = "The same over a WebSocket (subprotocol kgents.v1), and messages too",
     .who = access::query_key,
     .needs = scope::read,
     .refusal_text = "API key requires 'read' scope",
     .success = 101,
     .handle = websocket},
    {.method = "POST",
     .path = "/v1/kgent/sessions/{id}/cancel",
     .tag = "kgent",
     .summary = "End the running answer; what was said of it stays",
     .needs = scope::write,
     .refusal_text = "API key requires 'write' scope to cancel",
     .answer = &cancel_shape,
     .handle = cancel},
    {.method = "GET",
     .path = "/v1/kgent/sessions/{id}/turns/{turn_id}",
     .tag = "kgent",
     .summary = "A turn: its status and its text so far",
     .needs = scope::read,
     .refusal_text = "API key requires 'read' scope",
     .answer = &turn_shape,
     .handle = get},
};

}  // namespace

std::span<const route> turn_routes() { return table; }

}  // namespace kgents::gateway
