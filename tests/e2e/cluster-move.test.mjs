// Two nodes, then three, as plain processes on loopback: any node takes any request, and an answer goes on while its
// session moves.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { aboutWords, checkAnswer } from '../support/answers.mjs';
import { startCluster } from '../support/cluster.mjs';
import { Conversation, bothKinds, checkStored, rehearse } from '../support/conversations.mjs';
import { caller } from '../support/http.mjs';
import { newTenant } from '../support/tenants.mjs';
import { until } from '../support/wait.mjs';
import { openSocket } from '../support/websocket.mjs';

let cluster;
let a;
let b;
let c;
let script;
let tenant;
before(async () => {
  cluster = await startCluster({ nodes: 0, network: 'loopback', balanced: false, env: { KGENTS_EMBEDDED_TOKENS_PER_SECOND: 40 } });
  // Six seconds: what is done in the midst of an answer must come before its end.
  script = await rehearse(cluster.database, [240]);
  [a, b, c] = [0, 1, 2].map((i) => cluster.node(i));
  await cluster.begin(2);
  tenant = await newTenant(cluster.db);
});
after(() => cluster?.dispose());

const brief = aboutWords(60, 'canals');

// `n` conversations held at `at`, each with both kinds of readers at each of `places`, all in the midst of their first answer.
async function inMidAnswer(n, at, places, sessions = []) {
  const held = await Promise.all(
    Array.from({ length: n }, (_, i) => new Conversation({ at, tenant, script, readers: bothKinds(...places), session: sessions[i] }).open()),
  );
  const answers = held.map((conversation) => conversation.turn());
  for (const answer of answers) answer.catch(() => {});
  const hearings = held.flatMap(({ readers }) => readers.map((reader) => reader.hearing));
  await until(() => hearings.every((hearing) => hearing.index >= 5), 'every answer to be under way');
  const finish = async () => {
    try {
      await Promise.all(answers);
      await checkStored(cluster.db, held);
    } finally {
      for (const conversation of held) conversation.close();
    }
    return {
      reconnects: held.reduce((sum, conversation) => sum + conversation.reconnects, 0),
      pause: Math.round(Math.max(...held.map((conversation) => conversation.longestPause))),
    };
  };
  const stillRunning = () => hearings.every((hearing) => hearing.turns.length === 0);
  return { held, finish, stillRunning };
}

test('what one node owns is read, written and canceled on the other', async () => {
  const here = caller(a, tenant.key);
  const there = caller(b, tenant.key);
  const session = await cluster.sessionOn(b, tenant.id, here);
  const follower = await there.stream(`/v1/kgent/sessions/${session}/stream`);
  const socket = await openSocket(a, session, { key: tenant.key });
  const post = await here.say(session, brief);
  const complete = checkAnswer(await post.rest(), { turn: post.turn });
  assert.equal(checkAnswer(await follower.turnEvents(), { turn: post.turn }).text, complete.text);
  assert.equal((await socket.turn(post.turn)).at(-1).text, complete.text);

  // Everything that is asked of a session gets the same answer at both.
  for (const path of ['', '/messages', `/turns/${post.turn}`]) {
    const [own, far] = await Promise.all([there, here].map((who) => who.get(`/v1/kgent/sessions/${session}${path}`)));
    assert.equal(far.status, 200, far.text);
    assert.deepEqual(far.body, own.body, path);
  }
  assert.equal((await here.patch(`/v1/kgent/sessions/${session}`, { title: 'from afar' })).status, 200);
  assert.equal((await there.get(`/v1/kgent/sessions/${session}`)).body.title, 'from afar');

  const long = await here.say(session, aboutWords(400, 'canals'));
  await long.chunks(5);
  assert.deepEqual((await here.post(`/v1/kgent/sessions/${session}/cancel`)).body, { turn_id: long.turn, status: 'canceled' });
  assert.equal((await long.rest()).at(-1).event, 'complete');
  follower.close();
  await socket.close();
});

