#pragma once

#include <caf/actor_system.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <unordered_map>

#include "protocol/messages.hpp"
#include "runtime/limits.hpp"
#include "runtime/pinned_actor.hpp"
#include "runtime/region.hpp"

namespace kgents::runtime {

/// How code on an I/O thread talks to entities: an actor that lives on that thread. One per thread.
///
/// `ask` sends under a permit and calls back exactly once on the same thread: with the entity's
/// answer, or with a refusal (503 not admitted or lost with its entity, 504 past the deadline).
/// Deadlines are checked by one timer per thread: a CAF request timeout would wake the clock's
/// thread for each request.
class port : public pinned_actor {
public:
  port(caf::actor_config& config, io_unit* unit, region& entities,
       timer_wheel::clock::duration deadline = limits::entity_deadline);

  const char* name() const override { return "port"; }
  caf::behavior make_behavior() override;

  /// On this thread. `T` is what `answer<T>` holds.
  template <class T, class Message>
  void ask(const entity_id& to, Message message, std::function<void(answer<T>)> done) {
    auto admitted = entities_.admit(to);
    if (auto* no = std::get_if<admission_refusal>(&admitted)) {
      done(answer<T>{refused(*no)});
      return;
    }
    auto permit = std::get<region::permit>(std::move(admitted));
    const auto target = permit.actor();
    const auto ticket =
        remember(to, std::move(permit), [done](refusal why) { done(answer<T>{std::move(why)}); });
    request(target, caf::infinite, std::move(message))
        .then(
            [this, ticket, done](answer<T>& x) {
              if (forget(ticket))
                done(std::move(x));
            },
            [this, ticket](const caf::error&) { lost(ticket); });
  }

  /// From any thread: this entity crashed; those who wait for it are told.
  void entity_lost(const entity_id& id);

  /// On this thread: asks that wait for an answer.
  [[nodiscard]] size_t waiting() const noexcept { return waiting_.size(); }

private:
  struct asked {
    entity_id to;
    region::permit permit;
    std::function<void(refusal)> fail;
  };

  static refusal refused(admission_refusal why);
  uint64_t remember(const entity_id& to, region::permit permit, std::function<void(refusal)> fail);
  bool forget(uint64_t ticket);
  void lost(uint64_t ticket);
  void sweep();

  region& entities_;
  const timer_wheel::clock::duration deadline_;
  std::unordered_map<uint64_t, asked> waiting_;
  std::deque<std::pair<timer_wheel::clock::time_point, uint64_t>> deadlines_;
  wheel_timer sweeper_;
  uint64_t next_ = 0;
};

/// The ports of a node, one per I/O thread. Spawned before the threads start, ended after they
/// stopped.
class ports {
public:
  ports(caf::actor_system& system, io_threads& threads, region& entities);
  ~ports();

  [[nodiscard]] port& operator[](size_t thread) noexcept { return *ports_[thread]; }
  [[nodiscard]] io_unit& unit(size_t thread) noexcept { return *units_[thread]; }
  void entity_lost(const entity_id& id);
  void stop();

private:
  std::vector<std::unique_ptr<io_unit>> units_;
  std::vector<caf::actor> handles_;
  std::vector<port*> ports_;
};

}  // namespace kgents::runtime
