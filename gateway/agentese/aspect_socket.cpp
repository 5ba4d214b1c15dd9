#include "gateway/agentese/aspect_socket.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <list>

#include "gateway/agentese/aspect_stream.hpp"

namespace kgents::gateway {

namespace json = boost::json;

namespace {

/// Requests of one socket that are under way or whose answers it has not taken: a client that does
/// not read its answers asks for no more.
constexpr size_t max_in_flight = 8;
/// Refusals that wait for the socket; beyond: it does not read what it asked for.
constexpr size_t max_refusals = 64;
constexpr size_t max_id_bytes = 256;

class aspect_socket : public http::socket_handler,
                      public std::enable_shared_from_this<aspect_socket> {
public:
  aspect_socket(const call_ptr& c, actors::invocation usual, std::shared_ptr<void> permit)
      : at_{c->at},
        x_{c->x},
        who_{c->who},
        hub_{c->hub()},
        usual_{std::move(usual)},
        permit_{std::move(permit)},
        open_{c->at.metrics.ws_streams} {
    watch_ = c->at.streams.watch(c->who, c->x->thread(), true, [this](end_reason why) {
      ends_ = why;
      wake();
    });
  }

  ~aspect_socket() override { hang_up(); }

  void opened() override {}

  void message(std::string_view text) override {
    json::error_code error;
    const auto value = json::parse(text, error);
    const auto* frame = error ? nullptr : value.if_object();
    if (frame == nullptr) {
      refuse("", agentese::errors::invalid_argument(usual_.path, "frame",
                                                    "A frame must be a JSON object"));
      return;
    }
    const auto id = id_of(*frame);
    if (in_flight() >= max_in_flight) {
      std::string told = "Too many requests are under way on this socket, at most ";
      told += std::to_string(max_in_flight);
      told += "; read their answers first";
      auto why = agentese::errors::unavailable(usual_.path, std::move(told));
      why.category = agentese::category::quota_exceeded;
      why.code = "TOO_MANY_REQUESTS";
      refuse(id, why);
      return;
    }
    if (auto what = read(*frame, id))
      count(std::move(*what), id);
  }

  http::byte_source::state pull(http::write_batch& out) override {
    using state = http::byte_source::state;
    for (auto& x : refusals_)
      out.add(std::move(x));
    refusals_.clear();
    for (auto& x : answers_)
      out.add(std::move(x));
    answers_.clear();
    if (overrun_ || ends_)
      return state::end;
    bool more = false;
    for (auto x = speaking_.begin(); x != speaking_.end();) {
      more |= pull_words(*x, out);
      if (x->over)
        x = speaking_.erase(x);
      else
        ++x;
    }
    const bool quiet = running_ == 0 && speaking_.empty();
    if (out.empty() && at_.ready.ends(quiet, lot_))
      return state::end;
    return more ? state::more : state::idle;
  }

  std::pair<uint16_t, std::string> close_code() const override {
    if (ends_)
      return {close_credential, std::string{to_string(*ends_)}};
    if (overrun_)
      return {1008, "too many unread answers"};
    return {1012, "the server restarts: connect again"};
  }

  void closed(http::close_reason) override {
    hang_up();
    x_.reset();
    permit_.reset();
    watch_.reset();
  }

private:
  /// An answer that comes word by word.
  struct speech {
    std::string id;
    std::string path;
    std::shared_ptr<session_reader> reader;
    std::chrono::steady_clock::time_point began = std::chrono::steady_clock::now();
    bool over = false;
  };

  [[nodiscard]] size_t in_flight() const noexcept {
    return running_ + answers_.size() + speaking_.size();
  }

  void wake() {
    if (x_ != nullptr)
      x_->wake();
  }

  /// What it began goes on without it.
  void hang_up() {
    for (auto& x : speaking_) {
      x.reader->on_ready = [] {};
      x.reader->stop();
    }
    speaking_.clear();
  }

  /// The client's own name for its request, as JSON text; empty: none.
  static std::string id_of(const json::object& frame) {
    const auto* x = frame.if_contains("id");
    if (x == nullptr || !(x->is_string() || x->is_int64()))
      return {};
    auto text = json::serialize(*x);
    return text.size() <= max_id_bytes ? text : std::string{};
  }

  static std::string begin_frame(std::string_view type, std::string_view id) {
    std::string out = R"({"type":")";
    out += type;
    out += '"';
    if (!id.empty()) {
      out += R"(,"id":)";
      out += id;
    }
    return out;
  }

  static std::string error_text(std::string_view id, const problem& why) {
    const auto& detail = why.body.at("detail");
    auto out = begin_frame("error", id) + R"(,"error":)";
    const auto* text = detail.is_object() ? detail.get_object().if_contains("error") : &detail;
    out += json::serialize(text != nullptr ? *text : detail);
    out += R"(,"status":)" + std::to_string(why.status);
    if (detail.is_object())
      out += R"(,"detail":)" + json::serialize(detail);
    out += '}';
    return out;
  }

