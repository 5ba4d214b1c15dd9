#pragma once

#include <array>
#include <caf/actor_system.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <unordered_map>

#include "protocol/messages.hpp"
#include "runtime/cluster/codec.hpp"
#include "runtime/cluster/remote.hpp"
#include "runtime/handover.hpp"
#include "runtime/limits.hpp"
#include "runtime/pinned_actor.hpp"
#include "runtime/region.hpp"

namespace kgents::runtime {

/// How code on an I/O thread talks to entities, wherever they are: an actor that lives on that
/// thread. One per thread.
///
/// `ask` calls back exactly once on the same thread: with the entity's answer, or with a refusal
/// (503 not admitted or lost with its entity, 504 past the deadline: ten seconds, or a model's time
/// for what says that it may take longer). An entity of this node is
/// sent a message under a permit; one of another node is asked over the cluster, one hop away. What
/// is asked while its shard moves waits here, in order, and goes to the new owner; what was asked
/// of an owner that was lost is asked again of the next one, if it may be.
///
/// Deadlines are checked by one timer per thread: a CAF request timeout would wake the clock's
/// thread for each request.
class port : public pinned_actor {
public:
  port(caf::actor_config& config, io_unit* unit, region& entities, cluster::remote* others = nullptr,
       timer_wheel::clock::duration deadline = limits::entity_deadline);

  const char* name() const override { return "port"; }
  caf::behavior make_behavior() override;
  void on_exit() override;

  /// On this thread. `T` is what `answer<T>` holds. `forwards`: how many nodes may be asked beyond
  /// this one; a request of another node's port may be passed on once.
  template <class T, class Message>
  void ask(const entity_id& to, Message message, std::function<void(answer<T>)> done,
           uint8_t forwards = from_here) {
    begin(std::make_unique<question<T, Message>>(to, std::move(message), std::move(done), forwards));
  }

  /// The owner, and whom that one names if it is not any more.
  static constexpr uint8_t from_here = 2;

  /// What is answered when the shard is elsewhere and may not be asked there: never seen by a
  /// client, since the node that asked tries the right one.
  static constexpr uint16_t status_not_here = 421;

  /// From any thread: this entity ended with questions in its mailbox. `moved`: its shard is
  /// another's now, so the questions follow; else those who wait are told.
  void entity_lost(const entity_id& id, bool moved);

  /// From any thread: shards changed hands; what waits for one of them looks again.
  void routes_changed();

  /// `work` as something that any thread may call and this one runs; null where the port has no
  /// thread of its own.
  [[nodiscard]] std::function<void()> later(std::function<void()> work) {
    if (unit() == nullptr)
      return nullptr;
    return [this, keep = caf::strong_actor_ptr{ctrl()}, work = std::move(work)] {
      boost::asio::post(unit()->thread().context(), [keep, work] { work(); });
    };
  }

  /// On this thread: asks that wait for an answer / for their shard to arrive.
  [[nodiscard]] size_t waiting() const noexcept { return waiting_.size(); }
  [[nodiscard]] size_t parked() const noexcept { return parked_.size(); }

private:
  /// A question until it is answered.
  struct asked {
    asked(const entity_id& x, uint8_t n) : to{x}, forwards{n} {}
    virtual ~asked() = default;
    virtual void here(port& p, uint64_t ticket, const caf::actor& target) = 0;
    virtual void there(port& p, uint64_t ticket, node_id owner) = 0;
    virtual void fail(refusal why) = 0;

    const entity_id to;
    const uint8_t forwards;
    bool may_leave = false;   // its message can be sent to another node
    bool repeatable = false;  // it may be asked again when nobody knows whether it was done
    bool patient = false;     // others go first when there are many
    bool slow = false;        // it may take as long as a model does
    bool begun = false;
    lease_epoch epoch = 0;    // of the lease it was last asked under, here
    region::permit permit;
    timer_wheel::clock::time_point deadline{};
  };

  template <class T>
  struct expecting : asked {
    expecting(const entity_id& x, uint8_t n, std::function<void(answer<T>)> d)
        : asked{x, n}, done{std::move(d)} {}
    void fail(refusal why) override { done(answer<T>{std::move(why)}); }
    const std::function<void(answer<T>)> done;
  };

  template <class T, class Message>
  struct question final : expecting<T> {
    question(const entity_id& x, Message m, std::function<void(answer<T>)> d, uint8_t n)
        : expecting<T>{x, n, std::move(d)}, message{std::move(m)} {
      this->may_leave = cluster::wire_tag<Message>::value != 0;
      this->repeatable = cluster::is_repeatable(message);
      // Not who waits for the answer to a message of its own.
      if constexpr (std::is_same_v<Message, attach_reader>)
        this->patient = !message.this_turn;
      if constexpr (std::is_same_v<Message, kgents::agentese::invoke_aspect>)
        this->slow = message.deadline_ms > limits::entity_deadline / std::chrono::milliseconds{1};
    }

