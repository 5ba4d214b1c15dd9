// Subscriptions to what happens in a tenant (agentese.md section 13, http-api.md section 12), over SSE and WebSocket.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';

import { EventSource } from 'eventsource';
import WebSocket from 'ws';

import { startCluster } from '../support/cluster.mjs';
import { call, caller } from '../support/http.mjs';
import { openDatabase, startDev } from '../support/server.mjs';
import { addKey, newTenant } from '../support/tenants.mjs';
import { Inbox, until, within } from '../support/wait.mjs';
import { Socket } from '../support/websocket.mjs';

let server;
let db;
before(async () => {
  server = await startDev();
  db = await openDatabase(server.stateDir);
});
after(async () => {
  await db?.end();
  await server?.dispose();
});

const query = (pattern, more = {}) => `?${new URLSearchParams({ pattern, ...more })}`;
const subscribePath = (pattern, more) => `/agentese/subscribe${query(pattern, more)}`;

/// What one key does and hears.
function observer(at, { key, id }, archetype = 'poet') {
  const who = caller(at, key);
  const headers = { 'X-Observer-Archetype': archetype };
  const invoke = (path, kwargs = {}) => who.post(`/agentese/${path.replaceAll('.', '/')}`, kwargs, headers);
  const ok = async (path, kwargs) => {
    const { status, text, body } = await invoke(path, kwargs);
    assert.equal(status, 200, `${path}: ${text}`);
    return body.result;
  };
  return {
    ...who,
    tenant: id,
    invoke,
    ok,
    /// A stream whose first event, `subscribed`, has been taken: `hello` is its data.
    subscribe: async (pattern, more, lines = {}) => {
      const stream = await who.stream(subscribePath(pattern, more), { ...headers, ...lines });
      assert.equal(stream.status, 200, stream.text);
      const first = await stream.next('the greeting');
      assert.equal(first.event, 'subscribed');
      stream.hello = first.data;
      return stream;
    },
    /// The same as a WebSocket.
    socket: async (pattern, more) => {
      const url = `${at.url.replace('http', 'ws')}/agentese/ws/subscribe${query(pattern, more)}`;
      const socket = new Socket(new WebSocket(url, { headers: { ...headers, 'X-API-Key': key }, perMessageDeflate: false }));
      socket.hello = await socket.of('subscribed');
      return socket;
    },
  };
}

const someone = async (archetype, options) => observer(server, await newTenant(db, options), archetype);
const happened = (stream, n = 1) => {
  let left = n;
  return stream.take((e) => e.data.path !== 'system.heartbeat' && --left === 0, `event ${n}`);
};
/// The newest seq of a tenant's log.
const lastSeq = async (who) =>
  Number((await db.query('SELECT coalesce(max(seq), 0) AS seq FROM kg.agentese_events WHERE tenant_id = $1', [who.tenant])).rows[0].seq);
/// Invocations of which n are in the log.
async function logged(who, n) {
  for (let i = 0; i < n; i++) await who.ok('void.entropy.status');
  await until(async () => (await lastSeq(who)) >= n, `${n} events in the log`);
}

test('an invocation is heard as it happens, with what it answered', async () => {
  const who = await someone();
  const stream = await who.subscribe('void.entropy');
  assert.equal(stream.headers['content-type'], 'text/event-stream; charset=utf-8');
  assert.equal(stream.headers['cache-control'], 'no-cache');
  assert.equal(stream.headers['x-accel-buffering'], 'no');
  assert.deepEqual(
    { ...stream.hello, id: undefined },
    { id: undefined, pattern: 'void.entropy', delivery: 'at_most_once', ordering: 'per_path_fifo', buffer_size: 1000, heartbeat_interval: 30 },
  );
  const result = await who.ok('void.entropy.sip', { amount: 0.1 });
  const event = (await stream.take((e) => e.event === 'invoked', 'the sip')).at(-1);
  const { timestamp, trace_id, ...rest } = event.data;
  assert.deepEqual(rest, {
    event_id: event.id,
    event_type: 'invoked',
    path: 'void.entropy',
    aspect: 'sip',
    observer_archetype: 'poet',
    data: result,
  });
  assert.match(event.id, /^[0-9a-f-]{36}$/);
  assert.match(trace_id, /^[0-9a-f]{32}$/);
  assert.match(timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00$/);
  stream.close();
});

