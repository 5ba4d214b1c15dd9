#pragma once

#include <caf/event_based_actor.hpp>
#include <deque>
#include <map>
#include <set>

#include "runtime/cluster/feeds.hpp"
#include "runtime/cluster/mirrors.hpp"

#include <caf/test/dsl.hpp>

/// One session and its followers on the nodes of a cluster, in one process: real feeds, mirrors,
/// logs, hubs, ports and readers; the test carries the frames and says where the session is.
namespace kgents::runtime::cluster::test {

/// What PostgreSQL would have: every event of the session, once.
using history = std::vector<event_ptr>;

inline bool same_place(const cursor& a, const cursor& b) {
  return a.turn == b.turn && a.index == b.index;
}

/// A session as far as readers can tell: it goes on in its log from what is durable, and places
/// them there or hands out what is older.
class followed_session : public caf::event_based_actor {
public:
  struct state {
    history all;
    bool removed = false;
  };

  followed_session(caf::actor_config& config, log_ptr log, lease_epoch lease, state& s)
      : caf::event_based_actor(config), log_{std::move(log)}, lease_{lease}, state_{s} {}

  caf::behavior make_behavior() override {
    CAF_REQUIRE(log_->begin(lease_, address(), session_log::start::anywhere));
    auto open = state_.all.end();
    while (open != state_.all.begin() && !is_last(**(open - 1)))
      --open;
    if (log_->at().base == log_->at().end) {
      log_->begin_behind(open == state_.all.begin() ? cursor{} : (*(open - 1))->place());
      for (; open != state_.all.end(); ++open)
        log_->append_shown(*open, lease_);
    }
    return {[this](const attach_reader& x) { return place(x); }};
  }

private:
  static bool is_last(const stream_event& x) {
    return x.kind() == event_kind::complete || x.kind() == event_kind::error;
  }

  answer<attached> place(const attach_reader& x) {
    if (state_.removed)
      return refusal{404, "Session not found", 0, ""};
    attached here;
    here.log = log_;
    if (x.live) {
      const auto running = log_->open_turn();
      here.position = log_->at().end;
      if (running)
        here.position = log_->first_of(*running).value();
      return here;
    }
    if (const auto position = log_->behind(x.place)) {
      here.position = *position;
      return here;
    }
    auto from = state_.all.begin();
    while (from != state_.all.end() && !same_place((*from)->place(), x.place))
      ++from;
    if (from == state_.all.end())
      return refusal{404, "Session not found", 0, ""};
    here.backlog.assign(from + 1, state_.all.end());
    if (here.backlog.empty())
      here.position = log_->at().end;
    return here;
  }

  const log_ptr log_;
  const lease_epoch lease_;
  state& state_;
};

struct wire_frame {
  node_id from;
  node_id to;
  std::string bytes;
};

/// One node's links: frames go where the test carries them.
class scripted_links : public transport {
public:
  scripted_links(node_id self, std::deque<wire_frame>& wire) : self_{self}, wire_{wire} {}

  void identify(node_id) override {}
  void keep(std::vector<transport_peer>) override {}
  bool send(node_id to, std::string frame) override {
    if (!linked(to))
      return false;
    ++sent[static_cast<frame_kind>(frame.front())];
    wire_.push_back({self_, to, std::move(frame)});
    return true;
  }
  [[nodiscard]] size_t unsent(node_id) const override { return queued; }
  [[nodiscard]] bool linked(node_id to) const override { return !cut.contains(to); }
  std::string reload() override { return {}; }
  void stop() override {}
  [[nodiscard]] uint16_t port() const override { return 0; }

  std::set<node_id> cut;
  size_t queued = 0;
  std::map<frame_kind, int> sent;

private:
  const node_id self_;
  std::deque<wire_frame>& wire_;
};

/// Attaches readers to the node's mirrors, as its mesh does.
struct mirror_readers : remote {
  mirrors* to = nullptr;

