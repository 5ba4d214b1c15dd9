// Requests as they come in, and answers that are whole.
#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "gateway/http/connection.hpp"

namespace kgents::gateway::http {

namespace {

/// A body nobody wanted is read to its end when that is cheaper than a new connection.
constexpr size_t max_drained_bytes = 64 * 1024;
/// A chunk's size line with its extensions, or the trailers.
constexpr size_t max_chunk_line_bytes = 16 * 1024;
/// What a peer may still send after our last word, so that it reads that instead of a reset.
constexpr size_t max_lingering_bytes = 4 * 1024 * 1024;
constexpr auto lingering_time = std::chrono::seconds{2};

constexpr std::string_view continue_line = "HTTP/1.1 100 Continue\r\n\r\n";

}  // namespace

void connection::consume(std::string_view& in) {
  consuming_ = true;
  for (bool goes_on = true; goes_on;) {
    switch (phase_) {
      case phase::head:
        goes_on = take_head(in);
        break;
      case phase::body:
        goes_on = take_body(in);
        break;
      case phase::draining:
        goes_on = take_rest(in);
        break;
      case phase::lingering:
        discarded_ += in.size();
        in = {};
        if (discarded_ > max_lingering_bytes)
          close(close_reason::finished);
        goes_on = false;
        break;
      case phase::websocket:
        if (websocket_->opened() && !unsent_) {
          websocket_->take(in);
          if (!in.empty() || websocket_->has_control())
            wake();
        }
        goes_on = false;
        break;
      default:
        goes_on = false;
    }
  }
  consuming_ = false;
}

bool connection::take_head(std::string_view& in) {
  // Empty lines before a request are ignored (RFC 9112 section 2.2).
  while (!scanner_.started() && in.starts_with("\r\n"))
    in.remove_prefix(2);
  if (in.empty() || (in == "\r" && !scanner_.started()))
    return false;
  const bool first_bytes = !scanner_.started();
  const auto& options = home_->server->options;
  switch (scanner_.scan(in, options.max_header_bytes)) {
    case head_scanner::result::incomplete:
      if (first_bytes)
        deadline(options.header_timeout);
      return false;
    case head_scanner::result::malformed:
      return refuse(400, "Malformed request"), true;
    case head_scanner::result::target_too_long:
      return refuse(414, "Request target too long"), true;
    case head_scanner::result::too_large:
      return refuse(431, "Request headers too large"), true;
    case head_scanner::result::complete:
      break;
  }
  const auto head = in.substr(0, scanner_.length());
  in.remove_prefix(head.size());
  scanner_.reset();
  no_deadline();
  held_ = request_exchange::make(*this, home_);
  exchange_ = held_.get();
  exchange_->in().peer = peer_;
  auto& facts = exchange_->facts();
  const auto bad = parse_head(head, exchange_->in(), facts);
  body_ = std::move(facts.body);
  if (bad.status != 0)
    return refuse(bad.status, bad.why), true;
  if (facts.content_length > options.max_body_bytes)
    return refuse(413, "Request body too large"), true;
  hand_over(std::exchange(held_, nullptr), false);
  return true;
}

// The application holds the exchange from here on; if it drops it unanswered, `abandoned` hears of
// it.
void connection::hand_over(std::shared_ptr<request_exchange> x, bool with_body) {
  phase_ = phase::answering;
  auto& app = home_->server->app;
  if (with_body)
    app.body(std::move(x));
  else
    app.head(std::move(x));
}

void connection::abandoned(request_exchange& x) {
  if (exchange_ != &x)
    return;
  exchange_ = nullptr;
  if (phase_ == phase::answering) {
    const auto keep = shared_from_this();
    refuse(500, "Internal server error");
  }
}

void connection::read_body(size_t limit) {
  if (phase_ != phase::answering || !exchange_)
    return;
  auto& facts = exchange_->facts();
  if (!body_)
    return hand_over(exchange_->share(), true);
  if (facts.content_length > limit)
    return refuse(413, "Request body too large");
  body_->limit(std::min(limit, home_->server->options.max_body_bytes));
  held_ = exchange_->share();
  phase_ = phase::body;
  deadline(home_->server->options.body_timeout);
  if (std::exchange(facts.expects_continue, false)) {
    write_batch out;
    out.add(nullptr, continue_line);
    if (send(out.pieces()) == sent::failed)
      return close(close_reason::peer_gone);
  }
  continue_input();
}

bool connection::take_body(std::string_view& in) {
  if (in.empty())
    return false;
  body_decoder::state now{};
  in.remove_prefix(body_->take(in, &exchange_->in().body, now));
  switch (now) {
    case body_decoder::state::more:
      if (in.size() > max_chunk_line_bytes)
        refuse(400, "Malformed chunk");
      return phase_ != phase::body;
    case body_decoder::state::too_large:
      return refuse(413, "Request body too large"), true;
    case body_decoder::state::malformed:
      return refuse(400, "Malformed request body"), true;
    case body_decoder::state::done:
      body_.reset();
      no_deadline();
      hand_over(std::exchange(held_, nullptr), true);
      return true;
  }
  return false;
}

bool connection::take_rest(std::string_view& in) {
  if (in.empty())
    return false;
  body_decoder::state now{};
  in.remove_prefix(body_->take(in, nullptr, now));
  if (now == body_decoder::state::done) {
    body_.reset();
    phase_ = phase::head;
    deadline(home_->server->options.idle_timeout);
    return true;
  }
  if (now != body_decoder::state::more || in.size() > max_chunk_line_bytes) {
    end_writing(close_reason::finished);
    return true;
  }
  return false;
}

// Answers what is no request we can go on from: the connection closes afterwards.
void connection::refuse(unsigned status, std::string_view why) {
  auto x = exchange_ ? exchange_->share() : nullptr;
  if (!x) {
    if (exchange_)
      exchange_->detach(false);  // its last reference was dropped on another thread a moment ago
    x = request_exchange::make(*this, home_);
    exchange_ = x.get();
    x->in().peer = peer_;
  }
  held_ = std::move(x);
  close_after_ = true;
  no_deadline();
  phase_ = phase::answering;
  auto out = home_->server->app.refuse(status, why);
  if (status == 503 && out.header_lines.find("Retry-After:") == std::string::npos)
    out.header_lines += "Retry-After: 1\r\n";
  answer(std::move(out));
}

void connection::respond(response out) {
  if (phase_ != phase::answering || !exchange_)
    return;
  held_ = exchange_->share();
  answer(std::move(out));
}

// What is left of the request's body decides whether the connection can go on.
void connection::prepare_close_after_answer() {
  auto& facts = exchange_->facts();
  if (!facts.keep_alive || home_->server->stopping.load(std::memory_order_relaxed))
    close_after_ = true;
  // A client that waits for our 100 may or may not send its body now: what comes next cannot be
  // told apart.
  if (body_ && (facts.expects_continue || facts.content_length > max_drained_bytes))
    close_after_ = true;
}

void connection::answer(response out) {
  prepare_close_after_answer();
  auto& facts = exchange_->facts();
  const bool no_body = out.status < 200 || out.status == 204 || out.status == 304;
  auto& head = home_->head;
  head.clear();
  append_head(head, out,
              {.how = no_body ? framing::none : framing::content_length,
               .content_length = out.body.size(),
               .http11 = facts.http11,
               .keep_alive = !close_after_,
               .date = home_->date.now()});
  if (no_body || facts.is_head)
    out.body.clear();
  phase_ = phase::writing;
  status_ = static_cast<uint16_t>(out.status);
  const std::array<iovec, 2> parts{iovec{head.data(), head.size()},
                                   iovec{out.body.data(), out.body.size()}};
  io_result done{io_status::would_block_write, 0};
  if (!unsent_)
    done = stream_.write(std::span{parts}.first(out.body.empty() ? 1 : 2));
  if (done.status == io_status::ok)
    return answered();
  if (done.status != io_status::would_block_write)
    return close(close_reason::peer_gone);
  write_batch rest;
  if (done.bytes < head.size())
    rest.add(head.substr(done.bytes));
  if (!out.body.empty()) {
    const auto body = std::make_shared<const std::string>(std::move(out.body));
    rest.add(body, std::string_view{*body}.substr(done.bytes - std::min(done.bytes, head.size())));
  }
  keep_unsent(rest.pieces());
}

// The whole answer has been handed to the kernel.
void connection::answered() {
  const auto x = std::move(held_);
  exchange_ = nullptr;
  if (x) {
    home_->server->app.answered(*x, status_);
    x->detach(false);
  }
  next_request();
}

void connection::next_request() {
  if (close_after_ || home_->server->stopping.load(std::memory_order_relaxed))
    return end_writing(close_reason::finished);
  if (body_) {
    body_->limit(max_drained_bytes);
    phase_ = phase::draining;
    deadline(home_->server->options.body_timeout);
  } else {
    phase_ = phase::head;
    deadline(home_->server->options.idle_timeout);
  }
  continue_input();
}

// Our last word is said. Closing at once could reset the connection before the peer has read it.
void connection::end_writing(close_reason why) {
  if (read_closed_)
    return close(why);
  phase_ = phase::lingering;
  body_.reset();
  std::string{}.swap(pending_);
  stream_.shutdown_write();
  deadline(lingering_time);
  continue_input();
}

}  // namespace kgents::gateway::http
