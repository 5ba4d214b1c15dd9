// The nodes of the context time.

#include "actors/contexts/nodes.hpp"
#include "actors/contexts/time/nodes.hpp"

namespace kgents::actors {

void register_time(registry& to) {
  register_trace(to);
  register_past(to);
  register_future(to);
  register_schedule(to);
  // Whatever else is named has what every node has: its history above all.
  static constexpr node_spec generic{
      .path = "time.*", .description = "A node of time.", .generic = true};
  to.add(generic);
}

}  // namespace kgents::actors
