// The cluster: one life of a name at a time, deaths that the living agree on, leases that move under nobody's writing.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, beforeEach, test } from 'node:test';
import { count, denied, openDatabase, sqlstate, value } from './database.mjs';

let db;
before(async () => { db = await openDatabase(); });
after(() => db.close());
beforeEach(async () => {
  await db.admin.query('DELETE FROM kg.cluster_nodes');
  await db.admin.query('UPDATE kg.shard_leases SET owner = NULL, epoch = 0');
});

const fenced = sqlstate('KG001');
const cannotJoin = sqlstate('KG002');

const join = (name, { host = '10.0.0.1', port = 9000, roles = ['kgent'], protocol = 1, client = db.control } = {}) =>
  value(client, 'SELECT kg.cluster_join($1, $2, $3, $4, $5)', [name, host, port, roles, protocol]);
const read = async (text, params, client = db.control) => {
  const { rows } = await client.query(text, params);
  const [first] = rows;
  const members = rows.filter((row) => row.node !== null).map(({ self_state, version, owners, epochs, ...member }) => member);
  return { self: first.self_state, version: first.version, owners: first.owners, epochs: first.epochs, members, rows };
};
const beat = (node, state = 'up', known = 0, client = db.control) =>
  read('SELECT * FROM kg.cluster_beat($1, $2, $3)', [node, state, known], client);
const view = (node, known = 0) => read('SELECT * FROM kg.cluster_view($1, $2)', [node, known]);
const suspect = (node, target, client = db.control) => value(client, 'SELECT kg.cluster_suspect($1, $2)', [node, target]);
const trust = (node, target) => db.control.query('SELECT kg.cluster_trust($1, $2)', [node, target]);
const declareDead = (node, target, at, client = db.control) =>
  value(client, 'SELECT kg.cluster_declare_dead($1, $2, $3)', [node, target, at]);
const moved = ({ rows }) => rows.map((row) => [row.shard, row.epoch]);
const take = async (node, shards, client = db.control) =>
  moved(await client.query('SELECT * FROM kg.take_leases($1, $2)', [node, shards]));
const give = async (node, to, shards, client = db.control) =>
  moved(await client.query('SELECT * FROM kg.give_leases($1, $2, $3)', [node, to, shards]));
const leave = (node) => db.control.query('SELECT kg.cluster_leave($1)', [node]);

const row = async (node) => (await db.admin.query('SELECT * FROM kg.cluster_nodes WHERE node = $1', [node])).rows[0];
const state = async (node) => (await row(node)).state;
const lease = async (shard) => (await db.admin.query('SELECT owner, epoch FROM kg.shard_leases WHERE shard = $1', [shard])).rows[0];
const version = () => value(db.admin, 'SELECT version FROM kg.cluster_version');
const age = (node, interval) =>
  db.admin.query('UPDATE kg.cluster_nodes SET heartbeat = heartbeat - $2::interval WHERE node = $1', [node, interval]);

/** Nodes that are up. */
async function members(...names) {
  const nodes = [];
  for (const name of names) {
    nodes.push(await join(name));
    await beat(nodes.at(-1));
  }
  return nodes;
}

async function connections(n, user = 'kg_control') {
  return Promise.all(Array.from({ length: n }, () => db.connect(user)));
}

/** A transaction of the application that has passed its fence, and has not ended. */
async function writing(shard, epoch) {
  const client = await db.connect('kg_app');
  await client.query('BEGIN');
  await client.query('SELECT kg.set_tenant_context($1), kg.check_lease($2, $3)', [db.a.id, shard, epoch]);
  return client;
}

/** Whether some connection comes to wait like that, asked until it does or five seconds are over. */
async function waits(where, params) {
  const until = Date.now() + 5000;
  while (Date.now() < until)
    if (await count(db.admin, 'pg_stat_activity', where, params)) return true;
  return false;
}

test('cluster: each life has a new number and ends the one before it', async () => {
  const first = await join('a', { roles: ['gateway', 'kgent'], protocol: 3, port: 9001 });
  assert.equal(await state(first), 'joining');
  const second = await join('a');
  assert.ok(second > first);
  const { state: ended, why, ended_at } = await row(first);
  assert.deepEqual([ended, why, ended_at !== null], ['dead', 'superseded', true]);
  assert.equal((await beat(first)).self, 'dead');
  assert.equal(await state(first), 'dead');
  assert.equal((await row(first)).beat, 0);
  assert.equal((await beat(second)).self, 'up');
  assert.deepEqual((await row(first)).roles, ['gateway', 'kgent']);
});

