#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "runtime/cluster/coordinator.hpp"
#include "runtime/cluster/routes.hpp"
#include "tests/sim/database.hpp"
#include "tests/sim/log_writer.hpp"
#include "tests/sim/mirrors.hpp"
#include "tests/sim/network.hpp"
#include "tests/sim/port.hpp"
#include "tests/sim/reader.hpp"
#include "tests/sim/session.hpp"
#include "tests/sim/turns.hpp"

namespace kgents::sim {

struct world;
namespace cluster = runtime::cluster;

constexpr sim_time query_deadline = 1500ms;  ///< of what keeps the cluster together
constexpr sim_time drain_within = 6s;

/// One kgentsd: its coordinator, carried out as runtime/cluster/members.cpp does, and the parts
/// that members works with. It can be killed, stopped for a while, and started again.
class process {
public:
  process(world& all, process_number number, std::string name);
  ~process() { feeds.reset(); }

  void start();
  void kill();
  void pause();
  void resume();
  void drain();

  [[nodiscard]] process_number number() const { return number_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] node_id self() const { return alive_ ? machine_.self() : node_id{}; }
  [[nodiscard]] bool alive() const { return alive_; }
  [[nodiscard]] bool is_paused() const { return paused_; }
  [[nodiscard]] bool runs() const { return alive_ && !paused_; }
  [[nodiscard]] uint64_t pauses() const { return pauses_; }
  [[nodiscard]] const cluster::coordinator& machine() const { return machine_; }

  /// In this life of the process; later when it stands still then.
  void at(sim_time when, std::function<void()> work);
  void after(sim_time delay, std::function<void()> work);
  [[nodiscard]] sim_time now() const;

  /// Asks PostgreSQL; `done` is called once, with nothing after a failure or when nobody knows.
  /// `work` returns nothing while it has to wait for a lock.
  template <class T>
  void query(std::function<std::optional<T>()> work, std::function<void(std::optional<T>)> done,
             sim_time deadline = 5s);

  void link_is_up(node_id peer) { happened(cluster::link_up{peer}); }
  void link_is_down(node_id peer);
  void notified();  ///< by LISTEN

  /// \name The region.
  /// @{
  enum class refusal : uint8_t { elsewhere, in_transit };
  std::variant<std::shared_ptr<session>, refusal> admit(size_t which);
  bool retire(const session& x);
  void forget(session& x, bool moved);
  [[nodiscard]] std::shared_ptr<session> live(size_t which) const;
  [[nodiscard]] cluster::route route_of(size_t which) const;
  /// @}

  [[nodiscard]] std::optional<moving_turn> arrived(size_t which);
  void handed_over(node_id from, node_id to, const database::epochs& shards,
                   const std::vector<moving_turn>& turns);
  void happened(cluster::event what);

  world& all;
  std::unique_ptr<class port> port;
  std::unique_ptr<class log_writer> writer;
  std::unique_ptr<class mirrors> mirrors;
  std::unique_ptr<class feeds> feeds;
  std::unique_ptr<class turns> turns;
  std::unique_ptr<class readers> readers;
  runtime::session_logs* logs = nullptr;

private:
  struct departure {
    std::map<size_t, std::shared_ptr<session>> staying;
    std::vector<moving_turn> turns;
  };

  void request(std::function<bool()> execute, std::function<void(bool known)> answered,
               sim_time deadline);
  [[nodiscard]] cluster::local_time local() const;
  void run(std::function<void()> work);
  void tick();
  void carry_out(const cluster::actions& all);
  void refresh_routes();
  void carry(const cluster::join&);
  void carry(const cluster::beat& x);
  void carry(const cluster::read_view&);
  void carry(const cluster::keep_links& x);
  void carry(const cluster::suspect& x);
  void carry(const cluster::trust& x);
  void carry(const cluster::declare_dead& x);
  void carry(const cluster::take_leases& x);
  void carry(const cluster::own_shards& x);
  void carry(const cluster::release_shards& x);
  void carry(const cluster::give_leases& x);
  void carry(const cluster::send_snapshots& x);
  void carry(const cluster::keep_shards& x);
  void carry(const cluster::lose_shards& x);
  void carry(const cluster::routes_changed&) {}
  void carry(const cluster::poke_peers&);
  void carry(const cluster::fenced&);
  void carry(const cluster::state_changed&) {}
  void carry(const cluster::drained&);
  void carry(const cluster::stop& x);
  void say_sessions(const char* what, const std::function<bool(shard_id)>& about) const;
  void recover();
  void activate(size_t which);
  void go_on_here(const std::vector<moving_turn>& turns);
  void left(uint64_t hand_off, size_t which, std::optional<moving_turn> turn);
  void stayed(uint64_t hand_off, size_t which);
  void exit_when_done(sim_time deadline);

  const process_number number_;
  const std::string name_;
  bool alive_ = false;
  bool paused_ = false;
  uint64_t life_ = 0;
  uint64_t pauses_ = 0;
  sim_time clock_offset_{};
  double clock_rate_ = 1;
  std::vector<std::function<void()>> backlog_;

  cluster::coordinator machine_;
  std::unique_ptr<cluster::routes> routes_;
  std::vector<cluster::event> events_;
  bool busy_ = false;
  bool drain_began_ = false;
  std::map<size_t, std::shared_ptr<session>> sessions_;
  std::map<size_t, moving_turn> arrivals_;
  std::map<uint64_t, departure> departures_;
  std::vector<shard_id> to_recover_;
  bool recovering_ = false;
};

template <class T>
void process::query(std::function<std::optional<T>()> work,
                    std::function<void(std::optional<T>)> done, sim_time deadline) {
  auto result = std::make_shared<std::optional<T>>();
  request(
      [result, work = std::move(work)] {
        *result = work();
        return result->has_value();
      },
      [result, done = std::move(done)](bool known) {
        done(known ? std::move(*result) : std::optional<T>{});
      },
      deadline);
}

}  // namespace kgents::sim
