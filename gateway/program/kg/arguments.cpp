#include "gateway/program/kg/arguments.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <optional>

#include "gateway/program/kg/help.hpp"

namespace kgents::kg {

namespace {

constexpr std::string_view valued[] = {"--server", "--key", "--archetype", "--patience"};
constexpr std::string_view flags[] = {"--json", "--trace", "--dry-run"};
constexpr std::string_view for_queries[] = {"--limit"};

template <size_t N>
bool among(const std::string_view (&all)[N], std::string_view x) {
  return std::find(std::begin(all), std::end(all), x) != std::end(all);
}

/// A number with an optional `d`, as days.
CLI::Validator days() {
  return {[](std::string& text) {
            if (text.ends_with('d'))
              text.pop_back();
            const bool good =
                !text.empty() && text.size() < 6 &&
                std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
            return good ? std::string{} : std::string{"takes days, as 30d"};
          },
          "DAYS"};
}

void add_common(CLI::App& app, arguments& out, int64_t& patience) {
  app.add_option("--server", out.server);
  app.add_option("--key", out.key);
  app.add_option("--archetype", out.archetype);
  app.add_option("--patience", patience)->check(CLI::Range(1, 86400));
  app.add_flag("--json", out.json);
  app.add_flag("--trace", out.trace);
  app.add_flag("--dry-run", out.dry_run);
}

/// The parser and what it fills.
struct parser {
  CLI::App app{"", "kg"};
  arguments out;
  int64_t patience = 60;

  CLI::App* add(std::string name, std::string what, command is) {
    auto* x = app.add_subcommand(std::move(name), std::move(what));
    chosen.emplace_back(x, is);
    return x;
  }

  CLI::App* add_below(CLI::App* parent, std::string name, std::string what, command is) {
    auto* x = parent->add_subcommand(std::move(name), std::move(what));
    x->fallthrough();
    chosen.emplace_back(x, is);
    return x;
  }

