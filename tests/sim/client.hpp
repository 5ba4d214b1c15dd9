#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/reader.hpp"

namespace kgents::sim {

struct world;
class process;

/// Sends one session its messages, one after the other, each until it is acknowledged: again, by
/// another node, under the same turn id.
class poster {
public:
  poster(world& all, size_t which, uint64_t messages) : all_{all}, which_{which}, left_{messages} {}
  void next();
  [[nodiscard]] bool done() const { return left_ == 0; }
  [[nodiscard]] sim_time last_stored() const { return last_stored_; }
  [[nodiscard]] size_t which() const { return which_; }
  std::set<turn_id> acknowledged;

private:
  void post();

  world& all_;
  const size_t which_;
  uint64_t left_;
  uint64_t number_ = 0;
  uint64_t attempt_ = 0;
  sim_time last_stored_{};
};

/// Follows one session from its first turn on, through whatever node it can reach, and checks each
/// event as a client would.
class follower {
public:
  follower(world& all, size_t which, bool slow) : all_{all}, which_{which}, slow_{slow} {}

  void connect();
  /// Its node was killed, or says nothing any more.
  void node_lost(const process& node);

  struct answer {
    turn_id turn;
    std::vector<std::string> chunks;
    bool complete = false;
  };
  std::vector<answer> heard;
  [[nodiscard]] size_t which() const { return which_; }
  [[nodiscard]] std::string where() const;

private:
  void reconnect(sim_time after);
  void pull(uint64_t generation);
  void hear(const stream_event& x);

  world& all_;
  const size_t which_;
  const bool slow_;
  process* node_ = nullptr;
  std::shared_ptr<reader> reader_;
  std::string last_event_id_;
  uint64_t generation_ = 0;
  bool pulling_ = false;
};

}  // namespace kgents::sim
