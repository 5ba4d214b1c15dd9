#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "actors/contexts/call.hpp"
#include "actors/persona/random.hpp"
#include "protocol/ids.hpp"
#include "sql/agentese_entropy.hpp"

/// The pool that all nodes of void share (agentese.md section 8.4).
namespace kgents::actors::void_nodes {

/// The path that tells of the pool's changes, whoever drew.
inline constexpr std::string_view pool_node = "void.entropy";

struct draw_request {
  sql::nano_amount amount;
  std::string_view action;  ///< static storage
  std::optional<double> seed{};
  std::optional<uuid> grant{};
};

struct drawn {
  bool done = false;  ///< false: less than that remained, and nothing was written
  sql::nano_amount remaining;
};

/// Draws, whole or not at all. Under the lock `entropy`: a refused draw must not look like a
/// change, which a statement could only say after it is committed.
[[nodiscard]] task<drawn> draw(aspect_call& c, draw_request what);

/// Whether that much is there now. For what asks a model first and draws when it has the answer:
/// then nothing needs to be given back when the model's time is up.
[[nodiscard]] task<drawn> affordable(aspect_call& c, sql::nano_amount amount);

/// Adds a tithe's regeneration; what remains then.
[[nodiscard]] task<sql::nano_amount> regenerate(aspect_call& c);

/// `entropy.sip` and every generic node's.
[[nodiscard]] task<outcome> sip(aspect_call& c);
/// `gratitude.tithe` and every generic node's.
[[nodiscard]] task<outcome> tithe(aspect_call& c);

/// The normal answer of serendipity and pataphysics when the pool cannot pay.
[[nodiscard]] outcome exhausted(const drawn& got, sql::nano_amount requested);

/// In [0, 1), evenly, deterministic.
[[nodiscard]] constexpr double unit_of(uint64_t seed) noexcept {
  constexpr double two_to_53 = 9007199254740992.0;
  return static_cast<double>(persona::random_choice{seed}.next() >> 11) / two_to_53;
}

/// The remaining amount as the last write left it; this actor is the pool's only writer, and the
/// statements check again.
struct pool_view {
  std::optional<sql::nano_amount> remaining;
};

inline constexpr std::string_view pool_lock = "entropy";

// What `sip` and `tithe` are declared with.
inline constexpr argument sip_args[] = {{.name = "amount",
                                         .type = argument_type::number,
                                         .default_json = "0.1",
                                         .meaning = "more than 0, at most what remains"}};
inline constexpr std::string_view sip_shape =
    "{amount: number, seed: number, source: string, grant: string, remaining: number}";
inline constexpr std::string_view tithe_shape =
    "{gratitude: string, regenerated: number, remaining: number}";
inline constexpr std::string_view exhausted_shape =
    "{status: 'budget_exhausted', remaining: number, requested: number}";

}  // namespace kgents::actors::void_nodes
