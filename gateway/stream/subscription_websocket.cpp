// Subscriptions over WebSocket, with acknowledgements on the same connection.

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "gateway/stream/subscription.hpp"

namespace kgents::gateway {

namespace json = boost::json;

namespace {

/// Answers to this client's own frames that wait for the socket; beyond: it does not read what it
/// asked for.
constexpr size_t max_replies = 256;

class subscription_socket : public http::socket_handler {
public:
  explicit subscription_socket(std::shared_ptr<subscriber> me) : me_{std::move(me)} {}

  void opened() override { me_->begin(); }

  void message(std::string_view text) override {
    json::error_code error;
    const auto value = json::parse(text, error);
    const auto* in = error ? nullptr : value.if_object();
    const auto text_of = [in](std::string_view member) {
      const auto* x = in == nullptr ? nullptr : in->if_contains(member);
      return x != nullptr && x->is_string() ? std::string_view{x->get_string()}
                                            : std::string_view{};
    };
    if (text_of("type") != "ack") {
      refuse(R"(A frame must be {"type": "ack", "event_id": …}.)");
      return;
    }
    const auto event = uuid::parse(text_of("event_id"));
    if (!event) {
      refuse("event_id must be the id of an event");
      return;
    }
    reply(json::serialize(json::object{{"type", "acknowledged"},
                                       {"event_id", event->text()},
                                       {"acknowledged", me_->events().acknowledge(*event)}}));
  }

  http::byte_source::state pull(http::write_batch& out) override {
    using state = http::byte_source::state;
    if (auto hello = me_->greeting())
      out.add(R"({"type":"subscribed",)" + *hello + '}');
    for (auto& x : replies_)
      out.add(std::move(x));
    replies_.clear();
    if (overrun_ || me_->ends())
      return state::end;
    bool more = true;
    while (more && out.pieces().size() + 1 < http::write_batch::max_frames) {
      auto next = me_->events().next();
      more = next.has_value();
      if (!more)
        break;
      if (next->gap)
        out.add(next->gap->json().replace(0, 1, R"({"type":"gap",)"));
      if (next->event == nullptr)
        continue;
      const auto text = next->event->websocket_text(next->form);
      out.add(std::move(next->event), text);
    }
    const bool said = !out.empty();
    if (!said && me_->leaves())
      return state::end;
    if (me_->beats(said, more))
      out.add(R"({"type":"event",)" + heartbeat_members() + '}');
    return more ? state::more : state::idle;
  }

  std::pair<uint16_t, std::string> close_code() const override {
    if (const auto& why = me_->ends())
      return {close_credential, std::string{to_string(*why)}};
    if (overrun_)
      return {1008, "too many unread answers"};
    return {1012, "the server restarts: subscribe again behind your last event"};
  }

  void closed(http::close_reason) override { me_->closed(); }

private:
  void reply(std::string text) {
    if (replies_.size() >= max_replies)
      overrun_ = true;
    else
      replies_.push_back(std::move(text));
    me_->wake();
  }

  void refuse(std::string_view why) {
    reply(json::serialize(json::object{
        {"type", "error"}, {"error", why}, {"status", 400}, {"error_type", "bad_frame"}}));
  }

  std::shared_ptr<subscriber> me_;
  std::vector<std::string> replies_;
  bool overrun_ = false;
};

}  // namespace

void open_subscription_socket(const call_ptr& c, subscription_request what) {
  auto me = subscriber::make(c, std::move(what), c->at.metrics.ws_streams);
  if (me == nullptr)
    return;
  auto* raw = me.get();
  raw->start([c, me = std::move(me)](std::optional<refusal> no) {
    if (no)
      c->refuse(*no);
    else
      c->x->upgrade(std::make_shared<subscription_socket>(me), {}, c->header_lines());
  });
}

}  // namespace kgents::gateway
