#pragma once

#include <boost/json/value.hpp>
#include <string_view>

#include "actors/logos/flow.hpp"
#include "actors/logos/logos.hpp"

/// Automatic curation (agentese.md section 15): what somebody generates is held against what he
/// expects, and made less boring, or less chaotic, when it can be.
namespace kgents::actors {

/// Whether the results of that aspect of that node are curated.
[[nodiscard]] bool is_curated(std::string_view node, std::string_view aspect) noexcept;

/// The value with something more in it: an object gets a member `blend`, a text the tangent behind
/// it. Anything else stays as it is: its shape is what its aspect promises.
[[nodiscard]] boost::json::value with_blend(boost::json::value x, std::string_view tangent,
                                            const boost::json::value& blend);

/// The value brought down to what belongs together: an object gets a member `summary`, a text
/// becomes it.
[[nodiscard]] boost::json::value with_summary(boost::json::value x, std::string_view summary);

/// Curates what came of an invocation, within seconds and three attempts: `out.body` becomes the
/// first attempt that the observer would find interesting, or stays. What it costs is added to `out`.
/// It fails nothing: a context that does not answer ends it. False: it stayed.
[[nodiscard]] task<bool> curate(flow& f, const registry& nodes, const invocation& what,
                                invoked& out);

}  // namespace kgents::actors
