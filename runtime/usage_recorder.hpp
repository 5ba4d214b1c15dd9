#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "protocol/ids.hpp"
#include "sql/pool.hpp"

namespace kgents::runtime {

/// What the recorder counts. `dropped` on the thread of `request`, the others on the recorder's.
struct usage_probe {
  std::function<void(uint64_t requests)> written = [](uint64_t) {};
  std::function<void()> retried = [] {};
  /// `why`: `full` (the store is away and too many kinds wait) or `rejected`.
  std::function<void(uint64_t requests, const char* why)> dropped = [](uint64_t, const char*) {};
};

/// Counts every authenticated request (`api.request`, events-and-billing.md 3.4) and writes the
/// counts behind: equal requests of a moment are one row, many rows one statement.
///
/// It never holds up or fails a request. While PostgreSQL is away it goes on counting, up to a
/// bound of different kinds; a commit that fails is tried again with the same ids, so nothing is
/// counted twice. A kill -9 loses what was counted in the last moment; what costs money – tokens,
/// invocations – is not counted here.
class usage_recorder {
public:
  /// Equal requests are put together for so long (events-and-billing.md 3.4).
  static constexpr auto write_every = std::chrono::milliseconds{250};
  /// Rows of one statement (the same).
  static constexpr size_t batch_rows = 100;
  /// Kinds of request that wait at most, of all tenants. Section 3.4 says 1,000 single events; a
  /// kind stands for any number of requests, and this many take 2 MiB.
  static constexpr size_t most_waiting = 10'000;
  static constexpr auto retry_first = std::chrono::milliseconds{100};
  static constexpr auto retry_most = std::chrono::milliseconds{2000};
  static constexpr auto commit_deadline = std::chrono::milliseconds{5000};

  struct request {
    tenant_id tenant;
    api_key_id key;
    std::string_view method;    ///< of the route's table: must live as long as the program …
    std::string_view endpoint;  ///< … and so must its template
    uint16_t status = 0;
  };

  /// `control` is the pool of kg_control, on `context`; it must outlive this. `threads`: how many
  /// count at the same time.
  usage_recorder(boost::asio::io_context& context, sql::pool& control, size_t threads,
                 usage_probe probe = {});
  ~usage_recorder();
  usage_recorder(const usage_recorder&) = delete;
  usage_recorder& operator=(const usage_recorder&) = delete;

  /// `thread` below `threads`; any thread, but fast only when each has a number of its own. No
  /// allocation for a kind that has come since the last write.
  void count(size_t thread, const request& x,
             std::chrono::system_clock::time_point now = std::chrono::system_clock::now());

  /// Kinds that are not written yet. Any thread.
  [[nodiscard]] size_t waiting() const noexcept;

  /// From any thread but the context's: writes what was counted so far, waits at most that long.
  /// False when something was left.
  bool flush(std::chrono::milliseconds at_most);

private:
  class impl;
  std::shared_ptr<impl> impl_;
};

}  // namespace kgents::runtime
