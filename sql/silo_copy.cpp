#include "sql/silo_copy.hpp"

#include <algorithm>

namespace kgents::sql {

namespace {

/// Rows that go in one transaction: about a second's work, with their outbox rows.
constexpr auto purge_rows = "5000";

std::vector<std::string> names_in(const std::string& list) {
  // Joined by a character that no name of ours has.
  std::vector<std::string> out;
  size_t from = 0;
  while (from < list.size()) {
    const auto to = std::min(list.find('\x1f', from), list.size());
    out.push_back(list.substr(from, to - from));
    from = to + 1;
  }
  return out;
}

std::string list_of(const std::vector<std::string>& columns) {
  std::string out;
  for (const auto& x : columns)
    out += (out.empty() ? "" : ", ") + quoted_name(x);
  return out;
}

/// In a silo `exported_at` says that an event was taken over into the shared database, where all of
/// these are.
std::string selected(const tenant_table& table) {
  std::string out;
  for (const auto& x : table.columns) {
    const bool taken_over = table.name == "usage_events" && x == "exported_at";
    out += out.empty() ? "" : ", ";
    out += taken_over ? "coalesce(exported_at, now())" : quoted_name(x);
  }
  return out;
}

std::string rows_of(const tenant_table& table, tenant_id tenant) {
  return " FROM kg." + quoted_name(table.name) + " WHERE tenant_id = " + quoted_text(tenant.text()) +
         " AND " + table.condition;
}

/// All that a tenant has in a silo, and the tenant.
std::string every_table(const std::vector<tenant_table>& tables) {
  std::string out = "kg.tenants";
  for (const auto& x : tables)
    out += ", kg." + quoted_name(x.name);
  return out;
}

void triggers(silo_session& silo, const std::vector<tenant_table>& tables, const char* what) {
  silo.run("SET LOCAL ROLE kg_owner");
  silo.run("ALTER TABLE kg.tenants " + std::string{what} + " TRIGGER USER");
  for (const auto& x : tables)
    silo.run("ALTER TABLE kg." + quoted_name(x.name) + ' ' + what + " TRIGGER USER");
}

/// Who the tenant is, as foreign keys and limits of the silo need it, and what the tiers give.
void mirror(silo_session& shared, silo_session& silo, tenant_id tenant) {
  shared.run("SELECT kg.set_control_context(" + quoted_text(tenant.text()) + ")");
  const auto who = shared.value("SELECT kg.principals(NULL, NULL)::text");
  silo.run("SET LOCAL ROLE kg_admin");
  silo.run("SELECT kg.set_control_context(" + quoted_text(tenant.text()) + ")");
  static_cast<void>(silo.query("SELECT kg.mirror_principals($1::jsonb)", {who}));
  silo.run("DELETE FROM kg.tier_limits");
  static_cast<void>(shared.copy_to(silo, "COPY kg.tier_limits TO STDOUT",
                                   "COPY kg.tier_limits FROM STDIN"));
}

/// New rows of the silo get numbers that none has had in the shared database.
void advance_sequences(silo_session& shared, silo_session& silo,
                       const std::vector<tenant_table>& tables) {
  shared.run("SET LOCAL ROLE kg_owner");
  silo.run("SET LOCAL ROLE kg_owner");
  for (const auto& table : tables) {
    const auto found = silo.query(
        "SELECT pg_get_serial_sequence('kg.' || quote_ident($1), a.attname) FROM pg_attribute a"
        " WHERE a.attrelid = ('kg.' || quote_ident($1))::regclass AND a.attidentity <> ''",
        {table.name});
    for (int i = 0; i < found.size(); ++i) {
      const std::string name{found.text(i, 0)};
      const auto last =
          shared.value("SELECT CASE WHEN is_called THEN last_value END FROM " + name);
      if (!last.empty())
        static_cast<void>(silo.query("SELECT setval($1::regclass, $2::bigint)", {name, last}));
    }
  }
  shared.run("SET LOCAL ROLE kg_admin");
  silo.run("SET LOCAL ROLE kg_admin");
}

void same_last_outbox(silo_session& shared, silo_session& silo, const tenant_table& outbox,
                      tenant_id tenant, copy_report& out) {
  const auto text = "SELECT coalesce(max(id), 0)" + rows_of(outbox, tenant);
  const auto here = shared.value(text);
  const auto there = silo.value(text);
  if (here != there)
    throw silo_trouble{"the last change of the tenant is " + here + ", in the silo it is " + there};
  out.last_outbox = std::stoll(here);
}

void copy_table(silo_session& shared, silo_session& silo, const tenant_table& table,
                tenant_id tenant, copy_report& out) {
  const auto copied = shared.copy_to(
      silo, "COPY (SELECT " + selected(table) + rows_of(table, tenant) + ") TO STDOUT",
      "COPY kg." + quoted_name(table.name) + " (" + list_of(table.columns) + ") FROM STDIN");
  const auto here = content_of(shared, table, tenant);
  const auto there = content_of(silo, table, tenant);
  if (here != there || here.rows != copied)
    throw silo_trouble{"kg." + table.name + " has " + std::to_string(here.rows) +
                       " rows of the tenant, " + std::to_string(copied) +
                       " were copied, and the silo has " + std::to_string(there.rows) +
                       (here.rows == there.rows ? " with another content" : "")};
  out.rows += copied;
  out.tables.push_back(here);
}

}  // namespace

std::vector<tenant_table> tenant_tables(silo_session& shared) {
  const auto found = shared.query(
      "SELECT name, handling, array_to_string(columns, E'\\x1f'),"
      "       array_to_string(compared, E'\\x1f'), condition FROM kg.tenant_tables()");
  std::vector<tenant_table> out;
  for (int i = 0; i < found.size(); ++i)
    out.push_back({std::string{found.text(i, 0)}, std::string{found.text(i, 1)},
                   names_in(std::string{found.text(i, 2)}), names_in(std::string{found.text(i, 3)}),
                   std::string{found.text(i, 4)}});
  return out;
}

table_content content_of(silo_session& at, const tenant_table& table, tenant_id tenant) {
  const auto text =
      "SELECT count(*),"
      "       coalesce(sum(('x' || substr(digest, 1, 16))::bit(64)::bigint::numeric), 0) || ':' ||"
      "       coalesce(sum(('x' || substr(digest, 17))::bit(64)::bigint::numeric), 0)"
      "  FROM (SELECT md5(ROW(" +
      list_of(table.compared) + ")::text) AS digest" + rows_of(table, tenant) + ") x";
  const auto found = at.query(text.c_str());
  return {table.name, found.integer(0, 0), std::string{found.text(0, 1)}};
}

copy_report copy_tenant(silo_session& shared, silo_session& silo, tenant_id tenant,
                        const copy_progress& progress) {
  silo_session::transaction from{shared, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"};
  silo_session::transaction to{silo};
  shared.run("SET LOCAL ROLE kg_admin");
  const auto tables = tenant_tables(shared);
  copy_report out;

  silo.run("SET LOCAL ROLE kg_owner");
  // What is emptied next must be this tenant's silo and nothing else.
  if (silo.value("SELECT tenant FROM kg.silo FOR UPDATE") != tenant.text())
    throw silo_trouble{silo.what() + " is not marked as the silo of this tenant", true};
  triggers(silo, tables, "DISABLE");
  silo.run("TRUNCATE " + every_table(tables));
  mirror(shared, silo, tenant);
  for (const auto& table : tables) {
    if (table.handling == "kept")
      continue;
    progress(table.name, out.rows);
    copy_table(shared, silo, table, tenant, out);
    if (table.name == "outbox")
      same_last_outbox(shared, silo, table, tenant, out);
  }
  advance_sequences(shared, silo, tables);
  triggers(silo, tables, "ENABLE");
  to.commit();
  return out;
}

void mark_silo(silo_session& silo, tenant_id tenant) {
  silo_session::transaction work{silo};
  silo.run("SET LOCAL ROLE kg_admin");
  const auto whose = silo.value("SELECT tenant FROM kg.silo");
  if (whose == tenant.text())
    return;
  if (!whose.empty())
    throw silo_trouble{silo.what() + " is the silo of tenant " + whose, true};
  if (silo.value("SELECT EXISTS (SELECT FROM kg.tenants)") == "t")
    throw silo_trouble{silo.what() + " is in use already: it has tenants and is no silo", true};
  static_cast<void>(
      silo.query("INSERT INTO kg.silo (tenant) VALUES ($1::uuid)", {tenant.text()}));
  work.commit();
}

bool purge_some(silo_session& shared, const tenant_table& table, tenant_id tenant) {
  silo_session::transaction work{shared};
  shared.run("SET LOCAL ROLE kg_admin");
  const auto last = shared.value("SELECT coalesce(max(id), 0) FROM kg.outbox");
  const auto found = "SELECT ctid" + rows_of(table, tenant) + " LIMIT " + purge_rows;
  const auto gone = shared.value("WITH gone AS (DELETE FROM kg." + quoted_name(table.name) +
                                 " WHERE ctid = ANY (ARRAY(" + found +
                                 ")) RETURNING 1) SELECT count(*) FROM gone");
  // Deleting told the outbox of each row. Nobody sees that: it goes in the same transaction.
  static_cast<void>(
      shared.query("DELETE FROM kg.outbox WHERE id > $1::bigint AND tenant_id = $2::uuid"
                   " AND xmin = pg_current_xact_id()::xid",
                   {last, tenant.text()}));
  work.commit();
  return gone == purge_rows;
}

}  // namespace kgents::sql
