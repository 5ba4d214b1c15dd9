#include "sql/silo_builder.hpp"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <optional>
#include <thread>

#include "sql/migrate.hpp"
#include "sql/silo_copy.hpp"

namespace kgents::sql {

namespace json = boost::json;

namespace {

/// How often a step is tried; pauses of 0.5, 1, 2 and 4 s lie between.
constexpr int most_attempts = 5;

/// How long transactions that began before a move may go on. Those of the server end within 15 s
/// (their statement_timeout), or the move is put off.
constexpr auto older_end_within = std::chrono::seconds{30};

/// Whose transactions may write a tenant's rows.
constexpr auto writers = "{kg_app,kg_control,kg_cdc,kg_billing}";

/// Those that run now; whoever begins later sees what was committed before.
std::string running_transactions(silo_session& shared) {
  return shared.value(
      "SELECT coalesce(string_agg(l.virtualtransaction, ','), '') FROM pg_locks l"
      "  JOIN pg_stat_activity a USING (pid)"
      " WHERE l.locktype = 'virtualxid' AND l.granted AND l.mode = 'ExclusiveLock'"
      "   AND a.usename = ANY ($1::name[]) AND a.datname = current_database()",
      {writers});
}

void await_older(silo_session& shared, const interruption& until) {
  const auto older = running_transactions(shared);
  const auto give_up = std::chrono::steady_clock::now() + older_end_within;
  while (!older.empty()) {
    const auto left = shared.query(
        "SELECT a.usename || ' (process ' || a.pid || ')' FROM pg_locks l"
        "  JOIN pg_stat_activity a USING (pid)"
        " WHERE l.locktype = 'virtualxid' AND l.granted AND l.mode = 'ExclusiveLock'"
        "   AND l.virtualtransaction = ANY (string_to_array($1, ',')) LIMIT 1",
        {older});
    if (left.empty())
      return;
    if (until.stopped())
      throw silo_trouble{"stopped"};
    if (std::chrono::steady_clock::now() > give_up)
      throw silo_trouble{"a transaction of " + std::string{left.text(0, 0)} +
                         " that began before the move does not end"};
    std::this_thread::sleep_for(std::chrono::milliseconds{20});
  }
}

std::string details_of(const copy_report& x) {
  json::array tables;
  for (const auto& t : x.tables)
    tables.push_back(
        json::object{{"table", t.table}, {"rows", t.rows}, {"checksum", t.checksum}});
  return json::serialize(json::object{
      {"rows", x.rows}, {"last_outbox", x.last_outbox}, {"tables", std::move(tables)}});
}

std::vector<table_content> contents_in(const std::string& details) {
  std::vector<table_content> out;
  boost::system::error_code malformed;
  const auto value = json::parse(details, malformed);
  const auto* top = malformed ? nullptr : value.if_object();
  const auto* tables = top == nullptr ? nullptr : top->if_contains("tables");
  if (tables != nullptr && tables->is_array())
    for (const auto& x : tables->get_array())
      out.push_back({std::string{x.at("table").as_string()}, x.at("rows").to_number<int64_t>(),
                     std::string{x.at("checksum").as_string()}});
  return out;
}

/// The same rows as when they were compared: what writes without a tenant's context is not stopped
/// by the move.
void still_the_same(silo_session& shared, tenant_id tenant,
                    const std::vector<table_content>& then) {
  for (const auto& table : tenant_tables(shared)) {
    if (table.handling != "moved")
      continue;
    const auto now = content_of(shared, table, tenant);
    if (std::find(then.begin(), then.end(), now) == then.end())
      throw silo_trouble{"kg." + table.name + " has changed since it was copied"};
  }
}

}  // namespace

struct silo_builder::record {
  tenant_id tenant;
  std::string database;
  std::string dsn_ref;
  silo_state state = silo_state::failed;
  std::string details;
  bool database_made = false;
  int64_t attempts = 0;
  silo_facts known;
};

silo_builder::silo_builder(options with, interruption& until)
    : with_{std::move(with)}, until_{until} {}

void silo_builder::work_on(tenant_id tenant) {
  using clock = std::chrono::steady_clock;
  record x;
  auto what = silo_step::wait;
  std::optional<silo_session> shared;
  try {
    open_shared(shared);
    // Its numbers are also in kg.back_out_stale_moves.
    if (shared->value("SELECT pg_try_advisory_lock(7165917, 36)") != "t")
      return;
    for (;;) {
      x = read(*shared, tenant);
      what = next_step(x.state, x.known);
      if (what == silo_step::wait)
        return;
      const auto began = clock::now();
      take(*shared, x, what);
      with_.tell.done(tenant, what,
                      std::chrono::duration_cast<std::chrono::milliseconds>(clock::now() - began));
      if (what == silo_step::undo)
        return;
    }
  } catch (const silo_trouble& why) {
    if (until_.stopped())
      return;
    try {
      if (!shared || !shared->good()) {
        open_shared(shared);
        if (shared->value("SELECT pg_try_advisory_lock(7165917, 36)") != "t")
          return;  // another works on it now
      }
      record_trouble(*shared, x, what, why);
    } catch (const silo_trouble& worse) {
      with_.tell.failed(tenant, what, worse.what(), false);
    }
  }
}

/// As kg_admin, whom row-level security does not bind.
void silo_builder::open_shared(std::optional<silo_session>& shared) {
  shared.emplace(with_.admin_url, until_, "the shared database");
  shared->run("SET ROLE kg_admin");
}

silo_builder::record silo_builder::read(silo_session& shared, tenant_id tenant) {
  const auto found = shared.query(
      "SELECT database, silo_dsn_ref, state, details::text, cancel_requested, database_made,"
      "       attempts, coalesce(details->>'schema' < $2, false),"
      "       purged_at IS NULL AND coalesce(purge_at <= now(), false)"
      "  FROM kg.silos WHERE tenant_id = $1::uuid",
      {tenant.text(), std::string{latest_migration()}});
  record out;
  out.tenant = tenant;
  if (found.empty())
    return out;  // given up meanwhile: `failed` asks for nothing
  out.database = found.text(0, 0);
  out.dsn_ref = found.text(0, 1);
  out.state = parse_silo_state(found.text(0, 2)).value_or(silo_state::failed);
  out.details = found.text(0, 3);
  out.known.cancel = found.boolean(0, 4);
  out.database_made = found.boolean(0, 5);
  out.attempts = found.integer(0, 6);
  out.known.copied = !contents_in(out.details).empty();
  out.known.outdated = found.boolean(0, 7);
  out.known.purge_due = found.boolean(0, 8);
  return out;
}

void silo_builder::take(silo_session& shared, const record& x, silo_step what) {
  switch (what) {
    case silo_step::begin:
      return advance(shared, x, after(what, x.state), "{}");
    case silo_step::create:
      return create(shared, x);
    case silo_step::migrate:
    case silo_step::upgrade:
      return migrate(shared, x);
    case silo_step::copy:
      return copy(shared, x);
    case silo_step::cut_over:
      return cut_over(shared, x);
    case silo_step::purge:
      return purge(shared, x);
    case silo_step::undo:
      return undo(shared, x);
    case silo_step::wait:
      break;
  }
}

void silo_builder::advance(silo_session& shared, const record& x, silo_state to,
                           const std::string& details) {
  const auto changed = shared.query(
      "UPDATE kg.silos SET state = $2, reason = NULL, details = $3::jsonb,"
      // A copy that cannot be cut over is no progress.
      "       attempts = CASE WHEN $2 = 'cutover' THEN attempts ELSE 0 END,"
      "       next_attempt_at = now(), updated_at = now()"
      " WHERE tenant_id = $1::uuid AND state = $4 RETURNING 1",
      {x.tenant.text(), std::string{to_string(to)}, details, std::string{to_string(x.state)}});
  if (changed.empty())
    throw silo_trouble{"the silo's state has changed meanwhile"};
}

std::string silo_builder::silo_admin_url(const record& x) const {
  auto found = silo_url(with_.where, x.dsn_ref, "DATABASE_ADMIN_URL", with_.admin_url, x.database);
  if (const auto* no = std::get_if<no_dsn>(&found))
    throw silo_trouble{no->message};
  return std::get<std::string>(found);
}

silo_session silo_builder::open_silo(const record& x) {
  return silo_session{silo_admin_url(x), until_, "the silo's database"};
}

void silo_builder::create(silo_session& shared, const record& x) {
  if (has_secret(with_.where, x.dsn_ref)) {
    const auto url = silo_admin_url(x);
    try {
      const silo_session there{url, until_, "the silo's database"};
    } catch (const silo_trouble&) {
      // Perhaps it is only the database that is missing.
      auto server = with_database(url, "postgres");
      std::optional<silo_session> at;
      if (const auto* other = std::get_if<std::string>(&server)) {
        try {
          at.emplace(*other, until_, "the silo's server");
        } catch (const silo_trouble&) {
        }
      }
      if (!at)
        throw;
      create_at(*at, x, shared, database_of(url));
    }
  } else {
    silo_session server{with_.admin_url, until_, "the shared server"};
    create_at(server, x, shared, x.database);
  }
  advance(shared, x, after(silo_step::create, x.state), "{}");
}

void silo_builder::create_at(silo_session& at, const record& x, silo_session& shared,
                             const std::string& name) {
  if (at.value("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", {name}) == "t")
    return;
  if (at.value("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user") != "t")
    throw silo_trouble{at.what() + ": role " + at.value("SELECT current_user") +
                           " may not create databases. Run ALTER ROLE … CREATEDB, or create "
                           "database " +
                           name + " owned by kg_owner",
                       true};
  // Noted before, so that it is dropped with a silo that is given up.
  static_cast<void>(shared.query(
      "UPDATE kg.silos SET database_made = true, updated_at = now() WHERE tenant_id = $1::uuid",
      {x.tenant.text()}));
  const bool owner =
      at.value("SELECT coalesce((SELECT pg_has_role(oid, 'MEMBER') FROM pg_roles"
               " WHERE rolname = 'kg_owner'), false)") == "t";
  at.run("CREATE DATABASE " + quoted_name(name) + (owner ? " OWNER kg_owner" : ""));
}

void silo_builder::migrate(silo_session& shared, const record& x) {
  const auto wrong = sql::migrate({.url = silo_admin_url(x), .until = &until_});
  if (wrong)
    throw silo_trouble{*wrong};
  auto silo = open_silo(x);
  if (x.state == silo_state::active) {
    static_cast<void>(shared.query("UPDATE kg.silos SET details = details ||"
                                   " jsonb_build_object('schema', $2::text), updated_at = now()"
                                   " WHERE tenant_id = $1::uuid",
                                   {x.tenant.text(), std::string{latest_migration()}}));
    return;
  }
  mark_silo(silo, x.tenant);
  if (x.database_made) {
    const auto name = quoted_name(silo.value("SELECT current_database()"));
    silo.run("REVOKE ALL ON DATABASE " + name + " FROM PUBLIC");
    silo.run("GRANT CONNECT ON DATABASE " + name +
             " TO kg_migrator, kg_app, kg_control, kg_cdc, kg_billing, kg_admin, kg_metrics");
  }
  advance(shared, x, after(silo_step::migrate, x.state), "{}");
}

void silo_builder::copy(silo_session& shared, const record& x) {
  const auto id = x.tenant.text();
  static_cast<void>(
      shared.query("INSERT INTO kg.tenant_moves (tenant_id, state) VALUES ($1::uuid, 'copying')"
                   " ON CONFLICT DO NOTHING",
                   {id}));
  // What is in a silo that is in use is never copied over.
  if (shared.value("SELECT state FROM kg.tenant_moves WHERE tenant_id = $1::uuid", {id}) !=
      "copying")
    throw silo_trouble{"the tenant's data has moved already"};
  await_older(shared, until_);
  silo_session source{with_.admin_url, until_, "the shared database"};
  auto silo = open_silo(x);
  const auto progress = [&](const std::string& table, int64_t rows) {
    const auto given_up = shared.value(
        "UPDATE kg.silos SET details = jsonb_build_object('table', $2::text, 'rows', $3::bigint),"
        "       updated_at = now() WHERE tenant_id = $1::uuid RETURNING cancel_requested",
        {id, table, std::to_string(rows)});
    if (given_up != "f" || until_.stopped())
      throw silo_trouble{"given up"};
  };
  const auto report = copy_tenant(source, silo, x.tenant, progress);
  with_.tell.copied(report.rows);
  advance(shared, x, silo_state::cutover, details_of(report));
}

void silo_builder::cut_over(silo_session& shared, const record& x) {
  const auto id = x.tenant.text();
  silo_session::transaction work{shared};
  still_the_same(shared, x.tenant, contents_in(x.details));
  const auto gone = shared.query(
      "UPDATE kg.tenant_moves SET state = 'gone' WHERE tenant_id = $1::uuid AND state = 'copying'"
      " RETURNING 1",
      {id});
  if (gone.empty())
    throw silo_trouble{"the move was taken back meanwhile"};
  static_cast<void>(shared.query(
      "UPDATE kg.tenants SET data_plane = 'silo', silo_dsn_ref = $2 WHERE id = $1::uuid",
      {id, x.dsn_ref}));
  const auto changed = shared.query(
      "UPDATE kg.silos SET state = 'active', reason = NULL, attempts = 0, next_attempt_at = now(),"
      "       details = details || jsonb_build_object('schema', $2::text), updated_at = now(),"
      "       activated_at = now(), purge_at = now() + make_interval(secs => purge_after_seconds)"
      " WHERE tenant_id = $1::uuid AND state = 'cutover' AND NOT cancel_requested RETURNING 1",
      {id, std::string{latest_migration()}});
  if (changed.empty())
    throw silo_trouble{"the silo's state has changed meanwhile"};
  shared.run("NOTIFY kg_silos");
  work.commit();
}

void silo_builder::purge(silo_session& shared, const record& x) {
  // Nothing goes from here while it is uncertain that the silo has it.
  auto silo = open_silo(x);
  if (silo.value("SELECT tenant FROM kg.silo") != x.tenant.text())
    throw silo_trouble{silo.what() + " is not marked as the silo of this tenant"};
  auto tables = tenant_tables(shared);
  std::reverse(tables.begin(), tables.end());
  for (const auto& table : tables)
    if (table.handling == "moved")
      while (purge_some(shared, table, x.tenant))
        if (until_.stopped())
          throw silo_trouble{"stopped"};
  static_cast<void>(shared.query("UPDATE kg.silos SET purged_at = now(), attempts = 0,"
                                 "       reason = NULL, updated_at = now()"
                                 " WHERE tenant_id = $1::uuid",
                                 {x.tenant.text()}));
}

/// Whether nobody else has anything in the database: it may have been named anew since it was made.
bool silo_builder::is_ours(const record& x) {
  bool opened = false;
  try {
    auto silo = open_silo(x);
    opened = true;
    if (silo.value("SELECT to_regclass('kg.tenants') IS NULL") == "t")
      return true;
    if (silo.value("SELECT to_regclass('kg.silo') IS NOT NULL") == "t" &&
        silo.value("SELECT EXISTS (SELECT FROM kg.silo WHERE tenant = $1::uuid)",
                   {x.tenant.text()}) == "t")
      return true;
    return silo.value("SELECT NOT EXISTS (SELECT FROM kg.tenants)") == "t";
  } catch (const silo_trouble&) {
    // It was not made yet; or it is out of reach, and then dropping it fails as well.
    return !opened;
  }
}

void silo_builder::undo(silo_session& shared, const record& x) {
  const auto id = x.tenant.text();
  if (shared.value("SELECT data_plane FROM kg.tenants WHERE id = $1::uuid", {id}) == "silo")
    throw silo_trouble{"the silo is in use"};
  static_cast<void>(shared.query(
      "DELETE FROM kg.tenant_moves WHERE tenant_id = $1::uuid AND state = 'copying'", {id}));
  if (x.database_made && is_ours(x)) {
    const bool apart = has_secret(with_.where, x.dsn_ref);
    auto name = x.database;
    auto server_url = with_.admin_url;
    if (apart) {
      const auto url = silo_admin_url(x);
      name = database_of(url);
      const auto other = with_database(url, "postgres");
      if (const auto* good = std::get_if<std::string>(&other))
        server_url = *good;
    }
    silo_session server{server_url, until_, "the silo's server"};
    server.run("DROP DATABASE IF EXISTS " + quoted_name(name) + " WITH (FORCE)");
  }
  static_cast<void>(shared.query("DELETE FROM kg.silos WHERE tenant_id = $1::uuid", {id}));
}

void silo_builder::record_trouble(silo_session& shared, const record& x, silo_step what,
                                  const silo_trouble& why) {
  const bool under_way = x.state != silo_state::active && x.state != silo_state::failed;
  const bool over = under_way && (why.lasting || x.attempts + 1 >= most_attempts);
  const auto next = over ? silo_state::failed : after_trouble(x.state);
  // Together: a tenant whose silo failed can write again. Only as long as it is where the trouble
  // was: a commit whose answer was lost may have brought it further.
  silo_session::transaction work{shared};
  const auto still_there = shared.query(
      "UPDATE kg.silos SET state = $2, reason = left($3, 1000), attempts = attempts + 1,"
      "       next_attempt_at = now() + least(interval '1 minute',"
      "                                       interval '0.5 s' * pow(2, least(attempts, 10))),"
      "       details = CASE WHEN $2 = 'active' THEN details ELSE '{}' END, updated_at = now()"
      " WHERE tenant_id = $1::uuid AND state = $4 RETURNING 1",
      {x.tenant.text(), std::string{to_string(next)}, why.what(), std::string{to_string(x.state)}});
  if (still_there.empty())
    return;
  static_cast<void>(
      shared.query("DELETE FROM kg.tenant_moves WHERE tenant_id = $1::uuid AND state = 'copying'",
                   {x.tenant.text()}));
  work.commit();
  with_.tell.failed(x.tenant, what, why.what(), over);
}

}  // namespace kgents::sql
