// kgentsd: the server's program. Reads the command line and the settings, then hands over to one of
// four commands.

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <iostream>

#include "gateway/program/check.hpp"
#include "gateway/program/child.hpp"
#include "gateway/program/dev.hpp"
#include "gateway/program/serve.hpp"
#include "gateway/program/state_dir.hpp"
#include "runtime/settings.hpp"
#include "runtime/telemetry/log.hpp"
#include "sql/migrate.hpp"

namespace {

using namespace kgents;
using runtime::program;

/// What the command line said.
struct arguments {
  program which = program::serve;
  std::string host;
  std::string port;
  std::string state_dir;
  bool fresh = false;
  bool live = false;
};

std::string settings_help() {
  std::string text = "Settings (environment; what follows is the default):\n";
  for (const auto& line : runtime::all_settings()) {
    std::string left = "  " + std::string{line.name};
    left.resize(std::max<size_t>(left.size() + 1, 36), ' ');
    text += left + std::string{line.meaning} + " [";
    text += line.serve_default.empty() ? "unset" : std::string{line.serve_default};
    if (line.dev_default != line.serve_default)
      text += "; dev: " + (line.dev_default.empty() ? "its own" : std::string{line.dev_default});
    text += "]\n";
  }
  return text +
         "\nExit status: 0 stopped as asked, 64 bad usage or setting, 69 a dependency is out"
         " of reach, 70 internal failure.";
}

/// The exit status when the command line itself was the whole request (--help, --version) or is
/// wrong.
std::optional<int> parse(int argc, char** argv, arguments& out) {
  CLI::App app{"kgentsd: multi-tenant runtime for AI agents", "kgentsd"};
  app.set_version_flag("--version", "kgentsd " KGENTS_VERSION);
  app.require_subcommand(1);
  app.footer(settings_help());

  auto* dev = app.add_subcommand("dev", "serve with a private PostgreSQL and nats-server");
  dev->add_option("--host", out.host, "address to listen on (API_HOST) [127.0.0.1]");
  dev->add_option("--port", out.port, "port to listen on, 0: any free one (API_PORT) [8000]");
  dev->add_option("--state-dir", out.state_dir,
                  "where the private servers keep their data [$XDG_STATE_HOME/kgents]");
  dev->add_flag("--fresh", out.fresh, "begin with empty databases");
  auto* serve = app.add_subcommand("serve", "serve; everything from the environment");
  auto* migrate = app.add_subcommand("migrate", "apply migrations to DATABASE_ADMIN_URL");
  auto* check = app.add_subcommand("check", "validate the settings and reach each dependency");
  check->add_flag("--live", out.live, "ask the running server on API_PORT for /live");
  for (auto* command : {dev, serve, migrate, check})
    command->footer("kgentsd --help lists the settings.");

  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& done) {
    return app.exit(done);  // prints the help or the version
  } catch (const CLI::ParseError& wrong) {
    std::cerr << "kgentsd: " << wrong.what() << "; see kgentsd --help" << std::endl;
    return gateway::exit_usage;
  }
  out.which = dev->parsed()       ? program::dev
              : migrate->parsed() ? program::migrate
              : check->parsed()   ? program::check
                                  : program::serve;
  return std::nullopt;
}

runtime::variables variables_for(const arguments& given) {
  auto from = runtime::process_environment();
  if (!given.host.empty())
    from["API_HOST"] = given.host;
  if (!given.port.empty())
    from["API_PORT"] = given.port;
  if (given.which == program::dev && from["KGENTS_LOG_FORMAT"].empty() &&
      ::isatty(STDERR_FILENO) == 1)
    from["KGENTS_LOG_FORMAT"] = "text";
  return from;
}

int migrate(const runtime::settings& config) {
  size_t applied = 0;
  const auto wrong = sql::migrate({.url = config.admin_url.reveal(), .seed_dev = config.seed_dev},
                                  [&applied](std::string_view name, bool now) {
                                    std::cout << (now ? "applied  " : "already  ") << name
                                              << std::endl;
                                    applied += now ? 1 : 0;
                                  });
  if (wrong) {
    std::cerr << "kgentsd: migration failed: " << *wrong << std::endl;
    return gateway::exit_unavailable;
  }
  std::cout << applied << " migrations applied" << std::endl;
  return gateway::exit_ok;
}

int run(const arguments& given) {
  auto loaded = runtime::load_settings(given.which, variables_for(given));
  if (const auto* wrong = std::get_if<runtime::settings_error>(&loaded)) {
    std::cerr << "kgentsd: " << wrong->message << std::endl;
    return gateway::exit_usage;
  }
  auto& config = std::get<runtime::settings>(loaded);
  switch (given.which) {
    case program::check:
      return given.live ? gateway::check_live(config, std::cout)
                        : gateway::check(config, std::cout);
    case program::migrate:
      return migrate(config);
    case program::serve:
    case program::dev:
      break;
  }
  log::start({.level = config.log_level, .form = config.log_format});
  int status = gateway::exit_internal;
  if (given.which == program::dev) {
    config.state_dir = given.state_dir.empty() ? gateway::default_state_dir()
                                               : std::filesystem::path{given.state_dir};
    status = gateway::dev(std::move(config), given.fresh);
  } else {
    status = gateway::serve(config);
  }
  log::stop();
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    arguments given;
    if (const auto status = parse(argc, argv, given))
      return *status;
    return run(given);
  } catch (const std::exception& failure) {
    std::cerr << "kgentsd: internal failure: " << failure.what() << std::endl;
    return kgents::gateway::exit_internal;
  }
}
