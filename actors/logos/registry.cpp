#include "actors/logos/registry.hpp"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <stdexcept>

#include "actors/logos/shape.hpp"
#include "protocol/agentese/suggest.hpp"
#include "runtime/telemetry/log.hpp"

namespace kgents::actors {

namespace json = boost::json;

namespace {

std::vector<std::string_view> words(std::string_view text, char separator = ' ') {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const auto at = std::min(text.find(separator), text.size());
    auto word = text.substr(0, at);
    while (word.starts_with(' '))
      word.remove_prefix(1);
    if (!word.empty())
      out.push_back(word);
    text.remove_prefix(std::min(at + 1, text.size()));
  }
  return out;
}

[[noreturn]] void mistake(const node_spec& node, std::string_view what, std::string_view which) {
  throw std::logic_error{"registering " + std::string{node.path} + ": " + std::string{what} + " '" +
                         std::string{which} + "'"};
}

json::object schema_of_argument(const argument& a) {
  constexpr std::string_view names[] = {"string",  "integer", "number", "boolean",
                                        "object", "array",   ""};
  json::object out;
  if (a.type != argument_type::any)
    out["type"] = names[static_cast<size_t>(a.type)];
  if (!a.meaning.empty())
    out["description"] = a.meaning;
  if (!a.default_json.empty())
    out["default"] = json::parse(a.default_json);
  if (a.least)
    out["minimum"] = *a.least;
  if (a.most)
    out["maximum"] = *a.most;
  if (!a.one_of.empty()) {
    json::array all;
    for (const auto x : a.one_of)
      all.emplace_back(x);
    out["enum"] = std::move(all);
  }
  return out;
}

json::object schema_of_arguments(std::span<const argument> args) {
  json::object members;
  json::array required;
  for (const auto& a : args) {
    members[a.name] = schema_of_argument(a);
    if (a.required)
      required.emplace_back(a.name);
  }
  json::object out{{"type", "object"}, {"properties", std::move(members)}};
  if (!required.empty())
    out["required"] = std::move(required);
  return out;
}

std::string lower(std::string_view text) {
  std::string out{text};
  for (auto& c : out)
    if (c >= 'A' && c <= 'Z')
      c = static_cast<char>(c + 32);
  return out;
}

}  // namespace

node_entry::node_entry(const node_spec& spec, std::span<const aspect_spec> base) : spec_{&spec} {
  const auto context = agentese::parse_context(agentese::first_segment(spec.path));
  if (!context)
    mistake(spec, "no context", spec.path);
  context_ = *context;
  wildcard_ = spec.path.ends_with(".*");
  const auto make = [&](const aspect_spec& x) {
    aspect_entry out;
    out.spec = &x;
    if (x.run == nullptr)
      mistake(spec, "nothing runs", x.name);
    if (x.category == aspect_category::entropy && context_ != agentese::context::void_)
      mistake(spec, "ENTROPY outside void:", x.name);
    for (const auto effect : words(x.effects, ','))
      if (!out.effects.add(effect))
        mistake(spec, "no effect", effect);
    auto shape = schema_of(x.returns);
    if (!shape)
      mistake(spec, "no shape", x.returns);
    out.response_schema = std::move(*shape);
    out.request_schema = schema_of_arguments(x.args);
    return out;
  };
  // The node's own version of a base aspect stands where base's would.
  const auto own = [&](std::string_view name) {
    return std::find_if(spec.aspects.begin(), spec.aspects.end(),
                        [&](const auto& x) { return x.name == name; });
  };
  for (const auto& x : base) {
    const auto at = own(x.name);
    aspects_.push_back(make(at == spec.aspects.end() ? x : *at));
    common_.push_back(x.name);
  }
  for (const auto& x : spec.aspects)
    if (std::find(common_.begin(), common_.end(), x.name) == common_.end())
      aspects_.push_back(make(x));
  for (size_t i = 0; i < aspects_.size(); ++i)
    if (!index_.emplace(aspects_[i].name(), i).second)
      mistake(spec, "declared twice:", aspects_[i].name());
  const auto take = [&](names& into, std::string_view text) {
    const auto list = text == "*" ? names{} : words(text);
    for (const auto x : list) {
      const auto at = index_.find(x);
      if (at == index_.end())
        mistake(spec, "no aspect", x);
      into.push_back(aspects_[at->second].name());
    }
    if (text == "*")
      for (const auto& x : aspects_)
        if (!x.spec->internal)
          into.push_back(x.name());
  };
  const auto base_count = common_.size();
  take(common_, spec.common);
  for (const auto& row : spec.rows) {
    names have;
    take(have, row.aspects);
    for (const auto who : words(row.archetypes)) {
      for (const auto x : have)
        aspects_[index_.at(x)].archetypes.emplace_back(who == "*" ? "others" : who);
      if (who == "*")
        default_row_ = have;
      else
        rows_[lower(who)] = have;
    }
  }
  for (size_t i = base_count; i < common_.size(); ++i)
    aspects_[index_.at(common_[i])].archetypes.clear();
}

