#include "gateway/stream/websocket.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <deque>

#include "gateway/messages.hpp"
#include "gateway/stream/sse.hpp"

namespace kgents::gateway {

namespace json = boost::json;

namespace {

/// Answers to this client's own frames that wait for the socket; beyond: it does not read what it
/// asked for.
constexpr size_t max_replies = 256;

/// Of frames that wait until a message before them has been counted, some milliseconds.
constexpr size_t max_held_bytes = 2 * 1024 * 1024;

constexpr std::string_view protocol = "kgents.v1";

class websocket_session : public http::socket_handler,
                          public std::enable_shared_from_this<websocket_session> {
public:
  websocket_session(const call_ptr& c, const entity_id& session, std::shared_ptr<void> permit)
      : at_{c->at},
        x_{c->x},
        who_{c->who},
        session_{session},
        reader_{std::make_shared<session_reader>(c->hub(), c->port(), session,
                                                 session_reader::options{})},
        permit_{std::move(permit)},
        open_{c->at.metrics.ws_streams} {
    watch_ = c->at.streams.watch(c->who, c->x->thread(), true, [this](end_reason why) {
      ends_ = why;
      wake();
    });
  }

  ~websocket_session() override {
    reader_->on_ready = [] {};
  }

  [[nodiscard]] session_reader& reader() noexcept { return *reader_; }

  void opened() override {
    reader_->on_ready = [this] { wake(); };
    wake();
  }

  /// One after the other, as they came: what comes while a message is being counted is held.
  void message(std::string_view text) override {
    if (!admitting_ && held_.empty()) {
      take(text);
    } else if (held_.size() >= max_replies || held_bytes_ + text.size() > max_held_bytes) {
      overrun_ = true;
      wake();
    } else {
      held_bytes_ += text.size();
      held_.emplace_back(text);
    }
  }

  void take(std::string_view text) {
    json::error_code error;
    const auto value = json::parse(text, error);
    const auto* frame = error ? nullptr : value.if_object();
    if (frame == nullptr) {
      refuse("", {400, "A frame must be a JSON object.", 0, "bad_frame"});
      return;
    }
    const auto type = text_of(*frame, "type");
    if (type == "message")
      take_message(*frame);
    else if (type == "cancel")
      take_cancel(text_of(*frame, "ref"));
    else if (type == "resume")
      take_resume(*frame);
    else
      refuse(text_of(*frame, "ref"),
             {400, "Unknown frame type. Valid: message, cancel, resume", 0, "bad_frame"});
  }

  http::byte_source::state pull(http::write_batch& out) override {
    using state = http::byte_source::state;
    for (auto& x : replies_)
      out.add(std::move(x));
    replies_.clear();
    if (overrun_ || ends_)
      return state::end;
    events_.clear();
    reader_->pull(events_, http::write_batch::max_frames);
    const bool full = events_.size() == http::write_batch::max_frames;
    for (auto& e : events_) {
      const auto text = e->websocket_text();
      out.add(std::move(e), text);
    }
    events_.clear();
    if (out.empty() && at_.ready.ends(!reader_->in_turn(), lot_))
      return state::end;
    if (reader_->ended())
      return state::end;
    return full ? state::more : state::idle;
  }

  std::pair<uint16_t, std::string> close_code() const override {
    if (ends_)
      return {close_credential, std::string{to_string(*ends_)}};
    if (overrun_)
      return {1008, "too many unread answers"};
    if (at_.ready.ends(true, lot_))
      return {1012, "the server restarts: connect again and resume"};
    return {1000, "the session is closed"};
  }

  void closed(http::close_reason) override {
    reader_->on_ready = [] {};
    reader_->stop();
    held_.clear();
    x_.reset();
    permit_.reset();
    watch_.reset();
  }

private:
  static std::string_view text_of(const json::object& frame, std::string_view member) {
    const auto* x = frame.if_contains(member);
    return x != nullptr && x->is_string() ? std::string_view{x->get_string()} : std::string_view{};
  }

  void wake() {
    if (x_ != nullptr)
      x_->wake();
  }

  void say(json::object frame) {
    if (replies_.size() >= max_replies)
      overrun_ = true;
    else
      replies_.push_back(json::serialize(frame));
    wake();
  }

  void refuse(std::string_view ref, const refusal& why) {
    json::object out{{"type", "error"},
                     {"error", why.detail},
                     {"status", why.status},
                     {"error_type", why.code.empty() ? "rejected" : why.code}};
    if (!ref.empty())
      out["ref"] = ref;
    if (why.retry_after_seconds > 0)
      out["retry_after"] = why.retry_after_seconds;
    say(std::move(out));
  }

  void take_message(const json::object& frame) {
    const std::string ref{text_of(frame, "ref").substr(0, 256)};
    if (!who_->key.scopes.write) {
      refuse(ref, {403, "API key requires 'write' scope to send messages", 0, "scope"});
      return;
    }
    violations wrong;
    const auto body = validate_body(message_body, json::value(frame), wrong);
    if (!wrong.empty()) {
      say({{"type", "error"},
           {"error", "The message does not fit its schema."},
           {"status", 422},
           {"error_type", "invalid"},
           {"ref", ref},
           {"detail", std::move(wrong)}});
      return;
    }
    admitting_ = true;
    at_.limits.message(x_->thread(), who_, true,
                       [weak = weak_from_this(), body, ref,
                        key = std::string{text_of(frame, "idempotency_key")}](
                           const std::optional<refusal>& no) {
                         auto self = weak.lock();
                         if (self == nullptr)
                           return;
                         self->admitting_ = false;
                         if (no)
                           self->refuse(ref, *no);
                         else
                           self->send(body, ref, key);
                         self->take_held();
                       });
  }

  void take_held() {
    if (std::exchange(taking_, true))
      return;  // what was decided at once is gone on with by the loop below
    while (!admitting_ && !held_.empty()) {
      const auto text = std::move(held_.front());
      held_.pop_front();
      held_bytes_ -= text.size();
      take(text);
    }
    taking_ = false;
  }

  void send(const json::object& body, const std::string& ref, std::string_view idempotency_key) {
    auto made = make_message(body, *who_, idempotency_key);
    if (auto* no = std::get_if<refusal>(&made)) {
      refuse(ref, *no);
      return;
    }
    ask<accepted>(std::get<send_message>(std::move(made)), ref, [this, ref](const accepted& x) {
      json::object out{{"type", "accepted"}, {"turn_id", x.turn.text()}};
      if (!ref.empty())
        out["ref"] = ref;
      say(std::move(out));
    });
  }

  void take_cancel(std::string_view ref) {
    if (!who_->key.scopes.write) {
      refuse(ref, {403, "API key requires 'write' scope to cancel", 0, "scope"});
      return;
    }
    // The canceled turn says so itself, with its `complete`.
    ask<canceled>(cancel_turn{}, std::string{ref}, [](const canceled&) {});
  }

  void take_resume(const json::object& frame) {
    const std::string ref{text_of(frame, "ref")};
    const auto place = cursor::parse(text_of(frame, "after"));
    if (!place) {
      refuse(ref, {400, "Malformed cursor: 'after' takes the id of an event", 0, "bad_cursor"});
      return;
    }
    reader_->move_to(*place, [weak = weak_from_this(), ref](std::optional<refusal> no) {
      if (auto self = weak.lock(); self != nullptr && no)
        self->refuse(ref, *no);
    });
  }

  template <class T, class Message, class F>
  void ask(Message message, std::string ref, F done) {
    if (x_ == nullptr)
      return;
    at_.ports[x_->thread().index()].template ask<T>(
        session_, std::move(message),
        [weak = weak_from_this(), ref = std::move(ref), done = std::move(done)](answer<T> out) {
          auto self = weak.lock();
          if (self == nullptr)
            return;
          if (out.ok())
            done(out.value);
          else
            self->refuse(ref, out.wrong);
        });
  }

  node& at_;
  std::shared_ptr<http::exchange> x_;
  const credential_ptr who_;
  const entity_id session_;
  std::shared_ptr<session_reader> reader_;
  std::shared_ptr<void> permit_;
  std::shared_ptr<void> watch_;
  const double lot_ = draw_lot();
  runtime::gauge_guard open_;
  std::vector<std::string> replies_;
  std::vector<event_ptr> events_;
  std::deque<std::string> held_;  // bounded by max_replies and max_held_bytes
  size_t held_bytes_ = 0;
  bool admitting_ = false;  // a message is being counted
  bool taking_ = false;
  bool overrun_ = false;
  std::optional<end_reason> ends_;
};

}  // namespace

void open_websocket(const call_ptr& c, const entity_id& session) {
  auto permit = runtime::permits::take(c->who->lease.tenant->streams);
  if (permit == nullptr) {
    c->at.metrics.rate_limited("streams", c->who->key.tier).Increment();
    c->refuse(
        {429, "Too many open streams for this tenant. Close one and try again.", 5, "streams"});
    return;
  }
  auto socket = std::make_shared<websocket_session>(c, session, std::move(permit));
  // Its place first: a session that is not there is a 404, not a socket that closes.
  socket->reader().start([c, socket](std::optional<refusal> no) {
    if (no) {
      c->refuse(*no);
      return;
    }
    const auto offered = c->x->in().header("sec-websocket-protocol");
    const bool ours = offered.find(protocol) != std::string_view::npos;
    c->x->upgrade(socket, ours ? protocol : std::string_view{}, c->header_lines());
  });
}

}  // namespace kgents::gateway