  void ask(node_id, const entity_id&, uint8_t, std::string, uint8_t, clock::time_point,
           std::function<void(remote_outcome, std::string)>) override {
    CAF_FAIL("readers ask no questions");
  }
  void attach(node_id, const entity_id& session, const attach_reader& how,
              clock::time_point deadline,
              std::function<void(remote_outcome, answer<attached>)> done) override {
    to->attach(session, how, deadline, std::move(done));
  }
};

struct node {
  node(caf::actor_system& system, uint64_t number, const entity_id& session,
       followed_session::state& state, std::deque<wire_frame>& wire, mirrors::asker ask)
      : id{number}, links{id, wire}, up{logs, readers, entities, links, std::move(ask)} {
    others.to = &up;
    entities.serve(entity_kind::session,
                   [this, &system, &state](const entity_id& x, lease_epoch lease) -> caf::actor {
                     return system.spawn<followed_session>(logs.open(x), lease, state);
                   });
    here = std::make_unique<ports>(system, threads.all(), entities, &others);
    down = std::make_unique<feeds>(readers[0], (*here)[0], entities, links);
    log = logs.open(session);
  }

  const node_id id;
  io_threads threads{1};  // never started: the test runs what is posted
  hubs readers{threads.all()};
  session_logs logs;
  routes where;
  region entities{{1000, 1000}, {}, where};
  scripted_links links;
  mirror_readers others;
  mirrors up;
  std::unique_ptr<ports> here;
  std::unique_ptr<feeds> down;
  log_ptr log;
};

/// A follower: what it has got so far, and that it got it in order.
struct follower {
  std::shared_ptr<session_reader> reader;
  std::vector<int> placed;  // statuses, 0 for a place
  history got;
};

struct followers_fixture : test_coordinator_fixture<> {
  const entity_id id = session_entity(tenant_id{uuid::random()}, session_id{uuid::random()});
  followed_session::state session;
  std::deque<wire_frame> wire;
  std::map<uint64_t, std::unique_ptr<node>> nodes;
  std::deque<follower> all;  // stay where they are
  lease_epoch lease = 0;
  uint64_t owner = 0;
  turn_id turn;
  int64_t next = 0;
  int asked = 0;  // places that a mirror asked of the owner

  followers_fixture() {
    for (uint64_t i = 1; i <= 3; ++i)
      nodes[i] = std::make_unique<node>(
          sys, i, id, session, wire,
          [this](node_id to, const entity_id& x, const attach_reader& how, auto, auto done) {
            ++asked;
            ask_owner(to, x, how, std::move(done));
          });
    settle();
    move(1);
  }

  ~followers_fixture() override {
    for (auto& x : all)
      x.reader->stop();
    for (auto& [i, x] : nodes) {
      x->down->stop();
      x->entities.stop();
      x->here->stop();
    }
    settle();
  }

  node& at(uint64_t i) { return *nodes.at(i); }

  void ask_owner(node_id to, const entity_id& x, const attach_reader& how,
                 std::function<void(remote_outcome, answer<placed>)> done) {
    (*at(to.value).here)[0].ask<attached>(
        x, how,
        [done](const answer<attached>& out) {
          if (!out.ok()) {
            done(remote_outcome::answered, out.wrong);
            return;
          }
          placed there;
          auto events = out.value.backlog;
          auto position = out.value.position;
          if (events.empty())
            out.value.log->read(position, events, 256);
          for (const auto& e : events)
            there.events.emplace_back(*e);
          done(remote_outcome::answered, std::move(there));
        },
        0);
  }

  bool run() {
    size_t done = consume_messages();
    for (auto& [i, x] : nodes)
      done += x->threads[0].context().poll();
    return done > 0;
  }

  void settle() {
    for (;;) {
      while (run()) {
      }
      if (wire.empty())
        return;
      const auto x = std::move(wire.front());
      wire.pop_front();
      deliver(at(x.to.value), x.from, std::span{x.bytes});
    }
  }

  template <class Frame, class F>
  static void read(std::span<const char> bytes, F work) {
    Frame x;
    CAF_REQUIRE(decode(bytes.subspan(1), x));
    work(x);
  }

  static void deliver(node& to, node_id from, std::span<const char> x) {
    switch (static_cast<frame_kind>(x.front())) {
      case frame_kind::open_feed:
        return read<open_feed_frame>(x, [&](auto& f) { to.down->open(from, f); });
      case frame_kind::close_feed:
        return read<close_feed_frame>(x, [&](auto& f) { to.down->close(from, f.feed); });
      case frame_kind::feed_opened:
        return read<feed_opened_frame>(x, [&](auto& f) { to.up.opened(from, f); });
      case frame_kind::feed_events:
        return read<feed_events_frame>(x, [&](auto& f) { to.up.events(from, f); });
      case frame_kind::feed_closed:
        return read<feed_closed_frame>(x, [&](auto& f) { to.up.closed(from, f); });
      default:
        CAF_FAIL("unexpected frame");
    }
  }

