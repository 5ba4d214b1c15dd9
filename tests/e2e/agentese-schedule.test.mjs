// time.schedule: what is deferred runs when it is due, once, as whoever deferred it, whatever dies in between.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { entityKind, startCluster } from '../support/cluster.mjs';
import { caller } from '../support/http.mjs';
import { openDatabase, startDev } from '../support/server.mjs';
import { addKey, newTenant } from '../support/tenants.mjs';
import { until } from '../support/wait.mjs';

let server;
let db;
before(async () => {
  server = await startDev();
  db = await openDatabase(server.stateDir);
});
after(async () => {
  await db.end();
  await server.dispose();
});

/// A tenant's invocations; `ok` and the like give the result and fail on another status.
function observer(at, key, archetype = 'developer') {
  const who = caller(at, key);
  const invoke = (path, kwargs = {}) => {
    const names = path.split('.');
    return who.post(`/agentese/${names.join('/')}`, kwargs, { 'X-Observer-Archetype': archetype });
  };
  const ok = async (path, kwargs) => {
    const { status, text, body } = await invoke(path, kwargs);
    assert.equal(status, 200, `${path}: ${text}`);
    return body.result;
  };
  return { invoke, ok, defer: (kwargs) => ok('time.schedule.defer', kwargs), list: (kwargs) => ok('time.schedule.list', kwargs) };
}

const statusOf = async (who, id) => (await who.list({ limit: 1000 })).actions.find((action) => action.id === id)?.status;

const ended = (who, id) =>
  until(async () => {
    const action = (await who.list({ limit: 1000 })).actions.find((x) => x.id === id);
    return action && !['pending', 'running'].includes(action.status) && action;
  }, `${id} to end`);

test('defer, list, cancel, and cancel again', async () => {
  const who = observer(server, (await newTenant(db)).key);
  const made = await who.defer({ path: 'void.gratitude.tithe', delay: 3600 });
  assert.deepEqual({ ...made, scheduled_for: undefined }, {
    id: 'action_1',
    path: 'void.gratitude.tithe',
    scheduled_for: undefined,
    status: 'scheduled',
  });
  const wait = new Date(made.scheduled_for) - Date.now();
  assert.ok(wait > 3500e3 && wait < 3700e3, made.scheduled_for);
  const { actions, count } = await who.list();
  assert.equal(count, 1);
  assert.deepEqual(actions[0], { id: 'action_1', path: 'void.gratitude.tithe', scheduled_for: made.scheduled_for, status: 'pending' });
  assert.deepEqual(await who.ok('time.schedule.cancel', { id: 'action_1' }), { id: 'action_1', status: 'cancelled' });
  assert.deepEqual(await who.ok('time.schedule.cancel', { id: 'action_1' }), {
    error: 'Action action_1 is not pending (status: cancelled)',
  });
  assert.deepEqual(await who.ok('time.schedule.cancel', { id: 'action_7' }), { error: 'Action action_7 not found' });
  assert.deepEqual(await who.ok('time.schedule.cancel', { id: 'seven' }), { error: 'Action seven not found' });
  assert.equal((await who.list({ status: 'pending' })).count, 0);
});

test('an action runs when it is due, once, and its result is kept', async () => {
  const who = observer(server, (await newTenant(db)).key);
  const { id } = await who.defer({ path: 'void.entropy.sip', kwargs: { amount: 3 }, delay: 1 });
  assert.equal(await statusOf(who, id), 'pending');
  const action = await ended(who, id);
  assert.equal(action.status, 'executed', JSON.stringify(action));
  assert.equal(action.result.amount, 3);
  assert.equal((await who.ok('void.entropy.status')).remaining, 97);
  // It left a trace like any other, with what it was.
  const marks = await until(async () => {
    const { traces } = await who.ok('time.trace.witness', { topic: 'entropy.sip' });
    return traces.length > 0 && traces;
  }, 'the trace of it');
  assert.deepEqual(marks.map(({ origin, status, observer: as }) => [origin, status, as]), [['schedule', 'ok', 'developer']]);
});

