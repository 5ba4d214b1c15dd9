// What AGENTESE costs and keeps: usage and quotas (http-api.md 4.2, 6.1), capability tokens (agentese.md 7), curation (15), what
// outlives kill -9, the bounds of its sockets, and that no key is ever in a log.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import WebSocket from 'ws';

import { Observer } from '../support/agentese.mjs';
import { aboutWords } from '../support/answers.mjs';
import { startProvider } from '../support/providers.mjs';
import { openDatabase, startDev } from '../support/server.mjs';
import { addKey, newTenant } from '../support/tenants.mjs';
import { until } from '../support/wait.mjs';
import { Socket } from '../support/websocket.mjs';

let server;
let db;
let provider;
before(async () => {
  provider = await startProvider();
  server = await startDev({ env: { ...provider.openai(), KGENTS_LOG_FORMAT: 'json' } });
  db = await openDatabase(server.stateDir);
});
after(async () => {
  await db?.end();
  await server?.dispose();
  await provider?.close();
});

async function tenant(archetype = 'developer', how = {}) {
  const made = await newTenant(db, how);
  const out = new Observer(server, made.key, archetype);
  Object.assign(out, { tenant: made.id, keyId: made.keyId });
  return out;
}

const events = async (who) =>
  (await db.query(`SELECT source, agentese_path AS path, tokens_in + tokens_out AS tokens, api_key_id AS key FROM kg.usage_events WHERE tenant_id = $1 AND event_type = 'agentese_invoke' ORDER BY created_at, id`, [who.tenant])).rows;

test('6.1: each invocation that succeeded is one usage event, with its path and its tokens', async () => {
  const who = await tenant();
  const script = provider.script({ deltas: ['Hold ', 'on.'] });
  await who.ok('void.entropy.sip', { amount: 1 });
  await who.v1('void.entropy.sample');
  await who.universal('void.entropy.status');
  const said = await who.v1('self.soul.dialogue', { message: `What holds a small team of sailors together? ${script.token}` });
  assert.ok(said.body.tokens_used > 0, 'real tokens');
  assert.equal(said.body.tokens_used, said.body.result.tokens_used);
  await who.invoke('void.entropy.sip', { amount: 1e6 });
  const seen = await until(async () => {
    const now = await events(who);
    return now.length >= 4 && now;
  }, 'the usage events');
  assert.equal(seen.length, 4, 'none for what failed');
  assert.deepEqual(seen.map((x) => x.path).sort(), ['self.soul.dialogue', 'void.entropy.sample', 'void.entropy.sip', 'void.entropy.status']);
  assert.equal(seen.find((x) => x.path === 'self.soul.dialogue').tokens, said.body.tokens_used);
  assert.ok(seen.every((x) => x.key === who.keyId));
});

test('4.2: who is beyond the quota of the month hears so before the model is asked', async () => {
  const who = await tenant('developer', { limits: { tokens_limit_month: 400 } });
  const script = provider.script({ deltas: ['Never ', 'said.'] });
  const message = `What holds a small team of sailors together? ${script.token}`;
  for (const ask of [() => who.v1('self.soul.dialogue', { message }), () => who.invoke('self.soul.challenge', { message }), () => who.universal('self.soul.reflect', { message }), () => who.compose(['self.soul.dialogue'], { initial_input: message }), () => who.stream('self.soul.challenge', { message })]) {
    const { status, text } = await ask();
    assert.equal(status, 429, text);
    assert.match(text, /quota exceeded/i);
  }
  assert.equal(script.requests.length, 0);
  assert.equal((await who.invoke('void.entropy.sample')).status, 200, 'what costs no tokens goes on');
});

test('4.2: the tokens of an answer count', async () => {
  const who = await tenant('developer', { limits: { tokens_limit_month: 505 } });
  const script = provider.script({ deltas: ['Hold ', 'on ', 'to ', 'the ', 'doubts.'] });
  const message = `What holds a small team of sailors together? ${script.token}`;
  const first = await who.v1('self.soul.dialogue', { message });
  assert.equal(first.status, 200, first.text);
  assert.ok(first.body.tokens_used > 5);
  await until(async () => (await who.v1('self.soul.dialogue', { message })).status === 429, 'the next to be refused');
});