  std::vector<std::pair<CLI::App*, command>> chosen;
};

void add_keys(parser& p) {
  auto* keys = p.add("keys", "API keys of the tenant; alone: list them", command::keys);
  keys->require_subcommand(0, 1);
  keys->add_option("--limit", p.out.limit, "how many at most");
  auto* create =
      p.add_below(keys, "create", "make a key, which is shown this once", command::create_key);
  create->add_option("name", p.out.name, "what it is for")->required();
  create->add_option("--scopes", p.out.scopes, "read, write, admin, billing [read,write]")
      ->delimiter(',');
  create->add_option("--expires", p.out.expires_days, "days until it ends, as 30d; never otherwise")
      ->transform(days());
  auto* rotate = p.add_below(keys, "rotate", "replace a key by a new one", command::rotate_key);
  rotate->add_option("id", p.out.subject, "the key's id, as kg keys lists it")->required();
  auto* revoke = p.add_below(keys, "revoke", "end a key, at once", command::revoke_key);
  revoke->add_option("id", p.out.subject, "the key's id, as kg keys lists it")->required();
  p.add_below(keys, "list", "list them", command::keys);
}

void add_talk(parser& p) {
  auto* chat =
      p.add("chat",
            "Talk to K-gent. Ctrl-C cancels the answer, a second one leaves, as Ctrl-D and "
            "/quit do; /cancel, /mode NAME.",
            command::chat);
  chat->add_option("--mode", p.out.mode, "reflect, advise, challenge, explore");
  chat->add_option("--session", p.out.session, "go on in this one (kg sessions lists them)");
  chat->add_option("--title", p.out.title, "of the new session [the beginning of what is said]");
  auto* sessions =
      p.add("sessions", "The sessions, newest first; with an id, its messages.", command::sessions);
  sessions->add_option("id", p.out.subject, "a session");
  sessions->add_option("--limit", p.out.limit, "how many at most");
}

void add_agentese(parser& p) {
  p.add("invoke", "The same as kg PATH.", command::invoke)
      ->add_option("path", p.out.subject, "context.holon.aspect")
      ->required();
  auto* query = p.add("query", "The same as kg '?PATTERN'.", command::query);
  query->add_option("pattern", p.out.subject, "?world.*")->required();
  query->add_option("--limit", p.out.limit, "how many at most");
  auto* subscribe = p.add("subscribe", "Events as they come, one a line.", command::subscribe);
  subscribe->add_option("pattern", p.out.subject, "self.memory, self.memory.*, world.**")
      ->required();
  subscribe->add_option("--aspect", p.out.aspect, "only events of this aspect");
  subscribe->add_option("--since", p.out.since,
                        "begin in the past: 10m, 1h, 2d, or a time as 2026-01-05T09:00:00Z");
  subscribe->add_option("--count", p.out.count, "end after so many events");
  auto* alias = p.add("alias", "Let a name stand for a node; alone: list them.", command::alias);
  alias->add_option("name", p.out.subject, "the new name");
  alias->add_option("target", p.out.target, "context.holon, or deeper");
  alias->add_flag("--remove", p.out.remove, "forget the name");
}

void add_rest(parser& p) {
  p.add("login",
        "Keep a server and a key. The key is read from standard input (from a terminal without "
        "showing it), unless --key or KGENTS_API_KEY gives it, and tried before it is kept.",
        command::login);
  p.add("logout", "Forget the stored server and key.", command::logout);
  p.add("whoami", "The tenant, its plan, and what the key may do.", command::whoami);
  p.add("usage", "What the tenant has used.", command::usage)
      ->add_option("--period", p.out.period, "day, week, month, previous, or YYYY-MM; UTC [month]");
  p.add("users", "The tenant's users.", command::users)
      ->add_option("--limit", p.out.limit, "how many at most");
  p.add("audit", "Who did what, newest first.", command::audit)
      ->add_option("--limit", p.out.limit, "how many at most");
  p.add("cluster", "Nodes and hand-offs. Needs the platform's key: --key or KGENTS_PLATFORM_KEY.",
        command::cluster);
  p.add("completion", "Print a script that completes commands and paths.", command::completion)
      ->add_option("shell", p.out.subject, "bash")
      ->required()
      ->check(CLI::IsMember({"bash"}));
  p.add("words", "", command::words)->group("")->add_option("before", p.out.subject);
}

void add_all(parser& p) {
  p.app.require_subcommand(1);
  p.app.fallthrough();
  add_common(p.app, p.out, p.patience);
  add_talk(p);
  add_agentese(p);
  add_keys(p);
  add_rest(p);
}

std::optional<bad_usage> check(const arguments& x) {
  if (x.what == command::alias && x.target.empty() && !x.remove && !x.subject.empty())
    return bad_usage{"kg alias takes a name and what it stands for, or --remove and a name"};
  if (x.what == command::alias && x.remove && (x.subject.empty() || !x.target.empty()))
    return bad_usage{"kg alias --remove takes a name"};
  // It becomes a header.
  for (const auto* text : {&x.key, &x.archetype})
    if (std::any_of(text->begin(), text->end(),
                    [](unsigned char c) { return c < 0x20 || c >= 0x7f; }))
      return bad_usage{"--key and --archetype take printable ASCII"};
  return std::nullopt;
}

std::variant<arguments, only_print, bad_usage> read_command(std::vector<std::string> words) {
  parser p;
  add_all(p);
  std::reverse(words.begin(), words.end());  // as CLI11 takes them
  try {
    p.app.parse(std::move(words));
  } catch (const CLI::CallForHelp&) {
    const auto all = p.app.get_subcommands();
    if (all.empty())
      return only_print{std::string{help_text}};
    auto* what = all.front();
    std::string before = "kg";
    for (; !what->get_subcommands().empty(); what = what->get_subcommands().front())
      before += " " + what->get_name();
    auto text = what->help(before);
    while (text.ends_with("\n\n"))
      text.pop_back();
    return only_print{text + "\nkg --help lists the common options.\n"};
  } catch (const CLI::ParseError& wrong) {
    return bad_usage{std::string{wrong.what()}};
  }
  for (const auto& [app, is] : p.chosen)
    if (app->parsed())
      p.out.what = is;
  p.out.patience = std::chrono::seconds{p.patience};
  if (auto wrong = check(p.out))
    return *wrong;
  return std::move(p.out);
}

/// Whether the word can be nothing but a path, a composition or a query.
bool is_expression(std::string_view word) {
  return word.starts_with('?') || word.find('.') != word.npos || word.find(">>") != word.npos;
}

/// The place of the first word that is no option; all of them: none.
size_t first_word(const std::vector<std::string>& words) {
  for (size_t i = 0; i < words.size(); ++i) {
    if (among(valued, words[i]))
      ++i;
    else if (!words[i].starts_with('-'))
      return i;
  }
  return words.size();
}

/// An expression with options that only its aspect knows. What kg knows is read by its own parser.
std::variant<arguments, only_print, bad_usage> read_expression(
    const std::vector<std::string>& words, size_t at) {
  const bool query = words[at].starts_with('?');
  std::vector<std::string> known{query ? "query" : "invoke"};
  std::vector<std::string> rest;
  auto subject = words[at];
  bool options_began = false;
  for (size_t i = 0; i < words.size(); ++i) {
    const auto name = words[i].substr(0, words[i].find('='));
    const bool takes_value = among(valued, name) || (query && among(for_queries, name));
    if (i == at)
      continue;
    if (takes_value || among(flags, name)) {
      known.push_back(words[i]);
      if (takes_value && name == words[i] && i + 1 < words.size())
        known.push_back(words[++i]);
    } else if (words[i] == "--help" || words[i] == "-h") {
      return only_print{std::string{help_text}};
    } else if (i > at && !options_began && !words[i].starts_with('-')) {
      subject += " " + words[i];  // a >> b without quotes around
    } else {
      options_began = true;
      rest.push_back(words[i]);
    }
  }
  if (subject != words[at] && subject.find(">>") == subject.npos)
    return bad_usage{"one path at a time; several are composed as \"a >> b\""};
  known.push_back(std::move(subject));
  auto out = read_command(std::move(known));
  if (auto* good = std::get_if<arguments>(&out)) {
    if (query && !rest.empty())
      return bad_usage{"a query takes --limit and --dry-run only"};
    auto kwargs = read_kwargs(rest);
    if (auto* wrong = std::get_if<bad_usage>(&kwargs))
      return *wrong;
    good->kwargs = std::get<boost::json::object>(std::move(kwargs));
  }
  return out;
}

}  // namespace

std::vector<std::string> command_names() {
  parser p;
  add_all(p);
  std::vector<std::string> out;
  for (const auto* x :
       p.app.get_subcommands([](const CLI::App* x) { return !x->get_group().empty(); }))
    out.push_back(x->get_name());
  std::sort(out.begin(), out.end());
  return out;
}

std::variant<arguments, only_print, bad_usage> read_arguments(std::vector<std::string> words) {
  const auto at = first_word(words);
  const auto has = [&](std::string_view x) {
    return std::find(words.begin(), words.begin() + static_cast<ptrdiff_t>(at), x) !=
           words.begin() + static_cast<ptrdiff_t>(at);
  };
  if (has("--help") || has("-h") || (at < words.size() && words[at] == "help"))
    return only_print{std::string{help_text}};
  if (has("--version"))
    return only_print{"kg " KGENTS_VERSION "\n"};
  if (at == words.size())
    return bad_usage{"what is to be done?"};
  if (is_expression(words[at]))
    return read_expression(words, at);
  const auto names = command_names();
  if (words[at] != "words" && !std::binary_search(names.begin(), names.end(), words[at]))
    return bad_usage{"'" + words[at] +
                     "' is neither a command nor a path such as self.soul.manifest"};
  // `kg invoke PATH --depth 3` is `kg PATH --depth 3`.
  if ((words[at] == "invoke" || words[at] == "query") && at + 1 < words.size() &&
      !words[at + 1].starts_with('-')) {
    const bool query = words[at] == "query";
    words.erase(words.begin() + static_cast<ptrdiff_t>(at));
    if (query && !words[at].starts_with('?'))
      words[at].insert(0, "?");
    return read_expression(words, at);
  }
  return read_command(std::move(words));
}

}  // namespace kgents::kg
