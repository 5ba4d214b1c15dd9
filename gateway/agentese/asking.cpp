#include "gateway/agentese/asking.hpp"

#include <algorithm>
#include <boost/json/monotonic_resource.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "actors/persona/budget.hpp"
#include "protocol/agentese/alias.hpp"

namespace kgents::gateway {

namespace json = boost::json;

namespace {

// An observer is copied into marks, events and messages between nodes: a name is a name.
constexpr size_t max_archetype_bytes = 128;
constexpr size_t max_id_bytes = 256;
constexpr size_t max_capability_bytes = 128;
constexpr size_t max_capabilities = 64;

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

agentese::error bad_header(std::string_view name, size_t most) {
  return agentese::errors::invalid_argument("", name,
                                            std::string{name} +
                                                " must be printable ASCII of at most " +
                                                std::to_string(most) + " characters");
}

std::string_view trimmed(std::string_view x) {
  while (x.starts_with(' ') || x.starts_with('\t'))
    x.remove_prefix(1);
  while (x.ends_with(' ') || x.ends_with('\t'))
    x.remove_suffix(1);
  return x;
}

std::optional<agentese::error> read_capabilities(std::string_view list,
                                                 std::vector<std::string>& into) {
  constexpr std::string_view name = "X-Observer-Capabilities";
  while (!list.empty()) {
    const auto part = list.substr(0, list.find(','));
    list.remove_prefix(std::min(list.size(), part.size() + 1));
    const auto x = trimmed(part);
    if (x.empty())
      continue;
    if (x.size() > max_capability_bytes || !is_printable(x) || into.size() == max_capabilities)
      return agentese::errors::invalid_argument(
          "", name,
          "X-Observer-Capabilities lists at most " + std::to_string(max_capabilities) +
              " names of at most " + std::to_string(max_capability_bytes) +
              " printable ASCII characters");
    into.emplace_back(x);
  }
  return std::nullopt;
}

json::array place(const json::array& where, json::value more) {
  auto out = where;
  out.push_back(std::move(more));
  return out;
}

/// A text member, when it is there and not null.
void read_text(const json::object& x, std::string_view name, size_t most, std::string& into,
               violations& wrong, const json::array& where) {
  const auto* member = x.if_contains(name);
  if (member == nullptr || member->is_null())
    return;
  if (!member->is_string()) {
    add_violation(wrong, "string_type", place(where, json::string(name)),
                  "Input should be a valid string", *member);
  } else if (member->get_string().size() > most || has_control(member->get_string())) {
    add_violation(wrong, "string_too_long", place(where, json::string(name)),
                  "String should have at most " + std::to_string(most) +
                      " characters, none of them control characters",
                  *member, {{"max_length", most}});
  } else if (!member->get_string().empty()) {
    into = member->get_string();
  }
}

uint64_t declared_tokens(const actors::aspect_entry& x) {
  const auto at = x.effects.charges.find("tokens");
  return at == x.effects.charges.end()
             ? 0
             : static_cast<uint64_t>(at->second / agentese::micros_per_unit);
}

}  // namespace

bool is_printable(std::string_view text) noexcept {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

std::variant<agentese::observer, agentese::error> observer_of_headers(const http::request& in,
                                                                      const observer_form& usual) {
  agentese::observer out;
  const auto archetype = in.header("x-observer-archetype");
  if (archetype.size() > max_archetype_bytes || !is_printable(archetype))
    return bad_header("X-Observer-Archetype", max_archetype_bytes);
  out.archetype = archetype.empty() ? usual.archetype : archetype;
  const auto id = in.header("x-observer-id");
  if (id.size() > max_id_bytes || !is_printable(id))
    return bad_header("X-Observer-Id", max_id_bytes);
  out.id = id.empty() ? usual.id : id;
  if (auto wrong = read_capabilities(in.header("x-observer-capabilities"), out.capabilities))
    return std::move(*wrong);
  return out;
}

void read_observer(const json::value& x, agentese::observer& who, violations& wrong,
                   const json::array& where) {
  const auto* object = x.if_object();
  if (object == nullptr) {
    add_violation(wrong, "dict_type", where, "Input should be a valid dictionary", x);
    return;
  }
  read_text(*object, "archetype", max_archetype_bytes, who.archetype, wrong, where);
  read_text(*object, "name", max_id_bytes, who.id, wrong, where);
  read_text(*object, "id", max_id_bytes, who.id, wrong, where);
  const auto* list = object->if_contains("capabilities");
  if (list == nullptr || list->is_null())
    return;
  const auto at = place(where, "capabilities");
  if (!list->is_array()) {
    add_violation(wrong, "list_type", at, "Input should be a valid list", *list);
    return;
  }
  const auto& all = list->get_array();
  if (all.size() > max_capabilities) {
    add_violation(wrong, "too_long", at,
                  "List should have at most " + std::to_string(max_capabilities) + " items",
                  nullptr, {{"max_length", max_capabilities}, {"actual_length", all.size()}});
    return;
  }
  who.capabilities.clear();
  for (size_t i = 0; i < all.size(); ++i) {
    const auto* text = all[i].if_string();
    if (text == nullptr || text->size() > max_capability_bytes || has_control(*text))
      add_violation(wrong, "string_type", place(at, i), "Input should be a valid string", all[i]);
    else if (!text->empty())
      who.capabilities.emplace_back(*text);
  }
}

agentese::caller caller_of(const credential& who) {
  agentese::caller out;
  out.user = who.key.user_ref;
  out.key = who.key.key;
  out.tier = who.key.tier;
  out.read = who.key.scopes.read;
  out.write = who.key.scopes.write;
  out.admin = who.key.scopes.admin;
  return out;
}

actors::invocation invocation_of(const call& c, std::string_view origin) {
  actors::invocation out;
  out.tenant = c.tenant();
  out.by = caller_of(*c.who);
  out.origin = origin;
  out.strict = origin == "gateway";
  out.billed = c.to->metered;  // what counts as no operation costs nothing
  out.capability = c.x->in().header("x-agentese-capability");
  if (const auto inside = c.text_of("capability"); out.capability.empty())
    out.capability = inside;
  return out;
}

std::string kwargs_of_query(std::string_view query) {
  if (query.empty())
    return "{}";
  json::object out;
  while (!query.empty()) {
    const auto part = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), part.size() + 1));
    const auto equals = std::min(part.find('='), part.size());
    const auto name = percent_decoded(part.substr(0, equals), true);
    if (!name || name->empty() || *name == "api_key")
      continue;
    const auto text = part.substr(std::min(equals + 1, part.size()));
    out[*name] = percent_decoded(text, true).value_or(std::string{text});
  }
  return json::serialize(out);
}

