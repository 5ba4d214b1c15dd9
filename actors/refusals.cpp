#include "actors/refusals.hpp"

#include "runtime/telemetry/log.hpp"

namespace kgents::actors {

namespace {

/// What passes by itself: nothing is wrong with what was asked (PostgreSQL's appendix A: classes 40
/// transaction rollback, 53 insufficient resources, 57 operator intervention, 55P03 lock not
/// available).
bool transient(std::string_view sqlstate) {
  return sqlstate.starts_with("40") || sqlstate.starts_with("53") || sqlstate.starts_with("57") ||
         sqlstate == "55P03";
}

}  // namespace

refusal refused_by_database(const sql::failure& why) {
  if (why.what == sql::failure::kind::moving)
    return {503, "The data of this tenant is being moved. Try again shortly.", 2, "unavailable"};
  if (why.what != sql::failure::kind::rejected)
    return {503, "The database is out of reach. Try again shortly.", 1, "unavailable"};
  if (transient(why.sqlstate)) {
    log::warn("PostgreSQL gave a statement up",
              {{"sqlstate", why.sqlstate}, {"error", why.message}});
    return {503, "The database is busy. Try again shortly.", 1, "unavailable"};
  }
  log::error("PostgreSQL refused a statement",
             {{"sqlstate", why.sqlstate}, {"error", why.message}});
  return {500, "Internal Server Error", 0, ""};
}

}  // namespace kgents::actors
