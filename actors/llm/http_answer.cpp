#include "actors/llm/http_answer.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <limits>
#include <utility>

namespace kgents::llm {

namespace {

/// A turn of the event loop delivers at most this many deltas of one answer, so that its neighbours
/// get theirs.
constexpr int max_deltas_per_turn = 64;

constexpr size_t max_model_name_bytes = 200;

std::string seconds(std::chrono::milliseconds x) {
  const auto ms = x.count();
  return ms % 1000 == 0 ? std::to_string(ms / 1000) + " s" : std::to_string(ms) + " ms";
}

}  // namespace

http_answer::http_answer(runtime::io_thread& thread, answer_setup setup,
                         std::unique_ptr<answer_decoder> decoder, sink out)
    : thread_{thread},
      setup_{std::move(setup)},
      decoder_{std::move(decoder)},
      out_{std::move(out)},
      text_{setup_.max_text_bytes} {
  quiet_timer_.on_fire([this] { quiet_too_long(); });
  whole_timer_.on_fire([this] {
    fail_now(about(error_type::provider_timeout,
                   "did not finish within " + seconds(setup_.limits.whole)));
  });
}

void http_answer::start(http_url url, std::shared_ptr<boost::asio::ssl::context> tls,
                        std::string request) {
  client_ = std::make_shared<http_stream_client>(thread_.context(), std::move(url), std::move(tls),
                                                 std::move(request), *this);
  thread_.wheel().arm(whole_timer_, setup_.limits.whole);
  enter(phase::connecting);
  client_->start();
}

void http_answer::grant(uint32_t n) {
  credit_ += std::min(n, std::numeric_limits<uint32_t>::max() - credit_);
  schedule_pump();
}

void http_answer::close() {
  phase_ = phase::ended;
  quiet_timer_.disarm();
  whole_timer_.disarm();
  client_->close();
}

void http_answer::on_connected() { enter(phase::waiting); }

void http_answer::on_header(const response_header& header) {
  const auto self = shared_from_this();
  if (header.status < 200 || header.status > 299)
    return fail_now(failure_of_status(setup_.provider, header.status, header.retry_after,
                                      std::chrono::system_clock::now()));
  if (!header.content_encoding.empty() && header.content_encoding != "identity")
    return fail_now(about(error_type::provider_protocol, "compressed its answer unasked"));
  if (header.content_type.starts_with("text/event-stream"))
    kind_ = body_kind::events;
  header_seen_ = true;
  pump();
}

void http_answer::on_body(std::string_view bytes, bool last) {
  const auto self = shared_from_this();
  reading_ = false;
  body_over_ = last;
  if (kind_ == body_kind::events)
    events_.feed(bytes);
  else
    document_ += bytes;
  pump();
}

void http_answer::on_fault(http_fault fault) {
  const auto self = shared_from_this();
  reading_ = false;
  switch (fault) {
    case http_fault::unresolved:
      return fail_now(about(error_type::provider_unavailable, "has a host name nobody knows"));
    case http_fault::refused:
      return fail_now(about(error_type::provider_unavailable, "refused the connection"));
    case http_fault::tls:
      return fail_now(about(error_type::provider_unavailable, "failed the TLS handshake"));
    case http_fault::malformed:
      return fail_now(about(error_type::provider_protocol, "did not speak HTTP"));
    case http_fault::cut:
      break;
  }
  if (phase_ == phase::tail)
    return finish();
  fail_now(any_text_
               ? about(error_type::provider_protocol, "cut the connection in mid-answer")
               : about(error_type::provider_unavailable, "cut the connection before it answered"));
}

void http_answer::schedule_pump() {
  if (pumping_ || pump_scheduled_ || phase_ == phase::ended)
    return;
  pump_scheduled_ = true;
  boost::asio::post(thread_.context(), [self = shared_from_this()] {
    self->pump_scheduled_ = false;
    self->pump();
  });
}

void http_answer::pump() {
  if (!header_seen_ || phase_ == phase::ended)
    return;
  pumping_ = true;
  int delivered = 0;
  while (phase_ != phase::ended) {
    if (delivered == max_deltas_per_turn) {
      pumping_ = false;
      return schedule_pump();
    }
    if (!text_.empty() && credit_ > 0) {
      --credit_;
      ++delivered;
      out_.delta(*text_.next());
    } else if (!text_.empty()) {
      starved_ = true;
      break;
    } else if (failure_) {
      fail_now(std::move(*failure_));
    } else if (over_) {
      finish();
    } else if (credit_ == 0) {
      starved_ = true;
      break;
    } else if (!decode_one()) {
      read_more();
      break;
    }
  }
  pumping_ = false;
}

bool http_answer::decode_one() {
  if (kind_ == body_kind::unknown && !identify_body())
    return failure_.has_value();
  decoded out;
  if (kind_ == body_kind::document) {
    if (document_.size() > max_document_bytes) {
      fail_later(error_type::provider_protocol, "sent a document that is too large");
      return true;
    }
    if (!body_over_)
      return false;
    if (decoder_->document(document_, out))
      apply(std::move(out));
    else
      fail_later(error_type::provider_protocol, "sent a document that is no answer");
    return true;
  }
  sse_event event;
  switch (body_over_ ? events_.last(event) : events_.next(event)) {
    case sse_decoder::result::event:
      if (decoder_->event(event, out))
        apply(std::move(out));
      else
        fail_later(error_type::provider_protocol, "sent an event that is not JSON");
      return true;
    case sse_decoder::result::too_large:
      fail_later(error_type::provider_protocol, "sent an event that is too large");
      return true;
    case sse_decoder::result::need_more:
      break;
  }
  if (body_over_)
    body_ended();
  return body_over_;
}

// Not every compatible server sets Content-Type: the first character tells a JSON object from the
// field names of an event stream.
bool http_answer::identify_body() {
  const auto first = document_.find_first_not_of(" \t\r\n");
  if (first == std::string::npos) {
    if (body_over_)
      body_ended();
    else if (document_.size() > max_document_bytes)
      fail_later(error_type::provider_protocol, "sent nothing but white space");
    return false;
  }
  if (document_[first] == '{') {
    kind_ = body_kind::document;
  } else if (std::string_view{"deir:\xEF"}.find(document_[first]) != std::string_view::npos) {
    kind_ = body_kind::events;
    events_.feed(document_);
    document_.clear();
  } else {
    fail_later(error_type::provider_protocol, "sent neither events nor JSON");
    return false;
  }
  return true;
}

void http_answer::apply(decoded x) {
  if (x.alive) {
    if (phase_ == phase::waiting)
      enter(phase::streaming);
    quiet_since_ = clock::now();
  }
  if (!x.text.empty()) {
    any_text_ = true;
    words_out_.add(x.text);
    switch (text_.push(x.text)) {
      case delta_text::verdict::ok:
        break;
      case delta_text::verdict::full:
        decoder_->end.finish_reason = "length";
        over_ = true;
        return;
      case delta_text::verdict::malformed:
        return fail_later(error_type::provider_protocol, "sent text that is not UTF-8");
    }
  }
  if (x.error) {
    failure_ = std::move(x.error);
    return;
  }
  over_ = x.over;
  if (!decoder_->end.finish_reason.empty() && phase_ != phase::tail)
    enter(phase::tail);
}

void http_answer::body_ended() {
  if (!decoder_->end.finish_reason.empty())
    over_ = true;
  else
    fail_later(error_type::provider_protocol, "ended its stream before the answer did");
}

void http_answer::read_more() {
  if (reading_)
    return;
  reading_ = true;
  if (std::exchange(starved_, false))
    quiet_since_ = clock::now();
  watch();
  client_->read();
}

void http_answer::enter(phase next) {
  phase_ = next;
  quiet_since_ = clock::now();
  thread_.wheel().arm(quiet_timer_, patience());
}

// The timer is not moved for each chunk; when it fires it looks at the time of the last one and
// arms itself for the rest.
void http_answer::watch() {
  if (!quiet_timer_.armed())
    thread_.wheel().arm(quiet_timer_, quiet_since_ + patience() - clock::now());
}

void http_answer::quiet_too_long() {
  const auto self = shared_from_this();
  if (header_seen_ && !reading_)
    return;  // the reader's silence, not the provider's: read_more() watches again
  if (clock::now() - quiet_since_ < patience())
    return watch();
  const auto limit = seconds(patience());
  switch (phase_) {
    case phase::connecting:
      return fail_now(about(error_type::provider_timeout, "could not be reached within " + limit));
    case phase::waiting:
      return fail_now(
          about(error_type::provider_timeout, "did not begin to answer within " + limit));
    case phase::streaming:
      return fail_now(about(error_type::provider_timeout, "stopped in mid-answer for " + limit));
    case phase::tail:
      return finish();
    case phase::ended:
      return;
  }
}

std::chrono::milliseconds http_answer::patience() const noexcept {
  switch (phase_) {
    case phase::connecting:
      return setup_.limits.connect;
    case phase::waiting:
      return setup_.limits.first_chunk;
    case phase::tail:
      return std::min(setup_.limits.between_chunks, max_tail_wait);
    case phase::streaming:
    case phase::ended:
      break;
  }
  return setup_.limits.between_chunks;
}

failure http_answer::about(error_type type, std::string_view what) const {
  auto message = setup_.provider;
  message += ' ';
  message += what;
  return {type, std::move(message)};
}

void http_answer::fail_later(error_type type, std::string_view what) {
  failure_ = about(type, what);
}

void http_answer::fail_now(failure x) {
  const auto self = shared_from_this();
  close();
  out_.failed(std::move(x));
}

void http_answer::finish() {
  auto& end = decoder_->end;
  // A model that is stopped at its limit may well stop between two tokens of one character.
  if (text_.inside_code_point() && end.finish_reason != "length")
    return fail_now(about(error_type::provider_protocol, "ended inside a character"));
  const auto name = utf8_extent_of(end.model);
  if (end.model.empty() || end.model.size() > max_model_name_bytes || name.malformed ||
      name.valid != end.model.size())
    end.model = setup_.model;
  if (end.tokens.estimated)
    end.tokens = {setup_.tokens_in, 2 * words_out_.words, true};
  close();
  out_.done(std::move(end));
}

}  // namespace kgents::llm
