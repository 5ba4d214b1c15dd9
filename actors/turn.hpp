#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/llm/provider.hpp"
#include "protocol/messages.hpp"
#include "runtime/handover.hpp"
#include "runtime/pinned_actor.hpp"

namespace kgents::actors {

/// One running answer: a model call and its stream, on the I/O thread of the provider's socket, so
/// that a chunk reaches this actor without a hop. Sends its session `turn_chunks` under the credit
/// it is given and at last one `turn_finished`; ends when the session does.
///
/// When the session moves to another node the turn stays where its socket is: it holds back what it
/// has, within its credit, until it hears of its session's new home.
class turn : public runtime::pinned_actor {
public:
  struct task {
    turn_id id;
    lease_epoch epoch = 0;
    llm::prompt ask;
    caf::actor session;
    std::shared_ptr<llm::provider> provider;
  };

  turn(caf::actor_config& config, runtime::io_unit* unit, runtime::io_thread& thread, task what);

  const char* name() const override { return "turn"; }
  caf::behavior make_behavior() override;
  void on_exit() override;

private:
  void flush();
  void finish(turn_finished last);
  void go_home(const caf::actor& session);

  runtime::io_thread& thread_;
  task task_;
  std::unique_ptr<llm::stream> stream_;
  std::vector<std::string> pending_;
  std::optional<turn_finished> last_;  // said while its session was on the move
  bool flushing_ = false;
  bool held_ = false;
  uint32_t holds_ = 0;
};

}  // namespace kgents::actors