  void refuse(std::string_view id, const agentese::error& why) {
    if (refusals_.size() >= max_refusals)
      overrun_ = true;
    else
      refusals_.push_back(error_text(id, gateway_problem(why, "")));
    wake();
  }

  /// The frame as an invocation; none: it was refused.
  std::optional<actors::invocation> read(const json::object& frame, const std::string& id) {
    auto out = usual_;
    std::string aspect = "manifest";
    if (const auto* x = frame.if_contains("aspect")) {
      const auto* text = x->if_string();
      if (text == nullptr || !agentese::is_identifier(*text)) {
        refuse(id, agentese::errors::invalid_argument(out.path, "aspect",
                                                      "'aspect' must be the name of an aspect"));
        return std::nullopt;
      }
      aspect = *text;
    }
    out.path += "." + aspect;
    violations wrong;
    if (const auto* x = frame.if_contains("observer"); x != nullptr && !x->is_null())
      read_observer(*x, out.who, wrong, {"observer"});
    const auto* kwargs = frame.if_contains("kwargs");
    if (!wrong.empty() || (kwargs != nullptr && !kwargs->is_object() && !kwargs->is_null())) {
      refuse(id, agentese::errors::invalid_argument(
                     out.path, wrong.empty() ? "kwargs" : "observer",
                     "'kwargs' and 'observer' must be objects; an observer has the members "
                     "archetype, id and capabilities"));
      return std::nullopt;
    }
    if (kwargs != nullptr && kwargs->is_object())
      out.kwargs = json::serialize(*kwargs);
    if (const auto* x = frame.if_contains("capability"); x != nullptr && x->is_string())
      out.capability = x->get_string();
    return out;
  }

  /// Against the key's limits, then it begins.
  void count(actors::invocation what, const std::string& id) {
    const auto aspect = agentese::split_last(what.path).second;
    const bool metered = aspect != "manifest" && aspect != "affordances";
    ++running_;
    at_.limits.message(x_->thread(), who_, metered,
                       [weak = weak_from_this(), what = std::move(what),
                        id](std::optional<refusal> no) {
                         auto self = weak.lock();
                         if (self == nullptr)
                           return;
                         --self->running_;
                         if (self->x_ != nullptr)
                           self->counted(what, id, std::move(no));
                       });
  }

  void counted(actors::invocation what, const std::string& id, std::optional<refusal> no) {
    if (!no)
      no = over_quota(*who_, token_estimate(at_.logos.nodes(), what.path, who_->key.tier));
    if (!no) {
      begin(std::move(what), id);
      return;
    }
    agentese::error why;
    why.category = agentese::category::quota_exceeded;
    why.code = "RATE_LIMITED";
    why.message = std::move(no->detail);
    why.suggested_action = "wait, and ask less often";
    why.path = what.path;
    why.retry_after = std::max(1u, no->retry_after_seconds);
    refuse(id, why);
  }

  void begin(actors::invocation what, const std::string& id) {
    const auto [node, aspect] = agentese::split_last(what.path);
    const auto at = find_registered(at_.logos.nodes(), node, aspect);
    ++running_;
    if (speaks(at)) {
      ask_soul({at_, x_->thread(), who_}, std::move(what), at,
               [weak = weak_from_this(), id,
                path = at.node + "." + std::string{aspect}](soul_reply out) {
                 if (auto self = weak.lock())
                   self->answered(id, path, std::move(out));
               });
      return;
    }
    run(std::move(what), id, at.aspect != nullptr && at.aspect->spec->streaming);
  }

  void run(actors::invocation what, const std::string& id, bool in_pieces) {
    at_.logos.invoke(
        at_.ports[x_->thread().index()], std::move(what),
        [weak = weak_from_this(), who = who_, id, in_pieces](const actors::invoked& x) {
          add_tokens(*who, uint64_t{x.tokens_in} + x.tokens_out);
          if (auto self = weak.lock())
            self->answered(id, x, in_pieces);
        });
  }

  void answered(const std::string& id, const actors::invoked& x, bool in_pieces) {
    --running_;
    if (const auto* wrong = std::get_if<agentese::error>(&x.result)) {
      answers_.push_back(error_text(id, gateway_problem(*wrong, x.trace_id)));
    } else if (const auto* declined = std::get_if<agentese::refused>(&x.result)) {
      answers_.push_back(error_text(id, gateway_problem(*declined, x.trace_id)));
    } else if (!in_pieces) {
      answers_.push_back(begin_frame("result", id) + R"(,"data":)" + x.body + '}');
    } else {
      int64_t index = 0;
      for (const auto& piece : pieces_of(x.body))
        answers_.push_back(chunk_text(id, piece, index++));
      answers_.push_back(
          done_text(id, {x.body, x.span_id, static_cast<size_t>(index), x.duration_ms}));
    }
    wake();
  }

