// A credential that holds no more ends what it has opened, on every node and with the reason (issue of identity, item 3).
import assert from 'node:assert/strict';
import { createHmac, randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';

import WebSocket from 'ws';

import { Observer } from '../support/agentese.mjs';
import { startCluster } from '../support/cluster.mjs';
import { call, caller, openStream } from '../support/http.mjs';
import { addKey, newKey, newTenant } from '../support/tenants.mjs';
import { until, within } from '../support/wait.mjs';
import { openSocket, Socket } from '../support/websocket.mjs';

/// An answer that is still being made when its key is taken away.
const longQuestion = 'Please write about 900 words on rivers';

/// Nodes that share one take each other's capability tokens.
const pepper = randomUUID();
const keyed = (more = {}, key = newKey()) => ({ key, key_hash: createHmac('sha256', pepper).update(key, 'utf8').digest('hex'), ...more });
const someTenant = () => newTenant(db, { key: keyed() });
const someKey = (tenant, more) => addKey(db, tenant, keyed(more));

let cluster;
let db;
before(async () => {
  cluster = await startCluster({ network: 'loopback', balanced: false, env: { KGENTS_EMBEDDED_TOKENS_PER_SECOND: 8, KGENTS_API_KEY_PEPPER: pepper } });
  db = cluster.db;
});
after(() => cluster?.dispose());

/// An open stream of any kind. `ended` comes with `{reason, at}`.
class Line {
  over = false;

  constructor(kind, node, ended) {
    Object.assign(this, { kind, node });
    this.ended = ended.then((reason) => {
      this.over = true;
      return { reason, at: performance.now(), line: this };
    });
  }

  get name() {
    return `${this.kind} on ${this.node.name}`;
  }
}

const overSse = (kind, node, stream) => {
  assert.equal(stream.status, 200, `${kind} on ${node.name}: ${stream.text}`);
  const last = stream.finished.then(() => {
    const { event, data } = stream.seen.at(-1) ?? {};
    return event === 'error' ? data.type : `${event}, without a reason`;
  });
  return Object.assign(new Line(kind, node, last), { stream });
};
const overWebSocket = (kind, node, socket) => {
  assert.ok(socket instanceof Socket, `${kind} on ${node.name}: ${socket.text}`);
  return Object.assign(new Line(kind, node, socket.closed.then(({ code, reason }) => (code === 4401 ? reason : `${code} ${reason}`))), { socket });
};
const socketAt = async (node, path, key) => {
  const ws = new WebSocket(`ws://${node.host}:${node.port}${path}`, { headers: { 'X-API-Key': key, 'X-Observer-Archetype': 'developer' }, perMessageDeflate: false });
  const socket = new Socket(ws);
  await within(new Promise((resolve, reject) => ws.on('open', resolve).on('error', reject)), `the upgrade of ${path}`);
  return socket;
};

/// Every kind of stream there is, of one key on one node.
async function openAll(node, { key }) {
  const who = caller(node, key);
  const observer = new Observer(node, key);
  const session = await who.session();
  const busy = await who.session();
  return Promise.all([
    openStream(node, `/v1/kgent/sessions/${session}/stream`, { key }).then((x) => overSse('a session', node, x)),
    who.say(busy, longQuestion).then((x) => overSse('an answer', node, x)),
    openSocket(node, session, { key }).then((x) => overWebSocket("a session's socket", node, x)),
    openStream(node, '/agentese/subscribe?pattern=*', { key }).then((x) => overSse('a subscription', node, x)),
    socketAt(node, '/agentese/ws/subscribe?pattern=*', key).then((x) => overWebSocket("a subscription's socket", node, x)),
    observer.stream('self.soul.dialogue', { message: longQuestion }).then((x) => overSse("an aspect's stream", node, x)),
    socketAt(node, '/agentese/ws/void/entropy', key).then((x) => overWebSocket("an aspect's socket", node, x)),
  ]);
}

async function openEverywhere(credential) {
  const lines = (await Promise.all(cluster.nodes.map((node) => openAll(node, credential)))).flat();
  return Object.assign(credential, { lines });
}

/// `act` takes something away: all streams of `of` end for `reason`, and nobody else's.
async function endsAll(t, what, { of, others, reason, act, status = 401 }) {
  const began = performance.now();
  await act();
  const ends = await within(Promise.all(of.lines.map((line) => line.ended)), `${what}: all streams to end`);
  for (const { reason: told, line } of ends) assert.equal(told, reason, `${what}: ${line.name}`);
  for (const { lines } of others) for (const line of lines) assert.ok(!line.over, `${what}: ${line.name} of another key stays`);
  for (const node of cluster.nodes)
    await until(async () => (await call(node, 'GET', '/v1/kgent/sessions', { key: of.key })).status === status, `${what}: ${node.name} to refuse`);
  const worst = Math.max(...ends.map((x) => x.at - began));
  t?.diagnostic(`${what}: ${ends.length} streams on ${cluster.nodes.length} nodes ended, the last one after ${Math.round(worst)} ms`);
}

async function user(tenant, role) {
  const { rows } = await db.query('INSERT INTO kg.users (tenant_id, email, role) VALUES ($1, $2, $3) RETURNING id', [
    tenant,
    `${randomUUID()}@example.org`,
    role,
  ]);
  return rows[0].id;
}

test('a revoked or expired key, a deactivated user and a paused tenant end their streams everywhere, and no others', async (t) => {
  const home = await someTenant();
  const away = await someTenant();
  const person = await user(home.id, 'member');
  const admin = caller(cluster.nodes[1], (await someKey(home.id, { scopes: ['read', 'write', 'admin', 'billing'] })).key);
  const by = async (answer, expected = 200) => {
    const { status, text } = await answer;
    assert.equal(status, expected, text);
  };
  const [kept, doomed, short, of] = await Promise.all([
    openEverywhere(await someKey(home.id)),
    openEverywhere(await someKey(home.id)),
    openEverywhere(await someKey(home.id)),
    openEverywhere(await someKey(home.id, { user_id: person })),
  ]);
  const foreign = await openEverywhere({ key: away.key });
  const bystander = await openEverywhere(await someTenant());
  const all = [kept, doomed, short, of, foreign, bystander];
  t.diagnostic(`${all.flatMap((x) => x.lines).length} streams are open`);

  await endsAll(t, 'a revoked key', {
    of: doomed,
    others: [kept, short, of, foreign, bystander],
    reason: 'key_revoked',
    act: () => by(admin.delete(`/v1/api-keys/${doomed.id}`), 204),
  });
  await endsAll(t, 'an expired key', {
    of: short,
    others: [kept, of, foreign, bystander],
    reason: 'key_expired',
    act: () => db.query("UPDATE kg.api_keys SET expires_at = now() - interval '1 second' WHERE id = $1", [short.id]),
  });
  await endsAll(t, 'a deactivated user', {
    of,
    others: [kept, foreign, bystander],
    reason: 'user_deactivated',
    act: () => by(admin.patch(`/v1/users/${person}`, { is_active: false })),
  });
  await endsAll(t, 'a paused tenant', {
    of: foreign,
    others: [kept, bystander],
    reason: 'tenant_inactive',
    status: 403,
    act: () => by(caller(cluster.nodes[2], cluster.platformKey).patch(`/v1/tenants/${away.id}`, { status: 'paused' })),
  });
  await endsAll(t, 'a deleted key', {
    of: bystander,
    others: [kept],
    reason: 'key_revoked',
    act: () => db.query('DELETE FROM kg.api_keys WHERE id = $1', [bystander.keyId]),
  });

  // Those that stay are not only open: they hear.
  const heard = kept.lines.filter((x) => x.kind === 'a subscription');
  const before = heard.map(({ stream }) => stream.seen.length);
  await new Observer(cluster.nodes[0], kept.key).ok('void.entropy.status');
  for (const [i, { stream, node }] of heard.entries()) await until(() => stream.seen.length > before[i], `the subscription on ${node.name} to hear`);
  for (const { stream, socket } of kept.lines) {
    stream?.close();
    socket?.ws.terminate();
  }
});

test('a key with a time of its own ends its streams then, without anybody asking', async () => {
  const home = await someTenant();
  const { rows } = await db.query("SELECT now() + interval '20 seconds' AS at");
  const key = await openEverywhere(await someKey(home.id, { expires_at: rows[0].at }));
  const kept = await openEverywhere({ key: home.key });
  await endsAll(null, "a key's end", { of: key, others: [kept], reason: 'key_expired', act: async () => {} });
  for (const { stream, socket } of kept.lines) {
    stream?.close();
    socket?.ws.terminate();
  }
});

test('a key that may do less does less at once: what acts has to come back, what listens stays', async () => {
  const home = await someTenant();
  const person = await user(home.id, 'member');
  const key = await openEverywhere(await someKey(home.id, { user_id: person }));
  const session = await caller(cluster.nodes[0], key.key).session();
  const write = (node) => caller(node, key.key).patch(`/v1/kgent/sessions/${session}`, { title: randomUUID() });
  for (const node of cluster.nodes) assert.equal((await write(node)).status, 200);
  await db.query("UPDATE kg.users SET role = 'readonly' WHERE id = $1", [person]);
  for (const node of cluster.nodes) await until(async () => (await write(node)).status === 403, `${node.name} to know less`);
  const acting = key.lines.filter(({ kind }) => ["a session's socket", "an aspect's socket"].includes(kind));
  const listening = key.lines.filter((line) => !acting.includes(line));
  for (const { reason, line } of await within(Promise.all(acting.map((x) => x.ended)), 'what acts on what the key could do to end'))
    assert.equal(reason, 'rights_changed', line.name);
  for (const line of listening) assert.ok(!line.over, `${line.name} may still read`);
  await db.query("UPDATE kg.users SET role = 'member' WHERE id = $1", [person]);
  for (const node of cluster.nodes) await until(async () => (await write(node)).status === 200, `${node.name} to know more`);
  await db.query("UPDATE kg.api_keys SET scopes = '{admin}' WHERE id = $1", [key.id]);
  for (const { reason, line } of await within(Promise.all(listening.map((x) => x.ended)), 'what may not be read any more to end'))
    assert.equal(reason, 'key_revoked', line.name);
});

test('capability tokens die with any of the keys they came from', async () => {
  const home = await someTenant();
  const readers = await Promise.all(Array.from({ length: 2 }, () => someKey(home.id, { scopes: ['read'] })));
  const minter = await someKey(home.id);
  const mint = async (key, body) => {
    const { status, text, body: made } = await call(cluster.nodes[0], 'POST', '/v1/agentese/capabilities', { key, body });
    assert.equal(status, 201, text);
    return made.token;
  };
  const use = (node, capability) => new Observer(node, readers[0].key, 'developer', { capability }).invoke('self.memory.engram', { key: randomUUID(), data: 1 });
  const wide = await mint(minter.key, { scopes: ['memory:write'] });
  const narrow = await mint(readers[1].key, { parent: wide, scopes: ['memory:write'] });
  const unrelated = await mint(home.key, { scopes: ['memory:write'] });
  for (const node of cluster.nodes) for (const token of [wide, narrow, unrelated]) assert.equal((await use(node, token)).status, 200);
  const dies = async (token) => {
    for (const node of cluster.nodes) {
      const last = await until(async () => {
        const answer = await use(node, token);
        return answer.status !== 200 && answer;
      }, `the token to be worth nothing on ${node.name}`);
      assert.equal(last.status, 403, last.text);
      assert.match(last.text, /CAPABILITY_INVALID/);
    }
  };
  await db.query('UPDATE kg.api_keys SET is_active = false, revoked_at = now() WHERE id = $1', [readers[1].id]);
  await dies(narrow);
  for (const node of cluster.nodes) assert.equal((await use(node, wide)).status, 200, 'what it was narrowed from is another matter');
  const late = await mint(readers[0].key, { parent: wide, scopes: ['memory:write'] });
  await db.query('UPDATE kg.api_keys SET is_active = false, revoked_at = now() WHERE id = $1', [minter.id]);
  await dies(wide);
  // One that no node has seen yet.
  await dies(late);
  for (const node of cluster.nodes) assert.equal((await use(node, unrelated)).status, 200);
});
