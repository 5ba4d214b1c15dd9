#include "runtime/port.hpp"

#include <boost/asio/post.hpp>
#include <caf/actor_cast.hpp>
#include <caf/send.hpp>

namespace kgents::runtime {

port::port(caf::actor_config& config, io_unit* unit, region& entities,
           timer_wheel::clock::duration deadline)
    : pinned_actor(config, unit), entities_{entities}, deadline_{deadline} {
  sweeper_.on_fire([this] { sweep(); });
}

caf::behavior port::make_behavior() {
  set_default_handler(caf::drop);
  // It lives until it is told to exit; a behavior without handlers would end it.
  return {[](caf::unit_t) {}};
}

refusal port::refused(admission_refusal why) {
  switch (why) {
    case admission_refusal::entity:
      return {503, "Too many requests wait for this session. Try again shortly.", 1, "overloaded"};
    case admission_refusal::node:
      return {503, "The server is busy. Try again shortly.", 1, "overloaded"};
    case admission_refusal::stopping:
      return {503, "The server is stopping. Try again shortly.", 1, "stopping"};
  }
  return {503, "The server is busy. Try again shortly.", 1, "overloaded"};
}

uint64_t port::remember(const entity_id& to, region::permit permit,
                        std::function<void(refusal)> fail) {
  const auto ticket = ++next_;
  waiting_.emplace(ticket, asked{to, std::move(permit), std::move(fail)});
  // Answered ones leave from the front, two for each that comes, so the queue is as long as what
  // waits.
  for (int i = 0; i < 2 && !deadlines_.empty() && !waiting_.contains(deadlines_.front().second);
       ++i)
    deadlines_.pop_front();
  deadlines_.emplace_back(timer_wheel::clock::now() + deadline_, ticket);
  if (!sweeper_.armed())
    unit()->thread().wheel().arm(sweeper_, deadline_);
  return ticket;
}

bool port::forget(uint64_t ticket) { return waiting_.erase(ticket) == 1; }

void port::lost(uint64_t ticket) {
  const auto at = waiting_.find(ticket);
  if (at == waiting_.end())
    return;
  auto fail = std::move(at->second.fail);
  waiting_.erase(at);
  fail({503, "The request was lost when its session restarted. Try again.", 1, "restarted"});
}

void port::entity_lost(const entity_id& id) {
  boost::asio::post(unit()->thread().context(), [this, id, keep = caf::strong_actor_ptr{ctrl()}] {
    std::vector<uint64_t> theirs;
    for (const auto& [ticket, x] : waiting_)
      if (x.to == id)
        theirs.push_back(ticket);
    for (auto ticket : theirs)
      lost(ticket);
  });
}

void port::sweep() {
  const auto now = timer_wheel::clock::now();
  while (!deadlines_.empty() && deadlines_.front().first <= now) {
    const auto ticket = deadlines_.front().second;
    deadlines_.pop_front();
    const auto at = waiting_.find(ticket);
    if (at == waiting_.end())
      continue;
    auto fail = std::move(at->second.fail);
    waiting_.erase(at);
    fail({504, "The session did not answer in time. Try again.", 1, "timeout"});
  }
  // Most are answered long before: look at the next one that still waits.
  while (!deadlines_.empty() && !waiting_.contains(deadlines_.front().second))
    deadlines_.pop_front();
  if (!deadlines_.empty())
    unit()->thread().wheel().arm(sweeper_, deadlines_.front().first - now, now);
}

ports::ports(caf::actor_system& system, io_threads& threads, region& entities) {
  for (size_t i = 0; i < threads.size(); ++i) {
    units_.push_back(std::make_unique<io_unit>(system, threads[i]));
    handles_.push_back(system.spawn<port>(units_.back().get(), entities));
    ports_.push_back(caf::actor_cast<port*>(handles_.back()));
  }
}

ports::~ports() { stop(); }

void ports::stop() {
  for (auto& x : handles_)
    caf::anon_send_exit(x, caf::exit_reason::user_shutdown);
}

void ports::entity_lost(const entity_id& id) {
  for (auto* x : ports_)
    x->entity_lost(id);
}

}  // namespace kgents::runtime
