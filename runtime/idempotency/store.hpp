#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "runtime/idempotency/claim.hpp"
#include "runtime/idempotency/limits.hpp"
#include "runtime/settings.hpp"
#include "runtime/telemetry/redis_metrics.hpp"

/// Who does what only once: a fast answer to "has this been done, or is it being done?".
///
/// In Redis where there is one, so that all nodes share it, and in this node's memory, which also
/// stands in while Redis is away. Neither is the truth: what must never happen twice is decided by
/// PostgreSQL. (Marking before the work loses it in a crash, marking after it lets two do it; hence
/// claim and complete.)
namespace kgents::runtime::idempotency {

struct store_status {
  bool configured = false;  ///< REDIS_URL is set
  bool connected = false;
  std::string error;  ///< why not, as last seen; names no secret
};

/// Any thread. Requests may hold it longer than its node lives: after `stop` it needs no thread.
class store {
public:
  /// Empty URL: memory only. `context` must run longer than `stop`.
  store(boost::asio::io_context& context, const secret& redis_url, redis_metrics& counted);
  ~store();
  store(const store&) = delete;
  store& operator=(const store&) = delete;

  /// Never fails and takes at most `command_deadline`: without Redis the answer is this node's own.
  /// `done` comes on the context's thread. Nobody else gets the claim for `for_at_most`.
  void claim(std::string id, std::chrono::seconds for_at_most, std::function<void(claimed)> done);

  /// It has been done; whoever asks within `keep` gets `answer`, which may be empty. A claim that
  /// another took over since is left to that one.
  void complete(std::string id, std::string token, std::string answer, std::chrono::seconds keep);

  /// It has not been done: the next may.
  void release(std::string id, std::string token);

  [[nodiscard]] store_status status() const;

  /// Ends the connection; every later claim is fresh. Any number of times.
  void stop();

private:
  class impl;
  std::shared_ptr<impl> impl_;
};

}  // namespace kgents::runtime::idempotency
