#pragma once

#include <caf/event_based_actor.hpp>
#include <caf/typed_response_promise.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <typeindex>
#include <unordered_map>

#include "actors/contexts/call.hpp"
#include "actors/persona/governance.hpp"
#include "actors/token_holds.hpp"
#include "runtime/handover.hpp"

namespace kgents::actors {

/// What the contexts of a node work with. Outlives them.
struct context_services {
  caf::actor database;
  const registry* nodes = nullptr;
  /// Asks the model for a whole answer; `done` is called once, on another thread.
  std::function<void(llm::prompt, size_t max_bytes, std::function<void(llm::collect_result)> done)>
      ask_model;
  bool has_model = false;  ///< one beside the embedded engine
  /// Invokes a path through the logos of this node; `done` is called once, on another thread.
  struct nested {
    tenant_id tenant;
    std::string path;
    std::string kwargs;
    agentese::observer who;
    agentese::caller by;
    std::string trace_id;
    std::string parent_span;
    std::string caller_path;
    std::string origin = "nested";
    bool strict = false;
    bool billed = false;
    uint8_t depth = 0;
    bool internal = false;
  };
  struct nested_answer {
    outcome result;
    uint32_t tokens_in = 0;
    uint32_t tokens_out = 0;
  };
  std::function<void(nested, std::function<void(nested_answer)> done)> invoke;
  /// Sends a message to a session, wherever it lives; `done` is called once, on another thread.
  std::function<void(tenant_id, session_id, send_message,
                     std::function<void(answer<accepted>)> done)>
      send_message_to;
  /// One line of the audit log.
  std::function<void(tenant_id, const persona::audit_entry&)> audit;
  /// What only the process knows of its health; any thread. Empty: nothing beyond what is read here.
  std::function<boost::json::object()> vitals;
  std::function<bool(const entity_id&, const caf::actor_addr&)> retire;
};

/// One of the five contexts of one tenant: an entity like a session. It runs the aspects of the
/// nodes under it, each a coroutine; what is long-lived is in PostgreSQL, written under the shard's
/// lease, so losing this actor loses nothing but caches and what was running.
class context : public caf::event_based_actor {
public:
  context(caf::actor_config& config, entity_id id, std::shared_ptr<const context_services> services,
          lease_epoch lease);
  ~context() override;

  const char* name() const override;
  caf::behavior make_behavior() override;
  void on_exit() override;

  /// The question of a client whose answer takes longer than this is given up by the port anyway.
  static constexpr uint8_t max_depth = 8;

private:
  friend class aspect_call;
  using promise = caf::typed_response_promise<answer<agentese::aspect_answer>>;

  struct running {
    running(context& where, uint64_t ticket, agentese::invoke_aspect ask, const node_entry& node,
            const aspect_entry& aspect, std::string_view subpath, boost::json::object args,
            promise p)
        : call{where, ticket, std::move(ask), node, aspect, subpath, std::move(args)},
          out{std::move(p)} {}
    aspect_call call;
    promise out;
    std::chrono::steady_clock::time_point deadline;
    std::optional<agentese::error> failed;
    std::optional<task<outcome>> work;  // last: destroyed first, it uses the call
  };

  struct lock_queue {
    uint64_t holder = 0;
    std::deque<std::pair<uint64_t, std::function<void(aspect_call::guard)>>> waiting;
  };

  caf::result<answer<agentese::aspect_answer>> begin(agentese::invoke_aspect ask);
  /// Whoever was resumed may have ended.
  void settle(uint64_t ticket);
  void finish(uint64_t ticket, outcome what);
  void fail(uint64_t ticket, agentese::error why);
  /// Resumes what waits in that call, if it still runs.
  template <class F>
  void resume(uint64_t ticket, F with) {
    const auto at = running_.find(ticket);
    if (at == running_.end())
      return;
    with();
    settle(ticket);
  }
  void submit(uint64_t ticket, sql::transaction work,
              std::function<void(std::vector<sql::rows>&)> done);
  void ask_model(uint64_t ticket, llm::prompt ask, size_t max_bytes,
                 std::function<void(llm::collect_result)> done);
  void ask_held(usage_id id, uint64_t ticket, llm::prompt ask, size_t max_bytes,
                std::function<void(llm::collect_result)> done);
  [[nodiscard]] static agentese::error refused_tokens(const refusal& why, const aspect_call& call);
  void invoke(uint64_t ticket, context_services::nested what, std::function<void(outcome)> done);
  void send_message_to(uint64_t ticket, session_id to, send_message what,
                       std::function<void(answer<accepted>)> done);
  void lock(uint64_t ticket, std::string key, std::function<void(aspect_call::guard)> done);
  void unlock(const std::string& key);
  void give_lock(const std::string& key);

  void sweep();
  caf::result<runtime::departed> leave();
  void try_to_leave();
  [[nodiscard]] agentese::error database_error(const sql::failure& why, const aspect_call& call);

  const entity_id id_;
  const std::shared_ptr<const context_services> services_;
  const lease_epoch lease_;
  uint64_t next_ticket_ = 0;
  std::unordered_map<std::type_index, std::shared_ptr<void>> live_;
  std::unordered_map<std::string, lock_queue> locks_;
  std::unordered_map<uint64_t, std::unique_ptr<running>> running_;  // bounded by the entity's permits
  std::unordered_map<uint64_t, std::function<void(llm::collect_result)>> asking_;
  std::unordered_map<uint64_t, std::function<void(outcome)>> invoking_;
  std::unordered_map<uint64_t, std::function<void(answer<accepted>)>> sending_;
  uint64_t next_question_ = 0;
  token_holds holds_;
  std::optional<caf::typed_response_promise<runtime::departed>> leaving_;
  std::chrono::steady_clock::time_point leave_by_{};
  std::chrono::steady_clock::time_point last_use_{};
  bool sweeping_ = false;
  bool quitting_ = false;
};

}  // namespace kgents::actors
