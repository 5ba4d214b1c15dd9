#pragma once

#include <caf/event_based_actor.hpp>
#include <caf/typed_response_promise.hpp>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "actors/llm/collect.hpp"
#include "actors/persona/dialogue.hpp"
#include "actors/persona/governance.hpp"
#include "actors/token_holds.hpp"
#include "protocol/entity.hpp"
#include "protocol/messages.hpp"
#include "runtime/database.hpp"

namespace kgents {

/// -> answer<soul_answer>
struct soul_dialogue {
  std::string text;
  std::string mode;    ///< lower case
  std::string budget;  ///< lower case
  api_key_id key;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, soul_dialogue& x) {
  return f(x.text, x.mode, x.budget, x.key);
}

/// -> answer<soul_answer>
struct soul_governance {
  std::string action;
  std::string reason;
  uint64_t severity_bits = 0;  ///< of a double: CAF 0.17 does not carry every double
  std::string user;
  api_key_id key;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, soul_governance& x) {
  return f(x.action, x.reason, x.severity_bits, x.user, x.key);
}

struct soul_answer {
  std::string body;  ///< JSON, as http-api.md 8.1 and 8.2 have it
  uint32_t tokens_used = 0;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, soul_answer& x) {
  return f(x.body, x.tokens_used);
}

}  // namespace kgents

namespace kgents::actors {

struct soul_services {
  caf::actor database;
  /// Asks the model for a whole answer; `done` is called once, on another thread.
  std::function<void(llm::prompt, size_t max_bytes, std::function<void(llm::collect_result)> done)>
      ask;
  bool has_model = false;  ///< one beside the embedded engine: governance asks only such a one
  std::function<bool(const entity_id&, const caf::actor_addr&)> retire;
  /// One line of the audit log.
  std::function<void(tenant_id, const persona::audit_entry&)> audit;
};

/// The soul behind `/v1/soul/*` of one user of a tenant: its mode and counters. What is said there
/// is not stored, only what it cost.
class soul : public caf::event_based_actor {
public:
  soul(caf::actor_config& config, entity_id id, std::shared_ptr<const soul_services> services);

  const char* name() const override { return "soul"; }
  caf::behavior make_behavior() override;

private:
  using promise = caf::typed_response_promise<answer<soul_answer>>;
  using model_done = std::function<void(llm::collect_result)>;

  void dialogue(const soul_dialogue& ask, promise out);
  void govern(const soul_governance& ask, promise out);
  /// The tokens are held back as `id`, until that is charged; without them `out` is refused.
  void ask_model(usage_id id, api_key_id key, persona::model_request ask, promise out,
                 model_done done);
  void charge(usage_id id, api_key_id key, std::string_view endpoint, const llm::usage& tokens,
              promise out, std::string body, std::optional<sql::statement> record = {});

  const entity_id id_;
  const std::shared_ptr<const soul_services> services_;
  persona::soul_state state_;
  token_holds holds_;
  uint64_t asked_ = 0;
  std::unordered_map<uint64_t, model_done> asking_;  // bounded by the entity's permits
  std::chrono::steady_clock::time_point last_use_{};
};

}  // namespace kgents::actors
