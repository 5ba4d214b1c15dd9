#include "tests/sim/port.hpp"

#include "tests/sim/world.hpp"

namespace kgents::sim {
namespace {

constexpr sim_time entity_deadline = 10s;
constexpr sim_time look_again = 50ms;
constexpr sim_time local_hop = 10us;
constexpr size_t most_waiting = 2000;

/// Another node cannot read our log: it gets the events. What the log holds no more must be asked
/// for again.
void fill_page(process& there, reply& out) {
  if (out.status != 200 || !out.here.log || !out.here.backlog.empty())
    return;
  auto position = out.here.position;
  if (!out.here.log->read(position, out.here.backlog, 16) && !there.all.broken("page-of-the-past"))
    out = {503, {}};
}

}  // namespace

void port::ask(size_t which, question what, std::function<void(reply)> done, int forwards) {
  if (waiting_.size() >= most_waiting)
    throw violation("more questions wait than there are clients");
  const auto ticket = ++next_;
  waiting_.emplace(ticket, asked{which, std::move(what), std::move(done), forwards, 0, {}, false});
  home_.after(entity_deadline, [this, ticket] {
    if (waiting_.contains(ticket)) {
      const bool was_parked = parked_.erase(ticket) != 0;
      fail(ticket, was_parked ? 503 : 504);
    }
  });
  if (!parked_.empty() && parked_sessions_.contains(which))
    park(ticket);
  else
    attempt(ticket);
}

void port::release(asked& x) {
  if (const auto target = x.target.lock(); x.here && target)
    --target->in_flight;
  x.here = false;
  x.target.reset();
}

void port::attempt(uint64_t ticket) {
  auto& x = waiting_.at(ticket);
  auto admitted = home_.admit(x.which);
  if (const auto* target = std::get_if<0>(&admitted)) {
    x.target = *target;
    x.here = true;
    x.epoch = home_.route_of(x.which).epoch;
    ++(*target)->in_flight;
    home_.after(local_hop, [this, ticket, weak = x.target] {
      const auto s = weak.lock();
      const auto at = waiting_.find(ticket);
      if (!s || s->over() || at == waiting_.end())
        return;
      const auto done = [this, ticket](reply out) { answered(ticket, std::move(out)); };
      if (const auto* turn = std::get_if<turn_id>(&at->second.what))
        s->send_message(*turn, done);
      else
        s->attach(std::get<attach_question>(at->second.what), done);
    });
    return;
  }
  if (std::get<1>(admitted) == process::refusal::in_transit) {
    park(ticket);
  } else if (x.forwards > 0) {
    const auto heard = [this, ticket](reply out) {
      if (out.status == 0)
        lost(ticket, true);
      else
        answered(ticket, std::move(out));
    };
    if (const auto* how = std::get_if<attach_question>(&x.what))
      home_.mirrors->attach(x.which, *how, heard);
    else
      ask_there(home_.route_of(x.which).owner, x.which, x.what, x.forwards - 1, heard);
  } else {
    fail(ticket, not_here_status);
  }
}

void port::ask_there(node_id owner, size_t which, question what, int forwards,
                     std::function<void(reply)> done) {
  const auto number = ++next_;
  const bool sent = home_.all.net.send(
      home_, owner,
      [&asker = home_, which, what = std::move(what), forwards, number](process& there,
                                                                        node_id from) {
        there.port->ask(
            which, what,
            [&there, from, number](reply out) {
              // The answer comes to the thread that talks to other nodes, and the log goes on
              // meanwhile.
              const bool slow = there.all.rng.chance(there.all.stress.slow_hops);
              there.after(slow ? 60ms : local_hop, [&there, from, number,
                                                    out = std::move(out)]() mutable {
                fill_page(there, out);
                there.all.net.send(there, from,
                                   [number, out = std::move(out)](process& here, node_id) mutable {
                                     here.port->heard(number, std::move(out));
                                   });
              });
            },
            forwards);
      });
  if (!sent) {
    home_.after(local_hop, [done = std::move(done)] { done({0, {}}); });
    return;
  }
  questions_.emplace(number, remote_question{owner, std::move(done)});
  home_.after(2 * entity_deadline, [this, number] { questions_.erase(number); });
}

void port::heard(uint64_t number, reply out) {
  const auto at = questions_.find(number);
  if (at == questions_.end())
    return;
  const auto done = std::move(at->second.done);
  questions_.erase(at);
  done(std::move(out));
}

void port::link_down(node_id peer) {
  std::vector<std::function<void(reply)>> over;
  std::erase_if(questions_, [&](auto& x) {
    if (x.second.owner != peer)
      return false;
    over.push_back(std::move(x.second.done));
    return true;
  });
  for (auto& done : over)
    done({0, {}});
}

void port::park(uint64_t ticket) {
  if (!parked_.insert(ticket).second)
    return;
  ++parked_sessions_[waiting_.at(ticket).which];
  if (!std::exchange(waking_, true))
    home_.after(look_again, [this] {
      waking_ = false;
      wake_parked();
    });
}

void port::wake_parked() {
  parked_sessions_.clear();
  for (const auto ticket : std::exchange(parked_, {}))
    if (waiting_.contains(ticket))
      attempt(ticket);
}

void port::routes_changed() {
  home_.after(local_hop, [this] {
    if (!parked_.empty())
      wake_parked();
  });
}

void port::answered(uint64_t ticket, reply x) {
  if (x.status == not_here_status) {
    not_here(ticket);
    return;
  }
  const auto at = waiting_.find(ticket);
  if (at == waiting_.end())
    return;
  auto done = std::move(at->second.done);
  release(at->second);
  parked_.erase(ticket);
  waiting_.erase(at);
  done(std::move(x));
}

void port::not_here(uint64_t ticket) {
  const auto at = waiting_.find(ticket);
  if (at == waiting_.end())
    return;
  release(at->second);
  if (at->second.forwards < from_here)
    fail(ticket, not_here_status);
  else
    park(ticket);
}

void port::lost(uint64_t ticket, bool moved) {
  const auto at = waiting_.find(ticket);
  if (at == waiting_.end())
    return;
  auto& x = at->second;
  release(x);
  const auto now = home_.route_of(x.which);
  moved = moved || now.where != runtime::cluster::route::kind::here || now.epoch != x.epoch;
  if (moved)  // all questions here may be asked again
    park(ticket);
  else
    fail(ticket, 503);
}

void port::fail(uint64_t ticket, int status) {
  const auto at = waiting_.find(ticket);
  if (at == waiting_.end())
    return;
  auto done = std::move(at->second.done);
  release(at->second);
  waiting_.erase(at);
  done({status, {}});
}

void port::entity_lost(size_t which, bool moved) {
  home_.after(local_hop, [this, which, moved] {
    std::vector<uint64_t> theirs;
    for (const auto& [ticket, x] : waiting_)
      if (x.which == which && !parked_.contains(ticket))
        theirs.push_back(ticket);
    for (const auto ticket : theirs)
      lost(ticket, moved);
  });
}

}  // namespace kgents::sim
