// One session, one turn at a time: waiting, refusing, interrupting, cancelling, joining (design.md 3, 4 and 10).
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, test } from 'node:test';

import { checkAnswer, wholeAnswer } from '../support/answers.mjs';
import { call, caller } from '../support/http.mjs';
import { startProvider, words } from '../support/providers.mjs';
import { openDatabase, startDev } from '../support/server.mjs';
import { addKey, newTenant } from '../support/tenants.mjs';
import { until } from '../support/wait.mjs';

let provider;
let server;
let db;
let who;
let tenant;
before(async () => {
  provider = await startProvider();
  server = await startDev({ env: provider.openai() });
  db = await openDatabase(server.stateDir);
  tenant = await newTenant(db);
  who = caller(server, tenant.key);
});
after(async () => {
  await db?.end();
  await server?.dispose();
  await provider?.close();
});

const gated = (n = 4) => provider.script({ deltas: words(n), gated: true });
const tell = (script) => `Tell me of the sea ${script.token}`;
const turnOf = async (session, turn) => (await who.get(`/v1/kgent/sessions/${session}/turns/${turn}`)).body;
const messagesOf = async (session) => (await who.get(`/v1/kgent/sessions/${session}/messages`)).body.messages;
const cancel = (session) => who.post(`/v1/kgent/sessions/${session}/cancel`);

// A session with a turn that has shown `shown` chunks and waits.
async function busy(shown = 1, more = {}) {
  const session = await who.session();
  const script = gated();
  const post = await who.say(session, tell(script), more);
  script.release(shown);
  if (shown > 0) await post.chunks(shown);
  else await script.arrived();
  return { session, script, post };
}

test('a message sent while a turn runs waits: headers at once, chunks when its turn comes', async () => {
  const { session, script, post } = await busy();
  const next = gated(3);
  const second = await who.say(session, tell(next));
  assert.equal(second.status, 200);
  assert.notEqual(second.turn, post.turn);
  assert.equal((await turnOf(session, second.turn)).status, 'queued');
  assert.equal((await turnOf(session, post.turn)).status, 'running');
  assert.deepEqual((await messagesOf(session)).map((m) => m.role), ['user', 'user'], 'a waiting message is stored at once');
  assert.equal(next.requests.length, 0, 'the model is not asked yet');
  next.release();
  script.release();
  await post.rest();
  checkAnswer(post.seen, { turn: post.turn });
  checkAnswer(await second.rest(), { turn: second.turn });
  assert.equal((await turnOf(session, second.turn)).status, 'completed');
});

test('eight may wait; the next is refused with Retry-After and stored nowhere', async () => {
  const { session, script, post } = await busy();
  const waiting = [];
  for (let i = 0; i < 8; i++) waiting.push(await who.say(session, 'hello'));
  const refused = await who.say(session, 'hello');
  assert.equal(refused.status, 429);
  assert.match(refused.headers['retry-after'], /^\d+$/);
  assert.equal(refused.body.code, 'session_busy');
  assert.equal((await messagesOf(session)).length, 9);
  script.release();
  await post.rest();
  for (const stream of waiting) checkAnswer(await stream.rest(), { turn: stream.turn });
  assert.equal((await messagesOf(session)).length, 18);
});

test('if_busy: reject is 409 while a turn runs and goes through when none does', async () => {
  const { session, script, post } = await busy();
  const refused = await who.say(session, 'hello', { if_busy: 'reject' });
  assert.equal(refused.status, 409);
  assert.equal(refused.body.detail, 'Session is busy');
  script.release();
  await post.rest();
  await wholeAnswer(who, session, 'hello', { if_busy: 'reject' });
  assert.deepEqual((await messagesOf(session)).map((m) => m.role), ['user', 'assistant', 'user', 'assistant']);
});

test('if_busy: interrupt ends the running turn with what it has and starts the new one', async () => {
  const { session, script, post } = await busy(2);
  const answer = await wholeAnswer(who, session, 'hello', { if_busy: 'interrupt' });
  await post.rest();
  const cut = checkAnswer(post.seen, { turn: post.turn });
  assert.deepEqual([cut.finish_reason, cut.text], ['canceled', 'word0 word1 ']);
  await script.gone;
  assert.equal((await turnOf(session, post.turn)).status, 'canceled');
  assert.equal((await turnOf(session, answer.turn)).status, 'completed');
});

