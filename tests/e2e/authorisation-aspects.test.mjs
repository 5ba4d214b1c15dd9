// Paths of AGENTESE as an attacker asks them: each aspect of the registry in each dialect with keys that may too little
// (http-api.md 2.5), ids of a stranger inside arguments, and cursors, replays and filters that belong to somebody else.
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';

import WebSocket from 'ws';

import { Observer, slashed } from '../support/agentese.mjs';
import { ask, comparable, newActor } from '../support/authorisation.mjs';
import { caller, openStream } from '../support/http.mjs';
import { startMigratedPostgres } from '../support/postgres.mjs';
import { startServe } from '../support/server.mjs';
import { startStripe } from '../support/stripe.mjs';
import { openSocket, Socket } from '../support/websocket.mjs';

let database, db, stripe, server, owner, stranger;
before(async () => {
  database = await startMigratedPostgres();
  db = await database.connect();
  stripe = await startStripe();
  server = await startServe(database, { env: stripe.env({ KGENTS_EMBEDDED_TOKENS_PER_SECOND: 0 }) });
  owner = await newActor(server, db, stripe);
  stranger = await newActor(server, db, stripe);
});
after(async () => {
  for (const actor of [owner, stranger]) actor?.subscription.close();
  await server?.dispose();
  await stripe?.close();
  await db?.end();
  await database?.dispose();
});

const keyOf = (actor, ...scopes) => [...actor.scoped].find(([x]) => x.join() === scopes.join())[1];

/// The same question in each dialect.
const dialects = {
  v1: (path, kwargs, archetype) => ({ method: 'POST', path: '/v1/agentese/invoke', body: { path, kwargs, observer: { archetype } } }),
  universal: (path, kwargs) => ({ method: 'POST', path: `/api/v1/${slashed(path)}`, body: { kwargs } }),
  gateway: (path, kwargs) => ({ method: 'POST', path: `/agentese/${slashed(path)}`, body: kwargs }),
  stream: (path, kwargs) => ({ method: 'GET', path: `/agentese/${slashed(path)}/stream?${new URLSearchParams(kwargs)}` }),
  composed: (path, kwargs) => ({ method: 'POST', path: '/api/v1/compose', body: { paths: [path], initial_input: kwargs } }),
};

function invoke(key, dialect, path, kwargs = {}, archetype = 'admin') {
  const asked = dialects[dialect](path, kwargs, archetype);
  return ask(server, { ...asked, headers: { 'X-API-Key': key, 'X-Observer-Archetype': archetype, 'X-Observer-Capabilities': 'read,write,admin,*' } });
}

test('every aspect, in every dialect, wants read, and write where it may change something', { timeout: 240000 }, async (t) => {
  const { body } = await ask(server, { method: 'GET', path: '/agentese/discover?include_metadata=true', headers: { 'X-API-Key': owner.wide } });
  const [reader, writer] = [keyOf(owner, 'read'), keyOf(owner, 'write')];
  let [asked, refused] = [0, 0];
  for (const [node, { aspectMetadata }] of Object.entries(body.metadata))
    for (const [aspect, about] of Object.entries(aspectMetadata)) {
      const mayChange = ['MUTATION', 'GENERATION'].includes(about.category) || about.requiredCapability !== null;
      const needsWrite = mayChange && node !== 'self.soul' && about.category !== 'ENTROPY';
      const path = `${node.replaceAll('*', 'something')}.${aspect}`;
      // The universal routes have one holon.
      const spoken = Object.keys(dialects).filter((x) => path.split('.').length === 3 || x === 'v1' || x === 'gateway');
      for (const dialect of spoken) {
        // Who composes manifest asks for it: there it is a verb like any other, and its own route elsewhere.
        const without = await invoke(writer, dialect, path, {}, about.archetypes[0]);
        assert.equal(without.status, 403, `${dialect} ${path} without read: ${without.text}`);
        assert.match(without.text, /'read' scope/, path);
        const answer = await invoke(reader, dialect, path, {}, about.archetypes[0]);
        const forScope = answer.status === 403 && /requires 'write' scope/.test(answer.text);
        assert.equal(forScope, needsWrite, `${dialect} ${path} (${about.category}) with read only: ${answer.status} ${answer.text}`);
        assert.ok(answer.status < 500, `${dialect} ${path}: ${answer.text}`);
        asked += 1;
        refused += forScope;
      }
    }
  t.diagnostic(`${asked} aspects asked, ${refused} refused for their scope`);
  assert.ok(asked > 1000 && refused > 300);
});

