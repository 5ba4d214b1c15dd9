// A tenant's rows brought to a database of its own by hand, step by step, for tests of what a move means for those who are
// served meanwhile. How the product does it is another test's subject.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { temporaryDirectory } from './server.mjs';
import { until } from './wait.mjs';

/// A directory as KGENTS_SILO_SECRETS names it, with one secret for each `{name: database}`.
export function secretsFor(silos) {
  const directory = temporaryDirectory('kgents-silos');
  for (const [name, database] of Object.entries(silos)) {
    mkdirSync(join(directory, name));
    for (const [file, role] of [['DATABASE_URL', 'kg_app'], ['DATABASE_CONTROL_URL', 'kg_control']])
      writeFileSync(join(directory, name, file), `${database.url(role)}\n`);
  }
  return directory;
}

/// `shared` and `silo` are connections of superusers.
export class Move {
  constructor(shared, silo, tenant) {
    Object.assign(this, { shared, silo, tenant });
  }

  /// From now on the tenant's rows stand still.
  async copying() {
    await this.shared.query(
      `INSERT INTO kg.tenant_moves (tenant_id, state) VALUES ($1, 'copying')`, [this.tenant]);
    const { rows: before } = await this.shared.query(
      `SELECT virtualtransaction AS id FROM pg_locks
        WHERE locktype = 'virtualxid' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND pid <> pg_backend_pid()`);
    const ids = before.map((row) => row.id);
    await until(async () => {
      const { rows } = await this.shared.query(
        `SELECT FROM pg_locks WHERE locktype = 'virtualxid' AND virtualtransaction = ANY ($1)`, [ids]);
      return rows.length === 0;
    }, 'the transactions of before the move to end');
  }

  /// Copies everything; returns how many rows of each table.
  async copy() {
    const { shared, silo, tenant } = this;
    await silo.query('INSERT INTO kg.silo (tenant) VALUES ($1) ON CONFLICT DO NOTHING', [tenant]);
    await shared.query('BEGIN');
    await shared.query('SELECT kg.set_control_context($1)', [tenant]);
    const { rows: [{ who }] } = await shared.query('SELECT kg.principals(NULL, NULL) AS who');
    await shared.query('COMMIT');
    await silo.query('BEGIN');
    await silo.query('SELECT kg.set_tenant_context($1)', [tenant]);
    await silo.query('SELECT kg.mirror_principals($1)', [who]);
    await silo.query('SET LOCAL session_replication_role = replica');
    const copied = {};
    const { rows: tables } = await shared.query(`SELECT name, columns FROM kg.tenant_tables() WHERE handling <> 'kept'`);
    for (const { name, columns } of tables) {
      const list = columns.map((column) => `"${column}"`).join(', ');
      const { rows: [{ rows }] } = await shared.query(
        `SELECT coalesce(jsonb_agg(to_jsonb(t)), '[]')::text AS rows FROM kg."${name}" t WHERE tenant_id = $1`, [tenant]);
      const { rowCount } = await silo.query(
        `INSERT INTO kg."${name}" (${list}) OVERRIDING SYSTEM VALUE
         SELECT ${list} FROM jsonb_populate_recordset(NULL::kg."${name}", $1)`, [rows]);
      copied[name] = rowCount;
    }
    const { rows: numbered } = await silo.query(
      `SELECT table_name AS name, column_name AS col FROM information_schema.columns
        WHERE table_schema = 'kg' AND is_identity = 'YES'`);
    for (const { name, col } of numbered)
      await silo.query(
        `SELECT setval(pg_get_serial_sequence('kg."${name}"', '${col}'), coalesce(max("${col}"), 0) + 1, false) FROM kg."${name}"`);
    await silo.query('COMMIT');
    return copied;
  }

  /// From now on its data is in the silo.
  async gone(secret) {
    await this.shared.query('BEGIN');
    await this.shared.query(`UPDATE kg.tenant_moves SET state = 'gone' WHERE tenant_id = $1`, [this.tenant]);
    await this.shared.query(
      `UPDATE kg.tenants SET data_plane = 'silo', silo_dsn_ref = $2 WHERE id = $1`, [this.tenant, secret]);
    await this.shared.query('COMMIT');
  }
}
