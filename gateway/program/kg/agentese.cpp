// Paths, compositions, queries and aliases.

#include <algorithm>
#include <boost/json/serialize.hpp>

#include "gateway/program/kg/program.hpp"
#include "protocol/agentese/alias.hpp"
#include "protocol/agentese/path.hpp"

namespace kgents::kg {

namespace json = boost::json;

namespace {

/// The aspects of self.soul that speak as they think; e2e.kg compares them with the server's own.
constexpr std::string_view speaking[] = {"challenge", "chat",    "dialogue",
                                         "reflect",   "tension", "why"};

std::string_view trimmed(std::string_view x) {
  const auto first = x.find_first_not_of(' ');
  return first == x.npos ? std::string_view{}
                         : x.substr(first, x.find_last_not_of(' ') - first + 1);
}

json::array stages_of(std::string_view text) {
  json::array out;
  for (;;) {
    const auto end = text.find(">>");
    out.emplace_back(trimmed(text.substr(0, end)));
    if (end == text.npos)
      return out;
    text.remove_prefix(end + 2);
  }
}

int show_effects(const program& p) {
  const auto out =
      ask_object(p, {.method = "POST",
                     .target = "/v1/agentese/effects",
                     .body = json::serialize(json::object{{"paths", stages_of(p.args.subject)}}),
                     .header_lines = idempotency_line(new_idempotency_key())});
  if (p.out.json())
    p.out.object(out);
  else
    p.out.tree(out);
  return exit_good;
}

void show_trace(const program& p, const json::object& answer, int64_t took_ms) {
  const auto* stages = answer.if_contains("pipeline_trace");
  if (stages == nullptr || !stages->is_array()) {
    note(p.args.subject + "  " + std::to_string(took_ms) + " ms  " +
         shown_member(answer, "tokens_used") + " tokens");
    return;
  }
  for (const auto& one : stages->get_array())
    if (const auto* x = one.if_object())
      note(text_member(*x, "path") + "  " + shown_member(*x, "duration_ms") + " ms  -> " +
           text_member(*x, "output_type"));
}

bool all_plain(const json::object& kwargs) {
  return std::all_of(kwargs.begin(), kwargs.end(), [](const auto& x) {
    return x.value().is_string() || x.value().is_number() || x.value().is_bool();
  });
}

int change_alias(const program& p) {
  const auto target = "/v1/agentese/aliases/" + escaped(p.args.subject);
  if (p.args.remove) {
    ask(p, {.method = "DELETE", .target = target});
    if (p.out.json())
      p.out.object({{"name", p.args.subject}, {"removed", true}});
    return exit_good;
  }
  const auto out =
      ask_object(p, {.method = "PUT",
                     .target = target,
                     .body = json::serialize(json::object{{"target", p.args.target}})});
  if (p.out.json())
    p.out.object(out);
  else
    p.out.text(p.args.subject + " stands for " + p.args.target + "\n");
  return exit_good;
}

}  // namespace

int invoke(const program& p) {
  if (p.args.dry_run)
    return show_effects(p);
  const auto path = agentese::expand(p.args.subject, agentese::alias_table::standard());
  const auto [node, aspect] = agentese::split_last(path);
  if (node == "self.soul" && all_plain(p.args.kwargs) &&
      std::find(std::begin(speaking), std::end(speaking), aspect) != std::end(speaking))
    return stream_aspect(p, std::string{node}, std::string{aspect});
  const auto began = steady::now();
  const auto out = ask_object(
      p,
      {.method = "POST",
       .target = "/v1/agentese/invoke",
       .body = json::serialize(json::object{{"path", p.args.subject},
                                            {"observer", {{"archetype", p.args.archetype}}},
                                            {"kwargs", p.args.kwargs}}),
       .header_lines = idempotency_line(new_idempotency_key())},
      longest_thought);
  if (p.args.trace)
    show_trace(
        p, out,
        std::chrono::duration_cast<std::chrono::milliseconds>(steady::now() - began).count());
  const auto* result = out.if_contains("result");
  if (p.out.json() || result == nullptr)
    p.out.object(out);
  else
    p.out.tree(*result);
  return exit_good;
}

int query(const program& p) {
  auto target = "/v1/agentese/query?q=" + escaped(p.args.subject);
  if (p.args.limit > 0)
    target += "&limit=" + std::to_string(p.args.limit);
  if (p.args.dry_run)
    target += "&dry_run=true";
  const auto out = ask_object(p, {.target = std::move(target)});
  const auto* matches = out.if_contains("matches");
  if (p.args.dry_run || matches == nullptr || !matches->is_array()) {
    if (p.out.json())
      p.out.object(out);
    else
      p.out.tree(out);
    return exit_good;
  }
  std::vector<std::vector<std::string>> rows;
  for (const auto& one : matches->get_array()) {
    const auto& x = one.as_object();
    if (p.out.json())
      p.out.object(x);
    else
      rows.push_back({text_member(x, "path"), shown_member(x, "affordances")});
  }
  if (!p.out.json())
    p.out.table({"PATH", "AFFORDANCES"}, rows);
  if (shown_member(out, "has_more") == "true")
    note(shown_member(out, "total_count") + " match; --limit N shows more");
  return exit_good;
}

int alias(const program& p) {
  if (!p.args.subject.empty())
    return change_alias(p);
  const auto out = ask_object(p, {.target = "/v1/agentese/aliases"});
  const auto* all = out.if_contains("aliases");
  std::vector<std::vector<std::string>> rows;
  if (all != nullptr && all->is_object())
    for (const auto& [name, target] : all->get_object()) {
      if (p.out.json())
        p.out.object({{"name", name}, {"target", target}});
      else if (target.is_string())
        rows.push_back({std::string{name}, std::string{target.get_string()}});
    }
  if (!p.out.json())
    p.out.table({"NAME", "STANDS FOR"}, rows);
  return exit_good;
}

}  // namespace kgents::kg
