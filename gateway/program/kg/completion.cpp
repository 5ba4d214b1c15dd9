// kg completion: a script for bash, and the words it asks for.

#include <boost/json/parse.hpp>
#include <set>

#include "gateway/program/kg/program.hpp"
#include "protocol/agentese/path.hpp"

namespace kgents::kg {

namespace json = boost::json;

namespace {

/// Somebody waits with a finger on a key.
constexpr std::chrono::seconds word_silence{2};

constexpr std::string_view script = R"(# bash completion for kg: source <(kg completion bash)
_kg() {
  local current=${COMP_WORDS[COMP_CWORD]} previous= word words=
  ((COMP_CWORD > 0)) && previous=${COMP_WORDS[COMP_CWORD - 1]}
  COMPREPLY=()
  case $previous in
    --server | --key | --patience | --title | --since | --count | --limit) return ;;
    --expires | --session) return ;;
    --mode) words='reflect advise challenge explore' ;;
    --archetype)
      words='admin architect developer economist guest inhabitant philosopher poet scientist'
      ;;
    --period) words='day week month previous' ;;
    --scopes) words='read write admin billing' ;;
    completion) words=bash ;;
    keys) words='list create rotate revoke' ;;
  esac
  if [[ -z $words && $current == -* ]]; then
    words='--json --trace --dry-run --archetype --server --key --patience --help --version'
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
      case $word in
        chat) words+=' --mode --session --title' ;;
        subscribe) words+=' --aspect --since --count' ;;
        alias) words+=' --remove' ;;
        usage) words+=' --period' ;;
        create) words+=' --scopes --expires' ;;
        keys | sessions | users | audit | query) words+=' --limit' ;;
      esac
    done
  fi
  [[ -n $words ]] || words=$(kg words -- "$current" 2> /dev/null)
  # compgen would expand what is in the words; these are compared as they are.
  for word in $words; do
    [[ $word == "$current"* ]] && COMPREPLY+=("$word")
  done
  # A path goes on behind its dot.
  [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *. ]] && compopt -o nospace
  return 0
}
complete -F _kg kg
)";

/// The answer of a request that may fail: then it is as if there were none.
json::object quietly(const program& p, std::string target) {
  const auto out = p.http.call({.target = std::move(target)}, word_silence);
  const auto* answer = std::get_if<http_answer>(&out);
  json::error_code error;
  auto value =
      answer != nullptr && answer->status == 200 ? json::parse(answer->body, error) : json::value{};
  return value.is_object() ? std::move(value.get_object()) : json::object{};
}

/// What begins like `before`, up to the dot behind it: a segment at a time, as folders are.
void add(std::set<std::string>& all, const std::string& path, std::string_view before) {
  if (!path.starts_with(before) || path == before || path.find('*') != path.npos)
    return;
  const auto dot = path.find('.', before.size());
  all.insert(dot == path.npos ? path : path.substr(0, dot + 1));
}

}  // namespace

int completion(const output& out) {
  out.text(script);
  return exit_good;
}

int words(const program& p) {
  std::set<std::string> all;
  const std::string_view before = p.args.subject;
  if (before.find('.') == before.npos)
    for (const auto& name : command_names())
      add(all, name, before);
  for (const auto context : agentese::context_names)
    add(all, std::string{context} + '.', before);
  const auto paths = quietly(p, "/v1/agentese/paths?limit=1000");
  if (const auto* list = paths.if_contains("paths"); list != nullptr && list->is_array())
    for (const auto& one : list->get_array()) {
      const auto& x = one.as_object();
      const auto path = text_member(x, "path");
      if (const auto* aspects = x.if_contains("aspects"); aspects != nullptr && aspects->is_array())
        for (const auto& aspect : aspects->get_array())
          if (aspect.is_string())
            add(all, path + '.' + std::string{aspect.get_string()}, before);
    }
  const auto aliases = quietly(p, "/v1/agentese/aliases");
  if (const auto* map = aliases.if_contains("aliases"); map != nullptr && map->is_object())
    for (const auto& [name, target] : map->get_object())
      add(all, std::string{name} + '.', before);
  for (const auto& word : all)
    p.out.text(word + '\n');
  return exit_good;
}

}  // namespace kgents::kg
