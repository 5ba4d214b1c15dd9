#include "actors/contexts/node_store.hpp"

#include <boost/json/serialize.hpp>

#include "actors/own_json.hpp"

namespace kgents::actors {

namespace json = boost::json;

std::optional<node_ptr> node_cache::find(std::string_view path) {
  const auto at = entries_.find(path);
  if (at == entries_.end())
    return std::nullopt;
  used_.splice(used_.begin(), used_, at->second.place);
  return at->second.node;
}

void node_cache::put(std::string_view path, node_ptr node) {
  erase(path);
  bytes_ += bytes_of(node);
  used_.emplace_front(path);
  entries_.emplace(std::string{path}, entry{std::move(node), used_.begin()});
  while (entries_.size() > most_ || (bytes_ > most_bytes_ && entries_.size() > 1)) {
    const auto oldest = used_.back();
    erase(oldest);
  }
}

void node_cache::put_read(uint64_t generation, std::string_view path, node_ptr node) {
  if (generation == generation_ && std::chrono::steady_clock::now() >= distrusted_until_)
    put(path, std::move(node));
}

void node_cache::erase(std::string_view path) {
  const auto at = entries_.find(path);
  if (at == entries_.end())
    return;
  bytes_ -= bytes_of(at->second.node);
  used_.erase(at->second.place);
  entries_.erase(at);
}

node_cache::writing::writing(node_cache& of, std::string_view path) : of_{of}, path_{path} {
  ++of_.generation_;
  of_.erase(path_);
}

node_cache::writing::~writing() {
  ++of_.generation_;
  if (committed_)
    return;
  of_.erase(path_);
  of_.distrusted_until_ = std::chrono::steady_clock::now() + distrust;
}

void node_cache::writing::committed(node_ptr node) {
  committed_ = true;
  of_.put(path_, std::move(node));
}

namespace {

json::object object_of(std::string_view text) {
  boost::system::error_code bad;
  auto x = parse_own(text, bad);
  return !bad && x.is_object() ? std::move(x.get_object()) : json::object{};
}

std::string_view context_of(std::string_view path) { return agentese::first_segment(path); }

/// Nothing, or which part of it is too large.
std::string_view too_large(const sql::agentese_node& x) {
  if (x.state.size() > node_limits::json_bytes)
    return "state";
  if (x.definition.size() > node_limits::json_bytes)
    return "definition";
  if (x.relations.size() > node_limits::json_bytes)
    return "relations";
  return {};
}

agentese::error full(const aspect_call& c, std::string message) {
  auto out = agentese::errors::invalid_argument(c.full_path(), "kwargs", std::move(message));
  out.category = agentese::category::precondition;
  out.code = "LIMIT_REACHED";
  out.suggested_action = "remove what is no longer needed, then try again";
  return out;
}

}  // namespace

namespace node_store {

task<node_ptr> load(aspect_call& c, std::string path) {
  auto& cache = c.live<node_cache>();
  if (auto known = cache.find(path))
    co_return std::move(*known);
  const auto generation = cache.generation();
  auto query = sql::agentese_nodes::get(c.tenant(), path);
  const auto row = co_await c.read(std::move(query));
  node_ptr out;
  if (row) {
    auto x = std::make_shared<stored_node>();
    x->path = row->path;
    x->entity_type = row->entity_type;
    x->state = object_of(row->state);
    x->definition = object_of(row->definition);
    x->relations = object_of(row->relations);
    x->version = row->version;
    x->created_by = row->created_by;
    x->created_at = row->created_at;
    x->updated_at = row->updated_at;
    x->json_bytes = row->state.size() + row->definition.size() + row->relations.size();
    out = std::move(x);
  }
  cache.put_read(generation, path, out);
  co_return out;
}

task<node_ptr> save(aspect_call& c, stored_node node, json::object change,
                    std::vector<sql::statement> also) {
  auto& cache = c.live<node_cache>();
  if (node.created_by.empty())
    node.created_by = c.by().user.empty() ? c.who().id : c.by().user;
  sql::agentese_node row{.path = node.path,
                         .entity_type = node.entity_type,
                         .state = json::serialize(node.state),
                         .definition = json::serialize(node.definition),
                         .relations = json::serialize(node.relations),
                         .version = node.version,
                         .created_by = node.created_by,
                         .created_at = {},
                         .updated_at = {}};
  if (const auto part = too_large(row); !part.empty())
    co_await c.fail(full(c, "The " + std::string{part} + " of " + node.path +
                                " would be larger than " + std::to_string(node_limits::json_bytes) +
                                " bytes"));
  if (node.version == 0) {
    auto counting = sql::agentese_nodes::count(c.tenant(), context_of(node.path));
    const auto there = co_await c.read(std::move(counting));
    if (there >= node_limits::stored)
      co_await c.fail(full(c, "There are " + std::to_string(there) + " nodes in " +
                                  std::string{context_of(node.path)} + ", as many as may be"));
  }
  node.json_bytes = row.state.size() + row.definition.size() + row.relations.size();
  auto query = sql::agentese_nodes::put(c.tenant(), row);
  for (auto& x : also)
    query.work.statements.push_back(std::move(x));
  const auto path = node.path;
  node_cache::writing now{cache, path};
  const auto stored = co_await c.write(std::move(query), std::move(change), path);
  auto out = std::make_shared<stored_node>(std::move(node));
  out->version = stored.version;
  out->created_by = stored.created_by;
  out->created_at = stored.created_at;
  out->updated_at = stored.updated_at;
  now.committed(out);
  co_return node_ptr{std::move(out)};
}

task<bool> remove(aspect_call& c, std::string path, json::object change) {
  auto query = sql::agentese_nodes::remove(c.tenant(), path);
  node_cache::writing now{c.live<node_cache>(), path};
  const auto was = co_await c.write(std::move(query), std::move(change), path);
  now.committed(nullptr);
  co_return was;
}

}  // namespace node_store

void remember(stored_node& node, const aspect_call& c, json::object about) {
  json::object act{
      {"action", c.asked().aspect}, {"timestamp", c.now_text()}, {"observer", c.who().archetype}};
  for (auto& [name, x] : about)
    act.insert_or_assign(name, std::move(x));
  auto& slot = node.definition["history"];
  if (!slot.is_array())
    slot = json::array{};
  auto& history = slot.get_array();
  if (history.size() >= node_limits::history)
    history.erase(history.begin());
  history.emplace_back(std::move(act));
}

const json::array& remembered(const stored_node& node) {
  static const json::array none;
  const auto* x = node.definition.if_contains("history");
  return x != nullptr && x->is_array() ? x->get_array() : none;
}

void merge_patch(json::object& target, const json::object& patch) {
  for (const auto& [name, x] : patch) {
    if (x.is_null()) {
      target.erase(name);
    } else if (x.is_object()) {
      auto& slot = target[name];
      if (!slot.is_object())
        slot = json::object{};
      merge_patch(slot.get_object(), x.get_object());
    } else {
      target.insert_or_assign(name, x);
    }
  }
}

}  // namespace kgents::actors