  void answered(const std::string& id, const std::string& path, soul_reply out) {
    if (auto* other = std::get_if<elsewhere>(&out); other != nullptr && x_ != nullptr) {
      run(std::move(other->what), id, false);
      return;
    }
    --running_;
    if (const auto* turn = std::get_if<soul_turn>(&out)) {
      if (x_ == nullptr)
        return;
      auto reader = std::make_shared<session_reader>(
          hub_, at_.ports[x_->thread().index()], turn->session,
          session_reader::options{cursor{turn->turn, turn->epoch, cursor::before_turn}, true});
      auto& x = speaking_.emplace_back(speech{id, path, std::move(reader)});
      x.reader->on_ready = [this] { wake(); };
      x.reader->start([weak = weak_from_this(),
                       reader = std::weak_ptr{x.reader}](const std::optional<refusal>& no) {
        if (auto self = weak.lock(); self != nullptr && no)
          self->lost(reader.lock());
      });
    } else if (const auto* refused = std::get_if<refused_turn>(&out)) {
      const auto& why = refused->why;
      if (const auto* wrong = std::get_if<agentese::error>(&why)) {
        answers_.push_back(error_text(id, gateway_problem(*wrong, "")));
      } else {
        const auto& no = std::get<refusal>(why);
        answers_.push_back(error_text(id, {no.status, {{"detail", no.detail}}, {}}));
      }
    }
    wake();
  }

  static std::string lost_text(const speech& x) {
    const auto why = agentese::errors::unavailable(x.path, "The answer cannot be followed");
    return error_text(x.id, gateway_problem(why, ""));
  }

  /// The session of an answer cannot be reached.
  void lost(const std::shared_ptr<session_reader>& reader) {
    for (auto x = speaking_.begin(); x != speaking_.end(); ++x)
      if (x->reader == reader) {
        answers_.push_back(lost_text(*x));
        reader->on_ready = [] {};
        reader->stop();
        speaking_.erase(x);
        wake();
        return;
      }
  }

  static std::string chunk_text(std::string_view id, const stream_piece& x, int64_t index) {
    return begin_frame("chunk", id) + R"(,"data":)" + chunk_json(x, index) + '}';
  }

  static std::string done_text(std::string_view id, const stream_end& x) {
    return begin_frame("done", id) + ',' + done_json(x, false).substr(1);
  }

  /// Whether there is more than fits.
  bool pull_words(speech& x, http::write_batch& out) {
    if (out.full())
      return true;
    events_.clear();
    const auto room = http::write_batch::max_frames - out.pieces().size();
    x.reader->pull(events_, room);
    for (const auto& e : events_) {
      const auto index = e->place().index;
      if (e->kind() == event_kind::chunk) {
        out.add(chunk_text(x.id, {"response", e->text, true}, index));
      } else if (e->kind() == event_kind::complete) {
        std::string result;
        append_json_string(result, e->end->text);
        const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(
            std::chrono::steady_clock::now() - x.began);
        out.add(done_text(x.id, {result, span_of(e->place().turn), static_cast<size_t>(index),
                                 static_cast<uint32_t>(took.count())}));
      } else if (e->kind() == event_kind::error) {
        out.add(error_text(x.id, gateway_problem(error_of_turn(x.path, *e->end), "")));
      }
    }
    const bool full = events_.size() == room;
    const bool said_last = !events_.empty() && events_.back()->end != nullptr;
    events_.clear();
    x.over = x.reader->ended();
    if (x.over) {
      if (!said_last)  // its session was removed
        out.add(lost_text(x));
      x.reader->on_ready = [] {};
      x.reader->stop();
    }
    return full && !x.over;
  }

  node& at_;
  std::shared_ptr<http::exchange> x_;
  const credential_ptr who_;
  runtime::hub& hub_;
  const actors::invocation usual_;
  std::shared_ptr<void> permit_;
  std::shared_ptr<void> watch_;
  const double lot_ = draw_lot();
  runtime::gauge_guard open_;
  std::vector<std::string> refusals_;
  std::vector<std::string> answers_;
  std::list<speech> speaking_;
  std::vector<event_ptr> events_;
  size_t running_ = 0;
  bool overrun_ = false;
  std::optional<end_reason> ends_;
};

}  // namespace

void open_aspect_socket(const call_ptr& c, actors::invocation usual) {
  auto permit = runtime::permits::take(c->who->lease.tenant->streams);
  if (permit == nullptr) {
    c->at.metrics.rate_limited("streams", c->who->key.tier).Increment();
    c->refuse(
        {429, "Too many open streams for this tenant. Close one and try again.", 5, "streams"});
    return;
  }
  c->x->upgrade(std::make_shared<aspect_socket>(c, std::move(usual), std::move(permit)), "",
                c->header_lines());
}

}  // namespace kgents::gateway
