#include "gateway/agentese/query.hpp"

#include <algorithm>

#include "actors/logos/logos.hpp"
#include "protocol/agentese/query.hpp"

namespace kgents::gateway {

namespace json = boost::json;

namespace {

struct candidate {
  std::string path;
  const actors::node_entry* entry;
};

std::vector<candidate> candidates(const actors::registry& nodes,
                                  std::span<const std::string> defined,
                                  const agentese::query& wanted) {
  std::vector<candidate> out;
  for (const auto* x : nodes.list())
    if (!x->wildcard() && agentese::match(wanted, x->path()))
      out.push_back({std::string{x->path()}, x});
  for (const auto& path : defined)
    if (agentese::match(wanted, path))
      if (const auto* x = nodes.find(path).node; x != nullptr && x->path() != path)
        out.push_back({path, x});
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  out.erase(std::unique(out.begin(), out.end(),
                        [](const auto& a, const auto& b) { return a.path == b.path; }),
            out.end());
  return out;
}

/// What this observer may do there, and with this credential.
std::vector<std::string> usable(const candidate& x, const query_request& ask,
                                const agentese::observer& who, const agentese::caller& by) {
  std::vector<std::string> out;
  if (!ask.capability_check) {
    for (const auto& aspect : x.entry->aspects())
      if (!aspect.spec->internal)
        out.emplace_back(aspect.name());
    return out;
  }
  out = x.entry->affordances(who.archetype, who.capabilities);
  std::erase_if(out, [&](const auto& name) {
    return actors::check_access(*x.entry, *x.entry->find(name), x.path + "." + name, by)
        .has_value();
  });
  return out;
}

json::array texts(const std::vector<std::string>& all) {
  json::array out;
  for (const auto& x : all)
    out.emplace_back(x);
  return out;
}

json::object match_of(std::string path, std::string_view type, const candidate& x,
                      json::array affordances) {
  return {{"path", std::move(path)},
          {"node_type", type},
          {"context", agentese::to_string(x.entry->context())},
          {"affordances", std::move(affordances)}};
}

}  // namespace

std::variant<json::object, agentese::error> run_query(const actors::registry& nodes,
                                                      std::span<const std::string> defined,
                                                      const query_request& ask,
                                                      const agentese::observer& who,
                                                      const agentese::caller& by) {
  const auto parsed = agentese::parse_query(ask.pattern);
  if (const auto* wrong = std::get_if<1>(&parsed))
    return *wrong;
  const auto& wanted = std::get<0>(parsed);
  const auto paged = agentese::checked_page(ask.limit, ask.offset);
  if (const auto* wrong = std::get_if<1>(&paged))
    return *wrong;
  const auto& page = std::get<0>(paged);
  json::array matches;
  int64_t total = 0;
  const auto add = [&](const auto& make) {
    if (total >= page.offset && total < page.offset + page.limit)
      matches.emplace_back(make());
    ++total;
  };
  if (!ask.dry_run)
    for (const auto& x : candidates(nodes, defined, wanted)) {
      const auto names = usable(x, ask, who, by);
      if (names.empty())
        continue;
      if (!wanted.asks_aspects()) {
        add([&] { return match_of(x.path, "holon", x, texts(names)); });
        continue;
      }
      for (const auto& name : names)
        if (agentese::match(wanted, x.path, name))
          add([&] { return match_of(x.path + "." + name, "aspect", x, {json::string(name)}); });
    }
  const auto returned = static_cast<int64_t>(matches.size());
  return json::object{{"pattern", wanted.text()},
                      {"matches", std::move(matches)},
                      {"total_count", total},
                      {"limit", page.limit},
                      {"offset", page.offset},
                      {"has_more", page.offset + returned < total},
                      {"cost_estimate", agentese::cost_estimate(wanted)}};
}

}  // namespace kgents::gateway
