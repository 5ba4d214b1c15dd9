#include "actors/refusals.hpp"

#include "runtime/telemetry/log.hpp"

namespace kgents::actors {

refusal refused_by_database(const sql::failure& why) {
  if (why.what != sql::failure::kind::rejected)
    return {503, "The database is out of reach. Try again shortly.", 1, "unavailable"};
  log::error("PostgreSQL refused a statement",
             {{"sqlstate", why.sqlstate}, {"error", why.message}});
  return {500, "Internal Server Error", 0, ""};
}

}  // namespace kgents::actors
