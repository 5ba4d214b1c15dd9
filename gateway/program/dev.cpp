#include "gateway/program/dev.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <iostream>
#include <thread>

#include "gateway/program/interrupts.hpp"
#include "gateway/program/private_nats.hpp"
#include "gateway/program/private_postgres.hpp"
#include "gateway/program/serve.hpp"
#include "gateway/program/state_dir.hpp"
#include "runtime/telemetry/log.hpp"
#include "sql/migrate.hpp"

namespace kgents::gateway {

namespace {

using namespace std::chrono_literals;

/// Asks this process to stop, as a user would, when one of the children ends while it watches.
class watcher {
public:
  watcher(const child& postgres, const child& nats)
      : wake_{::eventfd(0, EFD_CLOEXEC)},
        thread_{
            [this, fds = std::array{postgres.descriptor(), nats.descriptor()}] { watch(fds); }} {}

  ~watcher() { stop(); }

  /// After it no more signals are sent. Returns whether a child had ended.
  bool stop() {
    if (thread_.joinable()) {
      const uint64_t one = 1;
      (void)!::write(wake_, &one, sizeof one);
      thread_.join();
      ::close(wake_);
    }
    return lost_;
  }

private:
  void watch(std::array<int, 2> children) {
    pollfd all[] = {{wake_, POLLIN, 0}, {children[0], POLLIN, 0}, {children[1], POLLIN, 0}};
    while (::poll(all, 3, -1) <= 0) {
    }
    if (all[0].revents != 0)
      return;
    lost_ = true;
    log::error("a child of kgentsd dev ended by itself; stopping",
               {{"child", all[1].revents != 0 ? "postgres" : "nats-server"}});
    ::kill(::getpid(), SIGTERM);
    // Without its database a drain has nothing to wait for: the second signal ends it.
    if (::poll(all, 1, 1000) == 0)
      ::kill(::getpid(), SIGTERM);
  }

  int wake_;
  std::atomic<bool> lost_ = false;
  std::thread thread_;  // last: it uses the others
};

/// libpq reads PGHOST, PGSERVICE and their like wherever a URL is silent; they are about other
/// databases.
void forget_libpq_environment() {
  for (const auto& [name, value] : runtime::process_environment())
    if (name.starts_with("PG"))
      ::unsetenv(name.c_str());
}

void migrate_private(const runtime::settings& config) {
  const auto wrong = sql::migrate({.url = config.admin_url.reveal(), .seed_dev = config.seed_dev},
                                  [](std::string_view name, bool applied) {
                                    if (applied)
                                      log::debug("migration applied", {{"migration", name}});
                                  });
  if (wrong)
    throw cannot_start{exit_unavailable,
                       "the database of the state directory cannot be migrated: " + *wrong +
                           " (--fresh begins anew)"};
}

}  // namespace

int dev(runtime::settings config, bool fresh) {
  forget_libpq_environment();
  std::optional<interrupts> while_starting{std::in_place};
  try {
    state_dir where{config.state_dir};
    if (fresh)
      where.wipe();
    log::info("starting private PostgreSQL and nats-server",
              {{"state_dir", where.path().string()}});
    private_postgres postgres{where};
    private_nats nats{where};
    config.database_url = runtime::secret{postgres.url("kg_app")};
    config.control_url = runtime::secret{postgres.url("kg_control")};
    config.admin_url = runtime::secret{postgres.url("postgres")};
    config.nats_servers = {nats.url()};
    migrate_private(config);
    interrupts::check();
    log::info("private servers are up", {{"psql", postgres.url("postgres")}});

    watcher watching{postgres.process(), nats.process()};
    while_starting.reset();
    const int status = serve(config);
    const bool lost_child = watching.stop();
    nats.stop();
    postgres.stop();
    return lost_child ? static_cast<int>(exit_internal) : status;
  } catch (const interrupted&) {
    return exit_ok;
  } catch (const cannot_start& why) {
    std::cerr << "kgentsd: " << why.what() << std::endl;
    return why.status();
  }
}

}  // namespace kgents::gateway
