#include "gateway/program/private_postgres.hpp"

#include <libpq-fe.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <set>

#include "gateway/program/interrupts.hpp"
#include "sql/blocking.hpp"

namespace kgents::gateway {

namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr auto start_deadline = 60s;   // recovery after a crash reads back at most max_wal_size
constexpr auto orphan_deadline = 15s;  // the postmaster itself gives its backends five seconds
constexpr auto poll_interval = 20ms;
constexpr std::string_view socket_name = "/.s.PGSQL.5432";
constexpr size_t longest_socket_path = 107;  // sizeof sockaddr_un::sun_path less its NUL

/// The folder of the newest installed PostgreSQL from 15 on, or of exactly `major` when a data
/// directory asks for it.
fs::path programs_of(const std::string& major) {
  std::error_code error;
  int newest = 0;
  for (const auto& entry : fs::directory_iterator{"/usr/lib/postgresql", error}) {
    const auto name = entry.path().filename().string();
    const int version = std::atoi(name.c_str());
    if ((major.empty() ? version >= 15 : name == major) &&
        ::access((entry.path() / "bin/postgres").c_str(), X_OK) == 0)
      newest = std::max(newest, version);
  }
  if (newest != 0)
    return "/usr/lib/postgresql/" + std::to_string(newest) + "/bin";
  if (!major.empty())
    throw cannot_start{exit_unavailable, "the state directory holds data of PostgreSQL " + major +
                                             ", which is not installed; install postgresql-" +
                                             major + ", or start with --fresh to begin anew"};
  throw cannot_start{exit_unavailable,
                     "PostgreSQL 15 or newer is not installed; install the package postgresql"};
}

std::string version_in(const fs::path& data) {
  std::ifstream in{data / "PG_VERSION"};
  std::string version;
  in >> version;
  return version;
}

/// Processes named postgres that work in `data`. A zombie has no working directory, so it does not
/// count; compared by inode, since the path differs with how the directory was reached.
std::set<pid_t> servers_in(const fs::path& data) {
  std::set<pid_t> found;
  struct stat wanted {};
  if (::stat(data.c_str(), &wanted) != 0)
    return found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator{"/proc", error}) {
    const auto pid = std::atoi(entry.path().filename().c_str());
    struct stat at {};
    std::string name;
    if (pid <= 0 || ::stat((entry.path() / "cwd").c_str(), &at) != 0 ||
        at.st_ino != wanted.st_ino || at.st_dev != wanted.st_dev)
      continue;
    if (std::getline(std::ifstream{entry.path() / "comm"}, name) && name == "postgres")
      found.insert(pid);
  }
  return found;
}

/// What a kgentsd killed with -9 leaves: a PostgreSQL that is just ending (the kernel told it to),
/// and a pid file that PostgreSQL would take for a living server's as long as its number is in use,
/// by a zombie for example.
void clear_remains(const fs::path& data) {
  const auto deadline = std::chrono::steady_clock::now() + orphan_deadline;
  for (auto servers = servers_in(data); !servers.empty(); servers = servers_in(data)) {
    interrupts::check();
    if (std::chrono::steady_clock::now() > deadline)
      throw cannot_start{exit_unavailable, "a PostgreSQL (process " +
                                               std::to_string(*servers.begin()) + ") works in " +
                                               data.string() + "; stop it first"};
    ::usleep(std::chrono::microseconds{poll_interval}.count());
  }
  std::error_code ignored;
  fs::remove(data / "postmaster.pid", ignored);
}

std::string percent_encoded(std::string_view text) {
  constexpr char hex[] = "0123456789ABCDEF";
  std::string out;
  for (const unsigned char c : text) {
    if (std::isalnum(c) || c == '-' || c == '_' || c == '.' || c == '~') {
      out += static_cast<char>(c);
    } else {
      out += '%';
      out += hex[c >> 4];
      out += hex[c & 15];
    }
  }
  return out;
}

/// FNV-1a: names a directory, protects nothing.
std::string name_hash(std::string_view text) {
  uint64_t hash = 14695981039346656037u;
  for (const unsigned char c : text)
    hash = (hash ^ c) * 1099511628211u;
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(hash));
  return digits;
}

/// A private directory under /tmp, where others may have put something of that name.
fs::path short_directory(const fs::path& state, const std::optional<identity>& owner) {
  const fs::path path = "/tmp/kgents-" + name_hash(state.string());
  struct stat found {};
  const bool made = ::mkdir(path.c_str(), 0700) == 0;
  const auto uid = owner ? owner->uid : ::geteuid();
  if (::lstat(path.c_str(), &found) != 0 || !S_ISDIR(found.st_mode) ||
      (!made && found.st_uid != uid) || (found.st_mode & 077) != 0)
    throw cannot_start{exit_unavailable, path.string() +
                                             " is in the way: it should be a directory"
                                             " of mode 0700 that belongs to user " +
                                             std::to_string(uid) + "; remove it"};
  if (made && owner && ::chown(path.c_str(), owner->uid, owner->gid) != 0)
    throw cannot_start{exit_unavailable,
                       "cannot hand over " + path.string() + ": " + std::strerror(errno)};
  return path;
}

}  // namespace

