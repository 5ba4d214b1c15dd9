#include "runtime/cluster/mirrors.hpp"

#include "runtime/limits.hpp"
#include "runtime/port.hpp"
#include "runtime/telemetry/log.hpp"

namespace kgents::runtime::cluster {

namespace {

/// A mirror that nobody reads goes on for a while: who reconnects finds it.
constexpr auto keep_unread = std::chrono::seconds{10};

}  // namespace

mirrors::mirrors(session_logs& logs, hubs& readers, region& entities, transport& links, asker ask)
    : logs_{logs}, hubs_{readers}, entities_{entities}, links_{links}, ask_{std::move(ask)} {}

mirrors::mirror& mirrors::of(const entity_id& session) {
  auto& m = mirrors_[session];
  if (m.log == nullptr) {
    m.log = logs_.open(session);
    m.unread_since = clock::now();
  }
  return m;
}

void mirrors::release(std::vector<waiting> xs, remote_outcome how) {
  for (auto& x : xs)
    x.done(how, {});
}

void mirrors::attach(const entity_id& session, const attach_reader& how, clock::time_point deadline,
                     place_answer done) {
  auto& m = of(session);
  waiting x{how, deadline, std::move(done)};
  if (m.open) {
    place(m, std::move(x));
    return;
  }
  if (m.readers.size() >= limits::entity_in_flight) {
    x.done(remote_outcome::answered,
           refusal{503, "Too many requests wait for this session. Try again shortly.", 1,
                   "overloaded"});
    return;
  }
  m.readers.push_back(std::move(x));
  if (!m.owner)
    open(m);
}

void mirrors::open(mirror& m) {
  const auto where = entities_.route_of(m.log->session());
  if (where.where != route::kind::there || !links_.linked(where.owner)) {
    // The ports know how to wait for routes; their readers come back.
    release(std::exchange(m.readers, {}), remote_outcome::lost);
    return;
  }
  open(m, where.owner, where.epoch);
}

void mirrors::open(mirror& m, node_id owner, lease_epoch lease) {
  m.owner = owner;
  m.feed = ++next_;
  m.lease = lease;
  by_feed_[m.feed] = m.log->session();
  m.from = m.log->last_place();
  links_.send(m.owner, to_bytes(open_feed_frame{m.feed, m.log->session(), m.from}));
}

void mirrors::drop_feed(mirror& m) {
  by_feed_.erase(m.feed);
  m.owner = {};
  m.feed = 0;
  m.open = false;
}

mirrors::mirror* mirrors::fed_by(node_id from, uint64_t feed) {
  const auto at = by_feed_.find(feed);
  if (at == by_feed_.end())
    return nullptr;
  auto& m = mirrors_.at(at->second);
  return m.owner == from ? &m : nullptr;
}

void mirrors::opened(node_id from, const feed_opened_frame& x) {
  auto* m = fed_by(from, x.feed);
  if (m == nullptr)
    return;
  // An owner that was replaced may not know it yet: the log, and we, may.
  const auto known = entities_.route_of(m->log->session()).epoch;
  if (x.lease < known || !m->log->begin(x.lease, {}, session_log::start::behind)) {
    links_.send(from, to_bytes(close_feed_frame{x.feed}));
    drop_feed(*m);
    return;
  }
  if (m->log->last_place() != m->from) {
    // Until now the session's actor of before may have shown more than we had when we asked.
    links_.send(from, to_bytes(close_feed_frame{x.feed}));
    drop_feed(*m);
    open(*m);
    return;
  }
  m->lease = x.lease;
  if (x.anchor)
    m->log->begin_behind(*x.anchor);
  m->open = true;
  for (auto& r : std::exchange(m->readers, {}))
    place(*m, std::move(r));
}

void mirrors::events(node_id from, const feed_events_frame& x) {
  std::vector<log_ptr> advanced;
  for (const auto& item : x.items) {
    auto* m = fed_by(from, item.feed);
    if (m == nullptr || !m->open)
      continue;
    if (advanced.empty() || advanced.back() != m->log) {
      advanced.push_back(m->log);
      // Not behind what comes now: else a large frame would send every reader to the owner.
      const auto held = m->log->at();
      if (held.shown > held.base + limits::log_trim_running)
        m->log->drop_before(held.shown - limits::log_keep_running);
    }
    // The log takes nothing under an older lease than its own.
    m->log->append_shown(item.event.make(), m->lease);
  }
  hubs_.notify(advanced);
}

void mirrors::closed(node_id from, const feed_closed_frame& x) {
  auto* m = fed_by(from, x.feed);
  if (m == nullptr)
    return;
  auto readers = std::exchange(m->readers, {});
  drop_feed(*m);
  // The old owner knows where it went before we have read it.
  const bool ahead = x.lease > m->lease && x.owner && links_.linked(x.owner);
  if (x.why.status == port::status_not_here && ahead) {
    m->readers = std::move(readers);
    open(*m, x.owner, x.lease);
    return;
  }
  if (x.why.status != 404) {
    release(std::move(readers), remote_outcome::not_here);
    return;  // moved, or its database is away: opened again by the next tick, or by those readers
  }
  for (auto& r : readers)
    r.done(remote_outcome::answered, x.why);
  // Removed, maybe while it moved: whoever follows it ends.
  m->log->close();
  hubs_.notify(m->log);
  const auto session = m->log->session();
  mirrors_.erase(session);
}

void mirrors::place(mirror& m, waiting x) {
  attached here;
  here.log = m.log;
  if (x.how.live) {
    const auto running = m.log->open_turn();
    if (!running) {
      here.position = m.log->at().shown;
    } else if (const auto start = m.log->first_of(*running)) {
      here.position = *start;
    } else {
      place_by_owner(m, std::move(x));
      return;
    }
  } else if (const auto position = m.log->behind(x.how.place)) {
    here.position = *position;
  } else {
    place_by_owner(m, std::move(x));
    return;
  }
  x.done(remote_outcome::answered, std::move(here));
}

void mirrors::place_by_owner(mirror& m, waiting x) {
  const auto session = m.log->session();
  ask_(m.owner, session, x.how, x.deadline,
       [this, session, x](remote_outcome how, answer<placed> out) {
         answered(session, x, how, std::move(out));
       });
}

void mirrors::answered(const entity_id& session, waiting x, remote_outcome how,
                       answer<placed> out) {
  const auto at = mirrors_.find(session);
  if (how != remote_outcome::answered || at == mirrors_.end() || !at->second.open) {
    x.done(how == remote_outcome::answered ? remote_outcome::lost : how, {});
    return;
  }
  auto& m = at->second;
  if (!out.ok()) {
    x.done(remote_outcome::answered, std::move(out.wrong));
    return;
  }
  attached here;
  here.log = m.log;
  if (!out.value.events.empty()) {
    for (const auto& e : out.value.events)
      here.backlog.push_back(e.make());
    x.done(remote_outcome::answered, std::move(here));
    return;
  }
  // Nothing follows it there. Here it may be on its way still.
  const bool known = x.how.live ? m.log->open_turn().has_value()
                                : m.log->held_from(x.how.place.turn).has_value();
  const auto position =
      x.how.live ? std::nullopt : m.log->behind(x.how.place);
  if (known && !position) {
    again_.emplace_back(session, std::move(x));
    return;
  }
  here.position = position.value_or(m.log->at().shown);
  x.done(remote_outcome::answered, std::move(here));
}

void mirrors::link_down(node_id peer) {
  for (auto& [session, m] : mirrors_)
    if (m.owner == peer) {
      drop_feed(m);
      release(std::exchange(m.readers, {}), remote_outcome::lost);
    }
}

void mirrors::routes_changed() {
  std::vector<entity_id> here;
  for (auto& [session, m] : mirrors_) {
    const auto where = entities_.route_of(session);
    if (where.where == route::kind::here)
      here.push_back(session);
    else if (m.owner && (where.epoch > m.lease ||
                         (where.epoch == m.lease && where.owner != m.owner))) {
      links_.send(m.owner, to_bytes(close_feed_frame{m.feed}));
      drop_feed(m);
      open(m);
    } else if (!m.owner && where.where == route::kind::there) {
      open(m);
    }
  }
  for (const auto& session : here) {
    auto& m = mirrors_.at(session);
    if (m.owner)
      links_.send(m.owner, to_bytes(close_feed_frame{m.feed}));
    drop_feed(m);
    auto readers = std::exchange(m.readers, {});
    mirrors_.erase(session);
    release(std::move(readers), remote_outcome::not_here);
  }
  for (const auto& log : logs_.read()) {
    const auto where = entities_.route_of(log->session());
    if (where.where == route::kind::there) {
      auto& m = of(log->session());
      if (!m.owner)
        open(m);
    } else if (where.where == route::kind::here && log->outdate(where.epoch)) {
      // Ours since now: whoever follows it finds its place with the session's actor, unless that
      // has begun already.
      hubs_.notify(log);
    }
  }
}

void mirrors::tick(clock::time_point now) {
  for (auto& [session, x] : std::exchange(again_, {})) {
    const auto at = mirrors_.find(session);
    if (at == mirrors_.end() || !at->second.open || x.deadline <= now)
      x.done(remote_outcome::lost, {});
    else
      place(at->second, std::move(x));
  }
  std::vector<entity_id> unread;
  for (auto& [session, m] : mirrors_) {
    if (m.log->hubs.load() != 0 || !m.readers.empty())
      m.unread_since = now;
    if (now - m.unread_since >= keep_unread)
      unread.push_back(session);
    else if (!m.owner)
      open(m);
  }
  for (const auto& session : unread) {
    auto& m = mirrors_.at(session);
    if (m.owner)
      links_.send(m.owner, to_bytes(close_feed_frame{m.feed}));
    drop_feed(m);
    mirrors_.erase(session);
  }
}

}  // namespace kgents::runtime::cluster
