#pragma once

#include <caf/actor_system.hpp>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "runtime/cluster/frames.hpp"
#include "runtime/pinned_actor.hpp"

namespace kgents::runtime::cluster {

/// The model calls that run on this node, by their turn: so that a session that moved away, or came
/// back, finds its own. Any thread.
class turn_registry {
public:
  void add(turn_id turn, const caf::actor& call);
  void remove(turn_id turn, caf::actor_id call);
  [[nodiscard]] caf::actor find(turn_id turn) const;
  [[nodiscard]] size_t size() const;
  [[nodiscard]] std::vector<caf::actor> all() const;

private:
  mutable std::mutex mutex_;
  std::unordered_map<turn_id, caf::actor> calls_;
};

/// Turns and sessions that are on two nodes: each has a stand-in on the other's, an actor that
/// passes on what it is told, so that neither knows.
///
/// On the thread of the cluster, but for `adopt`.
class away {
public:
  using sender = std::function<bool(node_id, std::string)>;

  away(caf::actor_system& system, io_unit& unit, turn_registry& here, sender send);

  /// Any thread. The stand-in of a turn that runs on another node, for `session`; it ends with the
  /// link, and when the turn is not there any more.
  [[nodiscard]] caf::actor adopt(node_id where, turn_id turn, const caf::actor& session);

  void on_order(node_id from, const turn_order& x);
  void on_word(node_id from, const turn_word& x);
  void on_adopt(node_id from, const adopt_frame& x);
  void link_down(node_id peer);
  /// Ends all stand-ins.
  void stop();

  /// Model calls of this node whose sessions are on others.
  [[nodiscard]] size_t sessions() const noexcept { return sessions_.size(); }

private:
  friend class away_turn;
  friend class away_session;
  struct stand_in {
    node_id peer;
    caf::actor actor;    // the stand-in
    caf::actor behind;   // whom it stands in for, at this end
  };
  using table = std::unordered_map<turn_id, stand_in>;

  void forget(table& from, turn_id turn, caf::actor_id which);
  void send(node_id to, const auto& frame) { send_(to, to_bytes(frame)); }

  caf::actor_system& system_;
  io_unit& unit_;
  turn_registry& here_;
  sender send_;
  table turns_;     // turns of other nodes, whose sessions are here
  table sessions_;  // sessions of other nodes, whose turns are here
};

}  // namespace kgents::runtime::cluster