test('if_busy and on_disconnect: other words are refused by name', async () => {
  const session = await who.session();
  for (const [field, value] of [['if_busy', 'panic'], ['on_disconnect', 'weep']]) {
    const refused = await who.say(session, 'hello', { [field]: value });
    assert.ok([400, 422].includes(refused.status), `${field}: ${refused.status}`);
    assert.ok(refused.text.includes(field));
  }
});

test('cancel: the turn ends with complete and canceled, the partial answer is stored, only what was made is counted', async () => {
  const { session, script, post } = await busy(2);
  const answer = await cancel(session);
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.body, { turn_id: post.turn, status: 'canceled' });
  await post.rest();
  const complete = checkAnswer(post.seen, { turn: post.turn });
  assert.equal(complete.finish_reason, 'canceled');
  await script.gone;
  assert.deepEqual((await messagesOf(session)).map((m) => [m.role, m.content]), [['user', tell(script)], ['assistant', 'word0 word1 ']]);
  const turn = await turnOf(session, post.turn);
  assert.deepEqual([turn.status, turn.finish_reason, turn.text, turn.chunks], ['canceled', 'canceled', 'word0 word1 ', 2]);
  const { rows } = await db.query('SELECT sum(tokens_in + tokens_out)::int AS n FROM kg.usage_events WHERE session_id = $1', [session]);
  assert.equal(rows[0].n, complete.tokens_used);
  assert.deepEqual((await cancel(session)).body, { turn_id: null, status: 'idle' });
});

test('cancel before the first chunk keeps the question and stores no answer', async () => {
  const { session, script, post } = await busy(0);
  assert.equal((await cancel(session)).body.status, 'canceled');
  const events = await post.rest();
  assert.deepEqual(events.map((e) => e.event), ['complete']);
  assert.deepEqual([events[0].data.finish_reason, events[0].data.text, events[0].data.chunks], ['canceled', '', 0]);
  await script.gone;
  assert.deepEqual((await messagesOf(session)).map((m) => m.role), ['user']);
});

test('cancel needs write, and a session', async () => {
  const session = await who.session();
  const reader = caller(server, (await addKey(db, tenant.id, { scopes: ['read'] })).key);
  assert.equal((await reader.post(`/v1/kgent/sessions/${session}/cancel`)).status, 403);
  assert.equal((await who.post('/v1/kgent/sessions/nonsense/cancel')).status, 400);
});

test('a client that goes away does not end its turn', async () => {
  const { session, script, post } = await busy(1);
  post.close();
  script.release();
  const turn = await until(async () => {
    const row = await turnOf(session, post.turn);
    return row.status === 'completed' && row;
  }, 'the turn to complete without its client');
  assert.equal(turn.text, script.text);
  assert.equal((await messagesOf(session)).at(-1).content, script.text);
});

test('on_disconnect: cancel ends it', async () => {
  const { session, script, post } = await busy(2, { on_disconnect: 'cancel' });
  post.close();
  await script.gone;
  const turn = await until(async () => {
    const row = await turnOf(session, post.turn);
    return row.status !== 'running' && row;
  }, 'the turn to be canceled');
  assert.deepEqual([turn.status, turn.text], ['canceled', 'word0 word1 ']);
  assert.equal((await messagesOf(session)).at(-1).content, 'word0 word1 ');
});

test('on_disconnect: cancel also for a client that waits for the whole answer', async () => {
  const session = await who.session();
  const script = gated();
  const body = JSON.stringify({ message: tell(script), stream: false, on_disconnect: 'cancel' });
  const pending = http.request({ host: server.host, port: server.port, method: 'POST', path: `/v1/kgent/sessions/${session}/messages`, headers: { 'X-API-Key': who.key, 'Content-Length': Buffer.byteLength(body) }, agent: false });
  pending.on('error', () => {});
  pending.end(body);
  await script.arrived();
  script.release(1);
  await until(async () => (await db.query('SELECT 1 FROM kg.turn_chunks c JOIN kg.turns t ON t.id = c.turn_id WHERE t.session_id = $1', [session])).rowCount > 0, 'the first chunk');
  pending.destroy();
  await script.gone;
  await until(async () => (await messagesOf(session)).at(-1).content === 'word0 ', 'the partial answer');
});

