// One answer, many readers: POST streams, followers over SSE, the WebSocket protocol (http-api.md 7.5, design.md 3 and 10).
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';

import { aboutWords, checkAnswer, partsOf, wholeAnswer } from '../support/answers.mjs';
import { call, caller, isFinal } from '../support/http.mjs';
import { startProvider, words } from '../support/providers.mjs';
import { openDatabase, startDev } from '../support/server.mjs';
import { addKey, newTenant } from '../support/tenants.mjs';
import { until } from '../support/wait.mjs';
import { openSocket } from '../support/websocket.mjs';

let provider;
let server;
let db;
let who;
let quiet;
before(async () => {
  provider = await startProvider();
  server = await startDev({ env: { ...provider.openai(), KGENTS_LLM: 'openai,embedded' } });
  db = await openDatabase(server.stateDir);
  who = caller(server, (await newTenant(db)).key);
  // Opened first and looked at last, so that their silence costs the run no time of its own.
  const idle = await who.session();
  quiet = { stream: await who.stream(streamPath(idle)), socket: await openSocket(server, idle, { key: who.key }) };
});
after(async () => {
  await db?.end();
  await server?.dispose();
  await provider?.close();
});

const streamPath = (session, query = '') => `/v1/kgent/sessions/${session}/stream${query}`;
const frames = (events) => events.map((e) => [e.event, e.id, JSON.stringify(e.data)]);
const scripted = (n, options) => provider.script({ deltas: words(n), ...options });
const tell = (script) => `Tell me of the river ${script.token}`;

test('the streaming answer has its headers, its frames and its end', async () => {
  const script = scripted(6);
  const stream = await who.say(await who.session(), tell(script));
  assert.equal(stream.status, 200);
  assert.equal(stream.headers['content-type'], 'text/event-stream; charset=utf-8');
  assert.equal(stream.headers['cache-control'], 'no-cache');
  assert.equal(stream.headers['x-accel-buffering'], 'no');
  assert.match(stream.turn, /^[0-9a-f-]{36}$/);
  const complete = checkAnswer(await stream.rest(), { turn: stream.turn });
  assert.equal(complete.text, script.text);
  assert.equal(complete.finish_reason, 'stop');
  assert.ok(complete.tokens_used >= 6, 'tokens as the provider reported them');
});

test('a chunk goes out when it is there, not when the answer is done', async () => {
  const script = scripted(3, { gated: true });
  const stream = await who.say(await who.session(), tell(script));
  for (let i = 0; i < 3; i++) {
    script.release(1);
    const [event] = await stream.chunks(1);
    assert.deepEqual(event.data, { text: `word${i} `, index: i });
  }
  script.release();
  assert.equal((await stream.rest()).at(-1).event, 'complete');
});

test('the followers of a removed session hear its last turn end, and then end themselves', async () => {
  const session = await who.session();
  const script = scripted(5, { gated: true });
  const follower = await who.stream(streamPath(session));
  const socket = await openSocket(server, session, { key: who.key });
  const stream = await who.say(session, tell(script));
  script.release(2);
  await stream.chunks(2);
  assert.equal((await call(server, 'DELETE', `/v1/kgent/sessions/${session}`, { key: who.key })).status, 204);
  assert.equal((await stream.rest()).at(-1).data.finish_reason, 'canceled');
  assert.equal((await follower.rest()).at(-1).data.finish_reason, 'canceled');
  assert.equal((await socket.closed).code, 1000);
});

test('what was shown is in PostgreSQL', async () => {
  const script = scripted(5, { gated: true });
  const stream = await who.say(await who.session(), tell(script));
  for (let i = 0; i < 5; i++) {
    script.release(1);
    await stream.chunks(1);
    const { rows } = await db.query('SELECT count(*)::int AS n FROM kg.turn_chunks WHERE turn_id = $1', [stream.turn]);
    assert.ok(rows[0].n > i, `chunk ${i} was shown and ${rows[0].n} are stored`);
  }
  script.release();
  await stream.rest();
  const { rows } = await db.query('SELECT count(*)::int AS n FROM kg.turn_chunks WHERE turn_id = $1', [stream.turn]);
  assert.equal(rows[0].n, 0, 'the chunk rows go when the message is stored');
});