test('a time beats a delay, and one that has passed is now', async () => {
  const who = observer(server, (await newTenant(db)).key);
  const at = new Date(Date.now() + 300 * 86400e3).toISOString();
  const far = await who.defer({ path: 'void.entropy.sip', at, delay: 0 });
  assert.equal(Date.parse(far.scheduled_for), Date.parse(at));
  const past = await who.defer({ path: 'void.entropy.sip', at: '2020-01-01T00:00:00Z' });
  assert.equal((await ended(who, past.id)).status, 'executed');
  assert.equal(await statusOf(who, far.id), 'pending');
});

test('what could not be invoked is refused when it is deferred', async () => {
  const tenant = await newTenant(db);
  const who = observer(server, tenant.key, 'poet');
  const refused = async (kwargs) => {
    const { status, body } = await who.invoke('time.schedule.defer', kwargs);
    return [status, body.detail?.code];
  };
  const codes = [
    [{ delay: 1 }, 'INVALID_ARGUMENT'],
    [{ path: 'void.entropy.sip' }, 'INVALID_ARGUMENT'],
    [{ path: 'void.entropy.sip', delay: -1 }, 'INVALID_ARGUMENT'],
    [{ path: 'void.entropy.sip', delay: 1e9 }, 'INVALID_ARGUMENT'],
    [{ path: 'void.entropy.sip', at: 'tomorrow' }, 'INVALID_ARGUMENT'],
    [{ path: 'void.entropy.sip', delay: 1, kwargs: { amount: 'much' } }, 'INVALID_ARGUMENT'],
    [{ path: 'void.entropy; rm -rf /', delay: 1 }, 'SYNTAX_ERROR'],
    [{ path: 'void.entropy', delay: 1 }, 'SYNTAX_ERROR'],
    [{ path: 'nowhere.house.manifest', delay: 1 }, 'PATH_NOT_FOUND'],
    [{ path: 'void.entropy.demolish', delay: 1 }, 'AFFORDANCE_DENIED'],
    [{ path: 'world.house.demolish', delay: 1 }, 'AFFORDANCE_DENIED'],
    [{ path: 'time.schedule.run_due', delay: 1 }, 'AFFORDANCE_DENIED'],
  ];
  for (const [kwargs, code] of codes) {
    const [status, found] = await refused(kwargs);
    assert.ok(status >= 400 && status < 500, `${JSON.stringify(kwargs)}: ${status}`);
    assert.equal(found, code, JSON.stringify(kwargs));
  }
  const reader = observer(server, (await addKey(db, tenant.id, { scopes: ['read'] })).key);
  assert.equal((await reader.invoke('time.schedule.defer', { path: 'void.entropy.sip', delay: 1 })).status, 403);
  assert.equal((await who.list()).count, 0);
});

test('an action whose key was revoked meanwhile fails, and so does one that may write no more', async () => {
  const tenant = await newTenant(db);
  const lost = await addKey(db, tenant.id);
  const less = await addKey(db, tenant.id);
  const gone = await observer(server, lost.key).defer({ path: 'void.entropy.sip', delay: 1 });
  const shrunk = await observer(server, less.key).defer({ path: 'world.house.transform', kwargs: { changes: { a: 1 } }, delay: 1 });
  await db.query('UPDATE kg.api_keys SET is_active = false, revoked_at = now() WHERE id = $1', [lost.id]);
  await db.query(`UPDATE kg.api_keys SET scopes = '{read}' WHERE id = $1`, [less.id]);
  const who = observer(server, tenant.key);
  const one = await ended(who, gone.id);
  assert.equal(one.status, 'failed');
  assert.match(one.error, /revoked or has expired/);
  const two = await ended(who, shrunk.id);
  assert.equal(two.status, 'failed');
  assert.match(two.error, /^SCOPE_REQUIRED/);
  assert.equal((await who.ok('void.entropy.status')).remaining, 100);
});

