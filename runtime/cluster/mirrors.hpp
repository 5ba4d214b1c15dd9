#pragma once

#include <functional>
#include <unordered_map>
#include <vector>

#include "runtime/cluster/frames.hpp"
#include "runtime/cluster/remote.hpp"
#include "runtime/cluster/transport.hpp"
#include "runtime/hub.hpp"
#include "runtime/region.hpp"
#include "runtime/session_log.hpp"

namespace kgents::runtime::cluster {

/// The follower's side: the live logs on this node of sessions that live on others. A mirror is the
/// writer of such a log; it is fed by the owner, in order, from the last event the log has. So a
/// reader follows a log of its own node, wherever the session is and however often it moves: after a
/// move the mirror asks the new owner for what comes next, and readers notice nothing.
///
/// On the cluster's thread.
class mirrors {
public:
  using clock = std::chrono::steady_clock;
  using place_answer = std::function<void(remote_outcome, answer<attached>)>;
  using asker = std::function<void(node_id owner, const entity_id& to, const attach_reader& how,
                                   clock::time_point deadline,
                                   std::function<void(remote_outcome, answer<placed>)>)>;

  mirrors(session_logs& logs, hubs& readers, region& entities, transport& links, asker ask);

  /// A reader's place; `done` is called once.
  void attach(const entity_id& session, const attach_reader& how, clock::time_point deadline,
              place_answer done);

  void opened(node_id from, const feed_opened_frame& x);
  void events(node_id from, const feed_events_frame& x);
  void closed(node_id from, const feed_closed_frame& x);
  void link_down(node_id peer);
  /// Feeds follow their sessions; logs that are read here get one when their session left, and give
  /// it up when it came.
  void routes_changed();
  /// Every 50 ms or so: feeds that could not be opened are tried again, mirrors without readers go.
  void tick(clock::time_point now);

  [[nodiscard]] size_t size() const noexcept { return mirrors_.size(); }

private:
  struct waiting {
    attach_reader how;
    clock::time_point deadline;
    place_answer done;
  };
  struct mirror {
    log_ptr log;
    node_id owner;      // of the feed; nobody: there is none
    uint64_t feed = 0;  // its number
    std::optional<cursor> from;  // the last event that the log had when it was asked for
    lease_epoch lease = 0;
    bool open = false;
    std::vector<waiting> readers;  // until it is open
    clock::time_point unread_since{};
  };

  mirror& of(const entity_id& session);
  void open(mirror& m);
  void open(mirror& m, node_id owner, lease_epoch lease);
  void place(mirror& m, waiting x);
  void place_by_owner(mirror& m, waiting x);
  void answered(const entity_id& session, waiting x, remote_outcome how, answer<placed> out);
  void drop_feed(mirror& m);
  void release(std::vector<waiting> xs, remote_outcome how);
  mirror* fed_by(node_id from, uint64_t feed);

  session_logs& logs_;
  hubs& hubs_;
  region& entities_;
  transport& links_;
  asker ask_;
  std::unordered_map<entity_id, mirror> mirrors_;
  std::unordered_map<uint64_t, entity_id> by_feed_;
  std::vector<std::pair<entity_id, waiting>> again_;  // their place is on its way
  uint64_t next_ = 0;
};

}  // namespace kgents::runtime::cluster
