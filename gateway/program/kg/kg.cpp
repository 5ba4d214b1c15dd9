// kg: the command line client. Reads the command line, finds the server, and hands over to one
// command.

#include <csignal>
#include <exception>
#include <string>
#include <vector>

#include "gateway/program/kg/connection.hpp"
#include "gateway/program/kg/program.hpp"

namespace {

using namespace kgents::kg;

int run_with_server(const arguments& args, const output& out) {
  event_loop loop;
  const auto where = find_connection(args);
  const http_client http{loop, where.url, where.key};
  const program p{args, out, http, where.server, where.key};
  if (where.key.empty() && args.what != command::cluster && args.what != command::words)
    throw stopped{exit_usage, "no key for " + where.server + "\n\n    Try: kg login --server " +
                                  where.server + ", or KGENTS_API_KEY"};
  switch (args.what) {
    case command::whoami:
      return whoami(p);
    case command::chat:
      return chat(p);
    case command::sessions:
      return sessions(p);
    case command::invoke:
      return invoke(p);
    case command::query:
      return query(p);
    case command::subscribe:
      return subscribe(p);
    case command::alias:
      return alias(p);
    case command::keys:
      return keys(p);
    case command::create_key:
      return create_key(p);
    case command::rotate_key:
      return rotate_key(p);
    case command::revoke_key:
      return revoke_key(p);
    case command::usage:
      return usage(p);
    case command::users:
      return users(p);
    case command::audit:
      return audit(p);
    case command::cluster:
      return cluster(p);
    case command::words:
      return words(p);
    case command::login:
    case command::logout:
    case command::completion:
      break;
  }
  return exit_usage;
}

int run(const arguments& args) {
  const output out{args.json};
  try {
    switch (args.what) {
      case command::login:
        return login(args, out);
      case command::logout:
        return logout(out);
      case command::completion:
        return completion(out);
      default:
        return run_with_server(args, out);
    }
  } catch (const stopped& x) {
    if (x.text.starts_with('{'))
      note_line(x.text);
    else if (!x.text.empty())
      note(x.text);
    return x.status;
  }
}

}  // namespace

int main(int argc, char** argv) {
  // `kg ... | head` ends quietly, whatever started us.
  std::signal(SIGPIPE, SIG_DFL);
  try {
    auto read = read_arguments({argv + 1, argv + argc});
    if (const auto* text = std::get_if<only_print>(&read)) {
      output{false}.text(text->text);
      return exit_good;
    }
    if (const auto* wrong = std::get_if<bad_usage>(&read)) {
      note(wrong->message + "; see kg --help");
      return exit_usage;
    }
    return run(std::get<arguments>(read));
  } catch (const std::exception& failure) {
    note(failure.what());
    return exit_refused;
  }
}