private_postgres::private_postgres(const state_dir& where)
    : where_{where}, log_{where.path() / "postgres.log"} {
  rotate(log_);
  if (version_in(where_.path() / "postgres").empty())
    make_data_directory();
  clear_remains(where_.path() / "postgres");
  data_.emplace(where_.path() / "postgres", where_.child_identity());
  choose_socket_directory();
  start();
  await_answer();
  create_database();
}

private_postgres::~private_postgres() { stop(); }

void private_postgres::make_data_directory() {
  // Under another name until it is complete, so that a start that was cut short leaves nothing half
  // made.
  const auto fresh = where_.path() / "postgres.new";
  std::error_code error;
  fs::remove_all(fresh, error);
  {
    const child_directory target{fresh, where_.child_identity()};
    // Without --no-sync it takes seconds on slow disks. A machine that loses power right now asks
    // for --fresh.
    auto init = child::start(
        {.program = programs_of("") / "initdb",
         .args = {"-D", target.as_child(), "-U", "postgres", "-A", "trust", "-E", "UTF8",
                  "--no-locale", "--no-sync"},
         .log = log_,
         .death_signal = SIGKILL,
         .run_as = where_.child_identity(),
         .keep_fds = target.walkable() ? std::vector<int>{} : std::vector{target.descriptor()}});
    const auto deadline = std::chrono::steady_clock::now() + start_deadline;
    while (!init.ended_within(poll_interval)) {
      interrupts::check();
      if (std::chrono::steady_clock::now() > deadline)
        throw cannot_start{exit_unavailable, "initdb takes too long; see " + log_.string()};
    }
    if (!init.succeeded())
      throw cannot_start{exit_unavailable, "initdb failed: " + tail_of(log_)};
  }
  fs::rename(fresh, where_.path() / "postgres", error);
  if (error)
    throw cannot_start{exit_unavailable,
                       "cannot rename " + fresh.string() + " to postgres: " + error.message()};
}

void private_postgres::choose_socket_directory() {
  const auto usual = where_.path() / "socket";
  const child_directory directory{usual, where_.child_identity()};
  // A comma would end the path, for PostgreSQL's setting and for libpq's host alike.
  const bool usable = directory.walkable() && usual.string().find(',') == std::string::npos &&
                      usual.string().size() + socket_name.size() <= longest_socket_path;
  socket_directory_ = usable ? usual : short_directory(where_.path(), where_.child_identity());
  // A server killed with -9 leaves its socket and lock, and the lock's number may be in use again.
  std::error_code ignored;
  fs::remove(socket_directory_.string() + std::string{socket_name}, ignored);
  fs::remove(socket_directory_.string() + std::string{socket_name} + ".lock", ignored);
}

void private_postgres::start() {
  const auto option = [](std::string_view name, std::string_view value) {
    return "--" + std::string{name} + "=" + std::string{value};
  };
  process_.emplace(child::start(
      {.program = programs_of(version_in(data_->path())) / "postgres",
       .args = {"-D", data_->as_child(), option("listen_addresses", ""), option("port", "5432"),
                option("unix_socket_directories", socket_directory_.string()),
                option("unix_socket_permissions", "0700"), option("shared_buffers", "64MB"),
                option("max_connections", "60"), option("jit", "off"),
                option("log_line_prefix", "%m [%p] %u "),
                // DETAIL and STATEMENT lines would put rows, and so messages' text, into the log.
                option("log_error_verbosity", "terse"), option("log_min_error_statement", "panic")},
       .log = log_,
       .death_signal = SIGQUIT,  // ends its backends too, at once; the next start recovers
       .run_as = where_.child_identity(),
       .keep_fds = data_->walkable() ? std::vector<int>{} : std::vector{data_->descriptor()}}));
}

void private_postgres::await_answer() {
  const auto probe = url("postgres", "postgres");
  const auto deadline = std::chrono::steady_clock::now() + start_deadline;
  while (PQping(probe.c_str()) != PQPING_OK) {
    interrupts::check();
    if (process_->ended_within(poll_interval))
      throw cannot_start{exit_unavailable, "PostgreSQL did not start: " + tail_of(log_)};
    if (std::chrono::steady_clock::now() > deadline)
      throw cannot_start{exit_unavailable, "PostgreSQL does not answer; see " + log_.string()};
  }
}

void private_postgres::create_database() {
  sql::blocking_connection connection{url("postgres", "postgres")};
  const auto found = connection.query("SELECT FROM pg_database WHERE datname = 'kgents'");
  if (found && PQntuples(found.get()) == 1)
    return;
  if (const auto wrong = connection.run("CREATE DATABASE kgents"))
    throw cannot_start{exit_unavailable, "cannot create the database kgents: " + *wrong};
}

std::string private_postgres::url(std::string_view user, std::string_view database) const {
  return "postgresql:///" + std::string{database} +
         "?host=" + percent_encoded(socket_directory_.string()) +
         "&port=5432&user=" + std::string{user};
}

void private_postgres::stop() {
  if (!process_)
    return;
  process_->stop({SIGINT, SIGQUIT}, 10s);  // fast, then immediate shutdown
  process_.reset();
  std::error_code ignored;
  if (socket_directory_.parent_path() == "/tmp")
    fs::remove(socket_directory_, ignored);
}

}  // namespace kgents::gateway
