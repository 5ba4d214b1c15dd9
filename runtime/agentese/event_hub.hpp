#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "runtime/agentese/subscription.hpp"
#include "runtime/io_thread.hpp"

namespace kgents::runtime::agentese {

class event_reader;

using event_batch = std::shared_ptr<const std::vector<event_ptr>>;

/// The subscribers of one I/O thread, by tenant. The feed posts a page of events once per thread,
/// however many subscribers it has there.
///
/// Everything on that thread.
class event_hub {
public:
  /// Asks the feed for a tenant's events, and says that they are no longer wanted. A stay has a
  /// number, so that what was posted for an earlier one is told apart.
  struct feed_calls {
    std::function<void(tenant_id, uint64_t stay)> want;
    std::function<void(tenant_id, uint64_t stay)> leave;
  };

  event_hub(io_thread& thread, feed_calls feed) : thread_{thread}, feed_{std::move(feed)} {}
  event_hub(const event_hub&) = delete;
  event_hub& operator=(const event_hub&) = delete;

  [[nodiscard]] io_thread& thread() noexcept { return thread_; }

  /// The reader hears `begun`, maybe at once, or `failed`. Returns its number on this thread.
  uint64_t add(event_reader& reader);
  /// Not called any more, also when this is said in the middle of a round.
  void remove(event_reader& reader);

  /// Newest seq that was given to this thread's readers of the tenant.
  [[nodiscard]] int64_t last_seq(tenant_id tenant) const;

  [[nodiscard]] event_reader* find(tenant_id tenant, uint64_t number) const;
  [[nodiscard]] std::vector<event_reader*> readers_of(tenant_id tenant) const;

  /// \name From the feed.
  /// @{
  void begun(tenant_id tenant, uint64_t stay, int64_t seq);
  void failed(tenant_id tenant, uint64_t stay);
  void deliver(tenant_id tenant, uint64_t stay, const event_batch& events);
  void wake_all();
  /// @}

private:
  struct audience {
    std::vector<event_reader*> readers;
    uint64_t stay = 0;
    int64_t last_seq = 0;
    bool begun = false;
  };

  audience* expected(tenant_id tenant, uint64_t stay);
  template <class F>
  void each(const std::vector<event_reader*>& readers, F f);

  io_thread& thread_;
  feed_calls feed_;
  std::unordered_map<tenant_id, audience> audiences_;
  std::unordered_map<uint64_t, event_reader*> numbers_;
  std::vector<event_reader*> round_;  // who is being told; those that leave meanwhile become null
  uint64_t next_ = 0;
};

}  // namespace kgents::runtime::agentese
