// kg in a terminal, on a bad line: what it shows is what is stored, whatever was cut, killed or typed meanwhile.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { caller } from '../support/http.mjs';
import { Terminal, beginKg, newUser, objectsOf, runKg } from '../support/kg.mjs';
import { startProxy } from '../support/proxy.mjs';
import { openDatabase, removeDirectory, startDev, temporaryDirectory } from '../support/server.mjs';
import { newTenant } from '../support/tenants.mjs';
import { until } from '../support/wait.mjs';

let directory;
let server;
let db;
before(async () => {
  directory = temporaryDirectory('kg-chat');
  server = await startDev({ env: { KGENTS_EMBEDDED_TOKENS_PER_SECOND: 60 } });
  db = await openDatabase(server.stateDir);
});
after(async () => {
  await db?.end().catch(() => {});
  await server?.dispose();
  removeDirectory(directory);
});

let count = 0;
async function someone(url) {
  const made = await newTenant(db);
  const user = newUser(directory, `user${++count}`, { KGENTS_URL: url ?? server.url, KGENTS_API_KEY: made.key });
  return { ...user, ...made, api: () => caller(server, made.key) };
}

/// What is stored of the newest session: `[{role, content}]`.
async function stored(user) {
  const { body } = await user.api().get('/v1/kgent/sessions?limit=1');
  const [session] = body.sessions;
  return { id: session.id, messages: (await user.api().get(`/v1/kgent/sessions/${session.id}/messages`)).body.messages };
}

const rivers = (words) => `Please write about ${words} words on rivers`;

/// The answer that a terminal shows between the line that was typed and what kg says behind it.
const shownAnswer = (output, question) => output.split(`${question}\n`).at(-1).split(/\n\n> |\nkg: /)[0];

async function untilWords(at, from, n) {
  await at.shows(new RegExp(`(\\S+\\s+){${n}}`), from);
}

test('a chat in a terminal goes on where it was, however often its connection is cut', async () => {
  const proxy = await startProxy(server);
  const user = await someone(proxy.url);
  const at = new Terminal(user, 'kg chat --mode reflect');
  try {
    await at.shows(/\n> /);
    const question = rivers(150);
    const from = at.output.length;
    at.type(`${question}\n`);
    for (let i = 1; i <= 5; i++) {
      await untilWords(at, from, 10 + 12 * i);
      proxy.cut();
    }
    await at.shows(/\n\n> /, from);
    const { messages } = await stored(user);
    assert.deepEqual(messages.map((m) => m.role), ['user', 'assistant']);
    assert.equal(messages[0].content, question);
    assert.equal(shownAnswer(at.output, question), messages[1].content);
    assert.ok(proxy.opened >= 7, `${proxy.opened} connections`);

    // The same conversation goes on.
    at.type('/mode challenge\n').type('And lakes?\n');
    await at.shows(/And lakes\?[\s\S]+\n\n> /, from);
    at.type('\x04');
    assert.equal(await at.end(), 0);
    const all = await stored(user);
    assert.equal(all.messages.length, 4);
    assert.match(at.output, new RegExp(`kg chat --session ${all.id} goes on here`));
  } finally {
    await proxy.dispose();
  }
});

test('an answer that is cut at any byte is shown once and whole', async () => {
  const proxy = await startProxy(server);
  const user = await someone(proxy.url);
  try {
    await runKg(user, ['chat'], { input: 'hello\n' });
    const { id } = await stored(user);
    // From within the response's header to within the last event.
    for (const bytes of [1, 40, 400, 900, 1500, 4000]) {
      const question = `${rivers(40)} (${bytes})`;
      proxy.cutAfter(bytes);
      const { code, output, log } = await runKg(user, ['chat', '--session', id], { input: `${question}\n` });
      assert.equal(code, 0, log);
      const { messages } = await stored(user);
      assert.equal(messages.filter((m) => m.content === question).length, 1, 'the message was stored once');
      assert.equal(output, `${messages.at(-1).content}\n`, `cut after ${bytes} bytes`);
    }
  } finally {
    await proxy.dispose();
  }
});

