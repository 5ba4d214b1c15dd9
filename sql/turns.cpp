#include "sql/turns.hpp"

#include <array>

#include "sql/columns.hpp"

namespace kgents::sql {

namespace {

constexpr std::array<std::string_view, 5> status_names = {"queued", "running", "completed",
                                                          "canceled", "failed"};
// In the order of begun_turn::kind.
constexpr std::array<std::string_view, 11> begun_names = {
    "started", "queued",  "joined",    "mismatch",  "busy",   "full",
    "closed",  "missing", "exhausted", "oversized", "crowded"};

// The durable chunks of turn t up to the first hole, as one text and the list of their lengths.
#define KGENTS_SQL_DURABLE                                                     \
  "LATERAL (SELECT string_agg(text, '' ORDER BY index) AS text, "              \
  "string_agg(octet_length(text)::text, ',' ORDER BY index) AS lengths "       \
  "FROM (SELECT index, text, row_number() OVER (ORDER BY index) - 1 AS place " \
  "FROM kg.turn_chunks WHERE turn_id = t.id) numbered WHERE index = place) durable"

#define KGENTS_SQL_TURN \
  "SELECT t.id, t.session_id, t.seq, t.status, t.message_id, t.answer_id, t.mode, "       \
  "t.epoch, coalesce(m.content, durable.text, ''), array_to_string(m.chunk_ends, ','), "  \
  "durable.lengths, t.tokens_in::bigint + t.tokens_out, t.finish_reason, t.error_type, "  \
  "t.error, " KGENTS_SQL_TIME("t.created_at") ", " KGENTS_SQL_TIME(                       \
      "t.ended_at") ", t.inherited FROM kg.turns t "                                                   \
                    "JOIN kg.sessions s ON s.id = t.session_id AND s.deleted_at IS NULL " \
                    "LEFT JOIN kg.messages m ON m.id = t.answer_id "                      \
                    "LEFT JOIN " KGENTS_SQL_DURABLE " ON m.id IS NULL "

template <size_t N>
size_t position(const std::array<std::string_view, N>& names, std::string_view x) {
  return static_cast<size_t>(std::find(names.begin(), names.end(), x) - names.begin());
}

turn_status status_at(const rows& x, int row, int column) {
  return static_cast<turn_status>(position(status_names, x.text(row, column)));
}

std::vector<uint32_t> numbers(std::string_view list) {
  std::vector<uint32_t> result;
  const auto* at = list.data();
  const auto* end = at + list.size();
  while (at < end) {
    at = std::from_chars(at, end, result.emplace_back()).ptr;
    if (at < end)
      ++at;  // the comma
  }
  return result;
}

std::vector<uint32_t> ends_of(std::string_view lengths) {
  auto result = numbers(lengths);
  for (size_t i = 1; i < result.size(); ++i)
    result[i] += result[i - 1];
  return result;
}

std::string array_of(const std::vector<uint32_t>& ends) {
  std::string literal = "{";
  for (const auto end : ends) {
    if (literal.size() > 1)
      literal.push_back(',');
    literal.append(std::to_string(end));
  }
  literal.push_back('}');
  return literal;
}

turn_row turn_at(const rows& x, int row) {
  return {.id = id_at<turn_id>(x, row, 0),
          .session = id_at<session_id>(x, row, 1),
          .seq = x.integer(row, 2),
          .status = status_at(x, row, 3),
          .message = id_at<message_id>(x, row, 4),
          .answer_id = id_at<message_id>(x, row, 5),
          .mode = string_at(x, row, 6),
          .epoch = count_at<lease_epoch>(x, row, 7),
          .answer = {string_at(x, row, 8),
                     x.is_null(row, 9) ? ends_of(x.text(row, 10)) : numbers(x.text(row, 9))},
          .tokens_used = count_at<uint64_t>(x, row, 11),
          .finish_reason = x.optional_text(row, 12),
          .error_type = x.optional_text(row, 13),
          .error = x.optional_text(row, 14),
          .created_at = string_at(x, row, 15),
          .ended_at = x.optional_text(row, 16),
          .inherited = count_at<chunk_index>(x, row, 17)};
}

std::optional<uint64_t> optional_count(const rows& x, int row, int column) {
  if (x.is_null(row, column))
    return std::nullopt;
  return count_at<uint64_t>(x, row, column);
}

begun_turn parse_begun(std::vector<rows>& all) {
  const auto& x = all[0];
  begun_turn result;
  result.what = static_cast<begun_turn::kind>(position(begun_names, x.text(0, 0)));
  if (!x.is_null(0, 8))
    result.budget = {count_at<uint64_t>(x, 0, 8), optional_count(x, 0, 9).value_or(0),
                     optional_count(x, 0, 10).value_or(0)};
  if (x.is_null(0, 1))
    return result;
  result.most_tokens = optional_count(x, 0, 7);
  result.turn = id_at<turn_id>(x, 0, 1);
  result.message = id_at<message_id>(x, 0, 2);
  result.answer = id_at<message_id>(x, 0, 3);
  result.mode = string_at(x, 0, 4);
  result.epoch = count_at<lease_epoch>(x, 0, 5);
  result.status = status_at(x, 0, 6);
  return result;
}

std::vector<turn_row> parse_turns(std::vector<rows>& all) {
  std::vector<turn_row> result;
  result.reserve(static_cast<size_t>(all[0].size()));
  for (int row = 0; row < all[0].size(); ++row)
    result.push_back(turn_at(all[0], row));
  return result;
}

std::vector<unfinished_turn> parse_unfinished(std::vector<rows>& all) {
  const auto& x = all[0];
  std::vector<unfinished_turn> result;
  result.reserve(static_cast<size_t>(x.size()));
  for (int row = 0; row < x.size(); ++row)
    result.push_back({.id = id_at<turn_id>(x, row, 0),
                      .seq = x.integer(row, 1),
                      .status = status_at(x, row, 2),
                      .message = id_at<message_id>(x, row, 3),
                      .answer_id = id_at<message_id>(x, row, 4),
                      .content = string_at(x, row, 5),
                      .mode = string_at(x, row, 6),
                      .budget = string_at(x, row, 7),
                      .cancel_on_disconnect = x.boolean(row, 8),
                      .api_key = optional_id_at<api_key_id>(x, row, 9),
                      .epoch = count_at<lease_epoch>(x, row, 10),
                      .answer = {string_at(x, row, 11), ends_of(x.text(row, 12))},
                      .most_tokens = optional_count(x, row, 13)});
  return result;
}

}  // namespace

std::string_view name(turn_status x) noexcept { return status_names[static_cast<size_t>(x)]; }

namespace turns {

query<begun_turn> begin(tenant_id tenant, const turn_start& start) {
  constexpr std::string_view text =
      "SELECT outcome, turn, message, answer, mode, epoch, status, most_tokens, allowed, used, held "
      "FROM kg.begin_turn($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0, $13, $14, $15, $16, "
      "$17, $18)";
  return {{.tenant = tenant,
           .statements = {{text,
                           {value(start.turn), value(start.session), value(start.message),
                            value(start.answer), start.content, start.mode, start.budget,
                            start.cancel_on_disconnect ? "cancel" : "continue",
                            value(start.api_key), start.idempotency_key, start.request_hash,
                            value(start.usage), value(start.most_waiting),
                            start.busy == if_busy::reject ? "reject" : "queue",
                            value(start.tokens.most), value(start.tokens.least),
                            value(start.history), value(start.most_answering)}}}},
          parse_begun};
}

query<std::optional<lease_epoch>> claim(tenant_id tenant, turn_id turn) {
  return {{.tenant = tenant, .statements = {{"SELECT kg.claim_turn($1)", {value(turn)}}}},
          [](std::vector<rows>& all) -> std::optional<lease_epoch> {
            if (all[0].is_null(0, 0))
              return std::nullopt;
            return count_at<lease_epoch>(all[0], 0, 0);
          }};
}

query<ended_turn> end(tenant_id tenant, const turn_end& end) {
  constexpr std::string_view text =
      "SELECT outcome, " KGENTS_SQL_TIME(
          "created_at") ", tokens FROM kg.end_turn($1, $2, $3, $4, $5, "
                        "$6, $7, $8, $9, $10, $11, $12, $13)";
  // A failed turn's chunk rows stay and are counted there.
  const bool failed = end.status == turn_status::failed;
  return {{.tenant = tenant,
           .statements = {{text,
                           {value(end.turn), value(end.epoch), std::string{name(end.status)},
                            failed ? param{} : end.answer.text,
                            failed ? param{} : array_of(end.answer.ends), value(end.tokens_in),
                            value(end.tokens_out), end.finish_reason, end.error_type, end.error,
                            end.model, value(end.latency.count()), value(end.usage)}}}},
          [](std::vector<rows>& all) {
            return ended_turn{.fenced = all[0].text(0, 0) != "ended",
                              .created_at = string_at(all[0], 0, 1),
                              .tokens_used = count_at<uint64_t>(all[0], 0, 2)};
          }};
}

query<std::optional<turn_row>> get(tenant_id tenant, session_id session, turn_id turn) {
  constexpr std::string_view text = KGENTS_SQL_TURN "WHERE t.id = $2 AND t.session_id = $1";
  return {
      {.tenant = tenant, .statements = {{text, {value(session), value(turn)}}}, .read_only = true},
      [](std::vector<rows>& all) -> std::optional<turn_row> {
        if (all[0].empty())
          return std::nullopt;
        return turn_at(all[0], 0);
      }};
}

query<std::vector<unfinished_turn>> unfinished_of(tenant_id tenant, session_id session) {
  constexpr std::string_view text =
      "SELECT id, seq, status, message_id, answer_id, content, mode, budget, "
      "on_disconnect = 'cancel', api_key_id, epoch, answer, lengths, most_tokens "
      "FROM kg.turns_to_take_up($1)";
  return {{.tenant = tenant, .statements = {{text, {value(session)}}}, .read_only = true},
          parse_unfinished};
}

query<std::vector<turn_row>> replay(tenant_id tenant, session_id session, turn_seq after,
                                    uint32_t limit, size_t max_bytes) {
  // Sizes first: a page of long answers would be tens of megabytes.
  constexpr std::string_view text = KGENTS_SQL_TURN
      "WHERE t.session_id = $1 AND t.seq > $2 AND t.status <> 'queued' AND t.seq <= ("
      "SELECT max(seq) FROM (SELECT p.seq, coalesce(sum(octet_length(a.content)) OVER ("
      "ORDER BY p.seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before FROM ("
      "SELECT seq, answer_id FROM kg.turns WHERE session_id = $1 AND seq > $2 "
      "AND status <> 'queued' ORDER BY seq LIMIT $3) p "
      "LEFT JOIN kg.messages a ON a.id = p.answer_id) sized WHERE before < $4) ORDER BY t.seq";
  return {{.tenant = tenant,
           .statements = {{text,
                           {value(session), value(after), value(limit),
                            value(static_cast<uint64_t>(max_bytes))}}},
           .read_only = true},
          parse_turns};
}

query<std::optional<turn_place>> locate(tenant_id tenant, session_id session, turn_id turn) {
  constexpr std::string_view text =
      "SELECT seq, status FROM kg.turns WHERE id = $2 AND session_id = $1";
  return {
      {.tenant = tenant, .statements = {{text, {value(session), value(turn)}}}, .read_only = true},
      [](std::vector<rows>& all) -> std::optional<turn_place> {
        if (all[0].empty())
          return std::nullopt;
        return turn_place{all[0].integer(0, 0), status_at(all[0], 0, 1)};
      }};
}

query<std::vector<unfinished_session>> all_unfinished() {
  return {
      {.statements = {{"SELECT tenant_id, session_id FROM kg.unfinished_turns()", {}}},
       .read_only = true},
      [](std::vector<rows>& all) {
        std::vector<unfinished_session> result;
        for (int row = 0; row < all[0].size(); ++row)
          result.push_back({id_at<tenant_id>(all[0], row, 0), id_at<session_id>(all[0], row, 1)});
        return result;
      }};
}

}  // namespace turns

}  // namespace kgents::sql
