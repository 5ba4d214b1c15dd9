#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <string_view>

#include "actors/logos/registry.hpp"

/// What there is, told from the registry (http-api.md section 12).
namespace kgents::gateway {

struct discovery_request {
  bool schemas = false;
  bool metadata = false;
};

/// `{paths, forms, stats, metadata?, schemas?, contract_coverage?}`. Every one of `paths` answers
/// `manifest`; `forms` are the nodes that stand for every name, such as `world.*`.
[[nodiscard]] boost::json::object discover(const actors::registry& nodes,
                                           const discovery_request& ask);

/// `{context, paths, forms}` of one context.
[[nodiscard]] boost::json::object discover(const actors::registry& nodes, agentese::context x);

/// What a key or token has to have for an aspect; empty: nothing beyond `read`.
[[nodiscard]] std::string_view needed_capability(const actors::node_entry& node,
                                                 const actors::aspect_entry& aspect);

/// An OpenAPI 3.1 document of all aspects as routes of /agentese, with `x-agentese` extensions.
[[nodiscard]] boost::json::object aspects_document(const actors::registry& nodes);

}  // namespace kgents::gateway
