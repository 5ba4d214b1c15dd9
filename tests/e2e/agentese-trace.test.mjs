// agentese.md 19, lines 25 and 27: what governance decided is on record, and every invocation leaves one mark.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Observer } from '../support/agentese.mjs';
import { openDatabase, startDev } from '../support/server.mjs';
import { newTenant } from '../support/tenants.mjs';
import { until } from '../support/wait.mjs';

let server;
let db;
before(async () => {
  server = await startDev({ env: { KGENTS_EMBEDDED_TOKENS_PER_SECOND: 0, KGENTS_LOG_FORMAT: 'json' } });
  db = await openDatabase(server.stateDir);
});
after(async () => {
  await db?.end();
  await server?.dispose();
});

async function tenant(archetype = 'developer', how = {}) {
  const made = await newTenant(db, how);
  const out = new Observer(server, made.key, archetype);
  out.tenant = made.id;
  return out;
}

/// What the tenant's log has of invocations, oldest first.
const marks = async (who) =>
  (await db.query(`SELECT path, aspect, event_type, status, origin, observer_archetype AS observer, trace_id FROM kg.agentese_events WHERE tenant_id = $1 AND event_type <> 'changed' ORDER BY seq`, [who.tenant])).rows;

test('19.27: one mark per invocation, in each dialect, also for what failed', async () => {
  const who = await tenant();
  const asked = [
    [() => who.v1('void.entropy.sip', { amount: 1 }), 200, 'void.entropy', 'sip', 'v1'],
    [() => who.universal('void.entropy.sample'), 200, 'void.entropy', 'sample', 'api'],
    [() => who.invoke('void.entropy.status'), 200, 'void.entropy', 'status', 'gateway'],
    [() => who.get('/agentese/void/capital/balance'), 200, 'void.capital', 'balance', 'gateway'],
    [() => who.invoke('void.entropy.sip', { amount: 1000 }), 402, 'void.entropy', 'sip', 'gateway'],
    [() => who.invoke('void.entropy.sip', { amount: -1 }), 400, 'void.entropy', 'sip', 'gateway'],
    [() => who.invoke('self.memory.allocate'), 403, 'self.memory', 'allocate', 'gateway'],
    [() => who.invoke('world.nobody.manifest'), 404, 'world.nobody', 'manifest', 'gateway'],
    [() => who.invoke('self.identity.evolve'), 451, 'self.identity', 'evolve', 'gateway'],
    [() => who.stream('void.metabolism.status'), 200, 'void.metabolism', 'status', 'api'],
    [() => who.stream('self.soul.challenge', { message: 'I never change my mind about boats' }), 200, 'self.soul', 'challenge', 'api'],
  ];
  for (const [ask, status, path, aspect] of asked) {
    const answer = await ask();
    assert.equal(answer.status, status, `${path}.${aspect}: ${answer.text}`);
    await answer.rest?.();
  }
  const seen = await until(async () => {
    const now = await marks(who);
    return now.length >= asked.length && now;
  }, `${asked.length} marks`);
  assert.deepEqual(
    seen.map((x) => [x.path, x.aspect, x.origin, x.status === 'ok']).sort(),
    asked.map(([, status, path, aspect, origin]) => [path, aspect, origin, status === 200]).sort(),
  );
  assert.equal(seen.find((x) => x.aspect === 'evolve').event_type, 'refused');
  assert.equal(seen.find((x) => x.aspect === 'allocate').event_type, 'error');
  for (const x of seen) assert.equal(x.observer, 'developer');

  await who.composed(['void.entropy.sample', 'void.entropy.status', 'void.capital.balance']);
  const after = await until(async () => {
    const now = await marks(who);
    return now.length >= asked.length + 3 && now;
  }, 'a mark of each stage');
  const stages = after.slice(asked.length);
  assert.deepEqual(stages.map((x) => x.aspect), ['sample', 'status', 'balance']);
  assert.equal(new Set(stages.map((x) => x.trace_id)).size, 1, 'one trace');
});

