#pragma once

#include <map>
#include <memory>
#include <set>
#include <vector>

#include "tests/sim/reader.hpp"

namespace kgents::sim {

/// The follower's side: runtime/cluster/mirrors.cpp.
class mirrors {
public:
  explicit mirrors(process& home) : home_{home} {}

  void attach(size_t which, const attach_question& how, std::function<void(reply)> done);
  void opened(node_id from, uint64_t feed, lease_epoch lease, std::optional<cursor> anchor);
  void events(node_id from, uint64_t feed, const std::vector<event_ptr>& what);
  void closed(node_id from, uint64_t feed);
  void link_down(node_id peer);
  void routes_changed();
  void tick();

private:
  struct waiting {
    attach_question how;
    sim_time deadline;
    std::function<void(reply)> done;
  };
  struct mirror {
    runtime::log_ptr log;
    node_id owner;
    uint64_t feed = 0;
    lease_epoch lease = 0;
    std::optional<cursor> from;  // what the log had when it was asked for
    bool open = false;
    std::vector<waiting> readers;
    sim_time unread_since{};
  };

  mirror& of(size_t which);
  void open(size_t which, mirror& m);
  void place(size_t which, mirror& m, waiting x);
  void place_by_owner(size_t which, mirror& m, waiting x);
  void answered(size_t which, waiting x, reply out);
  void drop_feed(mirror& m);
  void tell_close(const mirror& m);
  void release(std::vector<waiting> xs, int status);
  mirror* fed_by(node_id from, uint64_t feed);

  process& home_;
  std::map<size_t, mirror> mirrors_;
  std::map<uint64_t, size_t> by_feed_;
  std::vector<std::pair<size_t, waiting>> again_;
  uint64_t next_ = 0;
};

/// The owner's side: runtime/cluster/feeds.cpp.
class feeds {
public:
  explicit feeds(process& home) : home_{home} {}
  ~feeds();

  void open(node_id peer, uint64_t feed, size_t which, std::optional<cursor> from);
  void close(node_id peer, uint64_t feed);
  void link_down(node_id peer);
  void routes_changed();

private:
  using key = std::pair<node_id, uint64_t>;
  struct feed {
    size_t which = 0;
    lease_epoch lease = 0;
    std::shared_ptr<reader> place;
    bool open = false;
  };

  void placed(key which, int status);
  void ended(key which);
  void mark(key which);
  void pass();

  process& home_;
  std::map<key, feed> feeds_;
  std::set<key> ready_;
  bool scheduled_ = false;
};

}  // namespace kgents::sim
