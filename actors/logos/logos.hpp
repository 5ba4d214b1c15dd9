#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "actors/contexts/call.hpp"
#include "actors/logos/registry.hpp"
#include "protocol/agentese/composition.hpp"
#include "runtime/agentese/journal.hpp"
#include "runtime/port.hpp"

namespace kgents::actors {

/// One invocation, as a route or another aspect asks for it.
struct invocation {
  tenant_id tenant;
  std::string path;           ///< as it was written: an alias may stand first
  std::string kwargs = "{}";  ///< a JSON object as text
  agentese::observer who;     ///< with the capabilities it names; the logos keeps what counts
  agentese::caller by;
  std::string origin = "gateway";  ///< v1, api, gateway, schedule, nested: in marks; v1 is lenient
  bool strict = true;      ///< what nobody has defined does not exist (agentese.md 3)
  bool lenient_aspect = false;  ///< a path of two segments means its manifest
  std::string trace_id;    ///< 32 hex digits; empty: a new one
  std::string parent_span;
  std::string caller_path;     ///< the aspect that asks; empty: a client does
  double entropy_budget = 0;   ///< taken from the tenant's pool first, given back if it fails
  bool billed = true;          ///< one usage event
  bool internal = false;
  uint8_t depth = 0;
  std::string capability;  ///< a capability token as it was presented; empty: none
};

struct invoked {
  outcome result;      ///< a value is in `body` instead, as text: it is rarely looked into
  std::string body;    ///< JSON text of the value; empty unless `result.ok()`
  std::string node;    ///< canonical, after alias expansion; may be empty when it is an error
  std::string aspect;
  const aspect_entry* entry = nullptr;  ///< null when it was not found
  std::string span_id;
  std::string trace_id;
  uint32_t tokens_in = 0;
  uint32_t tokens_out = 0;
  uint32_t duration_ms = 0;

  [[nodiscard]] bool ok() const noexcept { return result.ok(); }
};

/// What a node path is to an observer.
struct resolved {
  std::string node;
  const node_entry* entry = nullptr;
  bool exists = false;
  std::vector<std::string> affordances;
};

struct composition_request {
  invocation common;  ///< `path` and `kwargs` are not used
  std::vector<std::string> paths;  ///< each a path with an aspect, or Id
  std::optional<std::string> initial_input;  ///< JSON text
  bool emit_law_check = true;
  bool enforce_minimal_output = true;
  bool collect = false;  ///< go on after a failed stage, with null as its value
  /// Whether nobody waits for the rest any more: then no further stage begins.
  std::function<bool()> left = [] { return false; };
  bool keep_values = false;  ///< each stage's value is told too
};

struct composed_stage {
  std::string path;
  std::string span_id;
  uint32_t duration_ms = 0;
  std::string output_type;
  bool success = true;
  std::optional<agentese::error> wrong;
  std::string body;
};

struct composed {
  std::variant<std::string, agentese::error, agentese::refused> result;  ///< JSON text of the value
  std::optional<size_t> failed_stage;
  std::vector<composed_stage> stages;  ///< those that ran, in order
  std::vector<std::string> laws_verified;
  std::string span_id;
  std::string trace_id;
  uint32_t tokens = 0;
  uint32_t duration_ms = 0;
};

struct law_report {
  bool identity_holds = true;
  bool associativity_holds = true;
  std::vector<std::string> errors;
  std::string locus;
};

/// What is measured; called on ports' threads.
struct logos_observer {
  std::function<void(int)> in_flight = [](int) {};  ///< +1 asked, -1 answered
  std::function<void(const invoked&)> ended = [](const invoked&) {};
};

/// Resolves a path, checks what its observer and caller may, and has the tenant's context run it:
/// on this node or on its owner's. One mark and one event an invocation, whatever came of it.
///
/// Shared by all threads; every call is made on a port's thread and calls back on it, exactly once.
/// It holds no state of its own but its table: a composition is driven by the node it was asked of.
class logos {
public:
  /// Verifies a presented capability token: the scopes it proves for this tenant, or why not.
  /// Answers once on the port's thread, at once or later.
  using proven = std::variant<std::vector<std::string>, agentese::error>;
  using prove = std::function<void(runtime::port& on, tenant_id tenant, const std::string& token,
                                   std::function<void(proven)> done)>;

  using observer = logos_observer;

  logos(const registry& nodes, runtime::agentese::journal& journal, prove capabilities,
        observer seen);

  [[nodiscard]] const registry& nodes() const noexcept { return nodes_; }

  void invoke(runtime::port& on, invocation what, std::function<void(invoked)> done) const;

  /// Never fails for a node that is not there: `exists` is false then. An error is one of syntax,
  /// of an unknown context, or of the way there.
  void resolve(runtime::port& on, invocation what,
               std::function<void(std::variant<resolved, agentese::error>)> done) const;

  /// All paths are parsed, resolved and checked before the first runs.
  void compose(runtime::port& on, composition_request what,
               std::function<void(composed)> done) const;

  /// Both laws, by running both sides where nothing is changed by it, else by structure.
  void verify_laws(runtime::port& on, composition_request what,
                   std::function<void(std::variant<law_report, agentese::error>)> done) const;

  /// The charges and capabilities of a composition, without running it.
  [[nodiscard]] agentese::effects effects_of(const std::vector<std::string>& paths) const;

private:
  const registry& nodes_;
  runtime::agentese::journal& journal_;
  const prove prove_;
  const observer seen_;
};

/// Scope and capability checks of one aspect (http-api.md 2.5, agentese.md 6.2), after its
/// affordance: nothing, or why not.
[[nodiscard]] std::optional<agentese::error> check_access(const node_entry& node,
                                                          const aspect_entry& aspect,
                                                          std::string_view full_path,
                                                          const agentese::caller& by);

}  // namespace kgents::actors
