#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "runtime/cluster/away.hpp"
#include "runtime/cluster/feeds.hpp"
#include "runtime/cluster/mirrors.hpp"
#include "runtime/cluster/remote.hpp"
#include "runtime/cluster/transport.hpp"

namespace kgents::runtime::cluster {

/// This node's conversation with the others: questions to entities and their answers, feeds and
/// mirrors, turns away from their sessions, hand-offs. Everything travels as frames over the peer
/// links; nothing is sent that is not asked for or bounded by credit.
///
/// Lives on the cluster's thread; `ask`, `attach` and `adopt` may be called from any.
class mesh : public remote {
public:
  struct handlers {
    std::function<void(node_id)> link_up;
    std::function<void(node_id)> link_down;
    std::function<void(node_id, handed_over_frame)> handed_over;
    std::function<void()> view_changed;
  };

  /// Counted from its thread, read from any.
  struct figures {
    std::atomic<uint64_t> asked{0};     ///< questions of this node to others
    std::atomic<uint64_t> served{0};    ///< questions of others
    std::atomic<uint64_t> passed_on{0}; ///< of those: the entity was elsewhere
    std::atomic<uint64_t> told{0};      ///< words between a turn and its session elsewhere
    std::atomic<uint64_t> waiting{0};   ///< questions to others without an answer yet
    std::atomic<uint64_t> feeds{0};
    std::atomic<uint64_t> mirrors{0};
  };

  /// Throws as make_transport does.
  mesh(caf::actor_system& system, io_unit& unit, session_logs& logs, hubs& readers, region& entities,
       turn_registry& turns, const transport_options& links);
  ~mesh() override;

  /// `asking`: the port of the cluster's thread. Before the threads start.
  void start(port& asking, handlers tell);

  void ask(node_id owner, const entity_id& to, uint8_t tag, std::string body, uint8_t forwards,
           clock::time_point deadline,
           std::function<void(remote_outcome, std::string)> done) override;
  void attach(node_id owner, const entity_id& to, const attach_reader& how,
              clock::time_point deadline,
              std::function<void(remote_outcome, answer<attached>)> done) override;
  [[nodiscard]] caf::actor adopt(node_id where, turn_id turn, const caf::actor& session) {
    return away_.adopt(where, turn, session);
  }
  [[nodiscard]] const figures& counted() const noexcept { return figures_; }

  /// \name On the cluster's thread.
  /// @{
  [[nodiscard]] transport& links() noexcept { return *links_; }
  void hand_over(node_id to, const handed_over_frame& x);
  void tell_view_changed(const std::vector<node_id>& peers);
  void routes_changed();
  /// No more frames in or out.
  void stop();
  /// @}

private:
  struct question {
    node_id owner;
    clock::time_point deadline;
    std::function<void(remote_outcome, std::string)> done;
  };

  void received(node_id from, std::span<const char> frame);
  template <class Frame, class F>
  void read(node_id from, std::span<const char> bytes, F work);
  void serve(node_id from, const ask_frame& x);
  template <class T, class Message>
  void serve(node_id from, const ask_frame& x);
  void serve_reader(node_id from, const ask_frame& x);
  void ask_here(node_id owner, const entity_id& to, uint8_t tag, std::string body, uint8_t forwards,
                clock::time_point deadline,
                std::function<void(remote_outcome, std::string)> done);
  void down(node_id peer);
  void tick();

  io_unit& unit_;
  region& entities_;
  std::unique_ptr<transport> links_;
  handlers tell_;
  port* asking_ = nullptr;
  std::unique_ptr<feeds> feeds_;
  mirrors mirrors_;
  away away_;
  std::unordered_map<uint64_t, question> questions_;
  uint64_t next_ = 0;
  wheel_timer timer_;
  figures figures_;
  hubs& hubs_;
  bool stopped_ = false;
};

}  // namespace kgents::runtime::cluster
