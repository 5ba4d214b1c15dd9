#include "tests/sim/mirrors.hpp"

#include "tests/sim/world.hpp"

namespace kgents::sim {
namespace {

using runtime::session_log;
using kind = runtime::cluster::route::kind;

constexpr sim_time keep_unread = 10s;
constexpr sim_time reader_deadline = 10s;

}  // namespace

mirrors::mirror& mirrors::of(size_t which) {
  auto& m = mirrors_[which];
  if (!m.log) {
    m.log = home_.logs->open(home_.all.entity(which));
    m.unread_since = home_.now();
  }
  return m;
}

void mirrors::release(std::vector<waiting> xs, int status) {
  for (auto& x : xs)
    x.done({status, {}});
}

void mirrors::attach(size_t which, const attach_question& how, std::function<void(reply)> done) {
  auto& m = of(which);
  waiting x{how, home_.now() + reader_deadline, std::move(done)};
  if (m.open) {
    place(which, m, std::move(x));
    return;
  }
  m.readers.push_back(std::move(x));
  if (m.readers.size() > 500)
    throw violation("more readers wait for a feed than there are");
  if (!m.owner)
    open(which, m);
}

void mirrors::open(size_t which, mirror& m) {
  const auto where = home_.route_of(which);
  if (where.where != kind::there || !home_.all.net.linked(home_, where.owner)) {
    release(std::exchange(m.readers, {}), 0);
    return;
  }
  m.owner = where.owner;
  m.feed = ++next_;
  m.lease = where.epoch;
  by_feed_[m.feed] = which;
  m.from = m.log->last_place();
  home_.all.net.send(home_, m.owner,
                     [feed = m.feed, which, from = m.from](process& there, node_id peer) {
                       there.feeds->open(peer, feed, which, from);
                     });
}

void mirrors::drop_feed(mirror& m) {
  by_feed_.erase(m.feed);
  m.owner = {};
  m.feed = 0;
  m.open = false;
}

void mirrors::tell_close(const mirror& m) {
  home_.all.net.send(home_, m.owner, [feed = m.feed](process& there, node_id peer) {
    there.feeds->close(peer, feed);
  });
}

mirrors::mirror* mirrors::fed_by(node_id from, uint64_t feed) {
  const auto at = by_feed_.find(feed);
  if (at == by_feed_.end())
    return nullptr;
  auto& m = mirrors_.at(at->second);
  return m.owner == from ? &m : nullptr;
}

void mirrors::opened(node_id from, uint64_t feed, lease_epoch lease, std::optional<cursor> anchor) {
  auto* m = fed_by(from, feed);
  if (!m)
    return;
  const auto which = by_feed_.at(feed);
  const auto known = home_.all.broken("old-epoch-feeds") ? 0 : home_.route_of(which).epoch;
  if (lease < known || !m->log->begin(lease, {}, session_log::start::behind)) {
    tell_close(*m);
    drop_feed(*m);
    return;
  }
  m->lease = lease;
  if (m->log->last_place() != m->from) {
    // Until now the session's actor of before may have shown more than we had when we asked.
    tell_close(*m);
    drop_feed(*m);
    open(which, *m);
    return;
  }
  if (anchor)
    m->log->begin_behind(*anchor);
  m->open = true;
  for (auto& r : std::exchange(m->readers, {}))
    place(which, *m, std::move(r));
}

void mirrors::events(node_id from, uint64_t feed, const std::vector<event_ptr>& what) {
  auto* m = fed_by(from, feed);
  if (!m || !m->open)
    return;
  for (const auto& x : what)
    m->log->append_shown(x, m->lease);
  const auto held = m->log->at();
  if (held.shown > held.base + 12)
    m->log->drop_before(held.shown - 6);
  home_.readers->notify(m->log);
}

void mirrors::closed(node_id from, uint64_t feed) {
  auto* m = fed_by(from, feed);
  if (!m)
    return;
  auto readers = std::exchange(m->readers, {});
  drop_feed(*m);
  release(std::move(readers), port::not_here_status);
}

void mirrors::place(size_t which, mirror& m, waiting x) {
  attached here;
  here.log = m.log;
  if (x.how.live) {
    const auto running = m.log->open_turn();
    if (!running) {
      here.position = m.log->at().shown;
    } else if (const auto start = m.log->first_of(*running)) {
      here.position = *start;
    } else {
      place_by_owner(which, m, std::move(x));
      return;
    }
  } else if (const auto position = m.log->behind(x.how.place)) {
    here.position = *position;
  } else {
    place_by_owner(which, m, std::move(x));
    return;
  }
  x.done({200, std::move(here)});
}

/// The owner answers with the events that follow, since its log cannot be read from here.
void mirrors::place_by_owner(size_t which, mirror& m, waiting x) {
  home_.port->ask_there(m.owner, which, x.how, 0,
                        [this, which, x](reply out) { answered(which, x, std::move(out)); });
}

void mirrors::answered(size_t which, waiting x, reply out) {
  const auto at = mirrors_.find(which);
  if (out.status == 0 || at == mirrors_.end() || !at->second.open) {
    x.done({0, {}});
    return;
  }
  auto& m = at->second;
  if (out.status != 200) {
    x.done({out.status, {}});
    return;
  }
  attached here;
  here.log = m.log;
  if (!out.here.backlog.empty()) {
    here.backlog = std::move(out.here.backlog);
    x.done({200, std::move(here)});
    return;
  }
  const bool known =
      x.how.live ? m.log->open_turn().has_value() : m.log->held_from(x.how.place.turn).has_value();
  const auto position = x.how.live ? std::nullopt : m.log->behind(x.how.place);
  if (known && !position) {
    again_.emplace_back(which, std::move(x));
    return;
  }
  here.position = position.value_or(m.log->at().shown);
  x.done({200, std::move(here)});
}

void mirrors::link_down(node_id peer) {
  for (auto& [which, m] : mirrors_)
    if (m.owner == peer) {
      drop_feed(m);
      release(std::exchange(m.readers, {}), 0);
    }
}

void mirrors::routes_changed() {
  std::vector<size_t> here;
  for (auto& [which, m] : mirrors_) {
    const auto where = home_.route_of(which);
    if (where.where == kind::here) {
      here.push_back(which);
    } else if (m.owner &&
               (where.where != kind::there || where.owner != m.owner || where.epoch > m.lease)) {
      tell_close(m);
      drop_feed(m);
      open(which, m);
    } else if (!m.owner && where.where == kind::there) {
      open(which, m);
    }
  }
  for (const auto which : here) {
    auto& m = mirrors_.at(which);
    if (m.owner)
      tell_close(m);
    drop_feed(m);
    auto readers = std::exchange(m.readers, {});
    mirrors_.erase(which);
    release(std::move(readers), port::not_here_status);
  }
  for (const auto& log : home_.logs->read()) {
    const auto which = home_.all.session_of(log->session());
    const auto where = home_.route_of(which);
    if (where.where == kind::there) {
      auto& m = of(which);
      if (!m.owner)
        open(which, m);
    } else if (where.where == kind::here && log->outdate(where.epoch)) {
      home_.readers->notify(log);
    }
  }
}

void mirrors::tick() {
  for (auto& [which, x] : std::exchange(again_, {})) {
    const auto at = mirrors_.find(which);
    if (at == mirrors_.end() || !at->second.open || x.deadline <= home_.now())
      x.done({0, {}});
    else
      place(which, at->second, std::move(x));
  }
  std::vector<size_t> unread;
  for (auto& [which, m] : mirrors_) {
    if (m.log->hubs.load() != 0 || !m.readers.empty())
      m.unread_since = home_.now();
    if (home_.now() - m.unread_since >= keep_unread)
      unread.push_back(which);
    else if (!m.owner)
      open(which, m);
  }
  for (const auto which : unread) {
    auto& m = mirrors_.at(which);
    if (m.owner)
      tell_close(m);
    drop_feed(m);
    mirrors_.erase(which);
  }
}

feeds::~feeds() {
  for (auto& [which, x] : feeds_)
    x.place->on_ready = [] {};
}

void feeds::open(node_id peer, uint64_t feed, size_t which, std::optional<cursor> from) {
  const key name{peer, feed};
  auto& made = feeds_[name];
  made.which = which;
  made.place = std::make_shared<reader>(home_, which, from, true);
  made.place->start([this, name](int status) { placed(name, status); });
}

void feeds::placed(key name, int status) {
  const auto at = feeds_.find(name);
  if (at == feeds_.end())
    return;
  auto& x = at->second;
  const auto where = home_.route_of(x.which);
  if (status != 200 || where.where != kind::here) {
    ended(name);
    return;
  }
  x.open = true;
  x.lease = where.epoch;
  home_.all.net.send(
      home_, name.first,
      [feed = name.second, lease = x.lease, anchor = x.place->anchor()](
          process& there, node_id from) { there.mirrors->opened(from, feed, lease, anchor); });
  x.place->on_ready = [this, name] { mark(name); };
  mark(name);
}

void feeds::ended(key name) {
  home_.all.net.send(home_, name.first, [feed = name.second](process& there, node_id from) {
    there.mirrors->closed(from, feed);
  });
  close(name.first, name.second);
}

void feeds::close(node_id peer, uint64_t feed) {
  const auto at = feeds_.find({peer, feed});
  if (at == feeds_.end())
    return;
  at->second.place->on_ready = [] {};
  at->second.place->stop();
  ready_.erase(at->first);
  feeds_.erase(at);
}

void feeds::mark(key name) {
  ready_.insert(name);
  if (!std::exchange(scheduled_, true))
    home_.after(20us, [this] { pass(); });
}

void feeds::pass() {
  scheduled_ = false;
  for (const auto& name : std::exchange(ready_, {})) {
    const auto at = feeds_.find(name);
    if (at == feeds_.end())
      continue;
    std::vector<event_ptr> events;
    at->second.place->pull(events, 1000);
    if (!events.empty())
      home_.all.net.send(home_, name.first,
                         [feed = name.second, events](process& there, node_id from) {
                           there.mirrors->events(from, feed, events);
                         });
  }
}

void feeds::link_down(node_id peer) {
  std::vector<key> theirs;
  for (const auto& [name, x] : feeds_)
    if (name.first == peer)
      theirs.push_back(name);
  for (const auto& name : theirs)
    close(name.first, name.second);
}

void feeds::routes_changed() {
  std::vector<key> gone;
  for (const auto& [name, x] : feeds_) {
    const auto where = home_.route_of(x.which);
    if (where.where != kind::here || (x.open && where.epoch != x.lease))
      gone.push_back(name);
  }
  for (const auto& name : gone)
    ended(name);
}

}  // namespace kgents::sim
