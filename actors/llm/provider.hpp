#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/io_thread.hpp"

namespace kgents::llm {

struct chat_message {
  std::string role;  ///< "user" or "assistant"
  std::string content;
};

/// What a model is asked. `prefix` is the part of the answer that is already durable: the provider
/// must go on exactly behind it and never say it again.
struct prompt {
  std::string system;
  std::vector<chat_message> messages;  ///< oldest first, the last one is the user's
  std::string prefix;
  std::string mode = "reflect";  ///< persona mode; used by the embedded engine
  bool deep = false;             ///< several paragraphs are wanted
  double temperature = 0.5;
  uint32_t max_tokens = 4000;
};

/// Stable names that clients see in `event: error` (design.md section 10).
enum class error_type : uint8_t {
  provider_unavailable,   ///< refused, unresolvable, 5xx, cut before the first chunk
  provider_timeout,       ///< connect, first chunk, between chunks, whole
  provider_rejected,      ///< 400, 401, 403, 404 …
  provider_rate_limited,  ///< 429
  provider_protocol,      ///< garbage, bad UTF-8, cut in mid-answer
  overloaded,
  internal,
};

[[nodiscard]] std::string_view to_string(error_type x) noexcept;

struct failure {
  error_type type = error_type::internal;
  std::string message;               ///< safe to show; no key, no body of the provider
  uint32_t retry_after_seconds = 0;  ///< from the provider's 429; 0: none
  /// It refused this very request (too long, malformed) and is well otherwise: no news for its
  /// circuit breaker, or one tenant's bad prompts would take it away from all the others.
  bool fault_of_request = false;
};

struct usage {
  uint32_t tokens_in = 0;
  uint32_t tokens_out = 0;
  bool estimated = true;  ///< the provider reported none
};

struct completion {
  std::string finish_reason;  ///< "stop" or "length"
  usage tokens;
  std::string model;
};

/// Where a stream's events go; called on the I/O thread of the stream, never from inside `start`.
struct sink {
  std::function<void(std::string text)>
      delta;                             ///< valid UTF-8 without NUL, 1 to `max_delta_bytes` bytes
  std::function<void(completion)> done;  ///< last
  std::function<void(failure)> failed;   ///< or last
};

constexpr size_t max_delta_bytes =
    4096;  ///< larger deltas of a provider are split at code point boundaries

/// One running answer. Owned by its turn; destroying it cancels: the socket is closed, and nothing
/// is called after. Used and destroyed only on its I/O thread; from inside a sink's function both
/// are allowed.
class stream {
public:
  virtual ~stream() = default;

  /// Allows `n` more deltas. Without credit the provider's socket is not read, so TCP pushes back;
  /// a stream starts with none. Time without credit does not count against the deadline between
  /// chunks. Calls nothing itself.
  virtual void grant(uint32_t n) = 0;
};

struct timeouts {
  std::chrono::milliseconds connect{5'000};
  std::chrono::milliseconds first_chunk{30'000};
  std::chrono::milliseconds between_chunks{30'000};
  std::chrono::milliseconds whole{300'000};
};

/// A model behind a name. Thread-safe: `start` is called from several I/O threads at once.
class provider {
public:
  virtual ~provider() = default;
  [[nodiscard]] virtual std::string_view name() const noexcept = 0;
  [[nodiscard]] virtual std::string_view model() const noexcept { return name(); }

  /// Begins one answer on `thread` (which calls this). Errors arrive through `out.failed`, later.
  [[nodiscard]] virtual std::unique_ptr<stream> start(runtime::io_thread& thread, prompt ask,
                                                      sink out) = 0;
};

}  // namespace kgents::llm
