#include "sql/workers.hpp"

#include "sql/columns.hpp"

namespace kgents::sql::workers {

query<bool> hold(std::string_view worker, const uuid& owner, std::chrono::seconds time) {
  return {{.statements = {{"SELECT kg.hold_worker($1, $2, $3)",
                           {std::string{worker}, owner.text(), value(time.count())}}}},
          [](std::vector<rows>& all) { return all[0].boolean(0, 0); }};
}

query<nothing> release(std::string_view worker, const uuid& owner) {
  return {{.statements = {{"SELECT kg.release_worker($1, $2)",
                           {std::string{worker}, owner.text()}}}},
          [](std::vector<rows>&) { return nothing{}; }};
}

}  // namespace kgents::sql::workers
