#include "runtime/port.hpp"

#include <boost/asio/post.hpp>
#include <caf/actor_cast.hpp>
#include <caf/send.hpp>

namespace kgents::runtime {

namespace {

/// What waits for its shard looks again after this time also when nobody told it of a change.
constexpr auto look_again = std::chrono::milliseconds{50};

}  // namespace

port::port(caf::actor_config& config, io_unit* unit, region& entities, cluster::remote* others,
           timer_wheel::clock::duration deadline)
    : pinned_actor(config, unit), entities_{entities}, others_{others}, deadline_{deadline} {
  sweeper_.on_fire([this] { sweep(); });
  waker_.on_fire([this] { wake_parked(); });
}

caf::behavior port::make_behavior() {
  set_default_handler(caf::drop);
  // It lives until it is told to exit; a behavior without handlers would end it.
  return {[](caf::unit_t) {}};
}

/// Questions hold permits of the region, which this actor may outlive.
void port::on_exit() {
  sweeper_.disarm();
  waker_.disarm();
  waiting_.clear();
}

refusal port::refused(admission_refusal why) {
  switch (why) {
    case admission_refusal::entity:
      return {503, "Too many requests wait for the same. Try again shortly.", 1, "overloaded"};
    case admission_refusal::node:
      return {503, "The server is busy. Try again shortly.", 1, "overloaded"};
    case admission_refusal::stopping:
      return {503, "The server is stopping. Try again shortly.", 1, "stopping"};
    case admission_refusal::elsewhere:
      return {status_not_here, "The session lives on another node.", 0, "not_here"};
    case admission_refusal::in_transit:
      break;
  }
  return {503, "What you asked is moving between nodes. Try again shortly.", 1, "moving"};
}

void port::begin(std::unique_ptr<asked> what) {
  if (waiting_.size() >= limits::node_in_flight) {
    what->fail(refused(admission_refusal::node));
    return;
  }
  const auto ticket = ++next_;
  const auto now = timer_wheel::clock::now();
  what->deadline = now + (what->slow ? limits::slow_entity_deadline : deadline_);
  // Answered ones leave from the front, two for each that comes, so the queue is as long as what
  // waits.
  auto& queue = deadlines_[what->slow ? 1 : 0];
  for (int i = 0; i < 2 && !queue.empty() && !waiting_.contains(queue.front().second); ++i)
    queue.pop_front();
  queue.emplace_back(what->deadline, ticket);
  if (!sweeper_.armed() || what->deadline < sweep_at_)
    arm_sweeper(now);
  if (what->patient && attaching_ >= limits::attaching) {
    waiting_.emplace(ticket, std::move(what));
    patient_.push_back(ticket);
    return;
  }
  what->begun = true;
  attaching_ += what->patient ? 1 : 0;
  const bool behind_others = !parked_.empty() && parked_entities_.contains(what->to);
  waiting_.emplace(ticket, std::move(what));
  if (behind_others)
    park(ticket);
  else
    attempt(ticket);
}

void port::ended(const asked& x) {
  if (!x.patient || !x.begun)
    return;
  --attaching_;
  if (std::exchange(beginning_, true))
    return;  // one that is refused at once ends within the loop below
  while (!patient_.empty() && attaching_ < limits::attaching) {
    const auto next = patient_.front();
    patient_.pop_front();
    const auto at = waiting_.find(next);
    if (at == waiting_.end())
      continue;  // its time was up
    at->second->begun = true;
    ++attaching_;
    attempt(next);
  }
  beginning_ = false;
}

void port::attempt(uint64_t ticket) {
  auto& x = *waiting_.at(ticket);
  auto admitted = entities_.admit(x.to);
  if (auto* permit = std::get_if<region::permit>(&admitted)) {
    x.permit = std::move(*permit);
    x.epoch = entities_.route_of(x.to).epoch;
    x.here(*this, ticket, x.permit.actor());
    return;
  }
  const auto why = std::get<admission_refusal>(admitted);
  const bool elsewhere = why == admission_refusal::elsewhere;
  if (elsewhere && x.may_leave && x.forwards > 0 && others_ != nullptr)
    x.there(*this, ticket, entities_.route_of(x.to).owner);
  else if (why == admission_refusal::in_transit)
    park(ticket);
  else
    fail(ticket, refused(why));
}

void port::park(uint64_t ticket) {
  if (!parked_.insert(ticket).second)
    return;
  ++parked_entities_[waiting_.at(ticket)->to];
  if (!waker_.armed())
    unit()->thread().wheel().arm(waker_, look_again);
}

void port::wake_parked() {
  parked_entities_.clear();
  for (const auto ticket : std::exchange(parked_, {}))
    if (waiting_.contains(ticket))
      attempt(ticket);
}

void port::not_here(uint64_t ticket) {
  const auto at = waiting_.find(ticket);
  if (at == waiting_.end())
    return;
  // Who was asked knows better: our routes follow in a moment. One who was itself asked by another
  // node tells that node.
  at->second->permit = {};
  if (at->second->forwards < from_here)
    fail(ticket, refused(admission_refusal::elsewhere));
  else
    park(ticket);
}

void port::lost(uint64_t ticket, bool moved) {
  const auto at = waiting_.find(ticket);
  if (at == waiting_.end())
    return;
  auto& x = *at->second;
  x.permit = {};
  const auto now = entities_.route_of(x.to);
  moved = moved || now.where != cluster::route::kind::here || now.epoch != x.epoch;
  if (moved && x.repeatable) {
    park(ticket);
    return;
  }
  fail(ticket, {503, "The request was lost when what serves it restarted. Try again.", 1, "restarted"});
}

void port::fail(uint64_t ticket, refusal why) {
  const auto at = waiting_.find(ticket);
  if (at == waiting_.end())
    return;
  const auto keep = std::move(at->second);
  waiting_.erase(at);
  keep->permit = {};
  const ending guard{*this, *keep};
  keep->fail(std::move(why));
}

void port::entity_lost(const entity_id& id, bool moved) {
  boost::asio::post(unit()->thread().context(),
                    [this, id, moved, keep = caf::strong_actor_ptr{ctrl()}] {
                      std::set<uint64_t> theirs;
                      for (const auto& [ticket, x] : waiting_)
                        if (x->to == id && !parked_.contains(ticket) && (x->begun || !x->patient))
                          theirs.insert(ticket);
                      for (auto ticket : theirs)
                        lost(ticket, moved);
                    });
}

void port::routes_changed() {
  boost::asio::post(unit()->thread().context(), [this, keep = caf::strong_actor_ptr{ctrl()}] {
    if (!parked_.empty())
      wake_parked();
  });
}

void port::sweep() {
  const auto now = timer_wheel::clock::now();
  for (auto& queue : deadlines_) {
    while (!queue.empty() && queue.front().first <= now) {
      const auto ticket = queue.front().second;
      queue.pop_front();
      if (!waiting_.contains(ticket))
        continue;
      if (parked_.erase(ticket) != 0)
        fail(ticket, {503, "What you asked is moving between nodes. Try again.", 1, "moving"});
      else
        fail(ticket, {504, "No answer in time. Try again.", 1, "timeout"});
    }
    // Most are answered long before: look at the next one that still waits.
    while (!queue.empty() && !waiting_.contains(queue.front().second))
      queue.pop_front();
  }
  arm_sweeper(now);
}

/// For the first deadline there is.
void port::arm_sweeper(timer_wheel::clock::time_point now) {
  auto first = timer_wheel::clock::time_point::max();
  for (const auto& queue : deadlines_)
    if (!queue.empty())
      first = std::min(first, queue.front().first);
  if (first == timer_wheel::clock::time_point::max())
    return;
  sweep_at_ = first;
  unit()->thread().wheel().arm(sweeper_, first - now, now);
}

ports::ports(caf::actor_system& system, const std::vector<io_thread*>& threads, region& entities,
             cluster::remote* others) {
  for (auto* thread : threads) {
    units_.push_back(std::make_unique<io_unit>(system, *thread));
    handles_.push_back(system.spawn<port>(units_.back().get(), entities, others));
    ports_.push_back(caf::actor_cast<port*>(handles_.back()));
  }
}

ports::~ports() { stop(); }

void ports::stop() {
  for (auto& x : handles_)
    caf::anon_send_exit(x, caf::exit_reason::user_shutdown);
}

void ports::entity_lost(const entity_id& id, bool moved) {
  for (auto* x : ports_)
    x->entity_lost(id, moved);
}

void ports::routes_changed() {
  for (auto* x : ports_)
    x->routes_changed();
}

}  // namespace kgents::runtime