    void here(port& p, uint64_t ticket, const caf::actor& target) override {
      p.request(target, caf::infinite, message)
          .then([&p, ticket](answer<T>& x) { p.template answered<T>(ticket, std::move(x)); },
                [&p, ticket](const caf::error& why) { p.lost(ticket, why == fenced_error()); });
    }

    void there(port& p, uint64_t ticket, node_id owner) override {
      [[maybe_unused]] const auto n = static_cast<uint8_t>(this->forwards - 1);
      if constexpr (std::is_same_v<Message, attach_reader>) {
        p.others_->attach(owner, this->to, message, this->deadline,
                          p.on_thread<answer<T>>([&p, ticket](auto how, answer<T> x) {
                            if (p.reached<T>(ticket, how))
                              p.template answered<T>(ticket, std::move(x));
                          }));
      } else if constexpr (cluster::wire_tag<Message>::value != 0) {
        p.others_->ask(owner, this->to, cluster::wire_tag<Message>::value,
                       cluster::encode(message), n, this->deadline, p.on_thread<std::string>([&p, ticket](auto how, std::string body) {
                         answer<T> x;
                         if (!p.reached<T>(ticket, how))
                           return;
                         if (!cluster::decode(body, x))
                           x = refusal{503, "The cluster's nodes do not understand each other.", 1,
                                       "unavailable"};
                         p.template answered<T>(ticket, std::move(x));
                       }));
      }
    }

    const Message message;
  };

  template <class T>
  void answered(uint64_t ticket, answer<T> x) {
    if (x.wrong.status == status_not_here) {
      not_here(ticket);
      return;
    }
    const auto at = waiting_.find(ticket);
    if (at == waiting_.end())
      return;
    const auto keep = std::move(at->second);
    waiting_.erase(at);
    const ending guard{*this, *keep};
    // A ticket's answers have the type of its question.
    static_cast<expecting<T>&>(*keep).done(std::move(x));
  }

  /// False when it has to be asked again, or was answered meanwhile.
  template <class T>
  bool reached(uint64_t ticket, cluster::remote_outcome how) {
    if (how == cluster::remote_outcome::answered)
      return waiting_.contains(ticket);
    how == cluster::remote_outcome::not_here ? not_here(ticket) : lost(ticket, true);
    return false;
  }

  /// A callback that may come on any thread and is carried out on this one.
  template <class T, class F>
  std::function<void(cluster::remote_outcome, T)> on_thread(F work) {
    return [this, work, keep = caf::strong_actor_ptr{ctrl()}](cluster::remote_outcome how, T x) {
      boost::asio::post(unit()->thread().context(),
                        [work, keep, how, x = std::move(x)]() mutable { work(how, std::move(x)); });
    };
  }

  /// At the end of a question the next patient one begins.
  struct ending {
    port& self;
    const asked& x;
    ~ending() { self.ended(x); }
  };

  static refusal refused(admission_refusal why);
  void ended(const asked& x);
  void begin(std::unique_ptr<asked> what);
  void attempt(uint64_t ticket);
  void park(uint64_t ticket);
  void wake_parked();
  void not_here(uint64_t ticket);
  void lost(uint64_t ticket, bool moved);
  void fail(uint64_t ticket, refusal why);
  void sweep();
  void arm_sweeper(timer_wheel::clock::time_point now);

  region& entities_;
  cluster::remote* const others_;
  const timer_wheel::clock::duration deadline_;
  std::unordered_map<uint64_t, std::unique_ptr<asked>> waiting_;
  /// In the order of the deadlines: one queue for the usual ones, one for the slow.
  std::array<std::deque<std::pair<timer_wheel::clock::time_point, uint64_t>>, 2> deadlines_;
  std::set<uint64_t> parked_;  // in the order they were asked
  std::unordered_map<entity_id, uint32_t> parked_entities_;
  std::deque<uint64_t> patient_;  // not begun yet
  size_t attaching_ = 0;          // patient ones that have begun
  bool beginning_ = false;
  wheel_timer sweeper_;
  timer_wheel::clock::time_point sweep_at_{};
  wheel_timer waker_;
  uint64_t next_ = 0;
};

/// The ports of a node, one per thread that asks. Spawned before the threads start, ended after
/// they stopped.
class ports {
public:
  ports(caf::actor_system& system, const std::vector<io_thread*>& threads, region& entities,
        cluster::remote* others = nullptr);
  ~ports();

  [[nodiscard]] port& operator[](size_t thread) noexcept { return *ports_[thread]; }
  [[nodiscard]] io_unit& unit(size_t thread) noexcept { return *units_[thread]; }
  void entity_lost(const entity_id& id, bool moved);
  void routes_changed();
  void stop();

private:
  std::vector<std::unique_ptr<io_unit>> units_;
  std::vector<caf::actor> handles_;
  std::vector<port*> ports_;
};

}  // namespace kgents::runtime
