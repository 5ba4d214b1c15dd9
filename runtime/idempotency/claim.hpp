#pragma once

#include <cstdint>
#include <string>

namespace kgents::runtime::idempotency {

enum class claim_state : uint8_t {
  fresh,        ///< nobody has: it is the caller's to do, and then to `complete` or `release`
  in_progress,  ///< somebody does it
  done,
};

struct claimed {
  claim_state state = claim_state::fresh;
  std::string token;   ///< fresh: proves whose claim it is
  std::string answer;  ///< done: what `complete` was given
};

}  // namespace kgents::runtime::idempotency