test('with --json each event comes once, across cuts', async () => {
  const proxy = await startProxy(server);
  const user = await someone(proxy.url);
  try {
    const kg = beginKg(user, ['chat', '--json'], { input: `${rivers(120)}\n` });
    for (let i = 1; i <= 3; i++) {
      await until(() => kg.seen.output.split('\n').length > 15 * i, 'more chunks');
      proxy.cut();
    }
    const { code, output } = await kg.finish();
    assert.equal(code, 0);
    const events = objectsOf(output).filter((x) => x.event !== 'session');
    assert.deepEqual(events.slice(0, -1).map((x) => x.index), events.slice(0, -1).map((_, i) => i));
    assert.equal(events.at(-1).text, events.slice(0, -1).map((x) => x.text).join(''));
  } finally {
    await proxy.dispose();
  }
});

test('Ctrl-C cancels the answer, /cancel does too, a second Ctrl-C leaves', async () => {
  const user = await someone();
  const at = new Terminal(user, 'kg chat');
  await at.shows(/\n> /);
  for (const [i, stop] of ['\x03', '/cancel\n'].entries()) {
    const from = at.output.length;
    const question = rivers(3000 + i);
    at.type(`${question}\n`);
    await untilWords(at, from, 20);
    at.type(stop);
    await at.shows(/kg: canceled\n[\s\S]*> /, from);
    const { messages } = await stored(user);
    const shown = at.output.slice(from).split(`${question}\n`)[1].replace(/\^C|\/cancel\n/, '');
    assert.ok(shown.startsWith(messages.at(-1).content), 'what was said of it is stored');
  }
  const from = at.output.length;
  at.type('\x03');
  await at.shows(/once more, or Ctrl-D, to leave/, from);
  at.type('\x03');
  assert.equal(await at.end(), 130);
});

test('what is typed ahead is said next, and /quit leaves', async () => {
  const user = await someone();
  const at = new Terminal(user, 'kg chat');
  await at.shows(/\n> /);
  const from = at.output.length;
  at.type(`${rivers(40)}\n`);
  await untilWords(at, from, 12);
  at.type('And seas?\n').type('/quit\n');
  assert.equal(await at.end(), 0);
  const { messages } = await stored(user);
  assert.deepEqual(messages.filter((m) => m.role === 'user').map((m) => m.content), [rivers(40), 'And seas?']);
  assert.equal(messages.length, 4);

  const again = new Terminal(user, 'kg chat');
  await again.shows(/\n> /);
  again.type(`${rivers(400)}\n`);
  await again.shows(/(\S+\s+){20}/, again.output.length);
  again.type('/quit\n');
  assert.equal(await again.end(), 0, 'it does not wait for the answer');

  const third = new Terminal(user, 'kg chat');
  await third.shows(/\n> /);
  for (const stop of ['\x03', '/quit\n']) {
    const begin = third.output.length;
    third.type(`${rivers(300)}\n`);
    await untilWords(third, begin, 20);
    third.type(stop);
    if (stop === '\x03') await third.shows(/kg: canceled\n[\s\S]*> /, begin);
  }
  assert.equal(await third.end(), 0, 'an answer that was cancelled before does not count');
});

test('an error of one message does not end the conversation at a terminal', async () => {
  const user = await someone();
  const at = new Terminal(user, 'kg chat');
  await at.shows(/\n> /);
  const from = at.output.length;
  at.type('hello\n');
  await at.shows(/\n\n> /, from);
  const next = at.output.length;
  at.type('/mode bogus\n').type('hello again\n');
  await at.shows(/kg: Invalid mode 'bogus'/, next);
  at.type('/mode advise\n').type('and again\n');
  await at.shows(/and again\n[\s\S]+\n\n> /, next);
  at.type('\x04');
  assert.equal(await at.end(), 0);
});

