#pragma once

#include "actors/contexts/context.hpp"
#include "actors/logos/flow.hpp"
#include "actors/logos/logos.hpp"

/// The steps of an invocation that compositions share with single ones.
namespace kgents::actors {

[[nodiscard]] std::string new_trace_id();  ///< 32 hex digits
[[nodiscard]] std::string new_span_id();   ///< 16 hex digits

/// What the logos works with, for its coroutines.
struct logos_parts {
  const registry& nodes;
  const logos::prove& proves;
  runtime::agentese::journal& journal;
  const logos::observer& seen;
};

/// Counts one question for as long as it is not answered.
class in_flight_guard {
public:
  explicit in_flight_guard(const logos::observer& seen) : seen_{seen} { seen_.in_flight(1); }
  ~in_flight_guard() { seen_.in_flight(-1); }
  in_flight_guard(const in_flight_guard&) = delete;
  in_flight_guard& operator=(const in_flight_guard&) = delete;

private:
  const logos::observer& seen_;
};

/// Ids and capabilities of a request, before anything else is looked at.
[[nodiscard]] task<std::optional<agentese::error>> prepare(flow& f, logos_parts with,
                                                           invocation& what);

using canonical_path = std::variant<std::string, agentese::error>;

/// With its first segment replaced when that is an alias of the tenant, and without the modifiers
/// that old clients write; they select nothing.
[[nodiscard]] task<canonical_path> canonical(flow& f, const invocation& what, std::string path);

/// What a path leads to, or why not.
struct checked_path {
  const node_entry* node = nullptr;
  const aspect_entry* aspect = nullptr;
  std::optional<agentese::error> wrong;
};

/// The checks of one path that ask nobody: registered, afforded, allowed.
[[nodiscard]] checked_path check_path(const registry& nodes, const invocation& what,
                                      const agentese::path& at);

/// The context that is asked, and what: this node and aspect, all else as in `what`.
[[nodiscard]] entity_id context_of(const invocation& what, agentese::context where);
[[nodiscard]] agentese::invoke_aspect message_of(const invocation& what, std::string node,
                                                 std::string aspect);

/// What the server asks of itself: `node`.`aspect` as it is registered, without a mark. The
/// result, or none and `wrong`.
[[nodiscard]] task<std::optional<boost::json::value>> ask_internally(
    flow& f, const invocation& what, agentese::context where, std::string node, std::string aspect,
    boost::json::object kwargs, agentese::error& wrong);

/// Why a context did not answer.
[[nodiscard]] agentese::error error_of(const refusal& why, std::string_view full_path,
                                       uint32_t deadline_ms);

/// What nobody foresaw is logged, and its caller is answered.
[[nodiscard]] agentese::error unexpected(const std::exception& why);

/// From the alias to the mark.
[[nodiscard]] task<invoked> invoke_one(flow& f, logos_parts with, invocation what,
                                       std::string span_id);

}  // namespace kgents::actors
