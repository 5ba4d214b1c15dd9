#pragma once

#include <caf/event_based_actor.hpp>
#include <chrono>
#include <functional>
#include <unordered_map>
#include <unordered_set>

#include "actors/llm/provider.hpp"
#include "protocol/messages.hpp"
#include "sql/token_budget.hpp"

namespace kgents::actors {

/// Holds back tokens of the monthly budget before an actor asks a model. Part of that actor; its
/// functions are called there, and so is what they are given.
class token_holds {
public:
  token_holds(caf::event_based_actor* self, caf::actor database, tenant_id tenant)
      : self_{self}, database_{std::move(database)}, tenant_{tenant} {}

  /// `most`: what may be used, 0 without a limit. `why.status` 0: go ahead.
  using held = std::function<void(refusal why, uint64_t most)>;
  void hold(usage_id id, api_key_id key, const sql::token_need& need, held done);

  /// Makes the question fit into what could be held.
  using asked = std::function<void(refusal why, llm::prompt ask)>;
  void hold(usage_id id, api_key_id key, llm::prompt ask, asked done);

  /// Nothing was used of it.
  void release(usage_id id) { keep(id, 0); }
  /// Its usage event is about to be written, which ends the hold in the same transaction.
  void charged(usage_id id) { held_.erase(id); }
  /// So much was used, and its usage event comes by the journal, within seconds: until then it stays
  /// held. The event has another id, so the two overlap for a moment, which errs on the safe side.
  void keep(usage_id id, uint64_t tokens);

private:
  caf::event_based_actor* self_;
  caf::actor database_;
  tenant_id tenant_;
  std::unordered_set<usage_id> held_;  // bounded by the questions of the actor
  /// Keys without any limit, and until when that is believed: they cost no transaction then.
  std::unordered_map<api_key_id, std::chrono::steady_clock::time_point> unlimited_;
};

}  // namespace kgents::actors
