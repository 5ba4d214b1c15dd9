#include "runtime/region.hpp"

#include <bitset>
#include <caf/actor_addr.hpp>
#include <caf/error.hpp>
#include <caf/exit_reason.hpp>
#include <caf/send.hpp>
#include <vector>

namespace kgents::runtime {

region::region(region_limits limits, observer seen, const cluster::routes& where)
    : limits_{limits}, routes_{where}, shared_{std::make_shared<shared>()}, live_{shared_->live} {
  shared_->seen = std::move(seen);
}

region::~region() = default;

void region::serve(entity_kind kind, factory make) {
  factories_[static_cast<size_t>(kind)] = std::move(make);
}

region::part& region::part_of(shared& s, const entity_id& id) noexcept {
  return s.map[std::hash<entity_id>{}(id) % parts];
}

void region::forget(shared& s, const entity_id& id, caf::actor_id which) {
  auto& p = part_of(s, id);
  std::lock_guard guard{p.mutex};
  const auto at = p.entries.find(id);
  if (at != p.entries.end() && at->second->handle.id() == which)
    p.entries.erase(at);
}

void region::permit::release() noexcept {
  if (entry_ == nullptr)
    return;
  entry_->in_flight.fetch_sub(1, std::memory_order_acq_rel);
  region_->in_flight_.fetch_sub(1, std::memory_order_relaxed);
  entry_.reset();
}

std::variant<region::permit, admission_refusal> region::admit(const entity_id& id) {
  if (stopping_.load(std::memory_order_relaxed))
    return admission_refusal::stopping;
  if (in_flight_.fetch_add(1, std::memory_order_relaxed) >= limits_.node_in_flight) {
    in_flight_.fetch_sub(1, std::memory_order_relaxed);
    return admission_refusal::node;
  }
  auto& p = part_of(*shared_, id);
  std::unique_lock guard{p.mutex};
  // Under the lock: `of` takes it after a change of routes, so nobody is admitted behind its back.
  const auto where = route_of(id);
  if (where.where != cluster::route::kind::here) {
    in_flight_.fetch_sub(1, std::memory_order_relaxed);
    return where.where == cluster::route::kind::there ? admission_refusal::elsewhere
                                                      : admission_refusal::in_transit;
  }
  auto& slot = p.entries[id];
  if (slot == nullptr) {
    auto fresh = std::make_shared<entry>();
    fresh->id = id;
    fresh->handle = factories_[static_cast<size_t>(id.kind)](id, where.epoch);
    fresh->in_flight = 1;
    slot = fresh;
    guard.unlock();
    ++shared_->live;
    shared_->seen.count(id.kind, 1);
    // However it ends: the next message must find a fresh one. The functor outlives this region.
    fresh->handle->attach_functor(
        [s = shared_, id, which = fresh->handle.id()](const caf::error& why) {
          forget(*s, id, which);
          --s->live;
          s->seen.count(id.kind, -1);
          if (why && why != caf::exit_reason::user_shutdown && why != caf::exit_reason::kill)
            s->seen.crashed(id, why);
        });
    return permit{std::move(fresh), this};
  }
  if (slot->in_flight.load(std::memory_order_relaxed) >= limits_.entity_in_flight) {
    in_flight_.fetch_sub(1, std::memory_order_relaxed);
    return admission_refusal::entity;
  }
  slot->in_flight.fetch_add(1, std::memory_order_acq_rel);
  return permit{slot, this};
}

bool region::retire(const entity_id& id, const caf::actor_addr& self) {
  auto& p = part_of(*shared_, id);
  std::lock_guard guard{p.mutex};
  const auto at = p.entries.find(id);
  if (at == p.entries.end() || at->second->handle.address() != self)
    return true;  // forgotten already
  if (at->second->in_flight.load(std::memory_order_acquire) != 0)
    return false;
  p.entries.erase(at);
  return true;
}

cluster::route region::route_of(const entity_id& id) const noexcept {
  if (!is_placed(id.kind))
    return {cluster::route::kind::here, {}, 0};
  return routes_.of(shard_of(id));
}

std::vector<std::pair<entity_id, caf::actor>> region::of(const std::vector<shard_id>& shards) {
  std::bitset<shard_count> wanted;
  for (const auto x : shards)
    wanted.set(x.value);
  std::vector<std::pair<entity_id, caf::actor>> out;
  for (auto& p : shared_->map) {
    std::lock_guard guard{p.mutex};
    for (auto& [id, x] : p.entries)
      if (is_placed(id.kind) && wanted[shard_of(id).value])
        out.emplace_back(id, x->handle);
  }
  return out;
}

void region::drop(const std::vector<shard_id>& shards) {
  for (const auto& [id, actor] : of(shards)) {
    forget(*shared_, id, actor.id());
    caf::anon_send_exit(actor, caf::exit_reason::kill);
    shared_->seen.dropped(id);
  }
}

void region::stop() {
  stopping_ = true;
  std::vector<caf::actor> all;
  for (auto& p : shared_->map) {
    std::lock_guard guard{p.mutex};
    for (auto& [id, x] : p.entries)
      all.push_back(x->handle);
  }
  for (auto& x : all)
    caf::anon_send_exit(x, caf::exit_reason::user_shutdown);
}

}  // namespace kgents::runtime
