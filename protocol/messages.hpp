#pragma once

#include <string>
#include <vector>

#include "protocol/cursor.hpp"
#include "protocol/ids.hpp"

/// What is said to entities and answered by them: plain structs, the same within a node and between
/// nodes.
///
/// Empty strings and nil ids mean "not given" where the comment says so.
namespace kgents {

/// Why a request was not done: what the HTTP edge answers. `status` 0: it was done.
struct refusal {
  uint16_t status = 0;
  std::string detail;
  uint32_t retry_after_seconds = 0;  ///< 0: none
  std::string code;                  ///< stable name beside the text; may be empty
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, refusal& x) {
  return f(x.status, x.detail, x.retry_after_seconds, x.code);
}

/// A value or why there is none.
template <class T>
struct answer {
  refusal wrong;
  T value{};

  answer() = default;
  answer(T x) : value(std::move(x)) {}
  answer(refusal x) : wrong(std::move(x)) {}
  [[nodiscard]] bool ok() const noexcept { return wrong.status == 0; }
};

template <class Inspector, class T>
typename Inspector::result_type inspect(Inspector& f, answer<T>& x) {
  return f(x.wrong, x.value);
}

struct session_view {
  session_id id;
  tenant_id tenant;
  bool has_title = false;
  std::string title;
  std::string agent_type;
  std::string status;
  std::string created_at;
  int64_t message_count = 0;
  int64_t tokens_used = 0;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, session_view& x) {
  return f(x.id, x.tenant, x.has_title, x.title, x.agent_type, x.status, x.created_at,
           x.message_count, x.tokens_used);
}

/// -> answer<session_view>
struct get_session {};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, get_session&) {
  return f();
}

/// -> answer<session_view>
struct update_session {
  bool set_title = false;
  bool has_title = false;  ///< false with `set_title`: the title becomes null
  std::string title;
  std::string status;  ///< empty: unchanged
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, update_session& x) {
  return f(x.set_title, x.has_title, x.title, x.status);
}

/// Closes the session and hides it; a running turn is canceled. -> answer<session_view>
struct remove_session {};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, remove_session&) {
  return f();
}

enum class when_busy : uint8_t { queue, reject, interrupt };

/// -> answer<accepted>
struct send_message {
  /// Chosen by who sends it, so that it can be sent again when its answer was lost between nodes:
  /// the turn is begun once. Nil: the session chooses.
  turn_id turn;
  std::string text;
  std::string mode;    ///< lower case; empty: the session's
  std::string budget;  ///< lower case: dormant, whisper, dialogue, deep
  when_busy if_busy = when_busy::queue;
  bool cancel_on_disconnect = false;
  api_key_id key;               ///< nil: none
  std::string tier;  ///< of the tenant, as its credential says: the session's node may not know it
  std::string idempotency_key;  ///< empty: none
  std::string request_hash;     ///< of what must be equal when the key is repeated
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, send_message& x) {
  return f(x.turn, x.text, x.mode, x.budget, x.if_busy, x.cancel_on_disconnect, x.key, x.tier,
           x.idempotency_key, x.request_hash);
}

/// The message is stored and its turn runs, waits, or (`joined`) had been started before.
struct accepted {
  turn_id turn;
  message_id message;
  lease_epoch epoch = 0;
  bool joined = false;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, accepted& x) {
  return f(x.turn, x.message, x.epoch, x.joined);
}

/// Ends the running turn, or the waiting or running one that is named. -> answer<canceled>
struct cancel_turn {
  turn_id turn;  ///< nil: whichever runs
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, cancel_turn& x) {
  return f(x.turn);
}

struct canceled {
  turn_id turn;  ///< nil: nothing was running
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, canceled& x) {
  return f(x.turn);
}

/// A reader asks where to go on. -> answer<attached> (runtime/attach.hpp)
struct attach_reader {
  bool live = true;  ///< from now on (a running turn from its start); else behind `place`
  cursor place;
  bool this_turn = false;  ///< only the turn of `place` is of interest
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, attach_reader& x) {
  return f(x.live, x.place, x.this_turn);
}

/// \name Turn to session and back.
/// @{

/// Chunks in order; `turn` and `epoch` tell which activation of which turn made them.
struct turn_chunks {
  turn_id turn;
  lease_epoch epoch = 0;
  std::vector<std::string> texts;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, turn_chunks& x) {
  return f(x.turn, x.epoch, x.texts);
}

struct turn_finished {
  turn_id turn;
  lease_epoch epoch = 0;
  std::string finish_reason;  ///< stop, length; empty when it failed
  std::string error_type;     ///< empty unless it failed
  std::string error;
  std::string model;
  uint32_t tokens_in = 0;
  uint32_t tokens_out = 0;
  uint32_t retry_after_seconds = 0;  ///< what the provider asked for with its refusal; 0: nothing
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, turn_finished& x) {
  return f(x.turn, x.epoch, x.finish_reason, x.error_type, x.error, x.model, x.tokens_in,
           x.tokens_out, x.retry_after_seconds);
}

/// The turn may send `chunks` more.
struct turn_credit {
  uint32_t chunks = 0;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, turn_credit& x) {
  return f(x.chunks);
}
/// @}

}  // namespace kgents
