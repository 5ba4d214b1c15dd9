#include "runtime/cluster/mesh.hpp"

#include <boost/asio/post.hpp>

#include "runtime/limits.hpp"
#include "runtime/telemetry/log.hpp"

namespace kgents::runtime::cluster {

namespace {

constexpr auto tick_every = std::chrono::milliseconds{50};

/// Events in one answer to a reader of another node.
constexpr size_t page_events = 256;
/// … and about this many bytes of them, far below the largest frame.
constexpr size_t page_bytes = 128 * 1024;

/// What follows the place that was found, as far as it is shown: the reader's own node cannot read
/// our log.
answer<placed> events_behind(const attached& here) {
  placed out;
  auto events = here.backlog;
  if (events.empty()) {
    auto position = here.position;
    if (!here.log->read(position, events, page_events))
      // It went on meanwhile, and holds that place no more.
      return refusal{503, "The session went on. Try again.", 1, "restarted"};
  }
  size_t bytes = 0;
  for (const auto& e : events) {
    bytes += e->http_chunk().size();
    if (!out.events.empty() && bytes > page_bytes)
      break;  // the reader asks again from the last one
    out.events.emplace_back(*e);
  }
  return out;
}

}  // namespace

mesh::mesh(caf::actor_system& system, io_unit& unit, session_logs& logs, hubs& readers,
           region& entities, turn_registry& turns, const transport_options& links)
    : unit_{unit},
      entities_{entities},
      links_{make_transport(
          unit.thread(), links,
          {.up =
               [this](node_id x) {
                 tell_.link_up(x);
               },
           .down = [this](node_id x, std::string_view) { down(x); },
           .frame = [this](node_id from, std::span<const char> bytes) { received(from, bytes); },
           .writable = [this](node_id x) { feeds_->writable(x); }})},
      mirrors_{logs, readers, entities, *links_,
               [this](node_id owner, const entity_id& to, const attach_reader& how,
                      clock::time_point deadline, auto done) {
                 ask_here(owner, to, wire_tag<attach_reader>::value, encode(how), 0, deadline,
                          [done](remote_outcome result, const std::string& body) {
                            answer<placed> out;
                            if (result == remote_outcome::answered && !decode(body, out))
                              result = remote_outcome::lost;
                            done(result, std::move(out));
                          });
               }},
      away_{system, unit, turns,
            [this](node_id to, std::string frame) {
              figures_.told.fetch_add(1, std::memory_order_relaxed);
              return links_->send(to, std::move(frame));
            }},
      hubs_{readers} {
  timer_.on_fire([this] { tick(); });
}

mesh::~mesh() = default;

void mesh::start(port& asking, handlers tell) {
  asking_ = &asking;
  tell_ = std::move(tell);
  feeds_ = std::make_unique<feeds>(hubs_[unit_.thread().index()], asking, entities_, *links_);
  boost::asio::post(unit_.thread().context(), [this] { tick(); });
}

void mesh::stop() {
  stopped_ = true;
  timer_.disarm();
  feeds_->stop();
  away_.stop();
  links_->stop();
}

void mesh::ask(node_id owner, const entity_id& to, uint8_t tag, std::string body, uint8_t forwards,
               clock::time_point deadline, std::function<void(remote_outcome, std::string)> done) {
  figures_.asked.fetch_add(1, std::memory_order_relaxed);
  boost::asio::post(unit_.thread().context(),
                    [this, owner, to, tag, body = std::move(body), forwards, deadline,
                     done = std::move(done)]() mutable {
                      ask_here(owner, to, tag, std::move(body), forwards, deadline,
                               std::move(done));
                    });
}

void mesh::ask_here(node_id owner, const entity_id& to, uint8_t tag, std::string body,
                    uint8_t forwards, clock::time_point deadline,
                    std::function<void(remote_outcome, std::string)> done) {
  if (stopped_ || !links_->linked(owner) || questions_.size() >= limits::node_in_flight) {
    done(remote_outcome::not_here, {});  // surely not done
    return;
  }
  const auto ticket = ++next_;
  questions_.emplace(ticket, question{owner, deadline, std::move(done)});
  links_->send(owner, to_bytes(ask_frame{ticket, to, tag, forwards, std::move(body)}));
}

void mesh::attach(node_id, const entity_id& to, const attach_reader& how, clock::time_point deadline,
                  std::function<void(remote_outcome, answer<attached>)> done) {
  boost::asio::post(unit_.thread().context(),
                    [this, to, how, deadline, done = std::move(done)]() mutable {
                      if (stopped_)
                        done(remote_outcome::lost, {});
                      else
                        mirrors_.attach(to, how, deadline, std::move(done));
                    });
}

template <class Frame, class F>
void mesh::read(node_id from, std::span<const char> bytes, F work) {
  Frame x;
  if (decode(bytes, x))
    work(x);
  else
    log::error("a frame of another node makes no sense",
               {{"node", from.value}, {"kind", static_cast<uint64_t>(Frame::kind)}});
}

void mesh::received(node_id from, std::span<const char> frame) {
  const auto bytes = frame.subspan(1);
  switch (static_cast<frame_kind>(frame.front())) {
    case frame_kind::ask:
      return read<ask_frame>(from, bytes, [&](ask_frame& x) { serve(from, x); });
    case frame_kind::answer:
      return read<answer_frame>(from, bytes, [&](answer_frame& x) {
        const auto at = questions_.find(x.ticket);
        if (at == questions_.end() || at->second.owner != from)
          return;
        const auto done = std::move(at->second.done);
        questions_.erase(at);
        done(remote_outcome::answered, std::move(x.body));
      });
    case frame_kind::to_turn:
      return read<turn_order>(from, bytes, [&](turn_order& x) { away_.on_order(from, x); });
    case frame_kind::to_session:
      return read<turn_word>(from, bytes, [&](turn_word& x) { away_.on_word(from, x); });
    case frame_kind::adopt:
      return read<adopt_frame>(from, bytes, [&](adopt_frame& x) { away_.on_adopt(from, x); });
    case frame_kind::open_feed:
      return read<open_feed_frame>(from, bytes, [&](open_feed_frame& x) { feeds_->open(from, x); });
    case frame_kind::feed_opened:
      return read<feed_opened_frame>(from, bytes,
                                     [&](feed_opened_frame& x) { mirrors_.opened(from, x); });
    case frame_kind::feed_events:
      return read<feed_events_frame>(from, bytes,
                                     [&](feed_events_frame& x) { mirrors_.events(from, x); });
    case frame_kind::feed_closed:
      return read<feed_closed_frame>(from, bytes,
                                     [&](feed_closed_frame& x) { mirrors_.closed(from, x); });
    case frame_kind::close_feed:
      return read<close_feed_frame>(from, bytes,
                                    [&](close_feed_frame& x) { feeds_->close(from, x.feed); });
    case frame_kind::handed_over:
      return read<handed_over_frame>(
          from, bytes, [&](handed_over_frame& x) { tell_.handed_over(from, std::move(x)); });
    case frame_kind::view_changed:
      return tell_.view_changed();
  }
  log::error("a frame of another node has an unknown kind", {{"node", from.value}});
}

template <class T, class Message>
void mesh::serve(node_id from, const ask_frame& x) {
  Message message;
  if (!decode(x.body, message))
    return;
  asking_->ask<T>(
      x.to, std::move(message),
      [this, from, ticket = x.ticket](const answer<T>& out) {
        links_->send(from, to_bytes(answer_frame{ticket, encode(out)}));
      },
      x.forwards);
}

void mesh::serve_reader(node_id from, const ask_frame& x) {
  attach_reader message;
  if (!decode(x.body, message))
    return;
  asking_->ask<attached>(
      x.to, message,
      [this, from, ticket = x.ticket](const answer<attached>& out) {
        const answer<placed> there =
            out.ok() ? events_behind(out.value) : answer<placed>{out.wrong};
        links_->send(from, to_bytes(answer_frame{ticket, encode(there)}));
      },
      0);
}

void mesh::serve(node_id from, const ask_frame& x) {
  figures_.served.fetch_add(1, std::memory_order_relaxed);
  if (x.forwards > 0 && entities_.route_of(x.to).where == route::kind::there)
    figures_.passed_on.fetch_add(1, std::memory_order_relaxed);
  switch (x.tag) {
    case wire_tag<get_session>::value:
      return serve<session_view, get_session>(from, x);
    case wire_tag<update_session>::value:
      return serve<session_view, update_session>(from, x);
    case wire_tag<remove_session>::value:
      return serve<session_view, remove_session>(from, x);
    case wire_tag<send_message>::value:
      return serve<accepted, send_message>(from, x);
    case wire_tag<cancel_turn>::value:
      return serve<canceled, cancel_turn>(from, x);
    case wire_tag<attach_reader>::value:
      return serve_reader(from, x);
    case wire_tag<kgents::agentese::invoke_aspect>::value:
      return serve<kgents::agentese::aspect_answer, kgents::agentese::invoke_aspect>(from, x);
    case wire_tag<take_traffic>::value:
      return serve<traffic_block, take_traffic>(from, x);
    default:
      log::error("another node asks what this one does not know",
                 {{"node", from.value}, {"tag", static_cast<uint64_t>(x.tag)}});
  }
}

void mesh::down(node_id peer) {
  std::vector<std::function<void(remote_outcome, std::string)>> lost;
  for (auto i = questions_.begin(); i != questions_.end();)
    if (i->second.owner == peer) {
      lost.push_back(std::move(i->second.done));
      i = questions_.erase(i);
    } else {
      ++i;
    }
  feeds_->link_down(peer);
  mirrors_.link_down(peer);
  away_.link_down(peer);
  tell_.link_down(peer);
  for (auto& done : lost)
    done(remote_outcome::lost, {});
}

void mesh::hand_over(node_id to, const handed_over_frame& x) { links_->send(to, to_bytes(x)); }

void mesh::tell_view_changed(const std::vector<node_id>& peers) {
  for (const auto x : peers)
    links_->send(x, to_bytes(view_changed_frame{}));
}

void mesh::routes_changed() {
  feeds_->routes_changed();
  mirrors_.routes_changed();
}

void mesh::tick() {
  const auto now = clock::now();
  mirrors_.tick(now);
  figures_.feeds = feeds_->size();
  figures_.mirrors = mirrors_.size();
  // Their askers have given up; what comes is dropped.
  std::erase_if(questions_, [now](const auto& x) { return x.second.deadline < now; });
  figures_.waiting = questions_.size();
  unit_.thread().wheel().arm(timer_, tick_every);
}

}  // namespace kgents::runtime::cluster
