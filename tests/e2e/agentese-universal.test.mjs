// http-api.md 11, 12, 13.8: the universal protocol, the gateway, their errors and the gateway's sockets.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import SwaggerParser from '@apidevtools/swagger-parser';
import WebSocket from 'ws';

import { Observer, contexts } from '../support/agentese.mjs';
import { aboutWords } from '../support/answers.mjs';
import { call } from '../support/http.mjs';
import { openDatabase, startDev } from '../support/server.mjs';
import { newTenant } from '../support/tenants.mjs';
import { Inbox, within } from '../support/wait.mjs';

let server;
let db;
let ana;
before(async () => {
  server = await startDev({ env: { KGENTS_EMBEDDED_TOKENS_PER_SECOND: 0 } });
  db = await openDatabase(server.stateDir);
  ana = await tenant();
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
/// A request with headers of its own.
const plain = (method, path, { key = ana.key, ...options } = {}) => call(server, method, path, { key, ...options });

test('13.8/51: a manifest has its envelope, and the observer of the headers', async () => {
  const { status, body } = await plain('GET', '/api/v1/world/field/manifest', { headers: { 'X-Observer-Archetype': 'architect' } });
  assert.equal(status, 200);
  assert.deepEqual(Object.keys(body), ['handle', 'result', 'meta']);
  assert.equal(body.handle, 'world.field.manifest');
  assert.equal(body.result.type, 'blueprint');
  assert.deepEqual(Object.keys(body.meta).sort(), ['cached', 'duration_ms', 'laws_verified', 'observer', 'span_id', 'timestamp']);
  assert.equal(body.meta.observer, 'architect');
  assert.match(body.meta.span_id, /^[0-9a-f]{16}$/);
  assert.ok(Math.abs(Date.parse(body.meta.timestamp) - Date.now()) < 60e3);
  assert.equal(body.meta.cached, false);
  assert.equal((await plain('GET', '/api/v1/world/field/manifest')).body.meta.observer, 'viewer');
  assert.equal((await plain('GET', '/api/v1/world/field/manifest', { headers: { 'X-Observer-Archetype': 'custom-archetype' } })).body.meta.observer, 'custom-archetype');
});

test('13.8/52: an unknown context is a syntax error that lists the five', async () => {
  for (const [method, path] of [['GET', '/api/v1/invalid/x/manifest'], ['POST', '/api/v1/invalid/x/manifest'], ['GET', '/api/v1/invalid/x/affordances'], ['GET', '/api/v1/invalid/x/resolve'], ['GET', '/api/v1/invalid/x/y/stream']]) {
    const { status, body } = await plain(method, path, method === 'POST' ? { body: {} } : {});
    assert.equal(status, 400, `${method} ${path}`);
    assert.equal(body.detail.error, "Invalid context: 'invalid'", `${method} ${path}`);
    assert.equal(body.detail.code, 'SYNTAX_ERROR');
    assert.deepEqual(body.detail.available, contexts);
    assert.ok(contexts.every((name) => body.detail.suggestion.includes(name)), 'and names them');
  }
});

test('13.8/53: compose refuses what is no path before anything runs', async () => {
  const short = await ana.compose(['world.house']);
  assert.equal(short.status, 400);
  assert.deepEqual([short.body.detail.error, short.body.detail.code, short.body.detail.suggestion], ["Path 'world.house' must include aspect", 'SYNTAX_ERROR', 'Format: context.holon.aspect']);
  const bad = await ana.compose(['world.house.manifest', 'bad.holon.aspect']);
  assert.equal(bad.status, 400);
  assert.equal(bad.body.detail.error, "Invalid context 'bad' in path 'bad.holon.aspect'");
  assert.deepEqual(bad.body.detail.available, contexts);
});

test('13.8/54: two paths, two entries in order, both laws', async () => {
  const { pipeline_trace: trace, laws_verified: laws } = await ana.composed(['world.field.manifest', 'void.entropy.status']);
  assert.deepEqual(trace.map((x) => x.path), ['world.field.manifest', 'void.entropy.status']);
  assert.deepEqual(laws, ['identity', 'associativity']);
  assert.deepEqual((await ana.composed(['world.field.manifest', 'void.entropy.status'], { emit_law_check: false })).laws_verified, []);
});

test('13.8/55: affordances and resolve answer also for what is not there', async () => {
  const affordances = await ana.get('/api/v1/world/field/affordances');
  assert.deepEqual(Object.keys(affordances.body), ['path', 'affordances', 'observer_archetype', 'handle']);
  assert.ok(affordances.body.affordances.includes('manifest'));
  assert.equal(affordances.body.observer_archetype, 'developer');
  const absent = await ana.get('/api/v1/world/never_seen/resolve');
  assert.equal(absent.status, 200);
  assert.deepEqual([absent.body.path, absent.body.context, absent.body.holon, absent.body.exists, absent.body.is_jit], ['world.never_seen', 'world', 'never_seen', false, false]);
  assert.ok(Array.isArray(absent.body.affordances));
  const there = await ana.get('/api/v1/void/entropy/resolve');
  assert.equal(there.body.exists, true);
});

test('11: the observer of the body beats the headers; capabilities without blanks', async () => {
  const { status, body } = await ana.universal('world.field.manifest', {}, { observer: { archetype: 'poet', id: 'x', capabilities: [] } });
  assert.deepEqual([status, body.meta.observer, body.result.type], [200, 'poet', 'poetic']);
  assert.equal((await ana.universal('world.field.manifest', {}, { observer: { archetype: 7 } })).status, 422);
  assert.equal((await ana.universal('world.field.manifest', {}, { observer: [] })).status, 422);
  assert.equal((await plain('GET', '/api/v1/world/field/manifest', { headers: { 'X-Observer-Capabilities': ' , read,, ,write ' } })).status, 200);
  const bare = await plain('POST', '/api/v1/world/field/manifest');
  assert.equal(bare.status, 200, 'the body is optional');
});

test('11: each error has its code, a suggestion and a span', async () => {
  const cases = [
    [() => ana.universal('world.field.demolish'), 403, 'AFFORDANCE_DENIED'],
    [() => ana.universal('self.memory.allocate'), 403, 'AFFORDANCE_DENIED'],
    [() => plain('GET', '/api/v1/world/HOUSE/manifest'), 400, 'SYNTAX_ERROR'],
    [() => ana.universal('void.entropy.sip', { amount: 1e6 }), 402, 'BUDGET_EXHAUSTED'],
    [() => ana.universal('void.capital.bypass', { cost: 0.9 }), 402, 'BUDGET_EXHAUSTED'],
    [() => ana.as('architect').universal('concept.x.define', { name: 'x', spec: 'x', extends: [] }), 422, 'LAW_VIOLATION'],
    [() => ana.universal('void.entropy.sip', { amount: -1 }), 400],
  ];
  for (const [ask, status, code] of cases) {
    const { status: got, text, body } = await ask();
    assert.equal(got, status, text);
    const { detail } = body;
    if (code) assert.equal(detail.code, code, text);
    for (const name of ['error', 'code', 'path', 'suggestion', 'available', 'why', 'span_id']) assert.ok(name in detail, `${name} in ${text}`);
    assert.ok(detail.error.length > 0 && detail.suggestion.length > 10, text);
  }
  const denied = (await ana.universal('world.field.demolish')).body.detail;
  assert.ok(denied.available.includes('manifest') && !denied.available.includes('demolish'));
  const refused = await ana.universal('self.identity.evolve');
  assert.equal(refused.status, 451);
});

// Section 12.
test('12: discovery, whole and by context', async () => {
  const { body } = await ana.get('/agentese/discover');
  assert.deepEqual(Object.keys(body), ['paths', 'forms', 'stats']);
  for (const name of contexts) {
    const one = await ana.get(`/agentese/discover/${name}`);
    assert.deepEqual([one.status, one.body.context], [200, name]);
    assert.deepEqual(one.body.paths, body.paths.filter((x) => x.startsWith(`${name}.`)));
  }
  const bad = await ana.get('/agentese/discover/earth');
  assert.equal(bad.status, 400);
  assert.match(bad.body.detail.error, /^Invalid context: earth\. Valid: world, self, concept, void, time$/);
  const more = (await ana.get('/agentese/discover?include_metadata=true')).body;
  assert.ok(!('schemas' in more));
  const recall = more.metadata['self.memory'].aspectMetadata.recall;
  assert.deepEqual([recall.category, recall.requiredCapability, recall.effects], ['PERCEPTION', null, ['reads:memory']]);
  assert.deepEqual(more.metadata['self.memory'].aspectMetadata.forget.requiredCapability, 'write');
});

test('12: the OpenAPI document of all aspects is valid', async () => {
  const { status, body } = await ana.get('/agentese/openapi.json');
  assert.equal(status, 200);
  assert.match(body.openapi, /^3\.1\./);
  assert.ok(Object.keys(body.paths).length > 20);
  assert.match(JSON.stringify(body), /"x-agentese"/);
  await SwaggerParser.validate(structuredClone(body));
});

test('12: places and actions', async () => {
  const manifest = await ana.get('/agentese/self/soul/manifest');
  assert.deepEqual([manifest.body.path, manifest.body.aspect, manifest.body.result.mode], ['self.soul', 'manifest', 'reflect']);
  const affordances = await ana.get('/agentese/void/entropy/affordances');
  assert.equal(affordances.body.path, 'void.entropy');
  assert.ok(affordances.body.affordances.includes('sip'));
  const read = await ana.get('/agentese/void/metabolism/oblique?seed=4');
  assert.deepEqual([read.body.path, read.body.aspect], ['void.metabolism', 'oblique']);
  assert.deepEqual((await ana.invoke('void.metabolism.oblique', { seed: 4 })).body.result, read.body.result, 'a text of the query is the number');
  for (const body of ['', 'no json', '[1]', '7', 'null']) assert.equal((await plain('POST', '/agentese/void/entropy/sample', { body })).status, 200, `kwargs from ${body}`);
  const guest = await plain('GET', '/agentese/self/soul/dialogue?message=x');
  assert.equal(guest.status, 403, 'without headers the observer is a guest');
  const deep = await ana.get('/agentese/self/memory/crystal/manifest');
  assert.ok([200, 404].includes(deep.status), deep.text);
});

test('12: no key, no answer', async () => {
  for (const [method, path] of [['GET', '/agentese/discover'], ['GET', '/agentese/void/entropy/manifest'], ['POST', '/agentese/void/entropy/sip'], ['GET', '/api/v1/world/field/manifest'], ['POST', '/api/v1/compose'], ['GET', '/agentese/self/soul/challenge/stream']]) {
    const { status, headers } = await call(server, method, path, method === 'POST' ? { body: {} } : {});
    assert.equal(status, 401, `${method} ${path}`);
    assert.match(headers['www-authenticate'], /^Bearer/);
  }
});

test('12: errors tell their category and a next step', async () => {
  for (const [path, kwargs, status, category] of [
    ['void.entropy.sip', { amount: 1e6 }, 402, 'quota_exceeded'],
    ['void.entropy.sip', { amount: 'x' }, 400, 'invalid_input'],
    ['self.memory.allocate', {}, 403, 'forbidden'],
    ['world.nobody.manifest', {}, 404],
    ['earth.house.manifest', {}, 404],
    ['self.identity.evolve', {}, 451],
  ]) {
    const detail = await ana.refused(path, kwargs, status);
    if (category) assert.equal(detail.category, category, path);
    assert.ok((detail.message ?? detail.error ?? detail.reason).length > 0);
    if (status !== 451) assert.ok((detail.suggested_action ?? detail.suggestion).length > 5, path);
    assert.match(detail.trace_id, /^[0-9a-f]{32}$/, path);
  }
});

test('4.2: invocations count against the day, looking around does not', async () => {
  const few = await tenant('developer', { tier: 'enterprise', limits: { requests_per_day: null }, key: { requests_per_day: 5 } });
  for (let i = 0; i < 8; i++) {
    assert.equal((await few.get('/agentese/void/entropy/manifest')).status, 200);
    assert.equal((await few.get('/api/v1/world/x/manifest')).status, 200);
    assert.equal((await few.get('/v1/agentese/resolve?path=world.house')).status, 200);
    assert.equal((await few.get('/agentese/discover')).status, 200);
  }
  assert.equal((await few.v1('void.entropy.sample')).status, 200);
  assert.equal((await few.universal('void.entropy.sample')).status, 200);
  assert.equal((await few.invoke('void.entropy.sample')).status, 200);
  assert.equal((await few.get('/agentese/void/entropy/sample')).status, 200);
  assert.equal((await few.compose(['void.entropy.sample'])).status, 200);
  const sixth = await few.invoke('void.entropy.sample');
  assert.equal(sixth.status, 429);
  assert.match(sixth.text, /Rate limit exceeded\. 5 requests per day allowed\./);
  assert.equal((await few.get('/agentese/void/entropy/manifest')).status, 200, 'places stay open');
});

// WebSocket.
async function socket(path, { key = ana.key, archetype = 'developer', at = server } = {}) {
  const ws = new WebSocket(`${at.url.replace('http', 'ws')}/agentese/ws/${path}`, { headers: { 'X-API-Key': key, 'X-Observer-Archetype': archetype } });
  const inbox = new Inbox();
  ws.on('message', (text) => inbox.push(JSON.parse(text)));
  ws.on('close', () => inbox.end());
  const status = await within(new Promise((resolve) => {
    ws.on('open', () => resolve(101));
    ws.on('unexpected-response', (_, response) => resolve(response.statusCode));
    ws.on('error', () => {});
  }), 'the handshake');
  return { ws, status, say: (frame) => ws.send(typeof frame === 'string' ? frame : JSON.stringify(frame)), next: (what) => inbox.next(what), close: () => ws.terminate() };
}

test('12: a socket answers request after request, and stays open', async () => {
  const s = await socket('void/entropy');
  assert.equal(s.status, 101);
  try {
    s.say({});
    assert.equal((await s.next()).type, 'result', 'manifest by default');
    s.say({ aspect: 'status', kwargs: {} });
    const { type, data } = await s.next();
    assert.deepEqual([type, data.initial], ['result', 100]);
    for (const bad of ['no json', '[]', { aspect: 'FLY' }, { aspect: 'fly' }, { aspect: 'sip', kwargs: 7 }, { aspect: 'sip', kwargs: { amount: -1 } }, { observer: 'x' }]) {
      s.say(bad);
      const answer = await s.next();
      assert.equal(answer.type, 'error', JSON.stringify(bad));
      assert.ok(answer.error.length > 0);
    }
    s.say({ aspect: 'status', observer: { archetype: 'guest' } });
    assert.equal((await s.next()).type, 'result', 'still open');
    for (let i = 0; i < 5; i++) s.say({ id: `r${i}`, aspect: 'sample' });
    const ids = new Set();
    for (let i = 0; i < 5; i++) ids.add((await s.next()).id);
    assert.equal(ids.size, 5);
  } finally {
    s.close();
  }
  assert.equal((await socket('void/entropy', { key: 'kg_nobody' })).status, 401);
});

test('12: the soul speaks over a socket word by word', async () => {
  const s = await socket('self/soul');
  try {
    s.say({ aspect: 'challenge', kwargs: { message: aboutWords(60) } });
    let text = '';
    let index = 0;
    for (;;) {
      const { type, data, ...rest } = await s.next();
      if (type === 'done') {
        if (rest.result !== undefined) assert.equal(rest.result, text);
        break;
      }
      assert.equal(type, 'chunk');
      assert.equal(data.index, index++);
      text += data.content;
    }
    assert.ok(index > 5);
    s.say({ aspect: 'starters' });
    assert.equal((await s.next()).type, 'result');
  } finally {
    s.close();
  }
});