const aspect_entry* node_entry::find(std::string_view aspect) const noexcept {
  const auto at = index_.find(aspect);
  return at == index_.end() ? nullptr : &aspects_[at->second];
}

const node_entry::names& node_entry::row_of(std::string_view archetype) const {
  const auto at = rows_.find(lower(archetype));
  return at == rows_.end() ? default_row_ : at->second;
}

std::vector<std::string> node_entry::affordances(std::string_view archetype,
                                                 std::span<const std::string> capabilities) const {
  std::vector<std::string> out;
  const auto add = [&](std::string_view x) {
    if (std::find(out.begin(), out.end(), x) == out.end())
      out.emplace_back(x);
  };
  for (const auto x : common_)
    add(x);
  for (const auto x : row_of(archetype))
    add(x);
  for (const auto& capability : capabilities)
    for (const auto x : granted_by(capability))
      if (const auto* aspect = find(x); aspect != nullptr && !aspect->spec->internal)
        add(x);
  return out;
}

bool node_entry::affords(std::string_view archetype, std::span<const std::string> capabilities,
                         std::string_view aspect) const {
  const auto has = [&](const names& list) {
    return std::find(list.begin(), list.end(), aspect) != list.end();
  };
  if (has(common_) || has(row_of(archetype)))
    return true;
  const auto* x = find(aspect);
  if (x == nullptr || x->spec->internal)
    return false;
  return std::any_of(capabilities.begin(), capabilities.end(), [&](const auto& capability) {
    const auto granted = granted_by(capability);
    return std::find(granted.begin(), granted.end(), aspect) != granted.end();
  });
}

std::vector<std::string> node_entry::archetypes() const {
  std::vector<std::string> out;
  for (const auto& [who, aspects] : rows_)
    out.push_back(who);
  return out;
}

void registry::add(const node_spec& spec) {
  auto& slot = nodes_[std::string{spec.path}];
  if (slot != nullptr)
    log::warn("a node is registered twice; the last holds", {{"path", spec.path}});
  slot = std::make_unique<node_entry>(spec, base_aspects());
}

registry::found registry::find(std::string_view node_path) const noexcept {
  for (auto prefix = node_path; !prefix.empty();) {
    const auto rest = node_path.substr(std::min(prefix.size() + 1, node_path.size()));
    if (const auto at = nodes_.find(prefix); at != nodes_.end() && !at->second->wildcard())
      return {at->second.get(), rest};
    prefix = agentese::split_last(prefix).second.empty() ? std::string_view{}
                                                         : agentese::split_last(prefix).first;
    if (prefix.empty())
      break;
    // What somebody defines may have parts of its own; other forms are one name deep.
    const auto at = nodes_.find(std::string{prefix} + ".*");
    if (at != nodes_.end() && (rest.empty() || at->second->spec().resolve != nullptr))
      return {at->second.get(), {}};
  }
  return {};
}

std::vector<const node_entry*> registry::list() const {
  std::vector<const node_entry*> out;
  for (const auto& [path, x] : nodes_)
    out.push_back(x.get());
  return out;
}

std::vector<const node_entry*> registry::by_context(agentese::context x) const {
  auto out = list();
  std::erase_if(out, [&](const auto* y) { return y->context() != x; });
  return out;
}

std::vector<std::string> registry::similar(std::string_view node_path) const {
  std::vector<std::string> all;
  for (const auto& [path, x] : nodes_)
    if (!x->wildcard())
      all.push_back(path);
  return agentese::similar(node_path, all);
}

json::object registry::stats() const {
  json::object contexts;
  for (const auto name : agentese::context_names)
    contexts[name] = by_context(*agentese::parse_context(name)).size();
  return {{"registered_nodes", nodes_.size()}, {"contexts", std::move(contexts)}};
}

std::span<const std::string_view> granted_by(std::string_view capability) noexcept {
  // What a credential carries beyond its archetype (agentese.md 4.1): `define` is in 14.1, the
  // others are the key's scopes.
  static constexpr std::string_view define[] = {"define"};
  static constexpr std::string_view admin[] = {"configure", "monitor", "audit", "provision"};
  if (capability == "define")
    return define;
  if (capability == "admin")
    return admin;
  return {};
}

}  // namespace kgents::actors
