#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "protocol/cluster.hpp"
#include "protocol/ids.hpp"
#include "tests/sim/timeline.hpp"

namespace kgents::sim {

class process;
class session;

/// Whom a session talks to about its running turn: the model call itself, or the stand-in of one
/// that runs on another node (runtime/cluster/away.hpp).
class turn_handle {
public:
  virtual ~turn_handle() = default;
  virtual void credit(uint32_t chunks) = 0;
  virtual void hold() = 0;
  virtual void resume() = 0;
  virtual void stop() = 0;
  virtual void let_go() = 0;  ///< the session leaves, the turn goes on
};

/// The model calls of one node and its stand-ins for those of others.
class turns {
public:
  explicit turns(process& home) : home_{home} {}
  ~turns();

  [[nodiscard]] std::shared_ptr<turn_handle> start(const std::shared_ptr<session>& whose,
                                                   turn_id turn, lease_epoch epoch, uint32_t done,
                                                   uint32_t total);
  /// Null when it is not here any more.
  [[nodiscard]] std::shared_ptr<turn_handle> adopt(node_id where, turn_id turn, lease_epoch epoch,
                                                   const std::shared_ptr<session>& whose);
  /// The session has ended without a word to its turn.
  void session_over(const session& whose);
  void link_down(node_id peer);
  [[nodiscard]] size_t running() const { return calls_.size(); }

private:
  struct call;
  struct local;
  struct remote;
  /// Beside a call: the session that lives on another node.
  struct away {
    node_id peer;
    std::shared_ptr<call> what;
  };

  void on_adopt(node_id from, turn_id turn);
  void on_order(node_id from, turn_id turn, const std::function<void(call&, turns&)>& order);
  void on_word(node_id from, turn_id turn, const std::function<void(session&)>& word);
  void gone(node_id from, turn_id turn);
  void say(const char* what, turn_id turn) const;
  void hold(call& x);
  void go_home(call& x);
  void next_chunk(const std::shared_ptr<call>& x);
  void tell(call& x, std::function<void(session&)> word);
  void end(call& x);
  void forget(const remote& x);

  process& home_;
  std::map<turn_id, std::shared_ptr<call>> calls_;
  std::map<turn_id, node_id> homes_;  // of calls whose sessions are on other nodes
  std::map<turn_id, std::shared_ptr<remote>> stand_ins_;
};

}  // namespace kgents::sim
