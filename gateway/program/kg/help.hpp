#pragma once

#include <string_view>

namespace kgents::kg {

/// What `kg --help` prints. Its examples are run one after the other by e2e.kg.
inline constexpr std::string_view help_text = R"(kg: talk to a kgents server

  kg PATH [--name value ...]         invoke an aspect: context.holon.aspect
  kg "PATH >> PATH"                  compose: what one answers goes into the next
  kg '?PATTERN'                      which paths match: ?world.*, ?self.*.manifest
  kg COMMAND ...

Commands (kg COMMAND --help says more):
  login        keep a server and a key, after trying them
  logout       forget them
  whoami       the tenant, its plan, and what the key may do
  chat         talk to K-gent; a line at a time when standard input is no terminal
  sessions     the tenant's sessions; with an id, what was said in it
  subscribe    hear what is invoked and changed, as it happens
  alias        let a name stand for a node; without arguments, list them
  keys         API keys: list, create, rotate, revoke
  usage        tokens and requests of a period
  users        the tenant's users
  audit        who did what, newest first
  cluster      the nodes, for the operator of the platform
  completion   a script for bash
  invoke, query   a path or pattern that does not look like one

Options, before or behind the command:
  --json            one JSON object a line, as the server said it
  --trace           the stages of a composition and how long each took, on standard error
  --dry-run         what a path would read, write and cost; what a query would look at
  --archetype NAME  as whom to look: architect, poet, guest ... [developer]
  --server URL      http:// or https:// [KGENTS_URL, the stored login, http://127.0.0.1:8000]
  --key KEY         an API key or a token [KGENTS_API_KEY, the stored login]; other users of this
                    machine can see a command line, so prefer kg login, which reads standard input
  --patience N      seconds for which a server that went away in mid-answer is looked for [60]
  --version, --help

Arguments of an aspect are options that kg does not know: --depth 3, --urgent, --tags '["a","b"]'.
Numbers, booleans and JSON are what they look like; --kwargs '{"key":"x"}' gives any name.

An answer streams as it is made. A connection that breaks is opened again and the answer goes on
where it was, also across a restart of the server; a message is never sent twice.

Examples:
  echo kg_dev_bob | kg login --server http://127.0.0.1:8000
  kg whoami
  echo "What should I think about first?" | kg chat --mode challenge
  kg sessions
  kg self.soul.manifest --json
  kg self.soul.challenge --message "I have no time to write tests"
  kg world.house.manifest --archetype architect
  kg "world.house.manifest >> concept.summary.refine" --trace
  kg "world.house.manifest >> concept.summary.refine" --dry-run
  kg '?self.*' --limit 5
  kg alias home world.house
  kg home.manifest --archetype poet
  kg alias --remove home
  kg subscribe 'world.**' --since 1h --count 1
  kg usage --period day --json
  source <(kg completion bash)

Environment: KGENTS_URL, KGENTS_API_KEY, KGENTS_PLATFORM_KEY (for kg cluster), XDG_CONFIG_HOME,
SSL_CERT_FILE (authorities for https, instead of the system's). Proxies are not supported.

Exit status: 0 done; 1 the server refused or failed; 64 bad usage; 69 no server within reach;
130 interrupted.
)";

}  // namespace kgents::kg