test('cluster: the same name at once leaves one alive', async () => {
  const clients = await connections(6);
  const nodes = await Promise.all(clients.map((client) => join('a', { client })));
  assert.equal(new Set(nodes).size, 6);
  assert.equal(await count(db.admin, 'kg.cluster_nodes', `state <> 'dead'`), 1);
  assert.equal(await state(Math.max(...nodes)), 'joining');
});

test('cluster: one that is alone and another cannot both be there', async () => {
  const alone = await join('alone', { host: '' });
  await assert.rejects(join('other'), (error) => cannotJoin(error) && /alone/.test(error.message));
  await assert.rejects(join('second', { host: '' }), cannotJoin);
  assert.ok(await join('alone', { host: '' }) > alone);
  await leave(await join('alone', { host: '' }));
  const other = await join('other');
  await assert.rejects(join('alone', { host: '' }), (error) => cannotJoin(error) && /other at 10\.0\.0\.1/.test(error.message));
  await age(other, '7 s');
  assert.ok(await join('alone', { host: '' }));
  await age(other, '-7 s');
  await assert.rejects(join('alone', { host: '' }), cannotJoin);
});

test('cluster: a beat only moves the state on', async () => {
  const node = await join('a');
  assert.equal((await beat(node, 'joining')).self, 'joining');
  assert.equal((await beat(node, 'leaving')).self, 'leaving');
  assert.equal((await beat(node, 'up')).self, 'leaving');
  assert.equal((await row(node)).beat, 3);
  assert.equal((await beat(12345678)).self, 'dead');
  await assert.rejects(beat(node, 'dead'), sqlstate('22023'));
  await assert.rejects(beat(node, null), sqlstate('22023'));
});

test('cluster: the view shows members, and leases only to who does not know them', async () => {
  const [a] = await members('a');
  const b = await join('b', { host: 'b.test', port: 9002, roles: ['gateway', 'meter'] });
  await take(a, [0, 1023]);
  const seen = await view(a);
  assert.equal(seen.self, 'up');
  assert.equal(seen.version, await version());
  assert.deepEqual(seen.members, [
    { node: a, name: 'a', host: '10.0.0.1', port: 9000, roles: ['kgent'], state: 'up', beat: 1, suspects: [], drain_requested: false },
    { node: b, name: 'b', host: 'b.test', port: 9002, roles: ['gateway', 'meter'], state: 'joining', beat: 0, suspects: [],
      drain_requested: false }]);
  assert.equal(seen.owners.length, 1024);
  assert.deepEqual([seen.owners[0], seen.epochs[0], seen.owners[1], seen.epochs[1], seen.owners[1023], seen.epochs[1023]],
    [String(a), '1', null, '0', String(a), '1']);
  assert.ok(seen.rows.slice(1).every((x) => x.owners === null && x.epochs === null));
  const again = await beat(a, 'up', seen.version);
  assert.deepEqual([again.version, again.owners, again.epochs], [seen.version, null, null]);
  assert.equal(again.members.length, 2);
  assert.ok((await beat(b, 'up', seen.version)).owners); // its state changed
});

test('cluster: without members the view still has leases', async () => {
  const seen = await view(0);
  assert.deepEqual([seen.self, seen.members.length, seen.owners.length], ['dead', 0, 1024]);
  const known = await view(0, seen.version);
  assert.deepEqual([known.self, known.members.length, known.owners], ['dead', 0, null]);
});

test('cluster: the dead are shown for two minutes and forgotten after a day', async () => {
  const a = await join('a');
  await leave(a);
  assert.deepEqual((await view(a)).members.map((m) => [m.node, m.state]), [[a, 'dead']]);
  await db.admin.query(`UPDATE kg.cluster_nodes SET ended_at = ended_at - interval '3 min'`);
  assert.deepEqual((await view(a)).members, []);
  await join('b');
  assert.equal(await count(db.admin, 'kg.cluster_nodes', 'node = $1', [a]), 1);
  await db.admin.query(`UPDATE kg.cluster_nodes SET ended_at = ended_at - interval '1 day' WHERE node = $1`, [a]);
  await join('b');
  assert.equal(await count(db.admin, 'kg.cluster_nodes', 'node = $1', [a]), 0);
});