test('what fails is an error of the system, once', async () => {
  const who = await someone();
  const stream = await who.subscribe('void.entropy');
  const { status, body } = await who.invoke('void.entropy.sip', { amount: 1e9 });
  assert.notEqual(status, 200, JSON.stringify(body));
  await who.ok('void.entropy.status');
  const [error, next] = await happened(stream, 2);
  assert.equal(error.event, 'error');
  assert.equal(error.data.aspect, 'error');
  assert.equal(error.data.observer_archetype, 'system');
  assert.equal(typeof error.data.data.error, 'string');
  assert.equal(typeof error.data.data.type, 'string');
  assert.equal(next.data.aspect, 'status');
  stream.close();
});

test('each form of pattern hears what it names and the filter what is shown', async () => {
  const who = await someone();
  const streams = {};
  for (const pattern of ['void.entropy', 'void.*', 'void.**', '*', '**', 'time.*']) streams[pattern] = await who.subscribe(pattern);
  const filtered = await who.subscribe('*', { aspect: 'manifest' });
  await who.ok('void.entropy.status');
  await who.ok('time.trace.manifest');
  for (const [pattern, expected] of Object.entries({
    'void.entropy': ['void.entropy'],
    'void.*': ['void.entropy'],
    'void.**': ['void.entropy'],
    '*': ['void.entropy', 'time.trace'],
    '**': ['void.entropy', 'time.trace'],
    'time.*': ['time.trace'],
  })) {
    const heard = await happened(streams[pattern], expected.length);
    assert.deepEqual(heard.map((e) => e.data.path), expected, pattern);
    streams[pattern].close();
  }
  assert.deepEqual((await happened(filtered)).map((e) => e.data.path), ['time.trace']);
  filtered.close();
});

test('a change is told once it is committed', async () => {
  const who = await someone('architect');
  const stream = await who.subscribe('world.house');
  await who.ok('world.house.define', { description: 'A house by the sea' });
  const heard = await stream.take((e) => e.event === 'changed', 'the change');
  const { data } = heard.at(-1);
  assert.equal(data.aspect, 'state');
  assert.equal(data.observer_archetype, 'system');
  stream.close();
});

test('other tenants hear nothing of it', async () => {
  const [mine, theirs] = [await someone(), await someone()];
  const stream = await theirs.subscribe('*');
  await mine.ok('void.entropy.status');
  await until(async () => (await lastSeq(mine)) > 0, 'the event in the log');
  await theirs.ok('time.trace.manifest');
  assert.deepEqual((await happened(stream)).map((e) => e.data.path), ['time.trace']);
  stream.close();
});

test('who may not invoke an aspect hears of it without its data', async () => {
  const tenant = await newTenant(db);
  const architect = observer(server, tenant, 'architect');
  const guest = observer(server, tenant, 'guest');
  const [open, closed] = [await architect.subscribe('world.house'), await guest.subscribe('world.house')];
  await architect.ok('world.house.define', { description: 'A house by the sea' });
  await architect.ok('world.house.measure');
  const measured = (e) => e.data.aspect === 'measure';
  const seen = (await open.take(measured, 'the measure')).at(-1).data;
  const hidden = (await closed.take(measured, 'the measure')).at(-1).data;
  assert.ok(seen.data, JSON.stringify(seen));
  assert.equal(seen.redacted, undefined);
  assert.equal(hidden.data, null);
  assert.equal(hidden.redacted, true);
  open.close();
  closed.close();
});