test('a follower from now hears every turn by anybody, each opened by its turn event', async () => {
  const session = await who.session({ mode: 'advise' });
  await wholeAnswer(who, session, aboutWords(20, 'the past'));
  const follower = await who.stream(streamPath(session));
  assert.equal(follower.status, 200);
  assert.equal(follower.headers['content-type'], 'text/event-stream; charset=utf-8');
  const told = [];
  for (let i = 0; i < 3; i++) told.push(await wholeAnswer(who, session, tell(scripted(5))));
  for (const answer of told) {
    const events = await follower.turnEvents(answer.turn);
    const [opening, ...rest] = events;
    assert.equal(opening.event, 'turn');
    assert.deepEqual(Object.keys(opening.data).sort(), ['message_id', 'mode', 'turn_id']);
    assert.equal(opening.data.turn_id, answer.turn);
    assert.equal(opening.data.mode, 'advise');
    assert.equal(partsOf(opening.id).index, '-');
    assert.deepEqual(frames(rest), frames(answer.events), 'the same frames with the same ids as on the POST');
    const { rows } = await db.query('SELECT role FROM kg.messages WHERE id = $1', [opening.data.message_id]);
    assert.deepEqual(rows, [{ role: 'user' }]);
  }
  follower.close();
});

test('a follower that joins in mid-turn hears turn and then the turn from its first chunk', async () => {
  const session = await who.session();
  const script = scripted(6, { gated: true });
  const post = await who.say(session, tell(script));
  script.release(3);
  await post.chunks(3);
  const late = await who.stream(streamPath(session));
  const head = await late.take((e) => e.data.index === 2);
  assert.deepEqual(head.map((e) => e.data.index ?? 'turn'), ['turn', 0, 1, 2]);
  script.release();
  const tail = await late.turnEvents();
  checkAnswer([...head, ...tail], { turn: post.turn });
  late.close();
});

test('?after= and Last-Event-ID give exactly what follows, over several turns', async () => {
  const session = await who.session();
  const follower = await who.stream(streamPath(session));
  const all = [];
  for (let i = 0; i < 3; i++) {
    await wholeAnswer(who, session, tell(scripted(4)));
    all.push(...(await follower.turnEvents()));
  }
  follower.close();
  for (const at of [0, 1, 4, 5, 6, 11, all.length - 2]) {
    const rest = all.slice(at + 1);
    for (const open of [() => who.stream(streamPath(session, `?after=${encodeURIComponent(all[at].id)}`)), () => who.stream(streamPath(session), { 'Last-Event-ID': all[at].id })]) {
      const stream = await open();
      assert.deepEqual(frames(await stream.take((e) => e.id === all.at(-1).id)), frames(rest), `after event ${at}`);
      stream.close();
    }
  }
});

test('after the last event there is silence until the next turn', async () => {
  const session = await who.session();
  const first = await wholeAnswer(who, session, tell(scripted(3)));
  const stream = await who.stream(streamPath(session, `?after=${first.events.at(-1).id}`));
  const second = await wholeAnswer(who, session, tell(scripted(3)));
  const events = await stream.turnEvents();
  assert.equal(events[0].data.turn_id, second.turn);
  checkAnswer(events, { turn: second.turn });
  stream.close();
});

test('several followers and several senders see one order', async () => {
  const session = await who.session();
  const followers = [];
  for (let i = 0; i < 5; i++) followers.push(await who.stream(streamPath(session)));
  const answers = await Promise.all([1, 2, 3, 4].map((i) => wholeAnswer(who, session, tell(scripted(3 + i)))));
  const views = [];
  for (const follower of followers) {
    let ends = 0;
    views.push(frames(await follower.take((e) => isFinal(e) && ++ends === answers.length)));
    follower.close();
  }
  for (const view of views) assert.deepEqual(view, views[0]);
  const turns = views[0].filter(([event]) => event === 'turn').map(([, id]) => partsOf(id).turn);
  assert.deepEqual([...turns].sort(), answers.map((a) => a.turn).sort());
  const stored = (await who.get(`/v1/kgent/sessions/${session}/messages`)).body.messages.map((m) => m.role);
  assert.equal(stored.filter((role) => role === 'assistant').length, 4);
});

