#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "actors/cdc/arriving.hpp"
#include "runtime/io_thread.hpp"
#include "sql/cdc.hpp"

/// The outbox relay: every change goes onto the bus before it counts as processed.
namespace kgents::cdc {

using sql::cdc::change;

/// What the bus is given for a change.
struct announcement {
  uuid row;             ///< the same for all changes of a row: they arrive in order
  std::string subject;  ///< events.<table>.<operation>
  std::string id;       ///< the same each time, so that the broker drops repetitions
  std::string payload;  ///< JSON
};

/// A longer row is announced without its data: brokers take a megabyte by default.
inline constexpr size_t announcement_bytes = 256 * 1024;

/// Without what is secret, or says who a user is outside: hashes, addresses, ids at Stripe. Pure.
[[nodiscard]] announcement announce(const change& x);

/// The bus, as it is needed here. Any thread.
struct publisher {
  /// Whether it has a broker at the moment; without one changes wait here, not there.
  std::function<bool()> ready;
  /// Calls back once, on any thread: whether the broker has it.
  std::function<void(announcement, std::function<void(bool)>)> publish;
};

/// How many of the changes from `from` on may be under way beside each other: none of the same row
/// twice, so that a row's changes arrive in order whatever becomes of each. Pure.
[[nodiscard]] size_t window(std::span<const change> changes, size_t from);

class relay {
public:
  relay(runtime::io_thread& thread, publisher bus) : thread_{thread}, bus_{std::move(bus)} {}

  [[nodiscard]] bool ready() const { return bus_.ready(); }

  /// Publishes, in order, those that are not yet; stops at the first failure. An entry for each:
  /// whether the broker has it.
  [[nodiscard]] task<std::vector<bool>> publish(std::span<const change> changes);

private:
  struct under_way;

  runtime::io_thread& thread_;
  const publisher bus_;
  std::shared_ptr<under_way> current_;
};

}  // namespace kgents::cdc