test('cluster: each change of a state or a lease is told with its version, a beat is not', async () => {
  const listener = await db.connect('kg_control');
  await listener.query('LISTEN kg_cluster');
  const heard = async (change) => {
    const told = once(listener, 'notification');
    await change();
    const [{ payload }] = await told;
    assert.equal(Number(payload), await version());
  };
  let a;
  let b;
  await heard(async () => { a = await join('a'); });
  await heard(() => beat(a));
  await heard(async () => { b = await join('b'); });
  await heard(() => beat(b));
  await heard(() => take(a, [3]));
  await heard(() => give(a, b, [3]));
  await heard(() => db.control.query(`SELECT kg.cluster_request_drain('b')`));
  await heard(() => beat(b, 'leaving'));
  await heard(() => leave(b));
  const before = await version();
  await beat(a);
  await view(a);
  await suspect(a, b);
  await trust(a, b);
  await leave(b);
  assert.deepEqual(await take(a, []), []);
  assert.deepEqual(await give(a, b, [3]), []);
  assert.equal(await version(), before);
});

test('cluster: two suspicions are a death, one is not', async () => {
  const [a, b, c] = await members('a', 'b', 'c');
  assert.equal(await suspect(a, c), false);
  assert.equal(await suspect(a, c), false);
  assert.deepEqual((await row(c)).suspects, [String(a)]);
  assert.equal(await state(c), 'up');
  assert.equal(await suspect(b, c), true);
  assert.deepEqual([await state(c), (await row(c)).why], ['dead', 'suspected']);
  assert.equal(await suspect(b, c), true); // said again
  assert.equal(await suspect(c, a), false); // the dead are not heard
  assert.deepEqual((await row(a)).suspects, []);
  assert.equal(await suspect(a, a), false);
});

test('cluster: a suspicion that was taken back or is a dead nodes does not count', async () => {
  const [a, b, c, d] = await members('a', 'b', 'c', 'd');
  await suspect(a, d);
  await trust(a, d);
  assert.equal(await suspect(b, d), false);
  await leave(b);
  assert.equal(await suspect(c, d), false);
  assert.equal(await suspect(a, d), true);
});

test('cluster: who is joining has no suspicions and is not counted', async () => {
  const [a, b] = await members('a', 'b');
  const c = await join('c');
  assert.equal(await suspect(c, a), false);
  assert.deepEqual((await row(a)).suspects, []);
  assert.equal(await suspect(a, c), false); // it was not one of two
  assert.equal(await suspect(a, b), true); // and these are two
});

test('cluster: of two that lost each other one lives', async () => {
  const clients = await connections(2);
  for (let i = 0; i < 25; ++i) {
    const [a, b] = await members('a', 'b');
    const died = await Promise.all([suspect(a, b, clients[0]), suspect(b, a, clients[1])]);
    assert.deepEqual([await state(a), await state(b)].sort(), ['dead', 'up']);
    assert.deepEqual(died.sort(), [false, true]);
    const [c, d] = await members('a', 'b');
    await Promise.all([declareDead(c, d, 1, clients[0]), declareDead(d, c, 1, clients[1])]);
    assert.deepEqual([await state(c), await state(d)].sort(), ['dead', 'up']);
  }
});

test('cluster: silent is who has not beaten since', async () => {
  const [a, b] = await members('a', 'b');
  await beat(b);
  assert.equal(await declareDead(a, b, 1), false);
  assert.equal(await state(b), 'up');
  assert.equal(await declareDead(a, a, 1), false);
  assert.equal(await declareDead(a, b, 2), true);
  assert.deepEqual([await state(b), (await row(b)).why], ['dead', 'silent']);
  assert.equal(await declareDead(a, b, 99), true);
  assert.equal(await declareDead(b, a, 1), false);
  const c = await join('c'); // maybe all others have crashed
  assert.equal(await declareDead(c, a, 1), true);
});

test('cluster: free leases and those of the dead are taken, by who is up', async () => {
  const [a, b] = await members('a', 'b');
  const c = await join('c');
  assert.deepEqual(await take(c, [1]), []);
  assert.deepEqual(await take(a, [7, 5, 6]), [[5, 1], [6, 1], [7, 1]]);
  assert.deepEqual(await take(a, [5, 8]), [[8, 1]]); // what one has is not taken again
  assert.deepEqual(await take(b, [5, 6]), []);
  await beat(b, 'leaving');
  assert.deepEqual(await take(b, [9]), []);
  await beat(c);
  await suspect(b, a);
  await suspect(c, a);
  assert.deepEqual(await take(a, [9]), []);
  assert.deepEqual(await take(c, [5, 6, 7, 9, 5]), [[5, 2], [6, 2], [7, 2], [9, 1]]);
  await leave(c);
  assert.deepEqual(await lease(5), { owner: null, epoch: 2 });
  assert.deepEqual(await lease(8), { owner: a, epoch: 1 });
  assert.deepEqual(await take(12345678, [5]), []);
});

