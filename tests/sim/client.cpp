#include "tests/sim/client.hpp"

#include "tests/sim/world.hpp"

namespace kgents::sim {
namespace {

constexpr sim_time patience = 12s;

}  // namespace

void poster::next() {
  if (left_ > 0)
    post();
}

void poster::post() {
  auto* node = all_.some_node();
  const auto attempt = ++attempt_;
  if (!node) {
    all_.time.at(all_.time.now() + 100ms, [this] { post(); });
    return;
  }
  const auto turn = world::turn(which_, number_);
  all_.time.at(all_.time.now() + patience, [this, attempt] {
    if (attempt == attempt_)
      post();
  });
  node->after(all_.rng.between(50us, 1ms), [this, node, turn, attempt] {
    node->port->ask(which_, turn, [this, turn, attempt](reply out) {
      if (out.status == 200)
        acknowledged.insert(turn);
      if (attempt != attempt_)
        return;
      ++attempt_;
      if (out.status == port::not_here_status)
        throw violation("a client was told that a session is elsewhere");
      if (out.status != 200) {
        all_.time.at(all_.time.now() + all_.rng.between(50ms, 500ms), [this] { post(); });
        return;
      }
      --left_;
      ++number_;
      last_stored_ = all_.time.now();
      // Some wait for the answer, some do not.
      all_.time.at(all_.time.now() + all_.rng.between(10ms, 8s), [this] { next(); });
    });
  });
}

std::string follower::where() const { return node_ ? node_->name() : "nowhere"; }

void follower::reconnect(sim_time after) {
  reader_.reset();
  node_ = nullptr;
  ++generation_;
  all_.time.at(all_.time.now() + after, [this, generation = generation_] {
    if (generation == generation_)
      connect();
  });
}

void follower::node_lost(const process& node) {
  if (node_ == &node)
    reconnect(all_.rng.between(20ms, 500ms));
}

void follower::connect() {
  node_ = all_.some_node();
  if (!node_) {
    reconnect(100ms);
    return;
  }
  const auto from =
      last_event_id_.empty() ? std::optional{cursor{}} : cursor::parse(last_event_id_);
  if (!from)
    throw violation("an event's id cannot be read: " + last_event_id_);
  const auto generation = ++generation_;
  pulling_ = false;
  all_.say("a client of session " + std::to_string(which_) + " follows on " + node_->name() +
           " behind " + from->text());
  reader_ = std::make_shared<reader>(*node_, which_, from, false);
  reader_->on_ready = [this, generation] {
    if (generation != generation_ || std::exchange(pulling_, true))
      return;
    node_->after(slow_ ? all_.rng.between(1ms, 700ms) : all_.rng.between(10us, 3ms),
                 [this, generation] { pull(generation); });
  };
  node_->after(50us, [this, generation] {
    if (generation == generation_)
      reader_->start([this, generation](int status) {
        if (generation == generation_ && status != 200)
          reconnect(all_.rng.between(50ms, 300ms));
      });
  });
}

void follower::pull(uint64_t generation) {
  if (generation != generation_)
    return;
  pulling_ = false;
  std::vector<event_ptr> events;
  reader_->pull(events, slow_ ? 3 : 100);
  for (const auto& x : events)
    hear(*x);
  if (!events.empty() && reader_)
    reader_->on_ready();
}

void follower::hear(const stream_event& x) {
  const auto& at = x.place();
  const auto wrong = [&](const std::string& why) {
    throw violation("a client of session " + std::to_string(which_) + " on " + where() + " got " +
                    std::string{to_string(x.kind())} + " " + at.text() + " " + why);
  };
  last_event_id_ = at.text();
  if (all_.how.trace)
    all_.say("a client of session " + std::to_string(which_) + " on " + where() + " hears " +
             std::string{to_string(x.kind())} + " " + last_event_id_);
  const bool open = !heard.empty() && !heard.back().complete;
  if (x.kind() == event_kind::turn) {
    if (open)
      wrong("within another turn");
    for (const auto& y : heard)
      if (y.turn == at.turn)
        wrong("twice");
    heard.push_back({at.turn, {}, false});
    return;
  }
  if (!open || heard.back().turn != at.turn)
    wrong("outside of its turn");
  auto& now = heard.back();
  if (at.index != static_cast<int64_t>(now.chunks.size()))
    wrong("instead of index " + std::to_string(now.chunks.size()));
  if (x.kind() == event_kind::chunk) {
    now.chunks.push_back(x.text);
  } else if (x.kind() == event_kind::complete) {
    std::string text;
    for (const auto& y : now.chunks)
      text += y;
    if (!x.end || x.end->text != text)
      wrong("whose text is not what was streamed");
    now.complete = true;
  } else {
    wrong("");
  }
}

}  // namespace kgents::sim
