#include "sql/agentese_concept_memory.hpp"

#include <charconv>

#include "sql/array_literal.hpp"
#include "sql/columns.hpp"
#include "sql/like_pattern.hpp"

namespace kgents::sql::agentese_concept_memory {

namespace {

template <class T>
std::string array_of(const std::vector<T>& all) {
  std::string out;
  for (const auto x : all) {
    begin_element(out);
    char text[32];
    out.append(text, std::to_chars(text, text + sizeof text, x).ptr);
  }
  return take_array(out);
}

double number_at(const rows& x, int row, int column) noexcept {
  const auto text = x.text(row, column);
  double out = 0;
  std::from_chars(text.data(), text.data() + text.size(), out);
  return out;
}

concept_memory concept_at(const rows& x, int row) {
  return {string_at(x, row, 0), count_at<uint32_t>(x, row, 1), number_at(x, row, 2),
          number_at(x, row, 3), number_at(x, row, 4)};
}

// Rows of the caller's tenant only: row-level security holds inside as well.
#define KGENTS_SQL_CONCEPT                                                          \
  "SELECT c.concept_id, c.words, c.resolution, c.relevance, coalesce((SELECT "      \
  "sum(kg.faded_intensity(t.intensity, t.deposited_at)) FROM kg.agentese_traces t " \
  "WHERE t.concept = c.concept_id), 0) FROM kg.agentese_concept_memories c "

}  // namespace

query<stored_count> room(tenant_id tenant, std::string_view id) {
  constexpr std::string_view text =
      "SELECT count(*), coalesce(bool_or(concept_id = $1), false) FROM "
      "kg.agentese_concept_memories";
  return {{.tenant = tenant, .statements = {{text, {std::string{id}}}}, .read_only = true},
          [](std::vector<rows>& all) {
            return stored_count{count_at<uint64_t>(all[0], 0, 0), all[0].boolean(0, 1)};
          }};
}

query<double> put(tenant_id tenant, std::string_view id, std::string_view content, uint32_t words,
                  const std::vector<float>& text_vector,
                  const std::optional<std::vector<float>>& embedding) {
  constexpr std::string_view text =
      "INSERT INTO kg.agentese_concept_memories (tenant_id, concept_id, content, text_vector, "
      "embedding, words) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant_id, concept_id) DO "
      "UPDATE SET "
      "content = excluded.content, text_vector = excluded.text_vector, "
      "embedding = excluded.embedding, words = excluded.words, updated_at = now() RETURNING "
      "resolution";
  return {
      {.tenant = tenant,
       .statements = {{text,
                       {value(tenant), std::string{id}, std::string{content}, array_of(text_vector),
                        embedding ? param{array_of(*embedding)} : std::nullopt, value(words)}}}},
      [](std::vector<rows>& all) { return number_at(all[0], 0, 0); }};
}

query<std::optional<concept_memory>> get(tenant_id tenant, std::string_view id) {
  constexpr std::string_view text = KGENTS_SQL_CONCEPT "WHERE c.concept_id = $1";
  return {{.tenant = tenant, .statements = {{text, {std::string{id}}}}, .read_only = true},
          [](std::vector<rows>& all) {
            return all[0].empty() ? std::nullopt : std::optional{concept_at(all[0], 0)};
          }};
}

query<std::vector<concept_memory>> list(tenant_id tenant, size_t limit) {
  constexpr std::string_view text = KGENTS_SQL_CONCEPT "ORDER BY c.concept_id LIMIT $1";
  return {{.tenant = tenant, .statements = {{text, {value(limit)}}}, .read_only = true},
          [](std::vector<rows>& all) {
            std::vector<concept_memory> out;
            for (int row = 0; row < all[0].size(); ++row)
              out.push_back(concept_at(all[0], row));
            return out;
          }};
}

query<std::vector<concept_match>> like(tenant_id tenant, const std::vector<float>& vector,
                                       bool of_text, double threshold, size_t limit) {
  constexpr std::string_view text =
      "SELECT concept_id, likeness, resolution FROM (SELECT concept_id, resolution, "
      "kg.product_of_vectors(CASE WHEN $2::boolean THEN text_vector ELSE embedding END, "
      "$1::real[]) AS likeness FROM kg.agentese_concept_memories) c "
      "WHERE likeness >= $3::double precision ORDER BY likeness DESC, concept_id LIMIT $4";
  return {{.tenant = tenant,
           .statements = {{text,
                           {array_of(vector), of_text ? "t" : "f", std::to_string(threshold),
                            value(limit)}}},
           .read_only = true},
          [](std::vector<rows>& all) {
            std::vector<concept_match> out;
            for (int row = 0; row < all[0].size(); ++row)
              out.push_back({string_at(all[0], row, 0), number_at(all[0], row, 1),
                             number_at(all[0], row, 2)});
            return out;
          }};
}

// The bounds of a resolution, as in the header.
#define KGENTS_SQL_RESCALED(factor) "least(greatest(resolution * " factor ", 1e-6), 10.0)"

query<std::optional<double>> rescale(tenant_id tenant, std::string_view id, double factor) {
  constexpr std::string_view text =
      "UPDATE kg.agentese_concept_memories SET resolution = " KGENTS_SQL_RESCALED(
          "$2::double precision") ", updated_at = now() WHERE concept_id = $1 RETURNING resolution";
  return {{.tenant = tenant, .statements = {{text, {std::string{id}, std::to_string(factor)}}}},
          [](std::vector<rows>& all) {
            return all[0].empty() ? std::nullopt : std::optional{number_at(all[0], 0, 0)};
          }};
}

query<rescaled_concepts> rescale_all(tenant_id tenant, double factor) {
  constexpr std::string_view text =
      "WITH scaled AS (UPDATE kg.agentese_concept_memories SET resolution = " KGENTS_SQL_RESCALED(
          "$1::double precision") ", updated_at = now() RETURNING resolution) "
      "SELECT count(*), coalesce(avg(resolution), 0) FROM scaled";
  return {{.tenant = tenant, .statements = {{text, {std::to_string(factor)}}}},
          [](std::vector<rows>& all) {
            return rescaled_concepts{count_at<uint64_t>(all[0], 0, 0), number_at(all[0], 0, 1)};
          }};
}

query<uint64_t> rescale_each(tenant_id tenant, const std::vector<std::string>& ids,
                             const std::vector<double>& factors) {
  constexpr std::string_view text =
      "WITH scaled AS (UPDATE kg.agentese_concept_memories c SET resolution = " KGENTS_SQL_RESCALED(
          "x.factor") ", updated_at = now() FROM unnest($1::text[], $2::double precision[]) "
                      "AS x (id, factor) WHERE c.concept_id = x.id RETURNING 1) "
                      "SELECT count(*) FROM scaled";
  std::string names;
  for (const auto& x : ids) {
    begin_element(names);
    append_quoted(names, x);
  }
  return {{.tenant = tenant, .statements = {{text, {take_array(names), array_of(factors)}}}},
          [](std::vector<rows>& all) { return count_at<uint64_t>(all[0], 0, 0); }};
}

query<nothing> deposit(tenant_id tenant, const new_trace& trace) {
  // After so long less than a ten-millionth of a trace is left.
  constexpr std::string_view fade =
      "DELETE FROM kg.agentese_traces WHERE deposited_at < now() - interval '7 days'";
  constexpr std::string_view text =
      "INSERT INTO kg.agentese_traces (tenant_id, trace_id, concept, intensity, depositor, "
      "metadata) VALUES ($1, $2, $3, $4, $5, $6::jsonb)";
  return {{.tenant = tenant,
           .statements = {{fade},
                          {text,
                           {value(tenant), trace.id.text(), trace.concept_name,
                            std::to_string(trace.intensity), trace.depositor, trace.metadata}}}},
          [](std::vector<rows>&) { return nothing{}; }};
}

query<uint64_t> trace_count(tenant_id tenant) {
  constexpr std::string_view text = "SELECT count(*) FROM kg.agentese_traces";
  return {{.tenant = tenant, .statements = {{text}}, .read_only = true},
          [](std::vector<rows>& all) { return count_at<uint64_t>(all[0], 0, 0); }};
}

query<std::vector<trace_gradient>> gradients(tenant_id tenant, std::string_view about,
                                             size_t limit) {
  constexpr std::string_view text =
      "WITH left_of AS (SELECT concept, depositor, "
      "sum(kg.faded_intensity(intensity, deposited_at)) AS strength, count(*) AS n "
      "FROM kg.agentese_traces WHERE $1 = '%%' OR concept ILIKE $1 GROUP BY concept, depositor) "
      "SELECT concept, sum(strength), sum(n)::bigint, "
      "(array_agg(depositor ORDER BY strength DESC, depositor))[1] "
      "FROM left_of GROUP BY concept ORDER BY 2 DESC, concept LIMIT $2";
  return {{.tenant = tenant,
           .statements = {{text, {pattern_of(about), value(limit)}}},
           .read_only = true},
          [](std::vector<rows>& all) {
            std::vector<trace_gradient> out;
            for (int row = 0; row < all[0].size(); ++row)
              out.push_back({string_at(all[0], row, 0), number_at(all[0], row, 1),
                             count_at<uint64_t>(all[0], row, 2), string_at(all[0], row, 3)});
            return out;
          }};
}

}  // namespace kgents::sql::agentese_concept_memory