test('cluster: takers at once get each lease once', async () => {
  const nodes = await members('a', 'b', 'c', 'd');
  const clients = await connections(4);
  const all = Array.from({ length: 1024 }, (_, i) => i);
  for (let round = 1; round <= 3; ++round) {
    await db.admin.query('UPDATE kg.shard_leases SET owner = NULL');
    const got = await Promise.all(nodes.map((node, i) => take(node, i % 2 ? all : all.toReversed(), clients[i])));
    assert.deepEqual(got.flat().map(([shard]) => shard).sort((x, y) => x - y), all);
    for (const [i, part] of got.entries())
      for (const [shard, epoch] of part) assert.deepEqual([epoch, (await lease(shard)).owner], [round, nodes[i]]);
  }
});

test('cluster: only ones own leases are given, and to who is up', async () => {
  const [a, b] = await members('a', 'b');
  const c = await join('c');
  await take(a, [1, 2, 3]);
  await take(b, [4]);
  assert.deepEqual(await give(a, c, [1]), []);
  assert.deepEqual(await give(a, 12345678, [1]), []);
  assert.deepEqual(await give(a, a, [1]), []);
  assert.deepEqual(await give(a, b, [2, 1, 4, 5]), [[1, 2], [2, 2]]);
  assert.deepEqual(await give(a, b, [1, 2]), []); // said again
  assert.deepEqual(await lease(1), { owner: b, epoch: 2 });
  await beat(a, 'leaving');
  assert.deepEqual(await give(a, b, [3]), [[3, 2]]);
  assert.deepEqual(await give(b, a, [3]), []);
  await leave(b);
  assert.deepEqual(await give(b, a, [3]), []);
});

test('cluster: an operator asks the living to drain, by name', async () => {
  const first = await join('a');
  const ask = (name) => value(db.control, 'SELECT kg.cluster_request_drain($1)', [name]);
  assert.equal(await ask('b'), false);
  assert.equal(await ask('a'), true);
  assert.equal(await ask('a'), true);
  assert.equal((await row(first)).drain_requested, true);
  const second = await join('a'); // of the next life nobody asked that
  assert.equal((await view(second)).members.find((m) => m.node === second).drain_requested, false);
  await leave(second);
  assert.equal(await ask('a'), false);
});

test('fence: a write under an old epoch is refused, with all of its transaction', async () => {
  const [a, b] = await members('a', 'b');
  await take(a, [9]);
  const rename = (epoch, title) => db.app.query('BEGIN')
    .then(() => db.app.query('SELECT kg.set_tenant_context($1), kg.check_lease($2, $3)', [db.a.id, 9, epoch]))
    .then(() => db.app.query('UPDATE kg.sessions SET title = $2 WHERE id = $1', [db.a.session, title]))
    .finally(() => db.app.query('COMMIT'));
  await rename(1, 'first');
  await give(a, b, [9]);
  await assert.rejects(rename(1, 'zombie'), fenced);
  await assert.rejects(rename(3, 'from the future'), fenced);
  assert.equal(await value(db.admin, 'SELECT title FROM kg.sessions WHERE id = $1', [db.a.session]), 'first');
  await rename(2, 'second');
  assert.equal(await value(db.admin, 'SELECT title FROM kg.sessions WHERE id = $1', [db.a.session]), 'second');
  await assert.rejects(db.app.query('SELECT kg.check_lease(1024::smallint, 0)'), fenced);
  await assert.rejects(db.app.query('SELECT kg.check_lease(NULL, NULL)'), fenced);
});

test('fence: a lease does not move under a write, and one stuck write holds back no other lease', async () => {
  const [a, b] = await members('a', 'b');
  await take(a, [1, 2, 3]);
  const stuck = await writing(2, 1);
  assert.deepEqual(await give(a, b, [1, 2]), [[1, 2]]);
  await suspect(b, a);
  assert.deepEqual(await take(b, [2, 3]), [[3, 2]]);
  assert.deepEqual(await lease(2), { owner: a, epoch: 1 });
  await stuck.query('COMMIT');
  assert.deepEqual(await take(b, [2, 3]), [[2, 2]]);
  await assert.rejects(writing(2, 1), fenced);
});

