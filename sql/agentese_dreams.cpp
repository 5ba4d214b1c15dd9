#include "sql/agentese_dreams.hpp"

#include <algorithm>

#include "sql/array_literal.hpp"
#include "sql/columns.hpp"

namespace kgents::sql::agentese_dreams {

namespace {

double number_at(const rows& x, int row, int column) {
  const auto text = x.text(row, column);
  double out = 0;
  std::from_chars(text.data(), text.data() + text.size(), out);
  return out;
}

void append_number(std::string& array, double x) {
  begin_element(array);
  char out[32];
  array.append(out, std::to_chars(out, out + sizeof out, x).ptr);
}

void append_text(std::string& array, std::string_view x) {
  begin_element(array);
  append_quoted(array, x);
}

template <std::integral T>
void append_integer(std::string& array, T x) {
  begin_element(array);
  array += std::to_string(x);
}

dream_view view_of(std::vector<rows>& all) {
  dream_view out;
  if (const auto& state = all[0]; !state.empty())
    out.state = {.cycles = count_at<uint64_t>(state, 0, 0),
                 .confidence = string_at(state, 0, 1),
                 .report = state.optional_text(0, 2),
                 .dreamt_at = string_at(state, 0, 3)};
  for (int row = 0; row < all[1].size(); ++row)
    out.interactions.push_back({.seq = all[1].integer(row, 0),
                                .text = string_at(all[1], row, 1),
                                .mode = string_at(all[1], row, 2)});
  for (int row = 0; row < all[2].size(); ++row)
    out.garden.push_back({.id = all[2].integer(row, 0),
                          .text = string_at(all[2], row, 1),
                          .lifecycle = string_at(all[2], row, 2),
                          .confidence = number_at(all[2], row, 3),
                          .occurrences = count_at<uint32_t>(all[2], row, 4),
                          .days_unseen = number_at(all[2], row, 5),
                          .last_seen = string_at(all[2], row, 6)});
  return out;
}

statement nurture(const dream_changes& changes) {
  constexpr std::string_view text =
      "UPDATE kg.persona_garden g SET occurrences = u.occurrences, lifecycle = u.lifecycle,"
      " confidence = u.confidence, last_nurtured = now()"
      " FROM unnest($1::bigint[], $2::integer[], $3::text[], $4::double precision[])"
      " AS u (id, occurrences, lifecycle, confidence) WHERE g.id = u.id";
  std::string ids, occurrences, stages, confidences;
  for (const auto& x : changes.seen_again) {
    append_integer(ids, x.id);
    append_integer(occurrences, x.occurrences);
    append_text(stages, x.lifecycle);
    append_number(confidences, x.confidence);
  }
  return {text,
          {take_array(ids), take_array(occurrences), take_array(stages), take_array(confidences)}};
}

statement plant(const dream_changes& changes) {
  constexpr std::string_view text =
      "INSERT INTO kg.persona_garden (tenant_id, content, entry_type, source, confidence,"
      " eigenvector_affinities)"
      " SELECT kg.current_tenant_id(), u.content, 'pattern', 'hypnagogia', u.confidence,"
      " u.affinities::jsonb FROM unnest($1::text[], $2::double precision[], $3::text[])"
      " AS u (content, confidence, affinities)";
  std::string texts, confidences, affinities;
  for (const auto& x : changes.seeds) {
    append_text(texts, x.text);
    append_number(confidences, x.confidence);
    append_text(affinities, x.affinities);
  }
  return {text, {take_array(texts), take_array(confidences), take_array(affinities)}};
}

statement compost(const dream_changes& changes) {
  std::string ids;
  for (const auto x : changes.composted)
    append_integer(ids, x);
  return {"DELETE FROM kg.persona_garden WHERE id = ANY ($1::bigint[])", {take_array(ids)}};
}

}  // namespace

query<dream_view> view(tenant_id tenant, uint32_t interactions, uint32_t patterns) {
  constexpr std::string_view state =
      "SELECT cycles, confidence, report, " KGENTS_SQL_TIME("dreamt_at") " FROM kg.agentese_dreams";
  // Session by session, since messages have no index by tenant.
  constexpr std::string_view said =
      "SELECT seq, left(content, 1000), mode FROM ("
      "SELECT m.seq, m.content, coalesce(t.mode, 'reflect') AS mode FROM ("
      "SELECT id FROM kg.sessions WHERE deleted_at IS NULL ORDER BY created_at DESC LIMIT 200) s"
      " CROSS JOIN LATERAL (SELECT seq, content, turn_id FROM kg.messages"
      " WHERE session_id = s.id AND role = 'user'"
      " AND seq > coalesce((SELECT last_message FROM kg.agentese_dreams), 0)"
      " ORDER BY seq DESC LIMIT $1) m LEFT JOIN kg.turns t ON t.id = m.turn_id"
      " ORDER BY m.seq DESC LIMIT $1) newest ORDER BY seq";
  constexpr std::string_view garden =
      "SELECT id, content, lifecycle, confidence, occurrences,"
      " extract(epoch FROM now() - last_nurtured) / 86400, " KGENTS_SQL_TIME("last_nurtured")
      " FROM kg.persona_garden WHERE source = 'hypnagogia' AND entry_type = 'pattern'"
      " ORDER BY last_nurtured DESC, id DESC LIMIT $1";
  return {{.tenant = tenant,
           .statements = {{state},
                          {said, {sql::value(interactions)}},
                          {garden, {sql::value(patterns)}}},
           .read_only = true},
          view_of};
}

query<nothing> apply(tenant_id tenant, const dream_changes& changes) {
  constexpr std::string_view keep =
      "INSERT INTO kg.agentese_dreams AS d"
      " (tenant_id, last_message, cycles, confidence, report, dreamt_at)"
      " VALUES (kg.current_tenant_id(), $1, 1, $2, $3, now())"
      " ON CONFLICT (tenant_id) DO UPDATE SET cycles = d.cycles + 1,"
      " last_message = greatest(d.last_message, excluded.last_message),"
      " confidence = excluded.confidence, report = excluded.report,"
      " dreamt_at = excluded.dreamt_at";
  return {
      {.tenant = tenant,
       .statements = {nurture(changes),
                      plant(changes),
                      compost(changes),
                      {keep,
                       {sql::value(changes.last_message), changes.confidence, changes.report}}}},
      [](std::vector<rows>&) { return nothing{}; }};
}

}  // namespace kgents::sql::agentese_dreams