test('a cursor is good on any node, during the answer and long after', async () => {
  const here = caller(a, tenant.key);
  const there = caller(b, tenant.key);
  const session = await cluster.sessionOn(b, tenant.id, here);
  const post = await here.say(session, brief);
  const head = await post.chunks(7);
  post.close();
  for (const who of [here, there, here, there]) {
    const stream = await who.stream(`/v1/kgent/sessions/${session}/stream`, { 'Last-Event-ID': head.at(-1).id });
    assert.equal(stream.status, 200, stream.text);
    head.push(...(await stream.chunks(7)));
    stream.close();
  }
  for (const who of [here, there]) {
    const path = `/v1/kgent/sessions/${session}/stream?after=${encodeURIComponent(head.at(-1).id)}`;
    for (let i = 0; i < 2; i++) {
      const stream = await who.stream(path);
      checkAnswer([...head, ...(await stream.turnEvents(post.turn))], { turn: post.turn });
      stream.close();
    }
  }
});

test('another tenant\'s session is missing on both nodes', async () => {
  const stranger = await newTenant(cluster.db);
  const session = await cluster.sessionOn(b, tenant.id, caller(a, tenant.key));
  for (const node of [a, b]) {
    const who = caller(node, stranger.key);
    assert.equal((await who.get(`/v1/kgent/sessions/${session}`)).status, 404);
    assert.equal((await who.stream(`/v1/kgent/sessions/${session}/stream`)).status, 404);
    assert.equal((await who.post(`/v1/kgent/sessions/${session}/messages`, { message: 'hello' })).status, 404);
  }
});

test('a node that joins takes its share in mid-answer; no reader has to come back', async (t) => {
  const { held, finish, stillRunning } = await inMidAnswer(12, a, [a, b]);
  await c.start();
  await until(async () => (await c.view()).nodes.some((node) => node.name === c.name && node.shards > 0), 'shards to move');
  assert.ok(stillRunning(), 'they moved in mid-answer');
  const { reconnects, pause } = await finish();
  await cluster.settled();
  const owners = new Set();
  for (const { session } of held) owners.add(await cluster.ownerOf(tenant.id, session));
  assert.ok(owners.has(c), 'some of these sessions moved');
  assert.equal(reconnects, 0);
  t.diagnostic(`longest pause of a reader: ${pause} ms`);
});

test('a node that is asked to end hands over its sessions in mid-answer', async (t) => {
  const who = caller(a, tenant.key);
  const sessions = [];
  for (let i = 0; i < 6; i++) sessions.push(await cluster.sessionOn(c, tenant.id, who));
  const { finish, stillRunning } = await inMidAnswer(6, a, [a, b], sessions);
  const ended = c.stop();
  await until(async () => (await a.view()).nodes.every((node) => node.name !== c.name || node.shards === 0), 'its shards to go');
  assert.ok(stillRunning(), 'they went in mid-answer');
  const { reconnects, pause } = await finish();
  await ended;
  assert.equal(reconnects, 0);
  t.diagnostic(`longest pause of a reader: ${pause} ms`);
  await cluster.settled();
});

test('a node that is killed: the answers of its sessions go on elsewhere', async (t) => {
  const who = caller(a, tenant.key);
  const sessions = [];
  for (let i = 0; i < 6; i++) sessions.push(await cluster.sessionOn(b, tenant.id, who));
  const { finish } = await inMidAnswer(6, a, [a], sessions);
  await b.kill();
  const { reconnects, pause } = await finish();
  assert.equal(reconnects, 0, 'readers of the other node keep their connections');
  t.diagnostic(`longest pause of a reader: ${pause} ms`);
  assert.ok(pause < 10000, `${pause} ms without a chunk`);
  await cluster.settled();
});

test('roles: one node only serves the edge, another only hosts sessions', async () => {
  const edge = b;
  const host = c;
  await Promise.all([edge.start({ KGENTS_ROLES: 'gateway' }), host.start({ KGENTS_ROLES: 'kgent' })]);
  await cluster.settled();
  const view = await edge.view();
  const of = (node) => view.nodes.find(({ name, state }) => name === node.name && state === 'up');
  assert.deepEqual([of(edge).roles, of(edge).shards], [['gateway'], 0]);
  assert.deepEqual(of(host).roles, ['kgent']);
  assert.ok(of(host).shards > 0);

  const who = caller(edge, tenant.key);
  const session = await cluster.sessionOn(host, tenant.id, who);
  const post = await who.say(session, brief);
  checkAnswer(await post.rest(), { turn: post.turn });
  const refused = await caller(host, tenant.key).get(`/v1/kgent/sessions/${session}`);
  assert.equal(refused.status, 503);
  assert.equal((await host.call('GET', '/live')).status, 200);
});