test('19.27: when the store of traces stands still, calls do not; what it missed comes later, once', async () => {
  const who = await tenant();
  await who.ok('void.entropy.sample');
  await until(async () => (await marks(who)).length === 1, 'the first mark');
  const holder = await openDatabase(server.stateDir);
  try {
    await holder.query('BEGIN');
    await holder.query('LOCK TABLE kg.agentese_clock, kg.agentese_events IN SHARE MODE');
    for (let i = 0; i < 20; i++) {
      await who.ok('void.entropy.sample');
      assert.equal((await who.invoke('self.memory.allocate')).status, 403);
    }
    assert.equal((await marks(who)).length, 1);
  } finally {
    await holder.end();
  }
  await until(async () => (await marks(who)).length >= 41, 'the marks that were held back');
  assert.equal((await marks(who)).length, 41);
});

test('19.27: a store that refuses every mark fails no call', async () => {
  const who = await tenant();
  const functions = (await db.query(`SELECT oid::regprocedure::text AS f FROM pg_proc WHERE proname = 'log_agentese_events'`)).rows.map((x) => x.f);
  assert.ok(functions.length > 0);
  for (const f of functions) await db.query(`REVOKE EXECUTE ON FUNCTION ${f} FROM kg_control`);
  try {
    for (let i = 0; i < 20; i++) await who.ok('void.entropy.sip', { amount: 1 });
    assert.equal((await who.ok('void.entropy.status')).remaining, 80);
    assert.deepEqual(await marks(who), []);
  } finally {
    for (const f of functions) await db.query(`GRANT EXECUTE ON FUNCTION ${f} TO kg_control`);
  }
  await until(async () => {
    await who.ok('void.entropy.sample');
    return (await marks(who)).length > 0;
  }, 'marks again');
});

/// The lines of the audit stream of one tenant.
const audited = (who) =>
  server.log
    .split('\n')
    .filter((line) => line.includes('"stream":"audit"') && line.includes(who.tenant))
    .map((line) => JSON.parse(line));

test('19.25: every governance call is audited, wherever it was asked and whatever came of it', async () => {
  const who = await tenant();
  const asked = [
    () => who.ok('self.soul.governance', { action: 'rename a label' }),
    () => who.loose('self.soul.governance', { action: 'rm -rf /srv', context: { severity: 0.9, reason: 'room' } }),
    () => who.post('/v1/soul/governance', { action: 'tidy the garden with joy', context: { severity: 0.2 } }),
    () => who.post('/v1/soul/governance', { action: 'drop the tables' }),
  ];
  for (const ask of asked) await ask();
  const lines = await until(() => audited(who).length >= asked.length && audited(who), 'the audit lines');
  assert.equal(lines.length, asked.length);
  assert.deepEqual(lines.map((x) => x.severity), [0.5, 0.9, 0.2, 0.5], 'in the order of the calls, severity .5 unless told');
  for (const x of lines) {
    assert.ok(x.confidence >= 0 && x.confidence <= 1);
    assert.equal(x.was_deep, false);
    assert.ok(!JSON.stringify(x).includes('rm -rf'), 'texts of callers are in no log');
  }
  await until(async () => (await marks(who)).filter((x) => x.aspect === 'governance').length === 2, 'and marked');
});

test('17: the metrics count invocations by what the table knows, not by what tenants name', async () => {
  const who = await tenant();
  const series = async () => (await who.get('/metrics')).text.split('\n').filter((line) => line.startsWith('agentese_'));
  const counted = (lines, ...labels) =>
    lines.filter((line) => line.startsWith('agentese_invocations_total{') && labels.every((x) => line.includes(x))).reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  await who.v1('world.thing.manifest');
  await who.invoke('void.entropy.sip', { amount: 1 });
  await who.invoke('void.entropy.sip', { amount: 1e6 });
  const before = await series();
  for (const name of ['agentese_invocations_total', 'agentese_errors_total', 'agentese_tokens_total', 'agentese_invoke_duration_seconds_count', 'agentese_effect_operations_total'])
    assert.ok(before.some((line) => line.startsWith(name)), name);
  for (let i = 0; i < 120; i++) await who.v1(`world.thing_${i}.manifest`);
  await who.invoke('void.entropy.sip', { amount: 1 });
  const after = await series();
  assert.equal(counted(after, 'context="world"') - counted(before, 'context="world"'), 120);
  assert.equal(counted(after, 'aspect="sip"') - counted(before, 'aspect="sip"'), 1);
  assert.equal(after.length, before.length, 'names of tenants make no series');
  assert.ok(!after.some((line) => line.includes('thing_') || line.includes(who.tenant) || line.includes(who.key)));
});
