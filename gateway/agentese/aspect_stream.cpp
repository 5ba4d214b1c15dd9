#include "gateway/agentese/aspect_stream.hpp"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

namespace kgents::gateway {

namespace json = boost::json;

namespace {

asker asker_of(const call_ptr& c) { return {c->at, c->x->thread(), c->who}; }

/// One mark a stream, when it begins or is refused: who listens may leave before it ends. What it
/// says is in its session; the turn bills its tokens.
runtime::agentese::mark mark_of(const actors::invocation& what, const registered& at) {
  runtime::agentese::mark out;
  out.tenant = what.tenant;
  out.event_id = uuid::time_ordered();
  out.node = at.node;
  out.aspect = at.aspect->name();
  out.archetype = what.who.archetype;
  out.observer_id = what.who.id;
  out.origin = what.origin;
  out.key = what.by.key;
  return out;
}

void note(node& where, runtime::agentese::mark x, const soul_reply& y) {
  x.at = std::chrono::system_clock::now();
  if (const auto* turn = std::get_if<soul_turn>(&y)) {
    x.span_id = span_of(turn->turn);
    x.data = json::serialize(json::object{{"turn_id", turn->turn.text()},
                                          {"session_id", session_id{turn->session.key}.text()}});
  } else {
    const auto& why = std::get<refused_turn>(y).why;
    const auto* wrong = std::get_if<agentese::error>(&why);
    const auto* refused = std::get_if<refusal>(&why);
    x.type = agentese_event_type::error;
    x.status = wrong != nullptr ? wrong->code : refused->code;
    if (x.status.empty())
      x.status = "UNAVAILABLE";
    x.data = json::serialize(json::object{
        {"error", wrong != nullptr ? wrong->message : refused->detail}, {"type", x.status}});
  }
  where.journal.note(std::move(x));
}

/// The whole result in one answer: nothing of it comes later.
void answer_whole(const call_ptr& c, stream_dialect how, const actors::invoked& x) {
  add_tokens(*c->who, uint64_t{x.tokens_in} + x.tokens_out);
  if (const auto* wrong = std::get_if<agentese::error>(&x.result)) {
    refuse_with(c, how == stream_dialect::universal ? universal_problem(*wrong, x.span_id)
                                                    : gateway_problem(*wrong, x.trace_id));
    return;
  }
  if (const auto* declined = std::get_if<agentese::refused>(&x.result)) {
    refuse_with(c, how == stream_dialect::universal ? universal_problem(*declined, x.span_id)
                                                    : gateway_problem(*declined, x.trace_id));
    return;
  }
  std::string out;
  int64_t index = 0;
  for (const auto& piece : pieces_of(x.body))
    out += chunk_frame(how, piece, index++, "");
  out += done_frame(how, {x.body, x.span_id, static_cast<size_t>(index), x.duration_ms}, "");
  c->reply(200, std::move(out), "text/event-stream; charset=utf-8",
           "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n");
}

void run_whole(const call_ptr& c, actors::invocation what, stream_dialect how) {
  const std::string_view path = what.path;
  if (c->fits(token_estimate(c->at.logos.nodes(), path, c->who->key.tier)))
    c->at.logos.invoke(c->port(), std::move(what),
                       [c, how](const actors::invoked& x) { answer_whole(c, how, x); });
}

void follow(const call_ptr& c, const entity_id& session, const cursor& from, std::string path,
            stream_dialect how) {
  auto reader = std::make_shared<session_reader>(c->hub(), c->port(), session,
                                                 session_reader::options{from, true});
  stream_sse(c, std::move(reader), true, "X-Turn-Id: " + from.turn.text() + "\r\n", nullptr,
             std::make_shared<aspect_framing>(how, std::move(path)));
}

/// Goes on behind the event that the client had last.
void resume(const call_ptr& c, const std::string& node, const std::string& path,
            std::string_view after, stream_dialect how) {
  const auto place = cursor::parse(after);
  if (!place) {
    refuse_with(c, stream_problem(how,
                                  agentese::errors::invalid_argument(
                                      path, "Last-Event-ID",
                                      "Malformed cursor: Last-Event-ID takes the id of an event"),
                                  ""));
    return;
  }
  find_soul_turn(
      asker_of(c), node, place->turn,
      [c, path, how, place = *place](const std::variant<std::optional<found_turn>, refusal>& out) {
        if (const auto* no = std::get_if<refusal>(&out)) {
          c->refuse(*no);
        } else if (const auto& turn = std::get<0>(out); !turn) {
          refuse_with(
              c, stream_problem(
                     how, agentese::errors::path_not_found(path, "No such stream: begin a new one"),
                     ""));
        } else if (turn->ended && place.index >= turn->last) {
          // It has heard the end. 204 is what keeps a browser from asking once more.
          c->reply(204, "", "");
        } else {
          follow(c, turn->session, place, path, how);
        }
      });
}

void stream_soul(const call_ptr& c, actors::invocation what, const registered& at,
                 stream_dialect how) {
  const auto path = at.node + "." + std::string{at.aspect->name()};
  if (const auto after = c->x->in().header("last-event-id"); !after.empty()) {
    resume(c, at.node, path, after, how);
    return;
  }
  ask_soul(asker_of(c), std::move(what), at, [c, path, how](soul_reply out) {
    if (auto* other = std::get_if<elsewhere>(&out)) {
      run_whole(c, std::move(other->what), how);
      return;
    }
    if (const auto* turn = std::get_if<soul_turn>(&out)) {
      follow(c, turn->session, {turn->turn, turn->epoch, cursor::before_turn}, path, how);
      return;
    }
    const auto& why = std::get<refused_turn>(out).why;
    if (const auto* wrong = std::get_if<agentese::error>(&why))
      refuse_with(c, stream_problem(how, *wrong, ""));
    else
      c->refuse(std::get<refusal>(why));
  });
}

std::variant<soul_question, agentese::error> read_question(std::string_view path,
                                                           std::string_view aspect,
                                                           std::string_view kwargs) {
  json::error_code error;
  const auto value = json::parse(kwargs, error);
  if (error || !value.is_object())
    return agentese::errors::invalid_argument(path, "kwargs", "The arguments are no valid text");
  return read_soul_question(path, aspect, value.get_object());
}

}  // namespace

bool speaks(const registered& x) {
  return x.aspect != nullptr && x.aspect->spec->streaming && x.entry->path() == "self.soul" &&
         x.node == "self.soul";
}

void ask_soul(const asker& by, actors::invocation what, const registered& at,
              std::function<void(soul_reply)> tell) {
  const auto done = [&where = by.at, mark = mark_of(what, at),
                     tell = std::move(tell)](soul_reply x) {
    if (!std::holds_alternative<elsewhere>(x))
      note(where, mark, x);
    tell(std::move(x));
  };
  const std::string aspect{at.aspect->name()};
  const auto path = at.node + "." + aspect;
  if (auto wrong = actors::check_access(*at.entry, *at.aspect, path, what.by)) {
    done(refused_turn{std::move(*wrong)});
    return;
  }
  auto node = what;
  node.path = agentese::split_last(what.path).first;
  by.at.logos.resolve(by.at.ports[by.thread.index()], std::move(node),
                      [by, done, path, aspect, node = at.node, what = std::move(what)](
                          const std::variant<actors::resolved, agentese::error>& out) {
                        if (const auto* wrong = std::get_if<agentese::error>(&out)) {
                          done(refused_turn{*wrong});
                          return;
                        }
                        const auto& found = std::get<actors::resolved>(out);
                        if (found.node != node) {
                          done(elsewhere{what});
                          return;
                        }
                        const auto& have = found.affordances;
                        if (std::find(have.begin(), have.end(), aspect) == have.end()) {
                          done(refused_turn{agentese::errors::affordance_denied(
                              path, aspect, what.who.archetype, have)});
                          return;
                        }
                        const auto question = read_question(path, aspect, what.kwargs);
                        if (const auto* wrong = std::get_if<agentese::error>(&question)) {
                          done(refused_turn{*wrong});
                          return;
                        }
                        begin_soul_turn(by, node, std::get<soul_question>(question),
                                        [done](std::variant<soul_turn, refusal> x) {
                                          if (auto* no = std::get_if<refusal>(&x))
                                            done(refused_turn{std::move(*no)});
                                          else
                                            done(std::get<soul_turn>(x));
                                        });
                      });
}

void stream_aspect(const call_ptr& c, actors::invocation what, stream_dialect how) {
  const auto [node, aspect] = agentese::split_last(what.path);
  const auto& nodes = c->at.logos.nodes();
  const auto at = find_registered(nodes, node, aspect);
  if (speaks(at)) {
    stream_soul(c, std::move(what), at, how);
    return;
  }
  run_whole(c, std::move(what), how);
}

}  // namespace kgents::gateway
