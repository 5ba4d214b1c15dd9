#pragma once

#include <atomic>
#include <boost/json/object.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "actors/outbound/http_client.hpp"
#include "protocol/messages.hpp"
#include "runtime/io_thread.hpp"
#include "runtime/settings.hpp"

namespace kgents::billing {

/// A call of Stripe's API; made by the functions of stripe_requests.hpp.
struct stripe_request {
  std::string method = "GET";
  std::string target;  ///< "/v1/customers", escaped
  std::string form{};  ///< application/x-www-form-urlencoded
  /// The same for every repetition; empty for what changes nothing. (docs.stripe.com/api,
  /// "Idempotent requests")
  std::string idempotency_key{};
};

/// Stripe's object, or how the client is answered: 402 for a card, 400 for what Stripe finds wrong
/// with a parameter, 404, 409, 502 when Stripe fails or refuses us, 503 when it cannot be reached
/// or is busy.
using stripe_result = std::variant<boost::json::object, refusal>;

/// The answer to a call that got this one.
[[nodiscard]] stripe_result read_stripe_answer(const outbound::http_result& got);

/// Whether the same call may succeed a moment later: no answer, 409, 429, 5xx.
[[nodiscard]] bool worth_repeating(const outbound::http_result& got) noexcept;

/// Calls of Stripe's API: 10 s each, two repetitions under the same idempotency key, so that a
/// repeated call never does its work twice. Bounded calls at once.
class stripe_api {
public:
  /// Calls under way; more are refused with 503.
  static constexpr size_t most_calls = 64;
  static constexpr int most_attempts = 3;

  /// `pause`: before the first repetition; twice that before the second.
  explicit stripe_api(const runtime::stripe_settings& config,
                      std::chrono::milliseconds pause = std::chrono::milliseconds{500});
  ~stripe_api();

  /// From any thread; `done` comes once, on `thread`.
  void call(runtime::io_thread& thread, stripe_request what,
            std::function<void(stripe_result)> done);

private:
  class running;
  outbound::http_client client_;
  const std::string header_lines_;  // a secret is in it
  const std::chrono::milliseconds pause_;
  std::shared_ptr<std::atomic<size_t>> calls_ = std::make_shared<std::atomic<size_t>>(0);
};

}  // namespace kgents::billing
