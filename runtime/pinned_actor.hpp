#pragma once

#include <boost/asio/post.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/execution_unit.hpp>
#include <caf/resumable.hpp>
#include <caf/scheduler/abstract_coordinator.hpp>

#include "runtime/io_thread.hpp"

namespace kgents::runtime {

/// Runs pinned actors on an I/O thread. One per thread; outlives its actors.
class io_unit : public caf::execution_unit {
public:
  io_unit(caf::actor_system& system, io_thread& thread)
      : caf::execution_unit(&system), thread_{thread} {}

  void exec_later(caf::resumable* job) override {
    // Senders pass their own execution unit as a hint: without this check every ordinary actor that
    // a pinned one wakes would run on the I/O thread (field notes, section 5).
    if (job->subtype() != caf::resumable::io_actor) {
      system().scheduler().enqueue(job);
      return;
    }
    boost::asio::post(thread_.context(), [this, job] {
      switch (job->resume(this, max_throughput)) {
        case caf::resumable::resume_later:
          exec_later(job);
          break;
        case caf::resumable::shutdown_execution_unit:
          break;
        default:
          caf::intrusive_ptr_release(job);
      }
    });
  }

  [[nodiscard]] io_thread& thread() noexcept { return thread_; }

private:
  static constexpr size_t max_throughput = 64;
  io_thread& thread_;
};

/// An actor that lives on an I/O thread, beside the socket it works with: what it gets from that
/// socket costs no hop.
///
/// With a null unit it is an ordinary actor: so it runs under CAF's deterministic scheduler in unit
/// tests.
class pinned_actor : public caf::event_based_actor {
public:
  pinned_actor(caf::actor_config& config, io_unit* unit)
      : caf::event_based_actor(config), unit_{unit} {}

  void enqueue(caf::mailbox_element_ptr message, caf::execution_unit* hint) override {
    caf::event_based_actor::enqueue(std::move(message), unit_ != nullptr ? unit_ : hint);
  }

  void launch(caf::execution_unit* hint, bool lazy, bool hide) override {
    if (unit_ != nullptr)
      context(unit_);
    caf::event_based_actor::launch(unit_ != nullptr ? unit_ : hint, lazy, hide);
  }

  subtype_t subtype() const override {
    return unit_ != nullptr ? caf::resumable::io_actor : caf::event_based_actor::subtype();
  }

protected:
  [[nodiscard]] io_unit* unit() const noexcept { return unit_; }

private:
  io_unit* unit_;
};

}  // namespace kgents::runtime
