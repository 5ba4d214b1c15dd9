// kgentsd migrate against a real PostgreSQL.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { startPostgres } from '../../support/postgres.mjs';
import { run } from '../../support/server.mjs';

let database;
before(async () => (database = await startPostgres()));
after(() => database.dispose());

const migrate = (env = {}) => run(['migrate'], { DATABASE_ADMIN_URL: database.url('postgres'), ...env });
const count = (output) => Number(/^(\d+) migrations applied$/m.exec(output)[1]);

test('a first run prints and applies each migration, the seed only where it is asked for', async () => {
  const { code, output, log } = await migrate();
  assert.equal(code, 0, log);
  assert.match(output, /^applied +00-roles$/m);
  assert.doesNotMatch(output, /14-default-tenant/);
  assert.ok(count(output) >= 18);
});

test('a second run has nothing to do and succeeds', async () => {
  const { code, output } = await migrate();
  assert.equal(code, 0);
  assert.equal(count(output), 0);
  assert.match(output, /^already +00-roles$/m);
});

test('the seed follows when it is asked for', async () => {
  const { code, output } = await migrate({ KGENTS_ENV: 'dev', KGENTS_SEED_DEV: 'yes' });
  assert.equal(code, 0);
  assert.match(output, /^applied +14-default-tenant$/m);
});

test('the seed contradicts production', async () => {
  const { code, log } = await migrate({ KGENTS_SEED_DEV: 'yes' });
  assert.equal(code, 64);
  assert.match(log, /KGENTS_SEED_DEV/);
});

test('check passes on what migrate has made, and refuses development keys in production', async () => {
  const env = { DATABASE_URL: database.url('kg_app'), DATABASE_CONTROL_URL: database.url('kg_control') };
  const relaxed = await run(['check'], { ...env, KGENTS_ENV: 'dev' });
  assert.equal(relaxed.code, 0, relaxed.output);
  const strict = await run(['check'], env);
  assert.equal(strict.code, 69);
  assert.match(strict.output, /^FAILED +database: .*development key/im);
  const privileged = await run(['check'], { ...env, DATABASE_URL: database.url('postgres'), KGENTS_ENV: 'dev' });
  assert.equal(privileged.code, 69);
  assert.match(privileged.output, /^FAILED +database: .*superuser/im);
});
