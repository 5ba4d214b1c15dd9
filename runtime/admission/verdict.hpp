#pragma once

#include <cstdint>
#include <functional>
#include <optional>

namespace kgents::runtime {

/// Whether a request may go on.
struct verdict {
  bool allowed = true;
  bool hourly = false;       ///< refused by the hour's limit
  bool unavailable = false;  ///< refused because nobody could say
  uint32_t retry_after_seconds = 0;
};

/// Called once, on any thread.
using verdict_handler = std::function<void(verdict)>;

/// What became of a request that takes from a block of permits.
struct taken {
  std::optional<verdict> at_once;  ///< none: its handler is called later
  bool ask = false;                ///< who took has to ask for a new block, for all that wait
};

}  // namespace kgents::runtime