test('a subscription hears every event once, across cuts', async () => {
  const proxy = await startProxy(server);
  const user = await someone(proxy.url);
  try {
    const kg = beginKg(user, ['subscribe', 'void.entropy', '--json', '--count', '12']);
    await until(async () => (await user.api().get('/agentese/subscriptions')).body.subscriptions.length === 1, 'the subscription');
    for (let i = 0; i < 12; i++) {
      assert.equal((await user.api().post('/agentese/void/entropy/status', {})).status, 200);
      if (i % 4 === 1) {
        await until(() => kg.seen.output.split('\n').length > i, 'the event to be shown');
        proxy.cut();
      }
    }
    const { code, output } = await kg.finish();
    assert.equal(code, 0);
    const ids = objectsOf(output).map((x) => x.event_id);
    assert.equal(ids.length, 12);
    assert.equal(new Set(ids).size, 12);
    const { rows } = await db.query(`SELECT event_id FROM kg.agentese_events WHERE tenant_id = $1 ORDER BY seq`, [user.id]);
    assert.deepEqual(ids, rows.map((row) => row.event_id));
  } finally {
    await proxy.dispose();
  }
});

test('what speaks goes on across cuts too', async () => {
  const proxy = await startProxy(server);
  const user = await someone(proxy.url);
  try {
    const kg = beginKg(user, ['self.soul.dialogue', '--message', rivers(120), '--json']);
    for (let i = 1; i <= 3; i++) {
      await until(() => kg.seen.output.split('\n').length > 15 * i, 'more chunks');
      proxy.cut();
    }
    const { code, output, log } = await kg.finish();
    assert.equal(code, 0, log);
    const events = objectsOf(output);
    assert.equal(events.at(-1).event, 'done');
    assert.equal(events.slice(0, -1).map((x) => x.content).join(''), events.at(-1).result);
  } finally {
    await proxy.dispose();
  }
});

test('a server that is killed in mid-answer and comes back finishes the answer', async () => {
  const user = await someone();
  const at = new Terminal(user, 'kg chat');
  await at.shows(/\n> /);
  const question = rivers(150);
  const from = at.output.length;
  at.type(`${question}\n`);
  await untilWords(at, from, 30);
  await db.end();
  await server.kill();
  server = await server.restart();
  db = await openDatabase(server.stateDir);
  await at.shows(/\n\n> /, from);
  at.type('\x04');
  assert.equal(await at.end(), 0);
  const { messages } = await stored(user);
  assert.equal(messages.length, 2);
  const shown = at.output.slice(from).replace(/\n?kg: lost [^\n]*\n/, '');
  assert.equal(shownAnswer(shown, question), messages[1].content);
});

test('a server that drains sends its reader to itself again, when it is back', async () => {
  const user = await someone();
  const kg = beginKg(user, ['chat', '--json'], { input: `${rivers(400)}\n` });
  await until(() => kg.seen.output.split('\n').length > 30, 'the answer to begin');
  await db.end();
  const before = server;
  const stopping = before.stop();
  await stopping;
  server = await before.restart();
  db = await openDatabase(server.stateDir);
  const { code, output, log } = await kg.finish();
  assert.equal(code, 0, log);
  const events = objectsOf(output).filter((x) => x.event !== 'session');
  assert.equal(events.at(-1).event, 'complete');
  assert.equal(events.at(-1).text, events.filter((x) => x.event === 'chunk').map((x) => x.text).join(''));
  assert.equal((await stored(user)).messages.length, 2);
});

test('without a server for too long it says where the answer will be: 69', async () => {
  const proxy = await startProxy(server);
  const user = await someone(proxy.url);
  const kg = beginKg(user, ['chat', '--patience', '2'], { input: `${rivers(100)}\n` });
  await until(() => kg.seen.output.split(' ').length > 10, 'the answer to begin');
  await proxy.dispose();
  const { code, log } = await kg.finish();
  assert.equal(code, 69);
  const { id } = await stored(user);
  assert.match(log, /kg: no answer from http\S+ for 2 s\n\n {4}Why: [\s\S]*\n\n {4}Try: /);
  assert.ok(log.includes(`kg chat --session ${id}`));
  await until(async () => (await stored(user)).messages.length === 2, 'the answer to be stored');
  const direct = { ...user, env: { ...user.env, KGENTS_URL: server.url } };
  const { output } = await runKg(direct, ['sessions', id]);
  assert.ok(output.includes((await stored(user)).messages[1].content));
});
