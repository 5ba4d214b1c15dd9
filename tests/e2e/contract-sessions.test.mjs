// http-api.md 13.5 and section 7: sessions, messages, turns.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';

import { aboutWords, wholeAnswer } from '../support/answers.mjs';
import { caller } from '../support/http.mjs';
import { openDatabase, startDev } from '../support/server.mjs';
import { newTenant } from '../support/tenants.mjs';

let server;
let db;
let alice;
let bob;
before(async () => {
  server = await startDev({ env: { KGENTS_EMBEDDED_TOKENS_PER_SECOND: 0 } });
  db = await openDatabase(server.stateDir);
  alice = caller(server, 'kg_dev_alice');
  bob = caller(server, 'kg_dev_bob');
});
after(async () => {
  await db?.end();
  await server?.dispose();
});

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const timestamp = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\+00:00$/;
const fresh = async (options) => {
  const tenant = await newTenant(db, options);
  return Object.assign(caller(server, tenant.key), { tenant: tenant.id });
};

test('13.5/33: alice may not create a session, bob may', async () => {
  const refused = await alice.post('/v1/kgent/sessions', {});
  assert.equal(refused.status, 403);
  assert.equal(refused.body.detail, "API key requires 'write' scope to create sessions");
  const made = await bob.post('/v1/kgent/sessions', { title: 'A walk', mode: 'explore' });
  assert.equal(made.status, 200);
  const { id, created_at, ...rest } = made.body;
  assert.match(id, uuid);
  assert.match(created_at, timestamp);
  assert.deepEqual(rest, {
    tenant_id: '00000000-0000-0000-0000-000000000001',
    title: 'A walk',
    agent_type: 'kgent',
    status: 'active',
    message_count: 0,
    tokens_used: 0,
  });
});

test('13.5/33: an empty body makes a session with zero counters; an unknown mode is ignored', async () => {
  for (const body of [{}, { mode: 'no such mode' }, { title: null, unknown: 1 }]) {
    const { status, body: made } = await bob.post('/v1/kgent/sessions', body);
    assert.equal(status, 200, JSON.stringify(body));
    assert.deepEqual([made.title, made.message_count, made.tokens_used, made.agent_type], [null, 0, 0, 'kgent']);
  }
});

test('13.5/34: the list is the tenant\'s, newest first, paged, with its total', async () => {
  const who = await fresh();
  const ids = [];
  for (let i = 0; i < 3; i++) ids.push(await who.session({ title: `s${i}` }));
  const all = await who.get('/v1/kgent/sessions');
  assert.equal(all.status, 200);
  assert.deepEqual(all.body.sessions.map((s) => s.id), [...ids].reverse());
  assert.equal(all.body.total, 3);
  const page = await who.get('/v1/kgent/sessions?limit=2&offset=1');
  assert.deepEqual(page.body.sessions.map((s) => s.title), ['s1', 's0']);
  assert.equal(page.body.total, 3);
  assert.equal((await who.get('/v1/kgent/sessions?limit=0')).body.sessions.length, 1, 'limit is clamped to 1');
  assert.equal((await who.get('/v1/kgent/sessions?limit=1000')).status, 200);
});

test('13.5/34 and 1.6: bad paging is 422 with its list', async () => {
  const bad = await bob.get('/v1/kgent/sessions?limit=many');
  assert.equal(bad.status, 422);
  assert.deepEqual(bad.body.detail, [
    { type: 'int_parsing', loc: ['query', 'limit'], msg: 'Input should be a valid integer, unable to parse string as an integer', input: 'many' },
  ]);
  const negative = await bob.get('/v1/kgent/sessions?offset=-1');
  assert.equal(negative.status, 422);
  assert.equal(negative.body.detail[0].type, 'greater_than_equal');
  assert.deepEqual(negative.body.detail[0].loc, ['query', 'offset']);
  assert.equal(negative.body.detail[0].ctx.ge, 0);
});

test('13.5/35: a session is found by id in any standard form, else 404 or 400', async () => {
  const who = await fresh();
  const id = await who.session({ title: 'found' });
  for (const form of [id, id.toUpperCase(), id.replaceAll('-', '')]) {
    const { status, body } = await who.get(`/v1/kgent/sessions/${form}`);
    assert.equal(status, 200, form);
    assert.deepEqual([body.id, body.title], [id, 'found']);
  }
  const missing = await who.get(`/v1/kgent/sessions/${randomUUID()}`);
  assert.equal(missing.status, 404);
  assert.deepEqual(missing.body, { detail: 'Session not found' });
  const malformed = await who.get('/v1/kgent/sessions/not-a-uuid');
  assert.equal(malformed.status, 400);
  assert.deepEqual(malformed.body, { detail: 'Invalid session ID format' });
});