test('what may change something is not reached by a socket that may not', async () => {
  const url = `/agentese/ws/self/memory?api_key=${keyOf(owner, 'read')}`;
  const socket = new Socket(new WebSocket(`${server.url.replace('http', 'ws')}${url}`));
  await new Promise((resolve) => socket.ws.on('open', resolve));
  socket.send({ aspect: 'engram', kwargs: { key: owner.things.memory, data: 'overwritten' } });
  const answer = await socket.next('the refusal');
  assert.equal(answer.type, 'error', JSON.stringify(answer));
  assert.match(JSON.stringify(answer), /'write' scope/);
  socket.send({ aspect: 'recall', kwargs: { key: owner.things.memory } });
  assert.ok(JSON.stringify(await socket.next('the memory')).includes(owner.things.secret), 'and it stays open for what it may');
  await socket.close();
});

test('ids of a stranger inside arguments are ids of nothing', async () => {
  const who = new Observer(server, owner.wide, 'admin');
  const crystal = (await who.ok('self.memory.crystallize', { context_window: [{ role: 'user', content: owner.things.secret }], task_id: 't', task_description: owner.things.secret })).crystal_id;
  const token = (await who.ok('self.semaphore.yield', { prompt: owner.things.secret })).token_id;
  const job = (await who.as('developer').loose(`world.${owner.things.node}.build`, {})).job_id;
  const pass = (await who.ok('void.capital.bypass', { cost: 0.1 })).token;
  const grant = await who.ok('void.entropy.sip', { amount: 1 });
  let action;
  for (let i = 0; i < 5; i++) action = (await who.ok('time.schedule.defer', { path: 'void.entropy.sip', delay: 3600, kwargs: {} })).id;
  const like = (id) => id.replace(/[0-9a-f]{6,}/gi, (x) => randomBytes(x.length).toString('hex').slice(0, x.length));
  const other = (id) => {
    if (typeof id !== 'string') return Object.fromEntries(Object.entries(id).map(([name, x]) => [name, typeof x === 'string' ? other(x) : x]));
    return like(id) === id ? id.replace(/\d+/, (x) => `${Number(x) + 3}`.padStart(x.length, '0')) : like(id);
  };
  assert.deepEqual(Object.entries({ crystal, token, job, pass, grant, action }).filter(([, id]) => !id), []);
  const named = [
    ['self.memory.resume', { crystal_id: crystal }],
    ['self.memory.cherish', { crystal_id: crystal }],
    ['self.memory.recall', { key: owner.things.memory }],
    ['self.memory.forget', { key: owner.things.memory }],
    ['self.semaphore.status', { token_id: token }],
    ['world.purgatory.inspect', { token_id: token }],
    ['world.purgatory.resolve', { token_id: token, human_input: 'yes' }],
    ['world.purgatory.cancel', { token_id: token }],
    ['world.jobs.inspect', { job_id: job }],
    ['world.jobs.claim', { job_id: job }],
    ['world.jobs.report', { job_id: job, status: 'done' }],
    ['world.jobs.cancel', { job_id: job }],
    ['self.kgent.history', { session_id: owner.things.session }],
    ['self.kgent.message', { session_id: owner.things.session, message: 'hello' }],
    ['self.memory.play', { session_id: owner.things.session }],
    ['void.capital.redeem', { token: pass }],
    ['void.entropy.pour', { grant }],
    ['time.schedule.cancel', { id: action }],
    ['time.trace.query', { query: owner.things.secret }],
    ['time.past.project', { target: `world.${owner.things.node}`, timestamp: 'now' }],
  ];
  for (const [path, kwargs] of named)
    for (const dialect of ['v1', 'universal', 'gateway']) {
      const absent = Object.fromEntries(Object.entries(kwargs).map(([name, value]) => [name, other(value)]));
      const words = (from) => Object.fromEntries(Object.entries(from).map(([name, value]) => [name, typeof value === 'string' ? value : '-']));
      const theirs = await invoke(stranger.wide, dialect, path, kwargs, 'developer');
      const nothing = await invoke(stranger.wide, dialect, path, absent, 'developer');
      assert.equal(comparable(theirs, words(kwargs)), comparable(nothing, words(absent)), `${dialect} ${path}`);
      // What was asked for may be said back; nothing else of it may.
      for (const word of [owner.things.secret, owner.tenant, owner.things.turn]) if (!Object.values(kwargs).includes(word)) assert.ok(!theirs.text.includes(word), `${dialect} ${path}: ${theirs.text}`);
    }
  // And none of it was touched.
  assert.equal((await who.ok('self.semaphore.status', { token_id: token })).status, 'pending');
  assert.match(JSON.stringify(await who.ok('self.memory.recall', { key: owner.things.memory })), new RegExp(owner.things.secret));
  assert.equal((await who.ok('void.capital.redeem', { token: pass })).valid, true);
  assert.equal((await who.ok('time.schedule.cancel', { id: action })).error, undefined);
  assert.equal((await who.as('developer').ok('world.jobs.claim', { job_id: job })).error, undefined);
});

