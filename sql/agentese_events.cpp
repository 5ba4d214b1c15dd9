#include "sql/agentese_events.hpp"

#include <algorithm>

#include "sql/array_literal.hpp"
#include "sql/columns.hpp"

// The columns of an event, in the order in which `event_at` reads them. A macro, since SQL is
// literals only.
#define KGENTS_EVENT_COLUMNS                                                                   \
  "seq, event_id, event_type, path, aspect, observer_archetype, observer_id, "                 \
  KGENTS_SQL_TIME("created_at")                                                                \
  ", data::text, data_truncated, status, duration_ms, tokens, trace_id, span_id, "             \
  "parent_span_id, origin, caller_path, (extract(epoch FROM created_at) * 1000000)::bigint"

namespace kgents::sql {

namespace {

int64_t microseconds(std::chrono::system_clock::time_point x) {
  return std::chrono::duration_cast<std::chrono::microseconds>(x.time_since_epoch()).count();
}

param value(const std::optional<std::chrono::system_clock::time_point>& x) {
  return x ? param{std::to_string(microseconds(*x))} : std::nullopt;
}

agentese_event_ptr event_at(const rows& x, int row) {
  auto out = std::make_shared<agentese_event>();
  out->seq = x.integer(row, 0);
  out->event_id = x.id(row, 1);
  out->type = parse_agentese_event_type(x.text(row, 2)).value_or(agentese_event_type::error);
  out->path = x.text(row, 3);
  out->aspect = x.text(row, 4);
  out->archetype = x.text(row, 5);
  out->observer = x.text(row, 6);
  out->timestamp = x.text(row, 7);
  out->data = x.text(row, 8);
  out->truncated = x.boolean(row, 9);
  out->status = x.text(row, 10);
  out->duration_ms = count_at<uint32_t>(x, row, 11);
  out->tokens = count_at<uint32_t>(x, row, 12);
  out->trace_id = x.text(row, 13);
  out->span_id = x.text(row, 14);
  out->parent_span_id = x.text(row, 15);
  out->origin = x.text(row, 16);
  out->caller = x.text(row, 17);
  out->timestamp_us = x.integer(row, 18);
  return out;
}

std::vector<agentese_event_ptr> events_of(std::vector<rows>& all) {
  std::vector<agentese_event_ptr> out;
  out.reserve(static_cast<size_t>(all[0].size()));
  for (int row = 0; row < all[0].size(); ++row)
    out.push_back(event_at(all[0], row));
  return out;
}

std::vector<agentese_event_ptr> newest_last(std::vector<rows>& all) {
  auto out = events_of(all);
  std::reverse(out.begin(), out.end());
  return out;
}

/// The total is the second statement's.
agentese_trace_page trace_page(std::vector<rows>& all, bool reversed) {
  return {reversed ? newest_last(all) : events_of(all), all[1].integer(0, 0)};
}

agentese_replay_start start_at(std::vector<rows>& all) {
  const auto& x = all[0];
  if (x.empty())  // nothing has ever happened to this tenant
    return {};
  return {.log = {.last_seq = x.integer(0, 0), .trimmed_seq = x.integer(0, 1)},
          .after = x.integer(0, 2),
          .incomplete = x.boolean(0, 3)};
}

std::vector<std::pair<tenant_id, int64_t>> logs_of(std::vector<rows>& all) {
  std::vector<std::pair<tenant_id, int64_t>> out;
  for (int row = 0; row < all[0].size(); ++row)
    out.emplace_back(id_at<tenant_id>(all[0], row, 0), all[0].integer(row, 1));
  return out;
}

std::string number_or_null(int64_t x, bool null) { return null ? "NULL" : std::to_string(x); }

}  // namespace

void mark_batch::add(const agentese_mark& x) {
  const bool billed = !x.usage.value.is_nil();
  size_t column = 0;
  const auto plain = [&](std::string_view element) {
    auto& array = arrays_[column++];
    begin_element(array);
    array += element;
  };
  const auto text = [&](std::string_view element, bool empty_is_null = false) {
    if (empty_is_null && element.empty())
      return plain("NULL");
    auto& array = arrays_[column++];
    begin_element(array);
    append_quoted(array, element);
  };
  const auto id = [&](const uuid& element) {
    if (element.is_nil())
      plain("NULL");
    else
      plain(element.text());
  };
  const bool whole = x.data.size() <= agentese_data_bytes;
  id(x.tenant.value);
  id(x.event_id);
  plain(to_string(x.type));
  text(x.node);
  text(x.aspect);
  text(x.archetype);
  text(x.observer_id, true);
  text(whole ? std::string_view{x.data} : std::string_view{}, true);
  plain(x.data_truncated || !whole ? "t" : "f");
  text(x.status);
  plain(std::to_string(x.duration_ms));
  plain(std::to_string(x.tokens));
  text(x.trace_id, true);
  text(x.span_id, true);
  text(x.parent_span_id, true);
  text(x.origin);
  text(x.caller, true);
  plain(std::to_string(microseconds(x.at)));
  id(x.usage.value);
  id(x.key.value);
  plain(number_or_null(x.tokens_in, !billed));
  plain(number_or_null(x.tokens_out, !billed));
  text(billed ? std::string_view{x.usage_source} : std::string_view{}, true);
  ++size_;
}

query<std::vector<std::pair<tenant_id, int64_t>>> mark_batch::take() {
  constexpr std::string_view text =
      "SELECT tenant, seq FROM kg.log_agentese_events($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, "
      "$11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)";
  size_ = 0;
  statement insert{text};
  for (auto& array : arrays_)
    insert.params.emplace_back(take_array(array));
  return {{.statements = {std::move(insert)}}, logs_of};
}

namespace agentese_events {

query<agentese_log_ends> ends(tenant_id tenant) {
  constexpr std::string_view text = "SELECT last_seq, trimmed_seq FROM kg.agentese_clock";
  return {{.tenant = tenant, .statements = {{text}}, .read_only = true},
          [](std::vector<rows>& all) {
            if (all[0].empty())
              return agentese_log_ends{};
            return agentese_log_ends{all[0].integer(0, 0), all[0].integer(0, 1)};
          }};
}

query<std::vector<agentese_event_ptr>> page(tenant_id tenant, int64_t after, size_t limit) {
  constexpr std::string_view text =
      "SELECT " KGENTS_EVENT_COLUMNS
      " FROM kg.agentese_events WHERE seq > $1 ORDER BY seq LIMIT $2";
  return {{.tenant = tenant,
           .statements = {{text, {sql::value(after), sql::value(limit)}}},
           .read_only = true},
          events_of};
}

query<std::vector<agentese_event_ptr>> of_path(tenant_id tenant, std::string_view node,
                                               size_t limit) {
  constexpr std::string_view text =
      "SELECT " KGENTS_EVENT_COLUMNS
      " FROM kg.agentese_events WHERE path = $1 ORDER BY seq DESC LIMIT $2";
  return {{.tenant = tenant,
           .statements = {{text, {std::string{node}, sql::value(limit)}}},
           .read_only = true},
          newest_last};
}

// strpos, not LIKE: what is looked for is text, not a pattern.
#define KGENTS_TRACE_FILTER                                                                   \
  " FROM kg.agentese_events"                                                                  \
  " WHERE ($1::text IS NULL OR strpos(lower(path || '.' || aspect), lower($1::text)) > 0)"    \
  " AND ($2::text IS NULL OR path = $2::text)"                                                \
  " AND ($3::bigint IS NULL OR"                                                               \
  " created_at >= timestamptz 'epoch' + $3::bigint * interval '1 microsecond')"               \
  " AND ($4::bigint IS NULL OR"                                                               \
  " created_at <= timestamptz 'epoch' + $4::bigint * interval '1 microsecond')"               \
  " AND ($5::boolean OR event_type <> 'changed')"

query<agentese_trace_page> traces(tenant_id tenant, const agentese_trace_filter& filter) {
  constexpr std::string_view newest =
      "SELECT " KGENTS_EVENT_COLUMNS KGENTS_TRACE_FILTER " ORDER BY seq DESC LIMIT $6";
  constexpr std::string_view total = "SELECT count(*)" KGENTS_TRACE_FILTER;
  const auto text_or_null = [](const std::string& x) {
    return x.empty() ? param{} : param{x};
  };
  const std::vector<param> wanted{text_or_null(filter.substring), text_or_null(filter.path),
                                  value(filter.from), value(filter.to),
                                  filter.changes ? "t" : "f"};
  auto limited = wanted;
  limited.push_back(sql::value(filter.limit));
  return {{.tenant = tenant,
           .statements = {{newest, std::move(limited)}, {total, wanted}},
           .read_only = true},
          [](std::vector<rows>& all) { return trace_page(all, true); }};
}

query<agentese_trace_page> trace_range(tenant_id tenant, int64_t from, int64_t to, size_t limit) {
  constexpr std::string_view range =
      "SELECT " KGENTS_EVENT_COLUMNS
      " FROM kg.agentese_events WHERE event_type <> 'changed' ORDER BY seq OFFSET $1 LIMIT $2";
  constexpr std::string_view total =
      "SELECT count(*) FROM kg.agentese_events WHERE event_type <> 'changed'";
  from = std::max<int64_t>(from, 0);
  const auto most = std::clamp<int64_t>(to - from, 0, static_cast<int64_t>(limit));
  return {{.tenant = tenant,
           .statements = {{range, {sql::value(from), sql::value(most)}}, {total}},
           .read_only = true},
          [](std::vector<rows>& all) { return trace_page(all, false); }};
}

query<agentese_replay_start> replay_behind(tenant_id tenant, const uuid& event) {
  constexpr std::string_view text =
      "SELECT c.last_seq, c.trimmed_seq, coalesce(e.seq, c.trimmed_seq), e.seq IS NULL"
      " FROM kg.agentese_clock c LEFT JOIN kg.agentese_events e"
      " ON e.tenant_id = c.tenant_id AND e.event_id = $1";
  return {{.tenant = tenant, .statements = {{text, {event.text()}}}, .read_only = true},
          [](std::vector<rows>& all) {
            auto out = start_at(all);
            out.incomplete = out.incomplete || all[0].empty();
            return out;
          }};
}

query<agentese_replay_start> replay_from(tenant_id tenant,
                                         std::chrono::system_clock::time_point time) {
  // From the first event that is not older. Times do not grow strictly with seqs, so a few older
  // ones may come with it, and none is lost.
  constexpr std::string_view text =
      "SELECT c.last_seq, c.trimmed_seq,"
      " coalesce((SELECT min(e.seq) - 1 FROM kg.agentese_events e"
      " WHERE e.tenant_id = c.tenant_id"
      " AND e.created_at >= timestamptz 'epoch' + $1::bigint * interval '1 microsecond'),"
      " c.last_seq),"
      " coalesce(c.trimmed_at >= timestamptz 'epoch' + $1::bigint * interval '1 microsecond',"
      " false)"
      " FROM kg.agentese_clock c";
  return {{.tenant = tenant,
           .statements = {{text, {sql::value(microseconds(time))}}},
           .read_only = true},
          start_at};
}

query<agentese_replay_start> replay_offset(tenant_id tenant, int64_t seq) {
  constexpr std::string_view text =
      "SELECT last_seq, trimmed_seq, least(greatest($1::bigint, trimmed_seq), last_seq),"
      " $1::bigint < trimmed_seq FROM kg.agentese_clock";
  return {{.tenant = tenant, .statements = {{text, {sql::value(seq)}}}, .read_only = true},
          start_at};
}

statement change_statement(std::string_view node, std::string_view data, std::string_view trace_id,
                           std::string_view archetype) {
  constexpr std::string_view text = "SELECT kg.log_change($1, $2, $3, $4)";
  const auto text_or_null = [](std::string_view x) {
    return x.empty() ? param{} : param{std::string{x}};
  };
  return {text,
          {std::string{node}, text_or_null(data), text_or_null(archetype), text_or_null(trace_id)}};
}

query<std::vector<std::pair<tenant_id, int64_t>>> last_seqs(
    const std::vector<tenant_id>& tenants) {
  constexpr std::string_view text = "SELECT tenant, seq FROM kg.agentese_last_seqs($1)";
  std::string array;
  for (const auto& x : tenants) {
    begin_element(array);
    x.value.append_to(array);
  }
  return {{.statements = {{text, {take_array(array)}}}, .read_only = true}, logs_of};
}

query<int64_t> trim(tenant_id tenant, size_t keep, std::chrono::seconds age, size_t chunk) {
  constexpr std::string_view text =
      "SELECT kg.trim_agentese_events($1, $2, $3::bigint * interval '1 second', $4)";
  return {{.statements = {{text,
                           {sql::value(tenant), sql::value(keep), sql::value(age.count()),
                            sql::value(chunk)}}}},
          [](std::vector<rows>& all) { return all[0].integer(0, 0); }};
}

}  // namespace agentese_events

}  // namespace kgents::sql
