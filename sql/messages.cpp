#include "sql/messages.hpp"

#include "sql/columns.hpp"

namespace kgents::sql::messages {

namespace {

message_page parse_page(std::vector<rows>& all) {
  const auto& x = all[0];
  message_page page;
  page.session_exists = !x.empty();
  if (x.empty())
    return page;
  page.total = count_at<uint64_t>(x, 0, 7);
  for (int row = 0; row < x.size() && !x.is_null(row, 0); ++row)
    page.messages.push_back({.id = id_at<message_id>(x, row, 0),
                             .session = id_at<session_id>(x, row, 1),
                             .role = string_at(x, row, 2),
                             .content = string_at(x, row, 3),
                             .tokens_used = count_at<uint64_t>(x, row, 4),
                             .turn = optional_id_at<turn_id>(x, row, 5),
                             .created_at = string_at(x, row, 6)});
  return page;
}

std::vector<history_line> parse_history(std::vector<rows>& all) {
  const auto& x = all[0];
  std::vector<history_line> lines;
  lines.reserve(static_cast<size_t>(x.size()));
  for (int row = 0; row < x.size(); ++row)
    lines.push_back({.id = id_at<message_id>(x, row, 0),
                     .role = string_at(x, row, 1),
                     .content = string_at(x, row, 2)});
  return lines;
}

}  // namespace

query<message_page> list(tenant_id tenant, session_id session, uint32_t limit, uint64_t offset) {
  // One row at least for a session that exists: the total with no message.
  constexpr std::string_view text =
      "SELECT page.id, s.id, page.role, page.content, page.tokens, page.turn_id, page.created, "
      "(SELECT count(*) FROM kg.messages WHERE session_id = $1) "
      "FROM kg.sessions s LEFT JOIN LATERAL (SELECT m.id, m.role, m.content, "
      "m.tokens_in::bigint + m.tokens_out AS tokens, m.turn_id, m.seq, " KGENTS_SQL_TIME(
          "m.created_at") " AS created FROM kg.messages m WHERE m.session_id = s.id "
                          "ORDER BY m.seq LIMIT $2 OFFSET $3) page ON true "
                          "WHERE s.id = $1 AND s.deleted_at IS NULL ORDER BY page.seq";
  return {{.tenant = tenant,
           .statements = {{text, {value(session), value(limit), value(offset)}}},
           .read_only = true},
          parse_page};
}

query<std::vector<history_line>> history(tenant_id tenant, session_id session,
                                         std::optional<turn_id> before, uint32_t most) {
  constexpr std::string_view text =
      "SELECT id, role, content FROM (SELECT m.id, m.role, m.content, t.seq AS turn, m.seq "
      "FROM kg.turns t JOIN kg.messages m ON m.id = ANY (ARRAY[t.message_id, t.answer_id]) "
      "WHERE t.session_id = $1 "
      "AND ($2::uuid IS NULL OR t.seq < (SELECT seq FROM kg.turns WHERE id = $2)) "
      "ORDER BY t.seq DESC, m.seq DESC LIMIT $3) newest ORDER BY turn, seq";
  return {{.tenant = tenant,
           .statements = {{text, {value(session), value(before), value(most)}}},
           .read_only = true},
          parse_history};
}

}  // namespace kgents::sql::messages