test('a name nearly right is not completed from a stranger\'s', async () => {
  const near = `${owner.things.node.slice(0, -1)}${owner.things.node.endsWith('0') ? '1' : '0'}`;
  for (const path of [`/agentese/world/${near}/manifest`, `/agentese/query?q=%3Fworld.${owner.things.node.slice(0, -2)}*`, '/agentese/query?q=%3Fworld.*&limit=1000', '/v1/agentese/paths?limit=1000',
    `/v1/agentese/aliases/${owner.things.alias.slice(0, -1)}`, `/agentese/query?q=%3Fworld.*&limit=1000&tenant_id=${owner.tenant}`, `/v1/agentese/query?q=%3Fworld.*&limit=1000&tenant_id=${owner.tenant}`]) {
    const answer = await ask(server, { method: 'GET', path, headers: { 'X-API-Key': stranger.wide, 'X-Observer-Archetype': 'admin' } });
    for (const name of ['node', 'alias', 'secret', 'memory']) assert.ok(!answer.text.includes(owner.things[name]), `${path} tells the ${name}: ${answer.text.slice(0, 300)}`);
  }
});

test('filters take a stranger\'s ids for nobody\'s', async () => {
  const get = (query) => ask(server, { method: 'GET', path: `/v1/usage/events?${query}`, headers: { 'X-API-Key': stranger.wide } });
  for (const [name, theirs] of [['session_id', owner.things.session], ['api_key_id', owner.wideId]]) {
    const absent = randomUUID();
    const [foreign, nothing] = [await get(`${name}=${theirs}`), await get(`${name}=${absent}`)];
    assert.equal(foreign.status, 200);
    assert.equal(comparable(foreign, { x: theirs }), comparable(nothing, { x: absent }), name);
    assert.equal(foreign.body.total ?? foreign.body.items.length, 0);
  }
  const { body } = await ask(server, { method: 'GET', path: '/v1/usage/events?limit=1', headers: { 'X-API-Key': owner.wide } });
  const cursor = body.next_cursor ?? body.cursor;
  if (cursor) assert.ok(!(await get(`cursor=${encodeURIComponent(cursor)}`)).text.includes(owner.wideId), 'a cursor is a place in one\'s own list');
});

