#include "sql/agentese_chats.hpp"

#include "sql/columns.hpp"

namespace kgents::sql::agentese_chats {

query<chat> get(tenant_id tenant, std::string_view who, size_t most_lines) {
  constexpr std::string_view head = "SELECT turns, summary FROM kg.agentese_chats WHERE who = $1";
  // A user's line before its answer: `user` comes after `assistant` in the alphabet.
  constexpr std::string_view lines =
      "SELECT turn, role, content FROM kg.agentese_chat_lines WHERE who = $1 "
      "ORDER BY turn DESC, role LIMIT $2";
  return {
      {.tenant = tenant,
       .statements = {{head, {std::string{who}}}, {lines, {std::string{who}, value(most_lines)}}},
       .read_only = true},
      [](std::vector<rows>& all) {
        chat out;
        if (!all[0].empty()) {
          out.turns = count_at<uint64_t>(all[0], 0, 0);
          out.summary = string_at(all[0], 0, 1);
        }
        for (int row = all[1].size(); row-- > 0;)
          out.lines.push_back({count_at<uint64_t>(all[1], row, 0), string_at(all[1], row, 1),
                               string_at(all[1], row, 2)});
        return out;
      }};
}

query<uint64_t> add(tenant_id tenant, std::string_view who, const chat_turn& turn) {
  constexpr std::string_view head =
      "INSERT INTO kg.agentese_chats AS c (tenant_id, who, turns, summary) VALUES ($1, $2, 1, $3) "
      "ON CONFLICT (tenant_id, who) DO UPDATE SET turns = c.turns + 1, "
      "summary = excluded.summary, updated_at = now() RETURNING turns";
  constexpr std::string_view lines =
      "INSERT INTO kg.agentese_chat_lines (tenant_id, who, turn, role, content) "
      "SELECT c.tenant_id, c.who, c.turns, said.role, said.content FROM kg.agentese_chats c, "
      "(VALUES ('user', $2), ('assistant', $3)) AS said (role, content) WHERE c.who = $1";
  constexpr std::string_view leave =
      "DELETE FROM kg.agentese_chat_lines WHERE who = $1 AND turn <= $2::bigint";
  return {{.tenant = tenant,
           .statements = {{head, {value(tenant), std::string{who}, turn.summary}},
                          {lines, {std::string{who}, turn.user, turn.assistant}},
                          {leave, {std::string{who}, value(turn.left_upto)}}}},
          [](std::vector<rows>& all) { return count_at<uint64_t>(all[0], 0, 0); }};
}

}  // namespace kgents::sql::agentese_chats
