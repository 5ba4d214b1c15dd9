// Every parser of protocol/agentese on the same bytes. Beside crashes and what the sanitizers see,
// it looks for broken promises: a printed value that parses to another one, a failure outside of
// the text.

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "protocol/agentese/alias.hpp"
#include "protocol/agentese/composition.hpp"
#include "protocol/agentese/effects.hpp"
#include "protocol/agentese/error.hpp"
#include "protocol/agentese/laws.hpp"
#include "protocol/agentese/legacy.hpp"
#include "protocol/agentese/path.hpp"
#include "protocol/agentese/pattern.hpp"
#include "protocol/agentese/query.hpp"
#include "protocol/agentese/suggest.hpp"

namespace {

using namespace kgents::agentese;

void promise(bool kept, const char* what) {
  if (kept)
    return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}

bool is_shown(std::string_view text) {
  for (const char c : text)
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f')
      return false;
  return true;
}

void check(const syntax_error& x, std::string_view text) {
  promise(x.position <= text.size(), "a failure is inside of the text");
  promise(!x.message.empty() && !x.suggestion.empty(), "a failure says what and what next");
  promise(is_shown(x.message) && is_shown(x.locus), "a failure can be shown");
  const auto told = errors::path_syntax(text, x);
  promise(from_json(boost::json::parse(serialize(to_record(told)))) == told, "errors travel");
}

void paths(std::string_view text) {
  for (auto what : {needs::aspect, needs::node, needs::lenient}) {
    const auto parsed = parse_path(text, what);
    if (const auto* failure = std::get_if<syntax_error>(&parsed)) {
      check(*failure, text);
      continue;
    }
    const auto& x = std::get<path>(parsed);
    promise(x.text().starts_with(text), "a path is printed as it was written");
    promise(x.owned().view() == x, "an owned path is the same path");
    const auto again = x.text();
    promise(std::get<path>(parse_path(again, what)) == x, "parse after print of a path");
  }
  for (auto mode : {strictness::strict, strictness::lenient}) {
    const auto parsed = parse_legacy(text, mode);
    if (const auto* failure = std::get_if<syntax_error>(&parsed)) {
      check(*failure, text);
      continue;
    }
    const auto& x = std::get<legacy_path>(parsed);
    promise(std::get<legacy_path>(parse_legacy(x.full_path())) == x, "parse after print, legacy");
  }
}

void compositions(std::string_view text, const alias_table* aliases) {
  const auto parsed = parse_composition(text, aliases);
  if (const auto* failure = std::get_if<composition_error>(&parsed)) {
    check(failure->why, text);
  } else {
    const auto& x = std::get<composition>(parsed);
    promise(std::get<composition>(parse_composition(x.text())) == x, "parse after print, stages");
    promise((x >> x).flattened() == (x.flattened() >> x.flattened()), "Id disappears");
  }
  const auto piped = parse_pipeline(text, aliases);
  if (const auto* failure = std::get_if<syntax_error>(&piped)) {
    check(*failure, text);
  } else {
    const auto& x = std::get<pipeline>(piped);
    promise(std::get<pipeline>(parse_pipeline(x.text())) == x, "parse after print, pipeline");
  }
}

void queries(std::string_view text) {
  const auto asked = parse_query(text);
  if (const auto* x = std::get_if<query>(&asked)) {
    promise(x->text() == text, "a query is printed as it was written");
    static_cast<void>(match(*x, text, text));
    promise(!match(*x, "self.memory", "recall") || match(*x, "self.memory"), "aspects of nodes");
  } else {
    promise(!std::get<error>(asked).suggested_action.empty(), "a failure says what next");
  }
  const auto listened = parse_pattern(text);
  if (const auto* x = std::get_if<pattern>(&listened))
    promise(x->text() == text, "a pattern is printed as it was written");
  const auto half = text.size() / 2;
  static_cast<void>(glob_matches(text.substr(0, half), text.substr(half)));
}

void aliases_and_effects(std::string_view text) {
  alias_table table;
  promise(load_aliases(text, table).size() <= 100, "skipped entries are bounded");
  alias_table again;
  promise(load_aliases(print_aliases(table), again).empty() && again == table,
          "load after print of aliases");
  promise(expand(text, table).size() <= text.size() + max_path_bytes, "one expansion");
  effects x;
  if (x.add(text)) {
    effects printed;
    for (const auto& each : to_texts(x))
      promise(printed.add(each), "a printed effect parses");
    promise(printed == x && compose(x, effects{}) == x, "parse after print of effects");
  }
}

void values(std::string_view text) {
  boost::system::error_code failure;
  const auto x = boost::json::parse(text, failure);
  if (failure)
    return;
  promise(same_value(x, x), "a value is the same as itself");
  if (const auto read = from_json(x))
    promise(from_json(to_record(*read)) == read, "errors travel");
  if (const auto read = refused_from_json(x))
    promise(refused_from_json(to_json(*read)) == read, "refusals travel");
}

void suggestions(std::string_view text) {
  const auto a = text.substr(0, text.size() / 2);
  const auto b = text.substr(text.size() / 2);
  const auto distance = edit_distance(a, b, 8);
  promise(distance == edit_distance(b, a, 8) && distance <= 9, "distances have no direction");
  promise((distance == 0) == (a == b), "only equal texts have no distance");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text{reinterpret_cast<const char*>(data), size};
  paths(text);
  compositions(text, nullptr);
  compositions(text, &alias_table::standard());
  queries(text);
  aliases_and_effects(text);
  values(text);
  suggestions(text);
  return 0;
}
