#include "gateway/stream/subscription.hpp"

#include "gateway/agentese/envelope.hpp"
#include "gateway/stream/sse.hpp"
#include "protocol/stream_event.hpp"

namespace kgents::gateway {

std::shared_ptr<subscriber> subscriber::make(const call_ptr& c, subscription_request what,
                                             prometheus::Gauge& open) {
  auto permit = runtime::permits::take(c->who->lease.tenant->streams);
  if (permit == nullptr) {
    c->at.metrics.rate_limited("streams", c->who->key.tier).Increment();
    c->refuse(
        {429, "Too many open streams for this tenant. Close one and try again.", 5, "streams"});
    return nullptr;
  }
  return std::make_shared<subscriber>(c, std::move(what), open, std::move(permit));
}

subscriber::subscriber(const call_ptr& c, subscription_request what, prometheus::Gauge& open,
                       std::shared_ptr<void> permit)
    : at_{c->at},
      x_{c->x},
      thread_{c->x->thread()},
      reader_{std::make_shared<runtime::agentese::event_reader>(
          c->at.events.parts_for(thread_.index()), c->tenant(), std::move(what.config),
          std::move(what.afforded), what.from)},
      permit_{std::move(permit)},
      open_{open},
      heartbeat_{what.heartbeat},
      lot_{draw_lot()} {
  beat_.on_fire([this] {
    beat_due_ = true;
    wake();
  });
  watch_ = c->at.streams.watch(c->who, thread_, false, [this](end_reason why) {
    ends_ = why;
    wake();
  });
}

subscriber::~subscriber() { reader_->stop(); }

void subscriber::start(placed done) {
  reader_->start([done = std::move(done)](bool good) {
    if (good)
      done(std::nullopt);
    else
      done(refusal{503, "The event log is out of reach. Try again.", 1, "unavailable"});
  });
}

void subscriber::begin() {
  thread_.wheel().arm(beat_, heartbeat_);
  reader_->on_ready = [this] { wake(); };
  wake();
}

void subscriber::closed() {
  reader_->stop();
  beat_.disarm();
  x_.reset();
  permit_.reset();
  watch_.reset();
}

void subscriber::wake() {
  if (x_ != nullptr)
    x_->wake();
}

std::optional<std::string> subscriber::greeting() {
  if (std::exchange(greeted_, true))
    return std::nullopt;
  const auto& config = reader_->config();
  std::string out = R"("id":)";
  append_json_string(out, at_.events.id_of(*reader_, thread_.index()));
  out += R"(,"pattern":)";
  append_json_string(out, config.pattern.text());
  out += R"(,"delivery":")";
  out += to_string(config.delivery);
  out += R"(","ordering":")";
  out += to_string(config.ordering);
  out += R"(","buffer_size":)" + std::to_string(config.buffer_size);
  out += R"(,"heartbeat_interval":)" + std::to_string(heartbeat_.count());
  return out;
}

bool subscriber::beats(bool said, bool more) {
  const bool due = beat_due_ && !said;
  if (beat_due_ || (said && !more)) {
    beat_due_ = false;
    thread_.wheel().arm(beat_, heartbeat_);
  }
  return due;
}

std::string heartbeat_members() {
  std::string out = R"("event_id":")";
  uuid::time_ordered().append_to(out);
  out += R"(","event_type":"heartbeat","path":"system.heartbeat","aspect":"heartbeat",)"
         R"("timestamp":)";
  append_timestamp(out, std::chrono::system_clock::now());
  out += R"(,"observer_archetype":"system","data":null)";
  return out;
}

}  // namespace kgents::gateway
