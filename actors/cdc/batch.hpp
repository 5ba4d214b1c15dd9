#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sql/cdc.hpp"

/// What a batch of changes asks of the index, and what becomes of each change. Pure.
namespace kgents::cdc {

using sql::cdc::change;
using sql::cdc::result;

/// Before attempt `failed` + 1: 100 ms, doubled with each failure, at most 10 s.
[[nodiscard]] std::chrono::milliseconds retry_delay(uint32_t failed) noexcept;

/// Which changes of a batch are applied. Of a row's only the newest is; the older ones share what
/// becomes of it.
struct batch_plan {
  enum class part : uint8_t {
    nothing,  ///< its part in the index is over, or not due
    over,     ///< not vectorised, or a later change is in the index already: settled untouched
    apply,
    follow,  ///< a later change of the row is in the batch
  };
  std::vector<part> parts;       ///< of each change
  std::vector<size_t> newest;    ///< of each that follows: the one that decides
  std::vector<size_t> together;  ///< to apply, in few calls
  std::vector<size_t> alone;     ///< to apply one by one: they have failed in company
};

/// `changes` are in order of their ids; `vectorised` says of which tables rows become points.
[[nodiscard]] batch_plan plan_batch(std::span<const change> changes,
                                    const std::function<bool(const std::string&)>& vectorised);

/// How applying a change ended.
struct applied {
  enum class how : uint8_t {
    done,
    failed,     ///< because of the change, as far as one can tell: one of its attempts
    put_off,    ///< because the service is away: not its fault
    untouched,  ///< not tried: no time was left
    invalid,    ///< can never succeed
  };
  how what = how::untouched;
  std::string error{};
  bool embedding = false;  ///< it was the embedding that failed
};

/// What is told to the database. `ends` has one entry for each change that was to be applied, and
/// `published` says which the bus has got.
[[nodiscard]] std::vector<result> conclude(std::span<const change> changes, const batch_plan& plan,
                                           const std::vector<applied>& ends,
                                           const std::vector<bool>& published,
                                           uint32_t max_attempts);

/// How far the index is behind: the last 100 times from change to acknowledgement. One thread.
class lag_tracker {
public:
  static constexpr size_t samples = 100;

  void add(std::chrono::duration<double, std::milli> x);
  [[nodiscard]] double last() const noexcept;
  [[nodiscard]] double most() const noexcept;
  [[nodiscard]] double average() const noexcept;
  /// 1 without lag, 0 from an average of 5 s on (data.md 11.1).
  [[nodiscard]] double coherency() const noexcept;

private:
  std::deque<double> last_;
};

}  // namespace kgents::cdc