test('13.5/36: alice may not write, an unknown session is 404, bob gets the assistant\'s message', async () => {
  const id = await bob.session();
  const refused = await alice.post(`/v1/kgent/sessions/${id}/messages`, { message: 'x', stream: false });
  assert.equal(refused.status, 403);
  assert.equal(refused.body.detail, "API key requires 'write' scope");
  assert.equal((await bob.post(`/v1/kgent/sessions/${randomUUID()}/messages`, { message: 'x', stream: false })).status, 404);
  const answer = await bob.post(`/v1/kgent/sessions/${id}/messages`, { message: aboutWords(40), stream: false });
  assert.equal(answer.status, 200);
  assert.match(answer.headers['x-turn-id'], uuid);
  assert.deepEqual(Object.keys(answer.body).sort(), ['content', 'created_at', 'id', 'role', 'session_id', 'tokens_used']);
  assert.equal(answer.body.role, 'assistant');
  assert.equal(answer.body.session_id, id);
  assert.ok(answer.body.content.length > 0);
  assert.match(answer.body.created_at, timestamp);
});

test('13.5/37: an invalid mode is 400 and stores nothing', async () => {
  const id = await bob.session();
  const refused = await bob.post(`/v1/kgent/sessions/${id}/messages`, { message: 'x', mode: 'invalid_mode', stream: false });
  assert.equal(refused.status, 400);
  assert.equal(refused.body.detail, "Invalid mode 'invalid_mode'");
  assert.equal((await bob.get(`/v1/kgent/sessions/${id}/messages`)).body.total, 0);
  assert.equal((await bob.post(`/v1/kgent/sessions/${id}/messages`, { message: 'What now, my friend of the hills?', mode: 'ADVISE', stream: false })).status, 200);
});

test('13.5/38: messages of an unknown session are 404, of a new one an empty list', async () => {
  assert.equal((await bob.get(`/v1/kgent/sessions/${randomUUID()}/messages`)).status, 404);
  const id = await bob.session();
  const { status, body } = await bob.get(`/v1/kgent/sessions/${id}/messages`);
  assert.equal(status, 200);
  assert.deepEqual(body, { messages: [], total: 0, session_id: id });
});

test('7.5 and 7.6: a turn leaves two messages and moves the counters', async () => {
  const who = await fresh();
  const id = await who.session();
  const first = await wholeAnswer(who, id, aboutWords(40));
  const second = await who.post(`/v1/kgent/sessions/${id}/messages`, { message: aboutWords(30, 'moss'), stream: false });
  const { body } = await who.get(`/v1/kgent/sessions/${id}/messages`);
  assert.deepEqual(body.messages.map((m) => m.role), ['user', 'assistant', 'user', 'assistant']);
  assert.deepEqual(body.messages.map((m) => m.content), [aboutWords(40), first.text, aboutWords(30, 'moss'), second.body.content]);
  assert.equal(body.total, 4);
  const session = (await who.get(`/v1/kgent/sessions/${id}`)).body;
  assert.equal(session.message_count, 4);
  assert.equal(session.tokens_used, first.complete.tokens_used + second.body.tokens_used);
  const page = (await who.get(`/v1/kgent/sessions/${id}/messages?limit=2&offset=1`)).body;
  assert.deepEqual(page.messages.map((m) => m.id), body.messages.slice(1, 3).map((m) => m.id));
  assert.equal(page.total, 4);
});

test('7.5: a given mode stays the session\'s mode, streamed or not', async () => {
  const who = await fresh();
  const id = await who.session({ mode: 'reflect' });
  const follower = await who.stream(`/v1/kgent/sessions/${id}/stream`);
  await wholeAnswer(who, id, aboutWords(20), { mode: 'challenge' });
  await wholeAnswer(who, id, aboutWords(20, 'stones'));
  await who.post(`/v1/kgent/sessions/${id}/messages`, { message: aboutWords(20, 'wind'), mode: 'Explore', stream: false });
  await wholeAnswer(who, id, aboutWords(20, 'fog'));
  const modes = [];
  await follower.take((e) => {
    if (e.event === 'turn') modes.push(e.data.mode);
    return modes.length === 4;
  });
  follower.close();
  assert.deepEqual(modes, ['challenge', 'challenge', 'explore', 'explore']);
});

test('7.5: a template answer is one chunk and costs nothing', async () => {
  const who = await fresh();
  const answer = await wholeAnswer(who, await who.session(), 'hello');
  assert.equal(answer.complete.chunks, 1);
  assert.equal(answer.complete.tokens_used, 0);
});

test('1.6: validation of the message body', async () => {
  const id = await bob.session();
  const path = `/v1/kgent/sessions/${id}/messages`;
  const one = async (body, headers) => {
    const answer = await bob.post(path, body, headers);
    assert.equal(answer.status, 422, JSON.stringify(body));
    assert.ok(Array.isArray(answer.body.detail));
    return answer.body.detail;
  };
  assert.deepEqual(await one({}), [{ type: 'missing', loc: ['body', 'message'], msg: 'Field required', input: {} }]);
  assert.deepEqual(await one(undefined), [{ type: 'missing', loc: ['body'], msg: 'Field required', input: null }]);
  const [syntax] = await one('{"message": nope}');
  assert.equal(syntax.type, 'json_invalid');
  assert.equal(syntax.loc[0], 'body');
  assert.ok(Number.isInteger(syntax.loc[1]));
  assert.equal(syntax.msg, 'JSON decode error');
  assert.equal(typeof syntax.ctx.error, 'string');
  assert.deepEqual((await one('[1]'))[0], {
    type: 'model_attributes_type',
    loc: ['body'],
    msg: 'Input should be a valid dictionary or object to extract fields from',
    input: [1],
  });
  assert.deepEqual((await one({ message: 5 }))[0], { type: 'string_type', loc: ['body', 'message'], msg: 'Input should be a valid string', input: 5 });
  assert.deepEqual((await one({ message: 'x', stream: 'perhaps' }))[0], {
    type: 'bool_parsing',
    loc: ['body', 'stream'],
    msg: 'Input should be a valid boolean, unable to interpret input',
    input: 'perhaps',
  });
  const several = await one({ message: 5, mode: 7, stream: 'perhaps' });
  assert.deepEqual(several.map((e) => e.loc[1]).sort(), ['message', 'mode', 'stream']);
});