std::string kwargs_of_body(std::string_view body) {
  if (body.empty())
    return "{}";
  unsigned char room[4096];
  json::monotonic_resource memory{room, sizeof room};
  json::error_code error;
  const auto value = json::parse(body, error, &memory);
  return !error && value.is_object() ? std::string{body} : std::string{"{}"};
}

registered find_registered(const actors::registry& nodes, std::string_view node,
                           std::string_view aspect) {
  registered out;
  out.node = agentese::expand(node, agentese::alias_table::standard());
  out.entry = nodes.find(out.node).node;
  out.aspect = out.entry == nullptr ? nullptr : out.entry->find(aspect);
  return out;
}

uint64_t token_estimate(const actors::registry& nodes, std::string_view path,
                        std::string_view tier) {
  const auto [node, aspect] = agentese::split_last(path);
  const auto plan = [&] {
    return uint64_t{persona::dialogue_estimate(persona::session_budget(tier))};
  };
  const auto found = find_registered(nodes, node, aspect);
  if (found.aspect != nullptr) {
    const auto declared = declared_tokens(*found.aspect);
    return found.entry->path() == "self.soul" ? std::min(declared, plan()) : declared;
  }
  if (agentese::parse_context(agentese::first_segment(path)))
    return 0;
  // A tenant's own alias: only its context knows what it stands for, so the most that an aspect of
  // this name may cost.
  uint64_t most = 0;
  for (const auto* x : nodes.list())
    if (const auto* known = x->find(aspect))
      most = std::max(most, declared_tokens(*known));
  return most;
}

void add_tokens(const credential& who, uint64_t tokens) {
  if (tokens > 0)
    who.lease.key->add_tokens(
        tokens, std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()));
}

void refuse_with(const call_ptr& c, const problem& why) {
  c->reply(why.status, why.text(), "application/json", why.lines);
}

}  // namespace kgents::gateway
