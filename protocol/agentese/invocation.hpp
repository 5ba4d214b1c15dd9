#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "protocol/ids.hpp"

/// What a context entity is asked and what it answers.
namespace kgents::agentese {

/// Who asks, as a lens: it decides what is afforded and how it looks, never what may be changed
/// (that is the credential's part).
struct observer {
  std::string archetype = "guest";
  std::string id = "anonymous";
  std::vector<std::string> capabilities;  ///< effective: requested, and carried by the credential
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, observer& x) {
  return f(x.archetype, x.id, x.capabilities);
}

/// On whose behalf, from the credential alone.
struct caller {
  std::string user;  ///< the credential's user; empty: a key of the tenant itself
  api_key_id key;    ///< nil: none
  std::string tier;
  bool read = false;
  bool write = false;
  bool admin = false;
  /// `resource:write` of proven capability tokens.
  std::vector<std::string> proven;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, caller& x) {
  return f(x.user, x.key, x.tier, x.read, x.write, x.admin, x.proven);
}

/// -> answer<aspect_answer>. Sent to the context entity of a tenant by the logos of any node.
struct invoke_aspect {
  std::string node;    ///< canonical node path, `world.house`
  std::string aspect;
  std::string kwargs;  ///< a JSON object
  observer who;
  caller by;
  std::string origin;     ///< v1, api, gateway, schedule or nested: how strict, and whose mark
  std::string trace_id;   ///< 32 hex digits
  std::string span_id;    ///< 16 hex digits
  uint32_t deadline_ms = 10'000;  ///< from its arrival
  uint8_t depth = 0;      ///< of nested calls
  bool strict = false;    ///< what nobody has defined does not exist
  bool internal = false;  ///< by the server itself: aspects that are in nobody's affordances
  bool check_only = false;  ///< only whether it would be allowed
  bool repeatable = false;  ///< it changes nothing, so it may be asked twice
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, invoke_aspect& x) {
  return f(x.node, x.aspect, x.kwargs, x.who, x.by, x.origin, x.trace_id, x.span_id, x.deadline_ms,
           x.depth, x.strict, x.internal, x.check_only, x.repeatable);
}

enum class answer_kind : uint8_t {
  value,    ///< `body` is the result
  error,    ///< `body` is an error's JSON (protocol/agentese/error.hpp)
  refused,  ///< `body` is a refusal's JSON: declined, not failed
};

struct aspect_answer {
  answer_kind kind = answer_kind::value;
  std::string body;
  uint32_t tokens_in = 0;
  uint32_t tokens_out = 0;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, aspect_answer& x) {
  return f(x.kind, x.body, x.tokens_in, x.tokens_out);
}

}  // namespace kgents::agentese
