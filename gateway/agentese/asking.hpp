#pragma once

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <string>
#include <string_view>
#include <variant>

#include "actors/logos/logos.hpp"
#include "gateway/agentese/problems.hpp"
#include "gateway/route.hpp"
#include "protocol/agentese/error.hpp"

/// Who asks and what, as the routes of AGENTESE read it from a request.
namespace kgents::gateway {

/// Who an observer is that says nothing of itself.
struct observer_form {
  std::string_view archetype;
  std::string_view id;
};
inline constexpr observer_form v1_observer{"developer", "api_user"};
inline constexpr observer_form universal_observer{"viewer", "anonymous"};
inline constexpr observer_form gateway_observer{"guest", "anonymous"};

/// Printable ASCII: what is not could be no text at all, and goes into JSON and PostgreSQL.
[[nodiscard]] bool is_printable(std::string_view text) noexcept;

/// From `X-Observer-Archetype`, `-Id` and `-Capabilities`; INVALID_ARGUMENT when one is no text or
/// too long.
[[nodiscard]] std::variant<agentese::observer, agentese::error> observer_of_headers(
    const http::request& in, const observer_form& usual);

/// Members `archetype`, `id` (or `name`) and `capabilities` of an object, over what `who` says
/// already. What is wrong with them is added to `wrong`, at `where`.
void read_observer(const boost::json::value& x, agentese::observer& who, violations& wrong,
                   const boost::json::array& where);

/// On whose behalf, from the credential alone.
[[nodiscard]] agentese::caller caller_of(const credential& who);

/// An invocation of this call by `origin` (v1, api, gateway); its path, kwargs and observer are to
/// be filled in.
[[nodiscard]] actors::invocation invocation_of(const call& c, std::string_view origin);

/// A query string as kwargs: every parameter but `api_key`, as a text; of a repeated one the last.
/// JSON text.
[[nodiscard]] std::string kwargs_of_query(std::string_view query);

/// A body as kwargs: `{}` when it is missing, no JSON or no object. JSON text.
[[nodiscard]] std::string kwargs_of_body(std::string_view body);

/// What the aspect at `path` declares that it may cost, in tokens of the month; 0 when it is not
/// known. `tier` is the caller's plan: the soul never spends more than that gives it.
[[nodiscard]] uint64_t token_estimate(const actors::registry& nodes, std::string_view path,
                                      std::string_view tier);

/// The aspect that is registered at node and aspect, aliases that everybody has expanded; null when
/// there is none or a tenant's own alias stands first.
struct registered {
  std::string node;
  const actors::node_entry* entry = nullptr;
  const actors::aspect_entry* aspect = nullptr;
};
[[nodiscard]] registered find_registered(const actors::registry& nodes, std::string_view node,
                                         std::string_view aspect);

/// Adds what an invocation cost to the month of its key.
void add_tokens(const credential& who, uint64_t tokens);

/// Answers the call with what went wrong, in the dialect that `why` was made for.
void refuse_with(const call_ptr& c, const problem& why);

}  // namespace kgents::gateway