test('10: a client that leaves a composition lets no further stage begin', async () => {
  const who = await tenant();
  const script = provider.script({ deltas: ['Hold ', 'on.'], gated: true });
  const initial_input = `What holds a small team of sailors together? ${script.token}`;
  const leave = new AbortController();
  const left = fetch(`${server.url}/api/v1/compose`, {
    method: 'POST',
    signal: leave.signal,
    headers: { 'X-API-Key': who.key, 'X-Observer-Archetype': 'developer', 'Content-Type': 'application/json' },
    body: JSON.stringify({ paths: ['self.soul.dialogue', 'void.gratitude.tithe'], initial_input }),
  }).catch((error) => error.name);
  await until(() => script.requests.length === 1, 'the model to be asked');
  leave.abort();
  assert.equal(await left, 'AbortError');
  // The server has heard of it when a request that came later is answered on every thread; then the first stage may end.
  await Promise.all(Array.from({ length: 32 }, () => who.ok('void.entropy.sample')));
  script.release();
  const marks = async (aspect) => (await db.query('SELECT 1 FROM kg.agentese_events WHERE tenant_id = $1 AND aspect = $2 AND event_type = $3', [who.tenant, aspect, 'invoked'])).rows.length;
  await until(async () => (await marks('dialogue')) === 1, 'the mark of the first stage');
  await who.ok('void.entropy.status');
  await until(async () => (await marks('status')) === 1, 'a mark behind it');
  assert.equal(await marks('tithe'), 0);
});

test('7: a token is narrowed by whoever holds it, and never widened', async () => {
  const who = await tenant();
  const reader = new Observer(server, (await addKey(db, who.tenant, { scopes: ['read'] })).key, 'developer');
  const mint = (by, body) => by.post('/v1/agentese/capabilities', body);
  const wide = (await mint(who, { scopes: ['memory:write', 'state:write'] })).body.token;
  const narrow = await mint(reader, { parent: wide, scopes: ['memory:write'] });
  assert.equal(narrow.status, 201, narrow.text);
  const bearer = (capability) => reader.as('developer', { capability });
  assert.equal((await bearer(wide).invoke('self.state.checkpoint')).status, 200);
  assert.equal((await bearer(narrow.body.token).invoke('self.memory.engram', { key: 'k', data: 1 })).status, 200);
  assert.equal((await bearer(narrow.body.token).invoke('self.state.checkpoint')).status, 403);
  for (const body of [{ parent: narrow.body.token, scopes: ['memory:write', 'state:write'] }, { parent: narrow.body.token, scopes: ['*'] }, { parent: narrow.body.token, resources: ['*'] }, { scopes: ['*'] }]) {
    const { status, text } = await mint(reader, body);
    if (status !== 201) {
      assert.ok([400, 401, 403].includes(status), text);
      continue;
    }
    // What was given instead is no more than there was.
    const { token } = JSON.parse(text);
    assert.equal((await bearer(token).invoke('self.state.checkpoint')).status, 403, `${JSON.stringify(Object.keys(body))} widened: ${text}`);
  }
  const short = (await mint(who, { scopes: ['memory:write'], expires_in: 1 })).body.token;
  await until(async () => (await bearer(short).invoke('self.memory.engram', { key: 'k', data: 1 })).status !== 200, 'the token to expire');
  for (const bad of ['', 'x', 'e30', Buffer.from('{"scopes":["*"]}').toString('base64url'), `${wide}x`]) {
    const { status } = await bearer(bad).invoke('self.memory.engram', { key: 'k', data: 1 });
    assert.ok([400, 401, 403].includes(status), `${bad}: ${status}`);
  }
  // Each bit of it is signed.
  const parts = JSON.parse(Buffer.from(wide, 'base64url'));
  for (const change of [{ scopes: ['*'] }, { audience: 'did:kgents:tenant:00000000-0000-0000-0000-000000000000' }, { expires_at: '2099-01-01T00:00:00+00:00' }, { proof: '' }, { resources: ['*'] }]) {
    const forged = Buffer.from(JSON.stringify({ ...parts, ...change })).toString('base64url');
    const { status, text } = await bearer(forged).invoke('self.memory.engram', { key: 'k', data: 1 });
    assert.ok([400, 401, 403].includes(status), `${JSON.stringify(change)}: ${text}`);
  }
});

test('2.5: a revoked key ends its socket and is refused', async () => {
  const who = await tenant();
  const socket = new Socket(new WebSocket(`${server.url.replace('http', 'ws')}/agentese/ws/void/entropy`, { headers: { 'X-API-Key': who.key } }));
  await new Promise((resolve) => socket.ws.on('open', resolve));
  socket.send({ aspect: 'status' });
  assert.equal((await socket.next()).type, 'result');
  await db.query('UPDATE kg.api_keys SET is_active = false, revoked_at = now() WHERE id = $1', [who.keyId]);
  const { code } = await socket.closed;
  assert.equal(code, 4401);
  assert.equal((await who.invoke('void.entropy.status')).status, 401);
});

