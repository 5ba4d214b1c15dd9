#include "sql/sessions.hpp"

#include "sql/columns.hpp"

namespace kgents::sql::sessions {

namespace {

#define KGENTS_SQL_SESSION                                                              \
  "id, tenant_id, title, agent_type, status, coalesce(context->>'mode', 'reflect') AS " \
  "mode, message_count, tokens_used, " KGENTS_SQL_TIME("created_at") " AS created"

constexpr int session_columns = 9;

session_row session_at(const rows& x, int row) {
  return {.id = id_at<session_id>(x, row, 0),
          .tenant = id_at<tenant_id>(x, row, 1),
          .title = x.optional_text(row, 2),
          .agent_type = string_at(x, row, 3),
          .status = string_at(x, row, 4),
          .mode = string_at(x, row, 5),
          .message_count = count_at<uint64_t>(x, row, 6),
          .tokens_used = count_at<uint64_t>(x, row, 7),
          .created_at = string_at(x, row, 8)};
}

std::optional<session_row> parse_session(std::vector<rows>& all) {
  if (all[0].empty())
    return std::nullopt;
  return session_at(all[0], 0);
}

}  // namespace

query<session_row> create(tenant_id tenant, const new_session& session) {
  constexpr std::string_view text =
      "INSERT INTO kg.sessions (id, tenant_id, title, agent_type, context, user_id) "
      "VALUES ($1, $2, $3, $4, jsonb_build_object('mode', $5::text), $6) "
      "RETURNING " KGENTS_SQL_SESSION;
  const usage_event event{.id = session.usage,
                          .type = "session_create",
                          .source = "kgent",
                          .session = session.id,
                          .api_key = session.api_key,
                          .endpoint = "/v1/kgent/sessions",
                          .method = "POST"};
  return {{.tenant = tenant,
           .statements = {{text,
                           {value(session.id), value(tenant), session.title, session.agent_type,
                            session.mode, value(session.user)}},
                          usage::record_statement(tenant, event)}},
          [](std::vector<rows>& all) { return session_at(all[0], 0); }};
}

query<std::optional<session_row>> get(tenant_id tenant, session_id session) {
  constexpr std::string_view text =
      "SELECT " KGENTS_SQL_SESSION ", last_turn, last_epoch, last_chunks FROM kg.session_state($1)";
  return {{.tenant = tenant, .statements = {{text, {value(session)}}}, .read_only = true},
          [](std::vector<rows>& all) {
            auto result = parse_session(all);
            if (result && !all[0].is_null(0, session_columns))
              result->last_ended = {
                  .turn = id_at<turn_id>(all[0], 0, session_columns),
                  .epoch = count_at<lease_epoch>(all[0], 0, session_columns + 1),
                  .chunks = count_at<chunk_index>(all[0], 0, session_columns + 2)};
            return result;
          }};
}

query<session_page> list(tenant_id tenant, uint32_t limit, uint64_t offset) {
  // One statement, so that the page and the total are of the same moment. Past the last page the
  // join leaves one row with the total and no session.
  constexpr std::string_view text =
      "SELECT page.*, total.n FROM (SELECT count(*) AS n FROM kg.sessions WHERE deleted_at IS "
      "NULL) "
      "total LEFT JOIN (SELECT " KGENTS_SQL_SESSION
      ", created_at FROM kg.sessions "
      "WHERE deleted_at IS NULL ORDER BY created_at DESC, id LIMIT $1 OFFSET $2) page ON true "
      "ORDER BY page.created_at DESC, page.id";
  return {
      {.tenant = tenant, .statements = {{text, {value(limit), value(offset)}}}, .read_only = true},
      [](std::vector<rows>& all) {
        const auto& x = all[0];
        session_page page;
        page.total = count_at<uint64_t>(x, 0, session_columns + 1);
        for (int row = 0; row < x.size() && !x.is_null(row, 0); ++row)
          page.sessions.push_back(session_at(x, row));
        return page;
      }};
}

query<std::optional<session_row>> update(tenant_id tenant, session_id session,
                                         const session_change& change) {
  constexpr std::string_view text =
      "UPDATE kg.sessions SET title = CASE WHEN $2 THEN $3 ELSE title END, "
      "status = coalesce($4, status) WHERE id = $1 AND deleted_at IS NULL "
      "RETURNING " KGENTS_SQL_SESSION;
  return {{.tenant = tenant,
           .statements = {{text,
                           {value(session), change.title ? "t" : "f",
                            change.title.value_or(std::nullopt), change.status}}}},
          parse_session};
}

query<bool> remove(tenant_id tenant, session_id session) {
  constexpr std::string_view text =
      "UPDATE kg.sessions SET status = 'closed', deleted_at = now() "
      "WHERE id = $1 AND deleted_at IS NULL RETURNING 1";
  return {{.tenant = tenant, .statements = {{text, {value(session)}}}},
          [](std::vector<rows>& all) { return !all[0].empty(); }};
}

}  // namespace kgents::sql::sessions
