#include "runtime/cluster/feeds.hpp"

#include <boost/asio/post.hpp>

namespace kgents::runtime::cluster {

namespace {

/// Bytes of events in one frame: far below the largest frame, which one event more never exceeds.
constexpr size_t frame_bytes = 64 * 1024;

/// Unsent bytes of a link above which nothing more is read for it.
constexpr size_t enough_unsent = 1024 * 1024;

}  // namespace

feeds::feeds(hub& here, port& port, region& entities, transport& links)
    : hub_{here}, port_{port}, entities_{entities}, links_{links} {}

feeds::~feeds() { stop(); }

void feeds::stop() {
  *alive_ = false;
  for (auto& [which, x] : feeds_) {
    x.reader->on_ready = [] {};
    x.reader->stop();
  }
  feeds_.clear();
}

void feeds::open(node_id peer, const open_feed_frame& x) {
  const key which{peer, x.feed};
  session_reader::options how;
  how.from = x.from;
  how.only_here = true;
  auto& made = feeds_[which];
  made.session = x.session;
  made.reader = std::make_shared<session_reader>(hub_, port_, x.session, how);
  made.reader->start(
      [this, which, alive = alive_](std::optional<refusal> no) {
        if (*alive)
          placed(which, std::move(no));
      });
}

void feeds::placed(key which, std::optional<refusal> no) {
  const auto at = feeds_.find(which);
  if (at == feeds_.end())
    return;
  auto& x = at->second;
  const auto where = entities_.route_of(x.session);
  if (!no && where.where != route::kind::here)
    no = refusal{port::status_not_here, "The session has moved.", 0, "not_here"};
  if (no) {
    ended(which, std::move(*no));
    return;
  }
  x.open = true;
  x.lease = where.epoch;
  links_.send(which.first, to_bytes(feed_opened_frame{which.second, x.lease, x.reader->anchor()}));
  x.reader->on_ready = [this, which] { mark(which); };
  mark(which);
}

void feeds::ended(key which, refusal why) {
  const auto where = entities_.route_of(feeds_.at(which).session);
  feed_closed_frame out{which.second, std::move(why), {}, where.epoch};
  if (where.where == route::kind::there)
    out.owner = where.owner;
  links_.send(which.first, to_bytes(out));
  close(which.first, which.second);
}

void feeds::close(node_id peer, uint64_t feed) {
  const auto at = feeds_.find({peer, feed});
  if (at == feeds_.end())
    return;
  at->second.reader->on_ready = [] {};
  at->second.reader->stop();
  ready_.erase(at->first);
  stalled_.erase(at->first);
  feeds_.erase(at);
}

void feeds::mark(key which) {
  ready_.insert(which);
  if (std::exchange(scheduled_, true))
    return;
  // What one round of the hub shows of many sessions goes out in one pass.
  boost::asio::post(hub_.thread().context(), [this, alive = alive_] {
    if (*alive)
      pass();
  });
}

void feeds::pass() {
  scheduled_ = false;
  std::map<node_id, feed_events_frame> out;
  std::map<node_id, size_t> bytes;
  const auto flush = [&](node_id peer) {
    if (!out[peer].items.empty())
      links_.send(peer, to_bytes(out[peer]));
    out[peer].items.clear();
    bytes[peer] = 0;
  };
  for (const auto& which : std::exchange(ready_, {})) {
    const auto at = feeds_.find(which);
    if (at == feeds_.end())
      continue;
    auto& [peer, number] = which;
    auto& x = at->second;
    for (;;) {
      if (links_.unsent(peer) > enough_unsent) {
        stalled_.insert(which);
        break;
      }
      scratch_.clear();
      x.reader->pull(scratch_, 1);
      if (scratch_.empty())
        break;
      bytes[peer] += scratch_.front()->http_chunk().size();
      out[peer].items.push_back({number, wire_event{*scratch_.front()}});
      if (bytes[peer] > frame_bytes)
        flush(peer);
    }
    if (x.reader->ended()) {
      flush(peer);
      ended(which, {404, "Session not found", 0, ""});
    }
  }
  scratch_.clear();
  for (const auto& [peer, frame] : out)
    if (!frame.items.empty())
      links_.send(peer, to_bytes(frame));
}

void feeds::writable(node_id peer) {
  for (auto i = stalled_.begin(); i != stalled_.end();)
    if (i->first == peer) {
      mark(*i);
      i = stalled_.erase(i);
    } else {
      ++i;
    }
}

void feeds::link_down(node_id peer) {
  std::vector<key> theirs;
  for (const auto& [which, x] : feeds_)
    if (which.first == peer)
      theirs.push_back(which);
  for (const auto& which : theirs)
    close(which.first, which.second);
}

void feeds::routes_changed() {
  std::vector<key> gone;
  for (const auto& [which, x] : feeds_) {
    const auto where = entities_.route_of(x.session);
    if (where.where != route::kind::here || (x.open && where.epoch != x.lease))
      gone.push_back(which);
  }
  for (const auto& which : gone)
    ended(which, {port::status_not_here, "The session has moved.", 0, "not_here"});
}

}  // namespace kgents::runtime::cluster
