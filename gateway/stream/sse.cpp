#include "gateway/stream/sse.hpp"

#include "runtime/limits.hpp"

namespace kgents::gateway {

namespace limits = runtime::limits;

namespace {

/// What an idle stream says, so that proxies and clients know it is alive.
constexpr std::string_view comment = ": keep-alive\n\n";
const std::string comment_chunk = as_http_chunk(comment);

/// What a draining node says last: come back, to another node.
constexpr std::string_view reconnect = "event: reconnect\ndata: {}\n\n";

class sse_source : public http::byte_source {
public:
  sse_source(const call_ptr& c, std::shared_ptr<session_reader> reader, bool bare,
             std::shared_ptr<void> permit, std::function<void()> gone,
             std::shared_ptr<sse_framing> framing)
      : x_{c->x},
        thread_{c->x->thread()},
        ready_{c->at.ready},
        reader_{std::move(reader)},
        permit_{std::move(permit)},
        gone_{std::move(gone)},
        framing_{std::move(framing)},
        open_{c->at.metrics.sse_streams},
        bare_{bare} {
    beat_.on_fire([this] {
      beat_due_ = true;
      wake();
    });
    thread_.wheel().arm(beat_, limits::heartbeat);
    watch_ = c->at.streams.watch(c->who, thread_, false, [this](end_reason why) {
      ends_ = why;
      wake();
    });
  }

  ~sse_source() override {
    reader_->on_ready = [] {};
  }

  void begin() {
    reader_->on_ready = [this] { wake(); };
    wake();
  }

  state pull(http::write_batch& out, bool chunked) override {
    if (ends_) {
      auto text = "event: error\ndata: " + last_words(*ends_) + "\n\n";
      out.add(chunked ? as_http_chunk(text) : std::move(text));
      return state::end;
    }
    events_.clear();
    reader_->pull(events_, http::write_batch::max_frames);
    for (auto& e : events_) {
      if (bare_ && e->kind() == event_kind::turn)
        continue;
      if (framing_ != nullptr) {
        if (auto frame = framing_->frame(*e); !frame.empty())
          out.add(chunked ? as_http_chunk(frame) : std::move(frame));
        continue;
      }
      const auto bytes = chunked ? e->http_chunk() : e->sse();
      out.add(std::move(e), bytes);
    }
    const bool full = events_.size() == http::write_batch::max_frames;
    const bool said = !events_.empty();
    events_.clear();
    if (reader_->ended())
      return state::end;
    if (!said && ready_.ends(!(bare_ || reader_->in_turn()), lot_)) {
      out.add(chunked ? as_http_chunk(reconnect) : std::string{reconnect});
      return state::end;
    }
    if (beat_due_ && !said)
      out.add(nullptr, chunked ? std::string_view{comment_chunk} : comment);
    if (beat_due_ || (said && !full)) {
      beat_due_ = false;
      thread_.wheel().arm(beat_, limits::heartbeat);
    }
    return full ? state::more : state::idle;
  }

  void closed(http::close_reason why) override {
    reader_->on_ready = [] {};
    reader_->stop();
    beat_.disarm();
    x_.reset();
    permit_.reset();
    watch_.reset();
    if (why != http::close_reason::finished && gone_)
      gone_();
    gone_ = nullptr;
  }

private:
  void wake() {
    if (x_ != nullptr)
      x_->wake();
  }

  std::shared_ptr<http::exchange> x_;
  runtime::io_thread& thread_;
  readiness& ready_;
  std::shared_ptr<session_reader> reader_;
  std::shared_ptr<void> permit_;
  std::shared_ptr<void> watch_;
  std::function<void()> gone_;
  std::shared_ptr<sse_framing> framing_;
  runtime::gauge_guard open_;
  runtime::wheel_timer beat_;
  std::vector<event_ptr> events_;
  bool beat_due_ = false;
  std::optional<end_reason> ends_;
  const bool bare_;
  const double lot_ = draw_lot();
};

}  // namespace

double draw_lot() {
  static std::atomic<uint32_t> next{0};
  return static_cast<double>(next.fetch_add(1) * 2654435769u) / 4294967296.0;  // Knuth, 6.4
}

void stream_sse(const call_ptr& c, std::shared_ptr<session_reader> reader, bool bare,
                std::string_view more_lines, std::function<void()> gone,
                std::shared_ptr<sse_framing> framing) {
  auto permit = runtime::permits::take(c->who->lease.tenant->streams);
  if (permit == nullptr) {
    c->at.metrics.rate_limited("streams", c->who->key.tier).Increment();
    c->refuse(
        {429, "Too many open streams for this tenant. Close one and try again.", 5, "streams"});
    return;
  }
  auto* raw = reader.get();
  raw->start([c, reader = std::move(reader), bare, permit = std::move(permit),
              lines = std::string{more_lines}, framing = std::move(framing),
              gone = std::move(gone)](std::optional<refusal> no) mutable {
    if (no) {
      c->refuse(*no);
      return;
    }
    http::response head;
    head.content_type = "text/event-stream; charset=utf-8";
    head.header_lines = c->header_lines();
    head.header_lines += "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n";
    head.header_lines += lines;
    auto source = std::make_shared<sse_source>(c, std::move(reader), bare, std::move(permit),
                                               std::move(gone), std::move(framing));
    c->x->stream(std::move(head), source);
    source->begin();
  });
}

}  // namespace kgents::gateway
