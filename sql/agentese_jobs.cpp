#include "sql/agentese_jobs.hpp"

#include "sql/columns.hpp"

namespace kgents::sql::agentese_jobs {

namespace {

#define KGENTS_SQL_JOB                                                                \
  "job_id, node, aspect, kwargs::text, status, note, requested_by, " KGENTS_SQL_TIME( \
      "created_at") ", " KGENTS_SQL_TIME("updated_at")

agentese_job job_in(const rows& x, int row) {
  return {.id = x.id(row, 0),
          .node = string_at(x, row, 1),
          .aspect = string_at(x, row, 2),
          .kwargs = string_at(x, row, 3),
          .status = string_at(x, row, 4),
          .note = string_at(x, row, 5),
          .requested_by = string_at(x, row, 6),
          .created_at = string_at(x, row, 7),
          .updated_at = string_at(x, row, 8)};
}

std::optional<agentese_job> job_of(std::vector<rows>& all) {
  return all[0].empty() ? std::nullopt : std::optional{job_in(all[0], 0)};
}

}  // namespace

statement insert_statement(tenant_id tenant, const agentese_job& job) {
  return {
      "INSERT INTO kg.agentese_jobs (tenant_id, job_id, node, aspect, kwargs, requested_by) "
      "VALUES ($1, $2, $3, $4, $5, $6)",
      {value(tenant), job.id.text(), job.node, job.aspect, job.kwargs, job.requested_by}};
}

query<int64_t> count_open(tenant_id tenant) {
  constexpr std::string_view text =
      "SELECT count(*) FROM kg.agentese_jobs WHERE status IN ('queued', 'running')";
  return {{.tenant = tenant, .statements = {{text}}, .read_only = true},
          [](std::vector<rows>& all) { return all[0].integer(0, 0); }};
}

query<std::vector<agentese_job>> list(tenant_id tenant, std::string_view node,
                                      std::string_view status, size_t limit) {
  constexpr std::string_view text =
      "SELECT " KGENTS_SQL_JOB
      " FROM kg.agentese_jobs j WHERE ($1 = '' OR node = $1) AND ($2 = '' OR status = $2) "
      "ORDER BY j.created_at DESC, job_id LIMIT $3";
  return {{.tenant = tenant,
           .statements = {{text, {std::string{node}, std::string{status}, value(limit)}}},
           .read_only = true},
          [](std::vector<rows>& all) {
            std::vector<agentese_job> out;
            for (int row = 0; row < all[0].size(); ++row)
              out.push_back(job_in(all[0], row));
            return out;
          }};
}

query<std::optional<agentese_job>> get(tenant_id tenant, const uuid& job) {
  constexpr std::string_view text =
      "SELECT " KGENTS_SQL_JOB " FROM kg.agentese_jobs WHERE job_id = $1";
  return {{.tenant = tenant, .statements = {{text, {job.text()}}}, .read_only = true}, job_of};
}

query<std::optional<agentese_job>> change(tenant_id tenant, const uuid& job,
                                          std::string_view status, std::string_view note) {
  // Running goes out to one taker only; what ends it may come from either open status.
  constexpr std::string_view text =
      "UPDATE kg.agentese_jobs SET status = $2, note = coalesce(nullif($3, ''), note), "
      "updated_at = clock_timestamp() WHERE job_id = $1 "
      "AND (status = 'queued' OR (status = 'running' AND $2 <> 'running')) "
      "RETURNING " KGENTS_SQL_JOB;
  return {{.tenant = tenant,
           .statements = {{text, {job.text(), std::string{status}, std::string{note}}}}},
          job_of};
}

}  // namespace kgents::sql::agentese_jobs
