// What administrators and operators look at and change: keys, usage, users, the audit log, nodes.

#include <boost/json/serialize.hpp>

#include "gateway/program/kg/program.hpp"

namespace kgents::kg {

namespace json = boost::json;

namespace {

struct column {
  std::string title;
  std::string_view member;
  size_t most = 0;  ///< characters; 0: all
};

/// Items as lines or as a table. A member that an item has not is empty.
void show_list(const program& p, const json::object& answer, std::string_view list,
               const std::vector<column>& columns) {
  std::vector<std::string> names;
  for (const auto& x : columns)
    names.push_back(x.title);
  std::vector<std::vector<std::string>> rows;
  const auto* all = answer.if_contains(list);
  if (all != nullptr && all->is_array())
    for (const auto& one : all->get_array()) {
      const auto& x = one.as_object();
      if (p.out.json())
        p.out.object(x);
      std::vector<std::string> row;
      for (const auto& c : columns) {
        auto text = shown_member(x, c.member);
        row.push_back(c.most > 0 ? text.substr(0, c.most) : std::move(text));
      }
      rows.push_back(std::move(row));
    }
  if (!p.out.json())
    p.out.table(names, rows);
}

json::object object_member(const json::object& x, std::string_view name) {
  const auto* value = x.if_contains(name);
  return value != nullptr && value->is_object() ? value->get_object() : json::object{};
}

std::string limit_of(const program& p, std::string_view route) {
  const auto limit = p.args.limit == 0 ? 20 : p.args.limit;
  return std::string{route} + "?limit=" + std::to_string(limit);
}

void show_new_key(const program& p, const json::object& made) {
  if (p.out.json()) {
    p.out.object(made);
    return;
  }
  p.out.text(text_member(made, "key") + "\n");
  note("key " + text_member(made, "id") + " (" + shown_member(made, "scopes") +
       "); it is not shown again");
}

}  // namespace

int keys(const program& p) {
  show_list(p, ask_object(p, {.target = limit_of(p, "/v1/api-keys")}), "items",
            {{"ID", "id"},
             {"KEY", "key_prefix"},
             {"NAME", "name"},
             {"SCOPES", "scopes"},
             {"ACTIVE", "is_active"},
             {"EXPIRES", "expires_at", 16},
             {"LAST USED", "last_used_at", 16}});
  return exit_good;
}

int create_key(const program& p) {
  json::object body{{"name", p.args.name}};
  if (!p.args.scopes.empty())
    body["scopes"] = json::array(p.args.scopes.begin(), p.args.scopes.end());
  if (p.args.expires_days > 0)
    body["expires_in_days"] = p.args.expires_days;
  show_new_key(
      p,
      ask_object(p, {.method = "POST", .target = "/v1/api-keys", .body = json::serialize(body)}));
  return exit_good;
}

int rotate_key(const program& p) {
  show_new_key(p, ask_object(p, {.method = "POST",
                                 .target = "/v1/api-keys/" + escaped(p.args.subject) + "/rotate"}));
  return exit_good;
}

int revoke_key(const program& p) {
  ask(p, {.method = "DELETE", .target = "/v1/api-keys/" + escaped(p.args.subject)});
  if (p.out.json())
    p.out.object({{"id", p.args.subject}, {"revoked", true}});
  else
    p.out.text("Revoked.\n");
  return exit_good;
}

int usage(const program& p) {
  const auto out = ask_object(p, {.target = "/v1/usage?period=" + escaped(p.args.period)});
  if (p.out.json())
    p.out.object(out);
  else
    p.out.tree(out);
  return exit_good;
}

int users(const program& p) {
  show_list(p, ask_object(p, {.target = limit_of(p, "/v1/users")}), "items",
            {{"ID", "id"},
             {"EMAIL", "email"},
             {"NAME", "name"},
             {"ROLE", "role"},
             {"ACTIVE", "is_active"},
             {"LAST LOGIN", "last_login_at", 16}});
  return exit_good;
}

int audit(const program& p) {
  const auto out = ask_object(p, {.target = limit_of(p, "/v1/audit")});
  const auto* all = out.if_contains("items");
  std::vector<std::vector<std::string>> rows;
  if (all != nullptr && all->is_array())
    for (const auto& one : all->get_array()) {
      const auto& x = one.as_object();
      if (p.out.json())
        p.out.object(x);
      const auto actor = object_member(x, "actor");
      const auto object = object_member(x, "object");
      auto who = text_member(actor, "name");
      if (who.empty())
        who = text_member(actor, "key_prefix");
      rows.push_back({text_member(x, "at").substr(0, 19), text_member(actor, "kind") + " " + who,
                      text_member(x, "action"), text_member(object, "id"),
                      text_member(x, "outcome")});
    }
  if (!p.out.json())
    p.out.table({"WHEN", "WHO", "DID", "TO", "OUTCOME"}, rows);
  return exit_good;
}

int cluster(const program& p) {
  if (p.key.empty())
    throw stopped{exit_usage, "kg cluster needs the platform's key: KGENTS_PLATFORM_KEY or --key"};
  const auto out = ask_object(p, {.target = "/v1/cluster"});
  if (p.out.json()) {
    p.out.object(out);
    return exit_good;
  }
  show_list(p, out, "nodes",
            {{"NAME", "name"},
             {"STATE", "state"},
             {"SHARDS", "shards"},
             {"LINKED", "linked"},
             {"ADDRESS", "address"},
             {"ROLES", "roles"}});
  if (const auto* moves = out.if_contains("moves");
      moves != nullptr && moves->is_array() && !moves->get_array().empty())
    show_list(p, out, "moves",
              {{"FROM", "from"}, {"TO", "to"}, {"SHARDS", "shards"}, {"SECONDS", "seconds"}});
  return exit_good;
}

}  // namespace kgents::kg