test('fence: a short write is waited for', async () => {
  const [a, b] = await members('a', 'b');
  const client = (await connections(1))[0];
  for (const change of [() => give(a, b, [2], client), () => leave(b).then(() => take(a, [2], client))]) {
    await db.admin.query('UPDATE kg.shard_leases SET owner = $1, epoch = 5 WHERE shard = 2', [(await lease(2)).owner ?? a]);
    const writer = await writing(2, 5);
    const changing = change();
    assert.equal(await waits(`wait_event = 'PgSleep'`), true); // between its attempts
    await writer.query('COMMIT');
    assert.deepEqual(await changing, [[2, 6]]);
  }
});

test('fence: a write that comes while the lease moves waits and is refused', async () => {
  const [a, b] = await members('a', 'b');
  await take(a, [2]);
  const [giver] = await connections(1);
  await giver.query('BEGIN');
  assert.deepEqual(await give(a, b, [2], giver), [[2, 2]]);
  const late = writing(2, 1);
  late.catch(() => {});
  assert.equal(await waits(`wait_event_type = 'Lock' AND query LIKE '%kg.check_lease%'`), true);
  await giver.query('COMMIT');
  await assert.rejects(late, fenced);
});

test('fence: whoever writes, the epoch stays until the commit', async () => {
  const [a, b] = await members('a', 'b');
  await take(a, [4]);
  const owners = { [a]: b, [b]: a };
  const [mover] = await connections(1);
  const writers = await connections(4, 'kg_app');
  let stop = false;
  const moves = (async () => {
    let done = 0;
    while (!stop) {
      const { owner } = await lease(4);
      done += (await give(owner, owners[owner], [4], mover)).length;
    }
    return done;
  })();
  let written = 0;
  let refused = 0;
  await Promise.all(writers.map(async (client) => {
    for (let i = 0; i < 60; ++i) {
      const { epoch } = await lease(4);
      await client.query('BEGIN');
      try {
        await client.query('SELECT kg.check_lease(4::smallint, $1)', [epoch]);
        for (let look = 0; look < 3; ++look) assert.equal((await lease(4)).epoch, epoch);
        ++written;
      } catch (error) {
        fenced(error);
        ++refused;
      }
      await client.query('ROLLBACK');
    }
  }));
  stop = true;
  assert.ok(await moves > 0);
  assert.ok(written > 0, `${written} written, ${refused} refused`);
});

test('cluster: the application sees nothing of it and control only what the functions say', async () => {
  for (const client of [db.app, db.control])
    for (const table of ['cluster_nodes', 'shard_leases', 'cluster_version', 'cluster_incarnations'])
      await assert.rejects(client.query(`SELECT * FROM kg.${table}`), denied, table);
  for (const call of [`cluster_join('x', 'h', 1, '{}', 1)`, 'cluster_view(1, 0)', `cluster_beat(1, 'up', 0)`, 'cluster_suspect(1, 2)',
    'cluster_trust(1, 2)', 'cluster_declare_dead(1, 2, 3)', `take_leases(1, '{1}')`, `give_leases(1, 2, '{1}')`, 'cluster_leave(1)',
    `cluster_request_drain('x')`])
    await assert.rejects(db.app.query(`SELECT kg.${call}`), denied, call);
  for (const call of ['cluster_lock()', 'cluster_changed()', 'cluster_counts(1)', `cluster_bury(1, 'x')`, `lock_leases('{1}', 1)`])
    for (const client of [db.app, db.control]) await assert.rejects(client.query(`SELECT kg.${call}`), denied, call);
  await assert.rejects(db.control.query('SELECT kg.check_lease(1::smallint, 0)'), denied);
  for (const role of ['kg_cdc', 'kg_billing', 'kg_metrics'])
    assert.equal(await value(db.admin, `SELECT has_function_privilege($1, 'kg.check_lease(smallint, bigint)', 'EXECUTE')`, [role]), false);
});

test('fence: the server itself looks for dead connections, lest half a transaction keep its lease', async () => {
  for (const role of ['kg_app', 'kg_control'])
    for (const [setting, expected] of [['idle', 2], ['interval', 1], ['count', 3]])
      assert.equal(await value(db.admin, 'SELECT $2 = ANY (rolconfig) FROM pg_roles WHERE rolname = $1',
        [role, `tcp_keepalives_${setting}=${expected}`]), true);
});
