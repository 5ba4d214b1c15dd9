#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "actors/contexts/call.hpp"
#include "sql/agentese_nodes.hpp"

namespace kgents::actors {

namespace node_limits {
/// Nodes of one tenant and context that are kept in memory.
constexpr size_t cached = 10'000;
/// JSON text of those; in memory they take a few times as much.
constexpr size_t cached_bytes = 8 * 1024 * 1024;
/// Nodes that a tenant may store in one context.
constexpr int64_t stored = 20'000;
/// JSON text of a node's state, of its definition and of its relations, each.
constexpr size_t json_bytes = 64 * 1024;
/// Acts that a node remembers itself; the log of events has all for as long as it is kept.
constexpr size_t history = 50;
}  // namespace node_limits

/// What a tenant has stored at a path. A value that is shared while it is in the cache: copied to
/// be changed.
struct stored_node {
  std::string path;
  std::string entity_type = "entity";
  boost::json::object state;
  boost::json::object definition;
  boost::json::object relations;
  int64_t version = 0;  ///< 0: nobody has stored it yet
  std::string created_by;
  std::string created_at;
  std::string updated_at;
  size_t json_bytes = 0;  ///< of state, definition and relations when it was stored
};
using node_ptr = std::shared_ptr<const stored_node>;

/// The nodes of one context of one tenant that its actor knows, the least recently used out first;
/// that a node is not stored is known too. True because this actor is the only writer of its
/// context: a write takes the node out before it is sent and puts it in when it is committed.
class node_cache {
public:
  explicit node_cache(size_t most = node_limits::cached,
                      size_t most_bytes = node_limits::cached_bytes)
      : most_{most}, most_bytes_{most_bytes} {}

  /// Nothing: not known. Null: known not to be stored.
  [[nodiscard]] std::optional<node_ptr> find(std::string_view path);
  void put(std::string_view path, node_ptr node);
  [[nodiscard]] size_t size() const noexcept { return entries_.size(); }

  /// Held while a read is under way: `put` only if nothing was written meanwhile.
  [[nodiscard]] uint64_t generation() const noexcept { return generation_; }
  void put_read(uint64_t generation, std::string_view path, node_ptr node);

  /// Around a write. One that is not told to have been committed may still be, a little later (its
  /// connection was lost): nothing is trusted until `distrust` has passed.
  class writing {
  public:
    writing(node_cache& of, std::string_view path);
    ~writing();
    writing(const writing&) = delete;
    writing& operator=(const writing&) = delete;
    void committed(node_ptr node);

  private:
    node_cache& of_;
    std::string path_;
    bool committed_ = false;
  };
  static constexpr std::chrono::seconds distrust{60};

private:
  using order = std::list<std::string>;
  struct entry {
    node_ptr node;
    order::iterator place;
  };
  struct hash {
    using is_transparent = void;
    size_t operator()(std::string_view x) const noexcept {
      return std::hash<std::string_view>{}(x);
    }
  };
  void erase(std::string_view path);
  [[nodiscard]] static size_t bytes_of(const node_ptr& node) noexcept {
    return node == nullptr ? 0 : node->json_bytes;
  }

  const size_t most_;
  const size_t most_bytes_;
  size_t bytes_ = 0;
  order used_;  // newest first
  std::unordered_map<std::string, entry, hash, std::equal_to<>> entries_;
  uint64_t generation_ = 0;
  std::chrono::steady_clock::time_point distrusted_until_{};
};

/// Nodes as aspects use them. Free functions of a call: the cache is the context's.
namespace node_store {

/// Null: it is not stored.
[[nodiscard]] task<node_ptr> load(aspect_call& c, std::string path);

/// Stores it, with its state as a snapshot, one `changed` event (`change` in it) and `also` in the
/// same transaction. Hold `lock` from `load` to here. Ends the aspect where a bound of node_limits
/// is passed.
[[nodiscard]] task<node_ptr> save(aspect_call& c, stored_node node, boost::json::object change,
                                  std::vector<sql::statement> also = {});

/// Removes it and its snapshots.
[[nodiscard]] task<bool> remove(aspect_call& c, std::string path, boost::json::object change);

/// Read-modify-write of one node.
[[nodiscard]] inline aspect_call::waiting<aspect_call::guard> lock(aspect_call& c,
                                                                   std::string_view path) {
  return c.lock("node:" + std::string{path});
}

}  // namespace node_store

/// Adds an act to what the node remembers of itself, `{action, timestamp, observer, …about}`.
void remember(stored_node& node, const aspect_call& c, boost::json::object about = {});

/// What `remember` has kept, oldest first.
[[nodiscard]] const boost::json::array& remembered(const stored_node& node);

/// RFC 7396: members of `patch` replace those of `target`, null removes, objects go member by
/// member.
void merge_patch(boost::json::object& target, const boost::json::object& patch);

}  // namespace kgents::actors
