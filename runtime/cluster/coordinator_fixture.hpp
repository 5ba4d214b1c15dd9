#pragma once

#include <algorithm>
#include <caf/test/dsl.hpp>

#include "runtime/cluster/coordinator.hpp"

namespace kgents::runtime::cluster {

using namespace std::chrono_literals;

inline constexpr node_id us{1};
inline constexpr node_id peer{2};
inline constexpr node_id third{3};

/// One node, its clock, and what PostgreSQL says: what the coordinator's test suites share.
struct coordinator_fixture {
  using hold = coordinator::hold;

  coordinator node{{.name = "node-a", .roles = {"gateway", "kgent"}}};
  local_time now = 10s;  // moved by the test, never by the machine
  cluster_view view;
  actions out;  // not yet looked at

  void feed(const event& what) {
    for (auto& x : node.apply(what, now))
      out.push_back(std::move(x));
  }

  /// The next action of that kind, which must have been asked for.
  template <class Action>
  Action get() {
    const auto found = std::find_if(
        out.begin(), out.end(), [](const action& x) { return std::holds_alternative<Action>(x); });
    CAF_REQUIRE(found != out.end());
    auto got = std::get<Action>(*found);
    out.erase(found);
    return got;
  }

  template <class Action>
  size_t count() const {
    return std::count_if(out.begin(), out.end(),
                         [](const action& x) { return std::holds_alternative<Action>(x); });
  }

  cluster_member& member(node_id id) {
    for (auto& x : view.members)
      if (x.id == id)
        return x;
    cluster_member x;
    x.id = id;
    x.name = "node-" + std::string(1, static_cast<char>('a' + id.value - 1));
    x.host = "10.0.0." + std::to_string(id.value);
    x.roles = {"gateway", "kgent"};
    view.members.push_back(std::move(x));
    ++view.version;
    return view.members.back();
  }

  void state(node_id id, member_state x) {
    member(id).state = x;
    ++view.version;
  }

  void lease(uint16_t shard, node_id owner) {
    view.leases[shard] = {owner, view.leases[shard].epoch + 1};
    ++view.version;
  }

  /// PostgreSQL carries out the call under way.
  void answer() {
    if (count<join>() > 0) {
      get<join>();
      state(us, member_state::joining);
      feed(joined{us});
    } else if (count<beat>() > 0) {
      const auto x = get<beat>();
      auto& me = member(us);
      ++me.beat;
      if (me.state < x.state)
        state(us, x.state);
      feed(viewed{view, true});
    } else {
      get<read_view>();
      feed(viewed{view, false});
    }
  }

  /// All calls that are asked for, one after the other.
  void answer_all() {
    while (count<join>() + count<beat>() + count<read_view>() > 0)
      answer();
  }

  void pass(local_time time) {
    now += time;
    feed(tick{});
  }

  void poke() {
    now += 60ms;
    feed(poked{});
    answer_all();
  }

  void take() {
    leases_taken x;
    for (const auto shard : get<take_leases>().shards) {
      lease(shard.value, us);
      x.got.emplace_back(shard, view.leases[shard.value].epoch);
    }
    feed(x);
    answer_all();
  }

  /// Up, alone, with everything.
  void start() {
    feed(tick{});
    answer_all();
    take();
    CAF_REQUIRE(node.state() == member_state::up);
    CAF_REQUIRE(node.holds(shard_id{0}) == hold::held);
    poke();
    out.clear();
  }

  /// A second node is up and linked.
  void meet(node_id id) {
    state(id, member_state::joining);
    poke();
    feed(link_up{id});
    state(id, member_state::up);
    poke();
  }

  /// Beats go on for that long, every 100 ms, with all others' beats or without.
  void live(local_time time, bool others = true) {
    for (const auto end = now + time; now < end;) {
      if (others && now.count() % 2000 < 100)
        for (auto& x : view.members)
          if (x.id != us)
            ++x.beat;
      pass(100ms);
      answer_all();
    }
  }

  std::vector<std::pair<shard_id, lease_epoch>> move(const std::vector<shard_id>& shards,
                                                     node_id to) {
    std::vector<std::pair<shard_id, lease_epoch>> out;
    for (const auto x : shards) {
      lease(x.value, to);
      out.emplace_back(x, view.leases[x.value].epoch);
    }
    return out;
  }

  size_t held() const {
    size_t n = 0;
    for (uint16_t i = 0; i < shard_count; ++i)
      n += node.holds(shard_id{i}) == hold::held;
    return n;
  }
};

}  // namespace kgents::runtime::cluster
