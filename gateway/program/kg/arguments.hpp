#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <string>
#include <variant>
#include <vector>

#include "gateway/program/kg/kwargs.hpp"

namespace kgents::kg {

/// Exit statuses (sysexits.h for the last two).
enum : int {
  exit_good = 0,
  exit_refused = 1,
  exit_usage = 64,
  exit_unreachable = 69,
  exit_interrupted = 130,
};

enum class command {
  login,
  logout,
  whoami,
  chat,
  sessions,
  invoke,
  query,
  subscribe,
  alias,
  keys,
  create_key,
  rotate_key,
  revoke_key,
  usage,
  users,
  audit,
  cluster,
  completion,
  words,
};

/// What the command line said.
struct arguments {
  command what = command::invoke;

  std::string server;  ///< empty: from the environment or the stored login
  std::string key;
  std::string archetype = "developer";
  bool json = false;
  bool trace = false;
  bool dry_run = false;
  std::chrono::seconds patience{60};  ///< how long a lost server is looked for

  std::string subject;  ///< path, query, pattern, session, key id, alias, shell
  std::string target;   ///< of an alias
  bool remove = false;
  boost::json::object kwargs;

  std::string session;
  std::string mode;
  std::string title;
  std::string since;
  std::string aspect;
  uint64_t count = 0;  ///< 0: without end
  std::string name;
  std::vector<std::string> scopes;
  int64_t expires_days = 0;  ///< 0: never
  std::string period = "month";
  uint32_t limit = 0;  ///< 0: the server's own
};

/// The whole request was to print this.
struct only_print {
  std::string text;
};

/// The name of a command, a path, a composition or a query, and the options of either.
[[nodiscard]] std::variant<arguments, only_print, bad_usage> read_arguments(
    std::vector<std::string> words);

/// All that the first word can be but a path or a query, for the completion.
[[nodiscard]] std::vector<std::string> command_names();

}  // namespace kgents::kg
