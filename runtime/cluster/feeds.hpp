#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <unordered_map>

#include "runtime/cluster/frames.hpp"
#include "runtime/cluster/transport.hpp"
#include "runtime/hub.hpp"
#include "runtime/port.hpp"
#include "runtime/session_reader.hpp"

namespace kgents::runtime::cluster {

/// The owner's side of what other nodes follow: one reader of a session's log for each node that has
/// followers, however many those are. It holds a place like any reader, so a peer that takes its
/// events slowly costs an integer; while the link has more than it can send, nothing is read for it.
///
/// On the cluster's thread.
class feeds {
public:
  feeds(hub& here, port& port, region& entities, transport& links);
  ~feeds();

  void open(node_id peer, const open_feed_frame& x);
  void close(node_id peer, uint64_t feed);
  void writable(node_id peer);
  void link_down(node_id peer);
  /// Sessions whose shards are not here any more: who follows them is told to look elsewhere.
  void routes_changed();
  void stop();

  [[nodiscard]] size_t size() const noexcept { return feeds_.size(); }

private:
  using key = std::pair<node_id, uint64_t>;
  struct feed {
    entity_id session;
    lease_epoch lease = 0;
    std::shared_ptr<session_reader> reader;
    bool open = false;
  };

  void placed(key which, std::optional<refusal> no);
  void ended(key which, refusal why);
  void mark(key which);
  void pass();

  hub& hub_;
  port& port_;
  region& entities_;
  transport& links_;
  std::map<key, feed> feeds_;
  std::set<key> ready_;    // may have events to be read
  std::set<key> stalled_;  // the same, and their links are full
  std::vector<event_ptr> scratch_;
  bool scheduled_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace kgents::runtime::cluster
