#pragma once

#include <boost/json/value.hpp>
#include <cstdint>
#include <optional>
#include <string>

namespace kgents {

/// What a caller did wrong or what could not be done for it: the value every layer returns instead
/// of throwing. `status` is the HTTP status; `detail` is safe to show (no internals, no secrets).
struct problem {
  uint16_t status = 500;
  boost::json::value detail = "Internal Server Error";
  std::optional<uint32_t> retry_after_seconds;  ///< sent as Retry-After
  boost::json::object extra;                    ///< members beside `detail`, e.g. code, resource

  problem() = default;
  problem(uint16_t code, std::string_view text) : status{code}, detail(text) {}
  problem(uint16_t code, std::string_view text, uint32_t retry_after)
      : status{code}, detail(text), retry_after_seconds{retry_after} {}
};

}  // namespace kgents
