#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "protocol/agentese/effects.hpp"
#include "protocol/agentese/path.hpp"

/// The one table of AGENTESE: each node with its aspects is registered once, and affordances,
/// argument checks, category rules, effects, schemas, help, discovery and OpenAPI come from it.
namespace kgents::actors {

class aspect_call;
template <class T>
class task;
struct outcome;

enum class aspect_category : uint8_t {
  perception,
  mutation,
  composition,
  introspection,
  generation,
  entropy,
};

[[nodiscard]] constexpr std::string_view to_string(aspect_category x) noexcept {
  constexpr std::string_view names[] = {"PERCEPTION",    "MUTATION",   "COMPOSITION",
                                        "INTROSPECTION", "GENERATION", "ENTROPY"};
  return names[static_cast<size_t>(x)];
}

/// Whether it may write to the store; what may not runs in read-only transactions.
[[nodiscard]] constexpr bool may_write(aspect_category x) noexcept {
  return x == aspect_category::mutation || x == aspect_category::generation ||
         x == aspect_category::entropy;
}

enum class argument_type : uint8_t { text, integer, number, boolean, object, array, any };

/// A keyword argument. Checked before the aspect runs, so that it finds what it expects: texts from
/// query strings are converted, defaults are filled in.
struct argument {
  std::string_view name;
  argument_type type = argument_type::text;
  bool required = false;  ///< missing: `<name> required`
  std::string_view default_json{};  ///< empty: stays absent
  std::string_view meaning{};
  std::optional<double> least{};  ///< numbers: value
  std::optional<double> most{};
  std::span<const std::string_view> one_of{};  ///< texts
  size_t max_bytes = 16 * 1024;                ///< texts; objects and arrays as JSON
};

/// What an aspect runs: a coroutine of the context's actor. The arguments have been checked.
using handler = task<outcome> (*)(aspect_call&);

/// What is stored of a node.
struct resolution {
  bool exists = false;
  std::vector<std::string> extra;  ///< affordances beyond the table's: what its lineage gives it
};
/// Looks it up; runs like an aspect, before one.
using resolver = task<resolution> (*)(aspect_call&);

/// One verb of a node. Everything but the name has a usual value.
struct aspect_spec {
  std::string_view name;
  aspect_category category = aspect_category::perception;
  handler run = nullptr;
  std::string_view help{};  ///< one sentence
  std::span<const argument> args{};
  /// Shape of the result, in the notation of shape.hpp.
  std::string_view returns = "any";
  std::string_view effects{};  ///< "reads:memory, charges:tokens 500"
  std::string_view example{};  ///< kwargs, a JSON object
  bool idempotent = false;
  bool streaming = false;  ///< its answer may come piece by piece
  bool internal = false;   ///< asked by the server itself only: in nobody's affordances
  /// "" (by its category), write, admin or void.
  std::string_view required_capability{};
  std::chrono::seconds deadline{10};  ///< 130 s where a model is asked
};

/// Who has which aspects beyond base and common. `archetypes` and `aspects` are separated by
/// spaces; "*" is everybody who has no row of his own.
struct archetype_row {
  std::string_view archetypes;
  std::string_view aspects;
};

/// A node, or (with `*` as its last segment) every node of that form.
struct node_spec {
  std::string_view path;  ///< self.memory; world.*; world.agent.*
  std::string_view description;
  std::span<const aspect_spec> aspects{};
  std::string_view common{};  ///< for everybody: names separated by spaces; "*": all that are not internal
  std::span<const archetype_row> rows{};
  /// Nodes of this form exist when somebody has defined them (world.*, concept.*); where leniency
  /// is asked for, any name does. Null: it is there.
  resolver resolve = nullptr;
  /// Nodes of this form are there only for who asks leniently (agentese.md 3): any name is one.
  bool generic = false;
  /// A key that may only read may also use what mutates (http-api.md 2.5: self.soul).
  bool read_suffices = false;
};

/// An aspect as registered, ready to be used.
struct aspect_entry {
  const aspect_spec* spec = nullptr;
  agentese::effects effects;
  boost::json::object request_schema;   ///< of its kwargs
  boost::json::value response_schema;
  std::vector<std::string> archetypes;  ///< that afford it; empty: everybody

  [[nodiscard]] std::string_view name() const noexcept { return spec->name; }
};

/// A node as registered.
class node_entry {
public:
  node_entry(const node_spec& spec, std::span<const aspect_spec> base);

  [[nodiscard]] const node_spec& spec() const noexcept { return *spec_; }
  [[nodiscard]] std::string_view path() const noexcept { return spec_->path; }
  [[nodiscard]] agentese::context context() const noexcept { return context_; }
  [[nodiscard]] bool wildcard() const noexcept { return wildcard_; }

  /// Null when no such aspect is registered, afforded or not.
  [[nodiscard]] const aspect_entry* find(std::string_view aspect) const noexcept;
  /// All, base first, then as declared; internal ones too.
  [[nodiscard]] std::span<const aspect_entry> aspects() const noexcept { return aspects_; }

  /// base ∪ common ∪ row of the archetype ∪ granted(capabilities), in that order, each once.
  [[nodiscard]] std::vector<std::string> affordances(
      std::string_view archetype, std::span<const std::string> capabilities = {}) const;
  [[nodiscard]] bool affords(std::string_view archetype, std::span<const std::string> capabilities,
                             std::string_view aspect) const;

  /// The archetypes that have a row of their own here.
  [[nodiscard]] std::vector<std::string> archetypes() const;

private:
  using names = std::vector<std::string_view>;
  [[nodiscard]] const names& row_of(std::string_view archetype) const;

  const node_spec* spec_;
  agentese::context context_;
  bool wildcard_;
  std::vector<aspect_entry> aspects_;
  std::unordered_map<std::string_view, size_t> index_;
  names common_;  // base and common
  std::map<std::string, names, std::less<>> rows_;
  names default_row_;
};

/// All nodes. Filled before it is shared, constant after that: any thread.
class registry {
public:
  /// Complains (throws std::logic_error) about what can only be a programmer's mistake: an effect or
  /// shape that cannot be read, a row that names no aspect, ENTROPY outside void. A path that is
  /// registered twice: the last wins, with a warning.
  void add(const node_spec& spec);
  void add(std::span<const node_spec> specs) {
    for (const auto& x : specs)
      add(x);
  }

  struct found {
    const node_entry* node = nullptr;
    std::string_view subpath;  ///< what follows a registered prefix
  };
  /// Exact, then the longest registered prefix, then the form `context.*`. Null: nothing of the kind.
  [[nodiscard]] found find(std::string_view node_path) const noexcept;

  /// Sorted by path; wildcards as `world.*`.
  [[nodiscard]] std::vector<const node_entry*> list() const;
  [[nodiscard]] std::vector<const node_entry*> by_context(agentese::context x) const;
  /// At most five registered paths that look like it.
  [[nodiscard]] std::vector<std::string> similar(std::string_view node_path) const;
  [[nodiscard]] boost::json::object stats() const;

private:
  std::map<std::string, std::unique_ptr<node_entry>, std::less<>> nodes_;
};

/// The aspects that every node has, from contexts/base_aspects.cpp.
[[nodiscard]] std::span<const aspect_spec> base_aspects();

/// Everything that is served; made once.
[[nodiscard]] const registry& all_nodes();

/// capability → aspects that it grants whatever the archetype.
[[nodiscard]] std::span<const std::string_view> granted_by(std::string_view capability) noexcept;

}  // namespace kgents::actors