test('a stream of a session that is not there, or not a session, is refused before it begins', async () => {
  assert.equal((await who.stream(streamPath(randomUUID()))).status, 404);
  assert.equal((await who.stream(streamPath('nonsense'))).status, 400);
  const session = await who.session();
  for (const cursor of ['nonsense', '1', `${randomUUID()}:x:0`, `${randomUUID()}:1:-7`, `${randomUUID()}:1:0:0`])
    assert.equal((await who.stream(streamPath(session, `?after=${encodeURIComponent(cursor)}`))).status, 400, cursor);
  assert.equal((await who.stream(streamPath(session, `?after=${randomUUID()}:1:0`))).status, 404);
});

test('HEAD and other methods on a stream do not open one', async () => {
  const session = await who.session();
  assert.equal((await call(server, 'POST', streamPath(session), { key: who.key })).status, 405);
});

// WebSocket

test('a WebSocket tells accepted, turn, chunks and complete in the same words as SSE', async () => {
  const session = await who.session();
  const socket = await openSocket(server, session, { key: who.key });
  assert.equal(socket.ws.protocol, 'kgents.v1');
  const follower = await who.stream(streamPath(session));
  const script = scripted(5);
  socket.send({ type: 'message', message: tell(script), ref: 'r-1' });
  const accepted = await socket.of('accepted');
  assert.equal(accepted.ref, 'r-1');
  const [opening, ...rest] = await socket.take((m) => m.type === 'complete');
  assert.equal(opening.type, 'turn');
  assert.equal(opening.turn_id, accepted.turn_id);
  const sse = await follower.turnEvents(accepted.turn_id);
  assert.deepEqual([opening.id, ...rest.map((m) => m.id)], sse.map((e) => e.id));
  rest.slice(0, -1).forEach((m, i) => assert.deepEqual(m, { type: 'chunk', id: m.id, turn_id: accepted.turn_id, index: i, text: `word${i} ` }));
  const { type, id, turn_id, ...complete } = rest.at(-1);
  assert.deepEqual([type, turn_id], ['complete', accepted.turn_id]);
  assert.ok(id);
  assert.deepEqual(complete, sse.at(-1).data);
  assert.equal((await socket.close()).code, 1000);
  follower.close();
});

test('a WebSocket hears the turns of others, and several messages in their order', async () => {
  const session = await who.session();
  const socket = await openSocket(server, session, { query: `?api_key=${who.key}` });
  const posted = await wholeAnswer(who, session, tell(scripted(2)));
  assert.equal((await socket.turn(posted.turn)).at(-1).text, posted.text);
  const scripts = [1, 2, 3].map((i) => scripted(i + 1));
  scripts.forEach((script, i) => socket.send({ type: 'message', message: tell(script), ref: `m${i}` }));
  const events = [];
  while (events.filter((m) => m.type === 'complete').length < 3) events.push(await socket.next());
  const accepted = events.filter((m) => m.type === 'accepted');
  assert.deepEqual(accepted.map((m) => m.ref), ['m0', 'm1', 'm2']);
  const completes = events.filter((m) => m.type === 'complete');
  assert.deepEqual(completes.map((m) => m.turn_id), accepted.map((m) => m.turn_id));
  assert.deepEqual(completes.map((m) => m.text), scripts.map((s) => s.text));
  await socket.close();
});

test('cancel over a WebSocket ends the turn with complete and canceled', async () => {
  const session = await who.session();
  const socket = await openSocket(server, session, { key: who.key });
  const script = scripted(5, { gated: true });
  socket.send({ type: 'message', message: tell(script) });
  script.release(2);
  await socket.take((m) => m.type === 'chunk' && m.index === 1);
  socket.send({ type: 'cancel' });
  const complete = await socket.of('complete');
  assert.equal(complete.finish_reason, 'canceled');
  assert.equal(complete.text, 'word0 word1 ');
  assert.equal(complete.chunks, 2);
  await script.gone;
  await socket.close();
});

