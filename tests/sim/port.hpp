#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <variant>

#include "tests/sim/session.hpp"

namespace kgents::sim {

using question = std::variant<turn_id, attach_question>;

/// How entities are asked, wherever they are: runtime/port.cpp and the questions of mesh.cpp.
class port {
public:
  static constexpr int from_here = 2;
  static constexpr int not_here_status = 421;

  explicit port(process& home) : home_{home} {}

  void ask(size_t which, question what, std::function<void(reply)> done, int forwards = from_here);
  /// Another node's entity, without any second try; 0: lost.
  void ask_there(node_id owner, size_t which, question what, int forwards,
                 std::function<void(reply)> done);
  void entity_lost(size_t which, bool moved);
  void routes_changed();
  void link_down(node_id peer);
  [[nodiscard]] size_t waiting() const { return waiting_.size(); }

private:
  struct asked {
    size_t which;
    question what;
    std::function<void(reply)> done;
    int forwards;
    lease_epoch epoch = 0;
    std::weak_ptr<session> target;  // it holds a permit of
    bool here = false;
  };
  struct remote_question {
    node_id owner;
    std::function<void(reply)> done;
  };

  void attempt(uint64_t ticket);
  void park(uint64_t ticket);
  void wake_parked();
  void answered(uint64_t ticket, reply x);
  void not_here(uint64_t ticket);
  void lost(uint64_t ticket, bool moved);
  void fail(uint64_t ticket, int status);
  void release(asked& x);
  void heard(uint64_t number, reply out);

  process& home_;
  std::map<uint64_t, asked> waiting_;
  std::set<uint64_t> parked_;
  std::map<size_t, int> parked_sessions_;
  std::map<uint64_t, remote_question> questions_;
  uint64_t next_ = 0;
  bool waking_ = false;
};

}  // namespace kgents::sim
