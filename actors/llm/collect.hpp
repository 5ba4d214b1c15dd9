#pragma once

#include <functional>
#include <memory>
#include <string>
#include <variant>

#include "actors/llm/provider.hpp"

namespace kgents::llm {

struct collected {
  std::string text;
  completion end;  ///< "length" also when `max_bytes` cut the text
};

using collect_result = std::variant<collected, failure>;

/// Asks for a whole answer at once, for short ones that are parsed rather than shown (governance,
/// titles). On the I/O thread.
///
/// `then` is called once, later, on that thread. Destroying the result cancels; from inside `then`
/// it is allowed.
[[nodiscard]] std::unique_ptr<stream> collect(provider& from, runtime::io_thread& thread,
                                              prompt ask, size_t max_bytes,
                                              std::function<void(collect_result)> then);

/// The same from any thread, and not to be cancelled: the provider's deadlines end it. `then` is
/// called on the I/O thread; when that is stopped first, it is not called.
void post_collect(std::shared_ptr<provider> from, runtime::io_thread& thread, prompt ask,
                  size_t max_bytes, std::function<void(collect_result)> then);

}  // namespace kgents::llm
