#pragma once

#include <caf/actor.hpp>
#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/error.hpp>
#include <optional>

#include "protocol/cluster.hpp"
#include "protocol/messages.hpp"

/// How a session leaves a node while its answer is being made: what is said within the old owner
/// and what the new one gets. Everything else is in PostgreSQL.
namespace kgents::runtime {

/// A running turn whose model call goes on where it is while its session moves.
struct moving_turn {
  entity_id session;
  turn_id turn;
  lease_epoch epoch = 0;  ///< the turn's
  node_id worker;         ///< where its model call runs
  uint32_t credit = 0;    ///< chunks it may still send
  uint32_t prompt_words = 0;
  uint32_t inherited = 0;  ///< chunks that were durable when the epoch began
  uint64_t elapsed_ms = 0;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, moving_turn& x) {
  return f(x.session, x.turn, x.epoch, x.worker, x.credit, x.prompt_words, x.inherited,
           x.elapsed_ms);
}

/// To a session: leave memory as soon as nothing is under way. -> departed, and it is gone. It may
/// be taken back with `stay_on_node`.
struct leave_node {};
struct stay_on_node {};
struct departed {
  bool has_turn = false;
  moving_turn turn;
};

/// To a turn: send nothing more until `turn_home`. -> turn_held, after all that was sent before.
struct turn_hold {};
struct turn_held {
  turn_id turn;
  lease_epoch epoch = 0;
};
/// To a turn: its session is this actor from now on. Node-local.
struct turn_home {
  caf::actor session;
};
/// To the stand-in of a turn that runs on another node: the session leaves, the turn goes on.
struct turn_let_go {};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, leave_node&) {
  return f();
}
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, stay_on_node&) {
  return f();
}
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, departed& x) {
  return f(x.has_turn, x.turn);
}
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, turn_hold&) {
  return f();
}
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, turn_held& x) {
  return f(x.turn, x.epoch);
}
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, turn_let_go&) {
  return f();
}

/// Why an entity ended that PostgreSQL refused to let write: another node owns it.
[[nodiscard]] inline caf::error fenced_error() { return {1, caf::atom("fenced")}; }

}  // namespace kgents::runtime

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(kgents::runtime::turn_home)