test('13.1/10 and 1.6: booleans in every accepted form', async () => {
  const id = await bob.session();
  const path = `/v1/kgent/sessions/${id}/messages`;
  for (const no of [false, 0, '0', 'false', 'FALSE', 'no', 'Off', 'f', 'n']) {
    const { status, headers } = await bob.post(path, { message: 'hello', stream: no });
    assert.equal(status, 200, String(no));
    assert.match(headers['content-type'], /^application\/json/, String(no));
  }
  for (const yes of [true, 1, '1', 'True', 'yes', 'ON', 't', 'y']) {
    const stream = await bob.say(id, 'hello', { stream: yes });
    assert.match(stream.headers['content-type'], /^text\/event-stream/, String(yes));
    await stream.rest();
  }
});

test('13.5/39: another tenant sees none of it', async () => {
  const one = await fresh();
  const two = await fresh();
  const id = await one.session({ title: 'private' });
  await one.post(`/v1/kgent/sessions/${id}/messages`, { message: 'hello', stream: false });
  for (const answer of [
    await two.get(`/v1/kgent/sessions/${id}`),
    await two.get(`/v1/kgent/sessions/${id}/messages`),
    await two.post(`/v1/kgent/sessions/${id}/messages`, { message: 'x', stream: false }),
    await two.patch(`/v1/kgent/sessions/${id}`, { title: 'mine' }),
    await two.delete(`/v1/kgent/sessions/${id}`),
    await two.post(`/v1/kgent/sessions/${id}/cancel`),
  ]) {
    assert.equal(answer.status, 404);
    assert.deepEqual(answer.body, { detail: 'Session not found' });
  }
  await two.session();
  for (const who of [one, two])
    for (const session of (await who.get('/v1/kgent/sessions')).body.sessions) assert.equal(session.tenant_id, who.tenant);
});

test('7.7: rename, close, reopen, delete', async () => {
  const who = await fresh();
  const id = await who.session({ title: 'before' });
  const renamed = await who.patch(`/v1/kgent/sessions/${id}`, { title: 'after' });
  assert.equal(renamed.status, 200);
  assert.deepEqual([renamed.body.title, renamed.body.status], ['after', 'active']);
  const closed = await who.patch(`/v1/kgent/sessions/${id}`, { status: 'closed' });
  assert.equal(closed.body.status, 'closed');
  const refused = await who.post(`/v1/kgent/sessions/${id}/messages`, { message: 'hello', stream: false });
  assert.equal(refused.status, 409);
  assert.equal(refused.body.detail, 'Session is closed');
  assert.equal((await who.patch(`/v1/kgent/sessions/${id}`, { status: 'active' })).status, 200);
  assert.equal((await who.post(`/v1/kgent/sessions/${id}/messages`, { message: 'hello', stream: false })).status, 200);
  assert.ok([400, 422].includes((await who.patch(`/v1/kgent/sessions/${id}`, { status: 'asleep' })).status));
  const gone = await who.delete(`/v1/kgent/sessions/${id}`);
  assert.equal(gone.status, 204);
  assert.equal(gone.text, '');
  assert.equal((await who.get('/v1/kgent/sessions')).body.total, 0);
  assert.equal((await who.get(`/v1/kgent/sessions/${id}`)).status, 404);
});

test('GET turns/{id} tells the whole turn, also after it has ended', async () => {
  const who = await fresh();
  const id = await who.session();
  const answer = await wholeAnswer(who, id, aboutWords(40));
  const { status, body } = await who.get(`/v1/kgent/sessions/${id}/turns/${answer.turn}`);
  assert.equal(status, 200);
  const { created_at, ended_at, ...rest } = body;
  assert.match(created_at, timestamp);
  assert.match(ended_at, timestamp);
  assert.deepEqual(rest, {
    turn_id: answer.turn,
    session_id: id,
    status: 'completed',
    text: answer.text,
    chunks: answer.complete.chunks,
    tokens_used: answer.complete.tokens_used,
    finish_reason: 'stop',
    error: null,
  });
  assert.equal((await who.get(`/v1/kgent/sessions/${id}/turns/${randomUUID()}`)).status, 404);
  assert.equal((await who.get(`/v1/kgent/sessions/${id}/turns/nonsense`)).status, 400);
});