test('12: a socket has bounds: requests under way, frames', async () => {
  const who = await tenant();
  const open = async () => {
    const socket = new Socket(new WebSocket(`${server.url.replace('http', 'ws')}/agentese/ws/self/soul`, { headers: { 'X-API-Key': who.key, 'X-Observer-Archetype': 'developer' } }));
    await new Promise((resolve) => socket.ws.on('open', resolve));
    return socket;
  };
  const many = await open();
  const script = provider.script({ deltas: ['one ', 'two'], gated: true });
  for (let i = 0; i < 12; i++) many.send({ id: `q${i}`, aspect: 'why', kwargs: { topic: `sailing alone at night, part ${i} ${script.token}` } });
  const refused = [];
  while (refused.length < 4) {
    const message = await many.next('a refusal');
    if (message.type === 'error') refused.push(message);
  }
  assert.ok(refused.every((x) => x.status === 429), JSON.stringify(refused[0]));
  script.release();
  many.ws.terminate();

  const large = await open();
  large.ws.on('error', () => {});
  large.send({ aspect: 'dialogue', kwargs: { message: 'x'.repeat(1100 * 1024) } });
  assert.equal((await large.closed).code, 1009);
});

test('15: what bores is made again; without expectations nothing is in the way', async () => {
  const who = await tenant('philosopher');
  const script = provider.script({ deltas: ['Justice is what is owed.'] });
  const refine = async () => (await who.loose('concept.justice.refine', { challenge: `what of strangers? ${script.token}` })).refined;
  const plain = await refine();
  assert.ok(plain.length > 0);
  const once = script.requests.length;
  await who.loose('self.judgment.expectations', { set_key: 'prior', set_value: await who.loose('concept.justice.refine', { challenge: `what of strangers? ${script.token}` }) });
  const before = script.requests.length;
  assert.ok((await refine()).length > 0, 'the original is answered when nothing better comes');
  assert.ok(script.requests.length - before >= once, 'it was asked for');
});

test('what was answered outlives kill -9', async () => {
  const who = await tenant('architect');
  await who.loose('world.house.define', { name: 'room', spec: 'a room' });
  await who.loose('world.house.transform', { changes: { dimensions: { width: 4 } } });
  await who.ok('self.memory.engram', { key: 'kept', data: 'gulls' });
  await who.ok('self.state.checkpoint', { label: 'before' });
  await who.ok('self.judgment.calibrate', { low: 0.2, high: 0.7 });
  await who.ok('self.capabilities.acquire', { capability: 'sailing' });
  await who.loose('concept.boat.define', { name: 'boat', spec: 'what floats', extends: ['concept.entity'] });
  await who.ok('void.entropy.sip', { amount: 30 });
  await who.ok('void.capital.tithe', { amount: 0.2 });
  const { id } = await who.ok('time.schedule.defer', { path: 'void.entropy.sip', delay: 3600 });
  await who.put('/v1/agentese/aliases/boat', { target: 'concept.boat' });
  await who.ok('self.soul.mode', { set: 'explore' });
  await db.end();
  await server.kill();
  server = await server.restart();
  db = await openDatabase(server.stateDir);
  const again = new Observer(server, who.key, 'architect');
  assert.equal((await again.ok('world.house.manifest')).dimensions.width, 4);
  assert.equal((await again.ok('world.house.room.manifest')).type, 'blueprint');
  assert.deepEqual((await again.ok('self.memory.recall')).memories, ['kept']);
  const { low_threshold: low, high_threshold: high } = await again.ok('self.judgment.calibrate');
  assert.deepEqual([low, high], [0.2, 0.7]);
  assert.ok((await again.ok('self.capabilities.list')).capabilities.includes('sailing'));
  assert.equal((await again.loose('boat.manifest')).summary, 'Concept: boat');
  assert.equal((await again.ok('void.entropy.status')).remaining, 70);
  assert.equal((await again.ok('void.capital.balance')).balance, 0.3);
  assert.deepEqual((await again.ok('time.schedule.list')).actions.map((x) => [x.id, x.status]), [[id, 'pending']]);
  assert.equal((await again.ok('self.soul.mode')).mode, 'explore');
  assert.equal((await again.ok('self.state.restore')).restored, 'before');
});

test('no key, token or text of a caller is ever in the log', async () => {
  const who = await tenant('architect');
  const { token } = (await who.post('/v1/agentese/capabilities', { scopes: ['memory:write'] })).body;
  const secret = 'a-secret-that-nobody-logs';
  await who.as('developer', { capability: token }).invoke('self.memory.engram', { key: 'k', data: secret });
  await who.as('developer', { capability: `${token}x` }).invoke('self.memory.engram', { key: 'k', data: secret });
  await who.get(`/agentese/void/entropy/sample/stream?api_key=${who.key}&x=${secret}`);
  await who.v1(`world.house.${secret}`);
  await who.loose('world.house.transform', { changes: { secret } });
  const stream = await who.as('developer').stream('self.soul.challenge', { message: `${aboutWords(20)} ${secret}`, api_key: who.key });
  await stream.rest?.();
  await who.as('developer').stream('self.soul.flying', { message: secret, api_key: who.key });
  await until(() => server.log.split('\n').some((line) => line.includes('/stream') && line.includes('"status":403')), 'the last request to be logged');
  for (const text of [who.key, token, secret]) assert.ok(!server.log.includes(text), `the log has ${text.slice(0, 12)}…`);
});
