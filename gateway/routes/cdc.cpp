// The operator's view of the outbox and the vector index: what waits, dead letters, rebuilding
// (data.md section 11). To anybody but the operator these routes do not exist.

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>

#include "actors/cdc/worker.hpp"
#include "gateway/route.hpp"
#include "gateway/shapes.hpp"
#include "sql/cdc.hpp"

namespace kgents::gateway {

namespace json = boost::json;

namespace {

/// Dead letters retried or removed in one request: one transaction of moderate length.
constexpr size_t letters_at_once = 1000;

constexpr field letters_query[] = {
    {.name = "before",
     .type = value_type::integer,
     .default_json = "0",
     .meaning = "only those with smaller ids; 0: from the newest on",
     .least = 0},
    {.name = "limit", .type = value_type::integer, .default_json = "100", .least = 1, .most = 500},
    {.name = "table", .default_json = "\"\"", .meaning = "of this table only"},
    {.name = "reason", .default_json = "\"\"", .meaning = "for this reason only"},
};

constexpr field letter_query[] = {
    {.name = "id",
     .type = value_type::integer,
     .default_json = "0",
     .meaning = "of one dead letter; 0: the oldest thousand",
     .least = 0},
};

constexpr field search_fields[] = {
    {.name = "tenant_id", .required = true},
    {.name = "text", .required = true, .max_bytes = 8192},
    {.name = "table", .default_json = "\"memories\""},
    {.name = "limit", .type = value_type::integer, .default_json = "10", .least = 1, .most = 100},
};
const schema search_shape{"CdcSearchRequest", search_fields};

template <class T, class F>
void ask(const call_ptr& c, sql::query<T> what, F done) {
  what.work.deadline = std::chrono::steady_clock::now() + runtime::limits::sql_deadline;
  sql::run(c->at.cdc.control, std::move(what), [c, done](sql::answer<T> out) {
    boost::asio::post(c->x->thread().context(), [c, done, out = std::move(out)]() mutable {
      if (auto* value = std::get_if<0>(&out))
        done(std::move(*value));
      else
        c->refuse(actors::refused_by_database(std::get<1>(out)));
    });
  });
}

std::vector<std::string> tables_of(const runtime::cdc_settings& how) {
  std::vector<std::string> out{"memories", "persona_garden"};
  if (how.messages)
    out.emplace_back("messages");
  return out;
}

bool without_index(const call_ptr& c) {
  if (!c->at.config.cdc.qdrant_url.empty())
    return false;
  c->refuse(409, "There is no vector index: QDRANT_URL is not set");
  return true;
}

json::object rebuild_json(const sql::cdc::rebuild& x) {
  return {{"table", x.table},
          {"phase", x.phase},
          {"upserted", x.upserted},
          {"swept", x.swept},
          {"requested_at", x.requested_at},
          {"finished_at", x.finished_at ? json::value(*x.finished_at) : json::value{}}};
}

void view(const call_ptr& c) {
  ask(c, sql::cdc::look(), [c](const sql::cdc::stats& seen) {
    ask(c, sql::cdc::rebuilds(), [c, seen](const std::vector<sql::cdc::rebuild>& all) {
      json::array rebuilds;
      for (const auto& x : all)
        rebuilds.push_back(rebuild_json(x));
      json::object dead{{"size", seen.dead},
                        {"by_reason", json::parse(seen.by_reason)},
                        {"by_table", json::parse(seen.by_table)}};
      c->reply_json(200, json::object{{"pending", seen.pending},
                                      {"oldest_pending_ms", seen.oldest_ms},
                                      {"dead_letters", std::move(dead)},
                                      {"rebuilds", std::move(rebuilds)}});
    });
  });
}

void rebuild(const call_ptr& c) {
  if (without_index(c))
    return;
  ask(c, sql::cdc::request_rebuild(tables_of(c->at.config.cdc)), [c](sql::nothing) {
    if (c->at.cdc.worker != nullptr)
      c->at.cdc.worker->wake();
    json::array tables;
    for (const auto& x : tables_of(c->at.config.cdc))
      tables.emplace_back(x);
    c->reply_json(202, json::object{{"status", "requested"}, {"tables", std::move(tables)}});
  });
}

json::object letter_json(const sql::cdc::dead_letter& x) {
  return {{"id", x.id},
          {"outbox_id", x.change},
          {"tenant_id", x.tenant ? json::value(x.tenant->text()) : json::value{}},
          {"table", x.table},
          {"operation", x.operation},
          {"row_id", x.row},
          {"target", x.target},
          {"error", x.error},
          {"reason", x.reason},
          {"retry_count", x.retries},
          {"failed_at", x.failed_at}};
}

void letters(const call_ptr& c) {
  const auto& q = c->query;
  auto what = sql::cdc::dead_letters(q.at("before").as_int64(), q.at("table").as_string(),
                                     q.at("reason").as_string(),
                                     static_cast<size_t>(q.at("limit").as_int64()));
  ask(c, std::move(what), [c](const std::vector<sql::cdc::dead_letter>& all) {
    json::array out;
    for (const auto& x : all)
      out.push_back(letter_json(x));
    c->reply_json(200, json::object{{"dead_letters", std::move(out)}});
  });
}

std::optional<int64_t> asked_letter(const call_ptr& c) {
  const auto id = c->query.at("id").as_int64();
  return id == 0 ? std::nullopt : std::optional{id};
}

/// One that was named is there or it is a 404.
void count_letters(const call_ptr& c, std::string_view name, int64_t count) {
  if (count == 0 && asked_letter(c))
    c->refuse(404, "Dead letter not found");
  else
    c->reply_json(200, json::object{{name, count}});
}

void retry(const call_ptr& c) {
  ask(c, sql::cdc::retry_dead_letters(asked_letter(c), letters_at_once), [c](int64_t count) {
    if (c->at.cdc.worker != nullptr)
      c->at.cdc.worker->wake();
    count_letters(c, "retried", count);
  });
}

void remove(const call_ptr& c) {
  ask(c, sql::cdc::drop_dead_letters(asked_letter(c), letters_at_once),
      [c](int64_t count) { count_letters(c, "removed", count); });
}

void search(const call_ptr& c) {
  if (without_index(c))
    return;
  const auto tenant = tenant_id::parse(c->text_of("tenant_id"));
  if (!tenant) {
    c->refuse(400, "Invalid tenant ID format");
    return;
  }
  const auto tables = tables_of(c->at.config.cdc);
  std::string table{c->text_of("table")};
  if (std::find(tables.begin(), tables.end(), table) == tables.end()) {
    c->refuse(400, "Only memories, persona_garden and, where that is on, messages are vectorised");
    return;
  }
  if (c->at.cdc.worker == nullptr) {
    c->refuse(409, "This node does not have the role cdc");
    return;
  }
  c->at.cdc.worker->search(
      std::move(table), *tenant, std::string{c->text_of("text")},
      static_cast<size_t>(c->body.at("limit").as_int64()), [c](cdc::answered found) {
        boost::asio::post(c->x->thread().context(), [c, found = std::move(found)] {
          if (const auto* why = std::get_if<cdc::trouble>(&found))
            c->refuse(503, why->error);
          else
            c->reply_json(200, json::object{{"points", std::get<json::value>(found)}});
        });
      });
}

const route table[] = {
    {.method = "GET",
     .path = "/v1/platform/cdc",
     .tag = "cdc",
     .summary = "Changes that wait, dead letters, and rebuilds of the vector index",
     .who = access::platform,
     .answer = &cdc_shape,
     .handle = view},
    {.method = "POST",
     .path = "/v1/platform/cdc/rebuild",
     .tag = "cdc",
     .summary = "Has the vector index made anew from PostgreSQL, while changes go on being "
                "applied; one under way begins anew",
     .who = access::platform,
     .answer = &cdc_rebuild_shape,
     .success = 202,
     .handle = rebuild},
    {.method = "GET",
     .path = "/v1/platform/cdc/dead-letters",
     .tag = "cdc",
     .summary = "Changes that the vector index would not take, newest first",
     .who = access::platform,
     .query = letters_query,
     .answer = &dead_letters_shape,
     .handle = letters},
    {.method = "POST",
     .path = "/v1/platform/cdc/dead-letters/retry",
     .tag = "cdc",
     .summary = "Has them tried again; they stay older than later changes of their rows",
     .who = access::platform,
     .query = letter_query,
     .answer = &dead_letters_retried_shape,
     .handle = retry},
    {.method = "DELETE",
     .path = "/v1/platform/cdc/dead-letters",
     .tag = "cdc",
     .summary = "Removes dead letters",
     .who = access::platform,
     .query = letter_query,
     .answer = &dead_letters_removed_shape,
     .handle = remove},
    {.method = "POST",
     .path = "/v1/platform/cdc/search",
     .tag = "cdc",
     .summary = "What the vector index finds near a text among the rows of one tenant",
     .who = access::platform,
     .body = &search_shape,
     .answer = &cdc_search_shape,
     .handle = search},
};

}  // namespace

std::span<const route> cdc_routes() { return table; }

}  // namespace kgents::gateway