test('a cursor of a stranger\'s session is one of no session', async () => {
  const stream = (things, cursor, more = '') => ask(server, { method: 'GET', path: `/v1/kgent/sessions/${things.session}/stream${more}`, headers: { 'X-API-Key': stranger.wide, ...(cursor ? { 'Last-Event-ID': cursor } : {}) } });
  const invented = owner.things.cursor.replace(owner.things.turn, randomUUID());
  const cases = { mine: stranger.things, theirs: owner.things, nobodys: { session: randomUUID() } };
  for (const [whose, things] of Object.entries(cases)) {
    const foreign = await stream(things, owner.things.cursor);
    assert.equal(foreign.status, 404, whose);
    assert.equal(comparable(foreign, things), comparable(await stream(things, invented), things), whose);
    assert.equal(comparable(await stream(things, undefined, `?after=${owner.things.cursor}`), things), comparable(await stream(things, undefined, `?after=${invented}`), things), whose);
  }
  // Another session of the same tenant is no better place for it.
  const second = await caller(server, owner.wide).session();
  const answer = await ask(server, { method: 'GET', path: `/v1/kgent/sessions/${second}/stream`, headers: { 'X-API-Key': owner.wide, 'Last-Event-ID': owner.things.cursor } });
  assert.equal(answer.status, 404);

  const resumed = async (cursor) => {
    const socket = await openSocket(server, stranger.things.session, { key: stranger.wide });
    socket.send({ type: 'resume', after: cursor });
    const { type, ...data } = await socket.next('the answer to resume');
    await socket.close();
    return JSON.stringify({ type, ...data }).replaceAll(cursor, '<cursor>').replaceAll(cursor.split(':')[0], '<turn>');
  };
  const told = await resumed(owner.things.cursor);
  assert.equal(told, await resumed(invented));
  assert.match(told, /"type":"error"/);
});

test('a stranger\'s event is no place to begin a subscription at', async () => {
  const heard = async (cursor) => {
    const stream = await openStream(server, '/agentese/subscribe?pattern=**&ordering=global_clock', { key: stranger.wide, headers: { 'Last-Event-ID': cursor } });
    if (stream.status !== 200) return `${stream.status} ${stream.text}`.replaceAll(cursor, '<event>');
    await new Observer(server, stranger.wide, 'admin').ok('void.entropy.status');
    const events = await stream.take((e) => JSON.stringify(e.data).includes('void.entropy'), 'the own event');
    stream.close();
    assert.ok(!JSON.stringify(events).includes(owner.things.secret));
    return events.slice(0, -1).map((e) => `${e.event} ${JSON.stringify(e.data).replaceAll(cursor, '<event>').replace(/"(id|timestamp|subscribed_at)":"[^"]*"/g, '"$1":""')}`).slice(0, 2).join('\n');
  };
  assert.equal(await heard(owner.things.event), await heard(randomUUID()));
});

test('an Idempotency-Key is the caller\'s own: nobody else hears of its first answer', async () => {
  const once = `once-${randomUUID()}`;
  const minted = (key) => ask(server, { method: 'POST', path: '/v1/kgent/sessions', headers: { 'X-API-Key': key, 'Idempotency-Key': once }, body: { title: owner.things.secret } });
  const first = await minted(owner.wide);
  assert.equal(first.status, 200);
  assert.equal((await minted(owner.wide)).body.id, first.body.id, 'its own replay');
  for (const key of [stranger.wide, keyOf(owner, 'read', 'write', 'admin')]) {
    const answer = await minted(key);
    assert.equal(answer.status, 200, answer.text);
    assert.notEqual(answer.body.id, first.body.id);
    assert.equal(answer.headers['idempotent-replayed'], undefined);
  }
  const say = (key, session, message = 'Hello') => ask(server, { method: 'POST', path: `/v1/kgent/sessions/${session}/messages`, headers: { 'X-API-Key': key, 'Idempotency-Key': once }, body: { message, stream: false } });
  const said = await say(owner.wide, owner.things.session);
  assert.equal(said.status, 200, said.text);
  const foreign = await say(stranger.wide, stranger.things.session);
  assert.equal(foreign.status, 200);
  assert.notEqual(foreign.body.id, said.body.id);
  const absent = randomUUID();
  assert.equal(comparable(await say(stranger.wide, owner.things.session), owner.things), comparable(await say(stranger.wide, absent), { session: absent }));
  // A replay needs the scope as the first one did.
  for (const [path, body] of [['/v1/kgent/sessions', { title: owner.things.secret }], [`/v1/kgent/sessions/${owner.things.session}/messages`, { message: 'Hello', stream: false }]])
    assert.equal((await ask(server, { method: 'POST', path, headers: { 'X-API-Key': keyOf(owner, 'read'), 'Idempotency-Key': once }, body })).status, 403);
});