test('the same Idempotency-Key joins the same turn, at the same time and later', async () => {
  const session = await who.session();
  const script = gated(5);
  const send = (key = 'k-1', message = tell(script)) => who.say(session, message, {}, { 'Idempotency-Key': key });
  const first = await send();
  script.release(2);
  await first.chunks(2);
  const joined = await Promise.all([send(), send(), send()]);
  for (const stream of joined) assert.equal(stream.turn, first.turn);
  script.release();
  await first.rest();
  const expected = first.seen;
  checkAnswer(expected, { turn: first.turn });
  for (const stream of joined) assert.deepEqual(await stream.rest(), expected);
  const later = await send();
  assert.equal(later.turn, first.turn);
  assert.deepEqual(await later.rest(), expected);
  assert.equal(script.requests.length, 1);
  assert.equal((await messagesOf(session)).length, 2);

  const other = await send('k-1', 'another message');
  assert.equal(other.status, 422, 'the same key with another body');
  const fresh = await send('k-2');
  assert.notEqual(fresh.turn, first.turn);
  await fresh.rest();
  const elsewhere = await who.session();
  const unrelated = await who.say(elsewhere, 'hello', {}, { 'Idempotency-Key': 'k-1' });
  assert.notEqual(unrelated.turn, first.turn);
  await unrelated.rest();
});

test('an Idempotency-Key outlives a restart', async () => {
  const session = await who.session();
  const body = { message: 'Please write about 20 words on salt', stream: false };
  const script = provider.script({ deltas: words(3) });
  body.message += ` ${script.token}`;
  const send = () => call(server, 'POST', `/v1/kgent/sessions/${session}/messages`, { key: who.key, body, headers: { 'Idempotency-Key': 'over the night' } });
  const first = await send();
  assert.equal(first.status, 200);
  await db.end();
  await server.stop();
  server = await server.restart();
  db = await openDatabase(server.stateDir);
  const again = await send();
  assert.equal(again.headers['x-turn-id'], first.headers['x-turn-id']);
  assert.deepEqual(again.body, first.body);
  assert.equal(script.requests.length, 1);
});

test('the pro plan runs 64 turns at once, the next is 429; finished ones give their permits back', async () => {
  const pro = caller(server, (await newTenant(db, { tier: 'pro' })).key);
  const scripts = [];
  const posts = [];
  for (let i = 0; i < 64; i++) {
    scripts.push(gated(1));
    posts.push(await pro.say(await pro.session(), tell(scripts[i])));
    assert.equal(posts[i].status, 200, `turn ${i + 1}`);
  }
  const session = await pro.session();
  const refused = await pro.say(session, 'hello');
  assert.equal(refused.status, 429);
  assert.match(refused.headers['retry-after'], /^\d+$/);
  scripts[0].release();
  await posts[0].rest();
  const accepted = await until(async () => {
    const stream = await pro.say(session, 'hello');
    return stream.status === 200 && stream;
  }, 'a permit to be free again');
  await accepted.rest();
  for (const script of scripts) script.release();
  for (const post of posts.slice(1)) await post.rest();
});

test('the free plan has 100 streams, the next is 429; closed ones give their permits back', async () => {
  const free = caller(server, (await newTenant(db, { tier: 'free' })).key);
  const session = await free.session();
  const path = `/v1/kgent/sessions/${session}/stream`;
  const streams = [];
  for (let i = 0; i < 100; i++) streams.push(await free.stream(path));
  assert.deepEqual([...new Set(streams.map((s) => s.status))], [200]);
  const refused = await free.stream(path);
  assert.equal(refused.status, 429);
  assert.match(refused.headers['retry-after'], /^\d+$/);
  streams[0].close();
  const again = await until(async () => {
    const stream = await free.stream(path);
    return stream.status === 200 && stream;
  }, 'a stream permit to be free again');
  for (const stream of [...streams, again]) stream.close();
});
