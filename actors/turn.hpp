#pragma once

#include <memory>
#include <string>
#include <vector>

#include "actors/llm/provider.hpp"
#include "protocol/messages.hpp"
#include "runtime/pinned_actor.hpp"

namespace kgents::actors {

/// One running answer: a model call and its stream, on the I/O thread of the provider's socket, so
/// that a chunk reaches this actor without a hop. Sends its session `turn_chunks` under the credit
/// it is given and at last one `turn_finished`; ends when the session does.
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

  runtime::io_thread& thread_;
  task task_;
  std::unique_ptr<llm::stream> stream_;
  std::vector<std::string> pending_;
  bool flushing_ = false;
};

}  // namespace kgents::actors
