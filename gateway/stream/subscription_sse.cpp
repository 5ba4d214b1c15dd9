// Subscriptions as server-sent events.

#include "gateway/stream/subscription.hpp"
#include "protocol/stream_event.hpp"

namespace kgents::gateway {

namespace {

/// How soon a client that lost its connection comes back.
constexpr std::string_view retry = "retry: 1000\n";

/// Frames without an `id:` leave the client's last event id as it is, so that it resumes behind the
/// last event, whatever else it heard.
std::string frame(std::string_view name, std::string_view data) {
  std::string out = "event: ";
  out += name;
  out += "\ndata: ";
  out += data;
  out += "\n\n";
  return out;
}

class subscription_source : public http::byte_source {
public:
  explicit subscription_source(std::shared_ptr<subscriber> me) : me_{std::move(me)} {}

  state pull(http::write_batch& out, bool chunked) override {
    const auto say = [&](std::string text) {
      out.add(chunked ? as_http_chunk(text) : std::move(text));
    };
    if (const auto hello = me_->greeting())
      say(std::string{retry} + frame("subscribed", '{' + *hello + '}'));
    if (me_->ends()) {
      say(frame("error", last_words(*me_->ends())));
      return state::end;
    }
    // One place is kept, since a gap and its event are two frames.
    bool more = true;
    while (more && out.pieces().size() + 1 < http::write_batch::max_frames) {
      auto next = me_->events().next();
      more = next.has_value();
      if (!more)
        break;
      if (next->gap)
        say(frame("gap", next->gap->json()));
      if (next->event == nullptr)
        continue;
      const auto bytes =
          chunked ? next->event->http_chunk(next->form) : next->event->sse(next->form);
      out.add(std::move(next->event), bytes);
    }
    const bool said = !out.empty();
    if (!said && me_->leaves()) {
      say(frame("reconnect", "{}"));
      return state::end;
    }
    if (me_->beats(said, more))
      say(frame("heartbeat", '{' + heartbeat_members() + '}'));
    return more ? state::more : state::idle;
  }

  void closed(http::close_reason) override { me_->closed(); }

private:
  std::shared_ptr<subscriber> me_;
};

}  // namespace

void stream_subscription(const call_ptr& c, subscription_request what) {
  auto me = subscriber::make(c, std::move(what), c->at.metrics.sse_streams);
  if (me == nullptr)
    return;
  auto* raw = me.get();
  raw->start([c, me = std::move(me)](std::optional<refusal> no) {
    if (no) {
      c->refuse(*no);
      return;
    }
    http::response head;
    head.content_type = "text/event-stream; charset=utf-8";
    head.header_lines = c->header_lines();
    head.header_lines += "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n";
    c->x->stream(std::move(head), std::make_shared<subscription_source>(me));
    me->begin();
  });
}

}  // namespace kgents::gateway