test('tenants do not see each other\'s actions, nor callers each other\'s results', async () => {
  const tenant = await newTenant(db);
  const who = observer(server, tenant.key);
  const { id } = await who.defer({ path: 'void.entropy.sip', delay: 0 });
  assert.ok((await ended(who, id)).result);
  const colleague = observer(server, (await addKey(db, tenant.id)).key);
  const seen = (await colleague.list()).actions;
  assert.deepEqual(seen.map((x) => [x.id, x.status, x.result]), [[id, 'executed', undefined]]);
  const stranger = observer(server, (await newTenant(db)).key);
  assert.equal((await stranger.list()).count, 0);
  assert.deepEqual(await stranger.ok('time.schedule.cancel', { id }), { error: `Action ${id} not found` });
});

test('what is pending survives kill -9, and what had become due meanwhile runs', async (t) => {
  const own = await startDev();
  const database = await openDatabase(own.stateDir);
  const { key } = await newTenant(database);
  await database.end();
  const before = observer(own, key);
  const soon = await before.defer({ path: 'void.entropy.sip', kwargs: { amount: 1 }, delay: 2 });
  const late = await before.defer({ path: 'void.entropy.sip', kwargs: { amount: 1 }, delay: 3600 });
  await own.kill();
  const again = await own.restart();
  t.after(() => again.dispose());
  const who = observer(again, key);
  assert.equal((await ended(who, soon.id)).status, 'executed');
  assert.equal(await statusOf(who, late.id), 'pending');
  assert.equal((await who.ok('void.entropy.status')).remaining, 99);
});

test('nodes that are killed in the midst of running actions run none of them twice', async (t) => {
  const cluster = await startCluster({ nodes: 2, balanced: false });
  t.after(() => cluster.dispose());
  const tenant = await newTenant(cluster.db);
  const count = 60;
  const countBy = async () => {
    const { rows } = await cluster.db.query(
      'SELECT status, count(*)::int AS n FROM kg.agentese_actions WHERE tenant_id = $1 GROUP BY 1', [tenant.id]);
    return Object.fromEntries(rows.map(({ status, n }) => [status, n]));
  };
  const any = () => observer(cluster.reachable[0], tenant.key);
  for (let i = 0; i < count; i++) await any().defer({ path: 'void.entropy.sip', kwargs: { amount: 1 }, delay: 4 });

  for (const share of [count / 6, count / 2]) {
    await until(async () => ((await countBy()).executed ?? 0) >= share, `${share} actions to have run`);
    const owner = await cluster.ownerOf(tenant.id, tenant.id, entityKind.time);
    await owner.kill();
    await until(async () => (await cluster.ownerOf(tenant.id, tenant.id, entityKind.time))?.reachable, 'a new owner');
    await owner.start();
    await cluster.settled();
  }
  await until(async () => {
    const by = await countBy();
    return !by.pending && !by.running;
  }, 'all actions to have ended');
  const { executed = 0, failed = 0 } = await countBy();
  assert.equal(executed + failed, count);
  assert.ok(failed <= 16, `at most the four that ran at each kill, and the four that it was asked to run: ${failed}`);
  const { rows } = await cluster.db.query(
    `SELECT DISTINCT error FROM kg.agentese_actions WHERE tenant_id = $1 AND status = 'failed'`, [tenant.id]);
  for (const { error } of rows) assert.match(error, /interrupted|UNAVAILABLE|TIMEOUT/);
  // What was executed was done once; of what was interrupted, each at most once.
  const { remaining } = await any().ok('void.entropy.status');
  const done = Math.round(100 - remaining);
  assert.ok(done >= executed && done <= executed + failed, `${done} done, ${executed} executed, ${failed} interrupted`);
});
