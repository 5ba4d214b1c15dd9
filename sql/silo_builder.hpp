#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "protocol/ids.hpp"
#include "sql/silo_dsn.hpp"
#include "sql/silo_plan.hpp"
#include "sql/silo_session.hpp"

namespace kgents::sql {

/// What is told of the work; on the thread that works.
struct silo_observer {
  std::function<void(tenant_id, silo_step, std::chrono::milliseconds took)> done;
  /// `given_up`: it is `failed` now; else it is tried again.
  std::function<void(tenant_id, silo_step, const std::string& why, bool given_up)> failed;
  std::function<void(int64_t rows)> copied;
};

/// Takes the steps of silo_plan.hpp for one silo at a time and records each in kg.silos.
///
/// Blocks its thread, for hours when there is that much to copy. One process does it at a time:
/// a session's advisory lock on the shared database keeps others out, and the states are recorded
/// over the connection that holds it, so who has lost it records nothing more.
class silo_builder {
public:
  struct options {
    std::string admin_url;  ///< DATABASE_ADMIN_URL of the shared database
    silo_servers where;
    silo_observer tell;
  };

  silo_builder(options with, interruption& until);

  /// Works on a tenant's silo until there is nothing more to do for it now, or something went
  /// wrong. Throws nothing; what could not even be recorded is done again later.
  void work_on(tenant_id tenant);

private:
  struct record;
  void open_shared(std::optional<silo_session>& shared);
  record read(silo_session& shared, tenant_id tenant);
  void take(silo_session& shared, const record& x, silo_step what);
  void create(silo_session& shared, const record& x);
  void create_at(silo_session& at, const record& x, silo_session& shared, const std::string& name);
  void migrate(silo_session& shared, const record& x);
  void copy(silo_session& shared, const record& x);
  void cut_over(silo_session& shared, const record& x);
  void purge(silo_session& shared, const record& x);
  [[nodiscard]] bool is_ours(const record& x);
  void undo(silo_session& shared, const record& x);
  void advance(silo_session& shared, const record& x, silo_state to, const std::string& details);
  void record_trouble(silo_session& shared, const record& x, silo_step what,
                      const silo_trouble& why);
  [[nodiscard]] std::string silo_admin_url(const record& x) const;
  [[nodiscard]] silo_session open_silo(const record& x);

  const options with_;
  interruption& until_;
};

}  // namespace kgents::sql