test('resume over a WebSocket gives exactly what follows the cursor', async () => {
  const session = await who.session();
  const first = await openSocket(server, session, { key: who.key });
  first.send({ type: 'message', message: tell(scripted(6)) });
  const all = (await first.turn()).filter((m) => m.type !== 'accepted');
  await first.close();
  const again = await openSocket(server, session, { key: who.key });
  again.send({ type: 'resume', after: all[2].id });
  assert.deepEqual(await again.take((m) => m.id === all.at(-1).id), all.slice(3));
  again.send({ type: 'resume', after: all[5].id });
  assert.deepEqual(await again.take((m) => m.id === all.at(-1).id), all.slice(6), 'back again on the same socket');
  await again.close();
});

test('a refused WebSocket message says why and leaves the socket open', async () => {
  const session = await who.session();
  const socket = await openSocket(server, session, { key: who.key });
  for (const bad of ['not json', '[]', '{}', { type: 'dance' }, { type: 'message' }, { type: 'message', message: 7 }, { type: 'message', message: 'x', mode: 'bad' }, { type: 'resume', after: 'nonsense' }, { type: 'resume', after: `${randomUUID()}:1:0` }]) {
    socket.send(bad);
    const answer = await socket.next(`the answer to ${JSON.stringify(bad)}`);
    assert.equal(answer?.type, 'error', JSON.stringify(bad));
    assert.equal(typeof answer.error, 'string');
  }
  socket.send({ type: 'message', message: 'hello', ref: 'still here' });
  assert.equal((await socket.of('accepted')).ref, 'still here');
  await socket.of('complete');
  await socket.close();
  const { body } = await who.get(`/v1/kgent/sessions/${session}/messages`);
  assert.equal(body.total, 2, 'nothing of what was refused is stored');
});

test('an upgrade without key, scope, session or subprotocol gets the HTTP answer', async () => {
  const session = await who.session();
  assert.equal((await openSocket(server, session)).status, 401);
  assert.equal((await openSocket(server, session, { key: 'kg_nonexistent' })).status, 401);
  assert.equal((await openSocket(server, randomUUID(), { key: who.key })).status, 404);
  assert.equal((await openSocket(server, 'nonsense', { key: who.key })).status, 400);
  const plain = await call(server, 'GET', `/v1/kgent/sessions/${session}/ws`, { key: who.key });
  assert.equal(plain.status, 426);
  assert.match(plain.headers.upgrade, /websocket/i);
});

test('a key that may only read follows over WebSocket and may not write', async () => {
  const tenant = await newTenant(db, { scopes: ['read'] });
  const writer = caller(server, (await addKey(db, tenant.id)).key);
  const session = await writer.session();
  const socket = await openSocket(server, session, { key: tenant.key });
  socket.send({ type: 'message', message: 'hello' });
  const refused = await socket.of('error');
  assert.match(refused.error, /write/);
  const answer = await wholeAnswer(writer, session, 'hello');
  assert.equal((await socket.turn(answer.turn)).at(-1).text, answer.text);
  await socket.close();
});



test('a silent SSE stream carries comments, a silent WebSocket pings', async () => {
  await until(() => quiet.stream.comments.length > 0, 'a comment');
  await until(() => quiet.socket.pings > 0, 'a ping');
  assert.equal(quiet.stream.seen.length, 0, 'and no events');
});

test('a drain ends SSE streams with reconnect and WebSockets with 1012', async () => {
  const session = await who.session();
  const follower = await who.stream(streamPath(session));
  const socket = await openSocket(server, session, { key: who.key });
  await wholeAnswer(who, session, 'hello');
  await follower.turnEvents();
  const exit = server.stop();
  const events = await follower.rest();
  assert.equal(events.at(-1)?.event, 'reconnect');
  assert.equal((await socket.closed).code, 1012);
  assert.equal((await exit).code, 0);
});