test('Last-Event-ID replays what was missed and goes over into what is live', async () => {
  const who = await someone();
  await logged(who, 10);
  const all = await who.subscribe('*', { replay_offset: 0, ordering: 'global_clock' });
  const first = await happened(all, 10);
  assert.deepEqual(first.map((e) => e.data.seq), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  all.close();
  const again = await who.subscribe('*', { ordering: 'global_clock' }, { 'Last-Event-ID': first[3].id });
  await who.ok('time.trace.manifest');
  const rest = await happened(again, 7);
  assert.deepEqual(rest.map((e) => e.data.seq), [5, 6, 7, 8, 9, 10, 11]);
  assert.equal(rest.at(-1).data.path, 'time.trace');
  assert.deepEqual(rest.slice(0, 6).map((e) => e.id), first.slice(4).map((e) => e.id));
  again.close();
});

test('a replay from a time, and ids that are not known, tell what is missing', async () => {
  const who = await someone();
  await logged(who, 2);
  const { rows } = await db.query('SELECT now() AS now');
  await logged(who, 4);
  const since = await who.subscribe('*', { replay_from: rows[0].now.toISOString(), ordering: 'global_clock' });
  assert.deepEqual((await happened(since, 2)).map((e) => e.data.seq), [3, 4]);
  const unknown = await who.subscribe('*', { ordering: 'global_clock' }, { 'Last-Event-ID': randomUUID() });
  const [gap, ...events] = await happened(unknown, 5);
  assert.equal(gap.event, 'gap');
  assert.equal(gap.data.reason, 'unknown_event');
  assert.deepEqual(events.map((e) => e.data.seq), [1, 2, 3, 4]);
  since.close();
  unknown.close();
});

test('what has left the log is told as a gap', async () => {
  const who = await someone();
  await logged(who, 6);
  await db.query("SELECT kg.trim_agentese_events($1, 2, interval '1 day', 1000)", [who.tenant]);
  const stream = await who.subscribe('*', { replay_offset: 1, ordering: 'global_clock' });
  const [gap, ...events] = await happened(stream, 3);
  assert.equal(gap.event, 'gap');
  assert.deepEqual(gap.data, { reason: 'not_retained', dropped: null, from_seq: 2, to_seq: 4 });
  assert.deepEqual(events.map((e) => e.data.seq), [5, 6]);
  stream.close();
});

test('bad values are told before anything is streamed', async () => {
  const who = await someone();
  for (const [pattern, more, headers, status] of [
    ['world.*.x', {}, {}, 400],
    ['nowhere.*', {}, {}, 400],
    ['', {}, {}, 400],
    ['*', { delivery: 'exactly_once' }, {}, 400],
    ['*', { ordering: 'none' }, {}, 400],
    ['*', { buffer_size: 0 }, {}, 422],
    ['*', { buffer_size: 10001 }, {}, 422],
    ['*', { buffer_size: 'many' }, {}, 422],
    ['*', { heartbeat_interval: 0 }, {}, 422],
    ['*', { replay_offset: -1 }, {}, 422],
    ['*', { replay_from: 'yesterday' }, {}, 400],
    ['*', { replay_from: '2026-01-05T09:00:00Z', replay_offset: 1 }, {}, 400],
    ['*', {}, { 'Last-Event-ID': 'seven' }, 400],
    ['*', { after: 'seven' }, {}, 400],
  ]) {
    const answer = await who.get(subscribePath(pattern, more), headers);
    assert.equal(answer.status, status, `${pattern} ${JSON.stringify(more)}: ${answer.text}`);
    assert.ok(answer.body.detail, answer.text);
  }
  assert.equal((await who.get('/agentese/subscribe')).status, 422);
});

test('it takes a key with scope read', async () => {
  const tenant = await newTenant(db, { scopes: ['write'] });
  assert.equal((await call(server, 'GET', subscribePath('*'), { key: tenant.key })).status, 403);
  assert.equal((await call(server, 'GET', subscribePath('*'))).status, 401);
  assert.equal((await call(server, 'GET', '/agentese/subscriptions')).status, 401);
});

test('npm eventsource hears each event by its type and comes back behind the last', async (t) => {
  const who = await someone();
  await logged(who, 3);
  const path = subscribePath('*', { replay_offset: 0, ordering: 'global_clock', api_key: who.key });
  let connections = 0;
  let cut;
  const source = new EventSource(`${server.url}${path}`, {
    fetch: async (input, init) => {
      connections++;
      const { status, headers, redirected, body } = await fetch(input, init);
      const cable = new TransformStream({ start: (end) => (cut = () => end.terminate()) });
      return { status, headers, redirected, body: body.pipeThrough(cable) };
    },
  });
  t.after(() => source.close());
  const inbox = new Inbox();
  source.addEventListener('invoked', (e) => inbox.push({ id: e.lastEventId, ...JSON.parse(e.data) }));
  for (const seq of [1, 2, 3]) assert.equal((await inbox.next('a replayed event')).seq, seq);
  cut();
  await who.ok('void.entropy.status');
  const next = await inbox.next('the event after the cut');
  assert.equal(next.seq, 4);
  assert.equal(next.id, next.event_id);
  assert.ok(connections >= 2);
});

test('at least once: what is acknowledged does not wait, over WebSocket and by id', async () => {
  const who = await someone();
  const stranger = await someone();
  const socket = await who.socket('void.entropy', { delivery: 'at_least_once', buffer_size: 5 });
  assert.equal(socket.hello.delivery, 'at_least_once');
  for (let i = 0; i < 2; i++) await who.ok('void.entropy.status');
  const [first, second] = [await socket.of('event'), await socket.of('event')];
  assert.equal(first.event_type, 'invoked');
  const listed = async (by) => (await by.get('/agentese/subscriptions')).body.subscriptions;
  const { id } = socket.hello;
  assert.deepEqual(await listed(who), [{ id, pattern: 'void.entropy', active: true, pending: 2, delivery: 'at_least_once', buffer_size: 5 }]);
  assert.deepEqual(await listed(stranger), []);

  const byFrame = async (event_id) => {
    socket.send({ type: 'ack', event_id });
    return socket.of('acknowledged');
  };
  assert.deepEqual(await byFrame(first.event_id), { type: 'acknowledged', event_id: first.event_id, acknowledged: true });
  assert.equal((await byFrame(first.event_id)).acknowledged, false);
  const byId = (by, event_id, of = id) => by.post(`/agentese/subscriptions/${of}/ack`, { event_id });
  assert.equal((await byId(stranger, second.event_id)).status, 404);
  assert.equal((await byId(who, second.event_id, 'sub-00000000-0-1')).status, 404);
  assert.equal((await byId(who, 'seven')).status, 400);
  assert.deepEqual((await byId(who, second.event_id)).body, { acknowledged: true });
  assert.deepEqual((await byId(who, second.event_id)).body, { acknowledged: false });
  assert.equal((await listed(who))[0].pending, 0);

  for (const bad of ['{', '[]', '{"type":"dance"}', '{"type":"ack"}', '{"type":"ack","event_id":7}']) {
    socket.send(bad);
    assert.equal((await socket.of('error')).status, 400, bad);
  }
  assert.equal((await socket.close()).code, 1000);
  await until(async () => (await listed(who)).length === 0, 'the subscription to leave the list');
});

test('silence is filled with heartbeats, which pass every filter and leave the cursor alone', async () => {
  const who = await someone();
  const stream = await who.subscribe('self.soul', { heartbeat_interval: 1, aspect: 'challenge' });
  const beats = [await stream.next('a heartbeat'), await stream.next('another')];
  for (const { event, id, data } of beats) {
    assert.equal(event, 'heartbeat');
    assert.equal(id, undefined);
    const { event_id, timestamp, ...rest } = data;
    assert.deepEqual(rest, { event_type: 'heartbeat', path: 'system.heartbeat', aspect: 'heartbeat', observer_archetype: 'system', data: null });
  }
  assert.notEqual(beats[0].data.event_id, beats[1].data.event_id);
  stream.close();
});

test('a revoked key ends its subscriptions', async () => {
  const tenant = await newTenant(db);
  const { key, id } = await addKey(db, tenant.id);
  const who = observer(server, { key, id: tenant.id });
  const stream = await who.subscribe('*');
  const socket = await who.socket('*');
  await db.query('UPDATE kg.api_keys SET is_active = false, revoked_at = now() WHERE id = $1', [id]);
  const last = (await stream.rest()).at(-1);
  assert.deepEqual([last.event, last.data.type], ['error', 'key_revoked']);
  assert.equal((await within(socket.closed, 'the socket to close')).code, 4401);
});

test('many subscribers of one tenant hear the same', async () => {
  const who = await someone();
  const streams = await Promise.all(Array.from({ length: 50 }, () => who.subscribe('*', { ordering: 'global_clock' })));
  for (let i = 0; i < 20; i++) await who.ok('void.entropy.status');
  const heard = await Promise.all(streams.map((stream) => happened(stream, 20)));
  const ids = heard[0].map((e) => e.id);
  assert.deepEqual(heard[0].map((e) => e.data.seq), Array.from({ length: 20 }, (_, i) => i + 1));
  for (const one of heard) assert.deepEqual(one.map((e) => e.id), ids);
  streams.forEach((stream) => stream.close());
});

test('the figures of subscriptions are there, with labels of a closed set', async () => {
  const who = await someone();
  const stream = await who.subscribe('self.a_name_that_is_nobodys_label.**');
  const { text } = await call(server, 'GET', '/metrics');
  for (const name of [
    'agentese_subscription_active{pattern="any",tenant="',
    'agentese_subscription_events_delivered{event_type="invoked",pattern="exact"}',
    'agentese_subscription_events_dropped{pattern="all",reason="buffer_full"}',
    'agentese_subscription_lag_seconds_bucket{pattern="exact"',
    'agentese_journal_marks_total',
  ])
    assert.ok(text.includes(name), `${name} in ${text.match(/.*agentese_(subs|jour).*/g)?.slice(0, 40).join('\n')}`);
  assert.ok(!text.includes('nobodys_label'));
  stream.close();
});

test('a drain sends subscribers elsewhere, and a restart has the log still', async () => {
  const other = await startDev();
  const otherDb = await openDatabase(other.stateDir);
  const tenant = await newTenant(otherDb);
  await otherDb.end();
  const who = observer(other, tenant);
  const stream = await who.subscribe('*', { ordering: 'global_clock' });
  const socket = await who.socket('*');
  await who.ok('void.entropy.status');
  const [first] = await happened(stream);
  const stopped = other.stop();
  assert.equal((await stream.rest()).at(-1).event, 'reconnect');
  assert.equal((await within(socket.closed, 'the socket to close')).code, 1012);
  await stopped;
  const again = await other.restart();
  const back = observer(again, tenant);
  const rest = await back.subscribe('*', { ordering: 'global_clock' }, { 'Last-Event-ID': first.id });
  await back.ok('time.trace.manifest');
  const [next] = await happened(rest);
  assert.deepEqual([next.data.seq, next.data.path], [2, 'time.trace']);
  rest.close();
  await again.dispose();
});

test('what is invoked on one node is heard on every other, in one order', async (t) => {
  const cluster = await startCluster({ nodes: 2, balanced: false });
  t.after(() => cluster.dispose());
  const tenant = await newTenant(cluster.db);
  const [a, b] = cluster.reachable.map((at) => observer(at, tenant));
  const streams = [await a.subscribe('*', { ordering: 'global_clock' }), await b.subscribe('*', { ordering: 'global_clock' })];
  await Promise.all([a, b].flatMap((who) => Array.from({ length: 10 }, () => who.ok('void.entropy.status'))));
  const heard = await Promise.all(streams.map((stream) => happened(stream, 20)));
  assert.deepEqual(heard[0].map((e) => e.data.seq), Array.from({ length: 20 }, (_, i) => i + 1));
  assert.deepEqual(heard[1].map((e) => e.id), heard[0].map((e) => e.id));
  // An id of another node is a stranger's here.
  const { id } = streams[0].hello;
  const ack = (who) => who.post(`/agentese/subscriptions/${id}/ack`, { event_id: heard[0][0].id });
  assert.equal((await ack(b)).status, 404);
  assert.deepEqual((await ack(a)).body, { acknowledged: false });
  // And what was heard on one node is where to go on from on the other.
  streams[0].close();
  const moved = await b.subscribe('*', { ordering: 'global_clock' }, { 'Last-Event-ID': heard[0][4].id });
  assert.deepEqual((await happened(moved, 15)).map((e) => e.data.seq), Array.from({ length: 15 }, (_, i) => i + 6));
  moved.close();
});