  void route(uint64_t of, runtime::cluster::route x) {
    at(of).where.set(shard_of(id), x);
    at(of).down->routes_changed();
    at(of).up.routes_changed();
    at(of).here->routes_changed();
  }

  /// In transit on every node: the old owner's session is gone, and nobody has a new one yet.
  void freeze() {
    for (auto& [i, x] : nodes)
      route(i, {runtime::cluster::route::kind::wait, {}, lease});
    for (auto& [i, x] : nodes)
      x->entities.drop({shard_of(id)});
    settle();
  }

  void arrive(uint64_t to) {
    using kind = runtime::cluster::route::kind;
    owner = to;
    ++lease;
    for (auto& [i, x] : nodes)
      route(i, {i == to ? kind::here : kind::there, node_id{to}, lease});
    activate();
    settle();
  }

  void move(uint64_t to) {
    freeze();
    arrive(to);
  }

  void activate() {
    auto admitted = at(owner).entities.admit(id);
    CAF_REQUIRE(std::holds_alternative<region::permit>(admitted));
    settle();
  }

  void cut(uint64_t a, uint64_t b) {
    std::erase_if(wire, [&](const wire_frame& x) {
      return (x.from.value == a && x.to.value == b) || (x.from.value == b && x.to.value == a);
    });
    for (const auto& [one, other] : {std::pair{a, b}, std::pair{b, a}}) {
      at(one).links.cut.insert(node_id{other});
      at(one).down->link_down(node_id{other});
      at(one).up.link_down(node_id{other});
    }
    settle();
  }

  void join(uint64_t a, uint64_t b) {
    at(a).links.cut.erase(node_id{b});
    at(b).links.cut.erase(node_id{a});
  }

  void tick(std::chrono::seconds later = {}) {
    for (auto& [i, x] : nodes)
      x->up.tick(mirrors::clock::now() + later);
    settle();
  }

  /// What the session says is durable and shown where it lives.
  void say(event_ptr x) {
    session.all.push_back(x);
    at(owner).log->append_shown(std::move(x), lease);
    at(owner).readers.notify(at(owner).log);
    settle();
  }
  void begin() {
    turn = turn_id{uuid::time_ordered()};
    next = 0;
    say(make_turn_event(turn, lease, {}, "reflect"));
  }
  void chunk() {
    const auto i = static_cast<chunk_index>(next++);
    say(make_chunk_event(turn, lease, i, "text " + std::to_string(i)));
  }
  void complete() { say(make_complete_event(turn, lease, static_cast<chunk_index>(next), {})); }
  void whole_turn() {
    begin();
    chunk();
    complete();
  }

  follower& follow(uint64_t on, std::optional<cursor> from = std::nullopt) {
    auto& x = all.emplace_back();
    session_reader::options how;
    how.from = from;
    x.reader = std::make_shared<session_reader>(at(on).readers[0], (*at(on).here)[0], id, how);
    x.reader->on_ready = [&x] { pull(x); };
    x.reader->start([&x](std::optional<refusal> no) { x.placed.push_back(no ? no->status : 0); });
    settle();
    return x;
  }

  static void pull(follower& x) { x.reader->pull(x.got, 100'000); }

  /// Until it has got as much: what a reader asks again for comes a moment later.
  void wait_for(follower& x, const std::function<bool()>& done) {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds{20};
    while (!done() && std::chrono::steady_clock::now() < give_up) {
      for (auto& [i, n] : nodes)
        n->threads[0].context().run_one_for(std::chrono::milliseconds{5});
      tick();
      pull(x);
      settle();
    }
    CAF_CHECK(done());
  }

  /// It has got exactly what was said from there on, in order.
  void check_got(follower& x, size_t from) {
    wait_for(x, [&] { return x.got.size() >= session.all.size() - from; });
    CAF_REQUIRE_EQUAL(x.got.size(), session.all.size() - from);
    for (size_t i = 0; i < x.got.size(); ++i) {
      CAF_CHECK(same_place(x.got[i]->place(), session.all[from + i]->place()));
      CAF_CHECK_EQUAL(x.got[i]->sse(), session.all[from + i]->sse());
    }
  }
};

}  // namespace kgents::runtime::cluster::test
