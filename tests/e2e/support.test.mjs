// The suites' own machinery, against itself: a stand-in that lies would make every other suite lie.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, test } from 'node:test';

import { call, openStream } from '../support/http.mjs';
import { startProvider, words } from '../support/providers.mjs';
import { exchange } from '../support/raw.mjs';
import { Inbox, within } from '../support/wait.mjs';

let provider;
let at;
before(async () => {
  provider = await startProvider();
  at = { host: '127.0.0.1', port: provider.port };
});
after(() => provider.close());

const ask = (script, more = {}) =>
  openStreamRaw('/v1/chat/completions', { Authorization: 'Bearer sk-stand-in' }, {
    model: 'stand-in',
    stream: true,
    messages: [{ role: 'system', content: 's' }, { role: 'user', content: `say ${script.token}` }, ...(more.prefix ? [{ role: 'assistant', content: more.prefix }] : [])],
  });

const askAnthropic = (script, prefix) =>
  openStreamRaw('/v1/messages', { 'X-API-Key': 'sk-ant-stand-in', 'anthropic-version': '2023-06-01' }, {
    model: 'stand-in',
    max_tokens: 100,
    stream: true,
    messages: [{ role: 'user', content: [{ type: 'text', text: `say ${script.token}` }] }, ...(prefix ? [{ role: 'assistant', content: prefix }] : [])],
  });

function openStreamRaw(path, headers, body) {
  return new Promise((resolve, reject) => {
    const request = http.request({ ...at, method: 'POST', path, headers, agent: false }, (response) => {
      const state = { status: response.statusCode, headers: response.headers, bytes: Buffer.alloc(0), error: null, request };
      response.on('data', (part) => (state.bytes = Buffer.concat([state.bytes, part])));
      response.on('error', (error) => (state.error = error));
      state.over = new Promise((done) => response.on('close', done));
      resolve(state);
    });
    request.on('error', reject);
    request.end(JSON.stringify(body));
  });
}

const openaiText = (bytes) =>
  bytes
    .toString('utf8')
    .split('\n\n')
    .filter((frame) => frame.startsWith('data: {'))
    .map((frame) => JSON.parse(frame.slice(6)).choices?.[0]?.delta?.content ?? '')
    .join('');

test('an OpenAI answer has its deltas, its finish reason and its closing word', async () => {
  const answer = await ask(provider.script({ deltas: words(5) }));
  await answer.over;
  assert.equal(openaiText(answer.bytes), 'word0 word1 word2 word3 word4 ');
  assert.match(answer.bytes.toString(), /"finish_reason":"stop"/);
  assert.match(answer.bytes.toString(), /data: \[DONE\]\n\n$/);
});

test('an answer goes on from the prefix it is given, also inside a delta', async () => {
  const script = provider.script({ deltas: words(3) });
  const answer = await ask(script, { prefix: 'word0 wo' });
  await answer.over;
  assert.equal(openaiText(answer.bytes), 'rd1 word2 ');
  assert.equal(script.requests[0].prefix, 'word0 wo');
});

test('a gated script lets exactly as many deltas go as were released', async () => {
  const script = provider.script({ deltas: words(3), gated: true });
  const pending = ask(script);
  await script.arrived();
  assert.equal(script.sent, 0);
  script.release(2);
  const answer = await pending;
  script.release();
  await answer.over;
  assert.equal(openaiText(answer.bytes), 'word0 word1 word2 ');
});

test('a cut arrives in mid-event and as an error of the transport', async () => {
  const answer = await ask(provider.script({ deltas: words(4), cutAfter: 2 }));
  await answer.over;
  assert.ok(answer.error, 'the body did not end cleanly');
  assert.equal(answer.bytes.toString().match(/word\d/g).length, 2);
});

test('bad UTF-8 is really bad and garbage is really not JSON', async () => {
  const bad = await ask(provider.script({ deltas: words(1), badUtf8After: 1 }));
  const garbage = await ask(provider.script({ deltas: words(1), garbageAfter: 1 }));
  for (const [answer, sign] of [[bad, Buffer.from([0xc3, 0x28])], [garbage, Buffer.from('"content":\n\n')]]) {
    await within((async () => { while (!answer.bytes.includes(sign)) await new Promise(setImmediate); })(), 'the fault');
    answer.request.destroy();
  }
  assert.throws(() => new TextDecoder('utf-8', { fatal: true }).decode(bad.bytes));
});

test('statuses come with the error body and headers of the real service', async () => {
  const limited = await ask(provider.script({ status: 429, headers: { 'Retry-After': '7' } }));
  await limited.over;
  assert.equal(limited.status, 429);
  assert.equal(limited.headers['retry-after'], '7');
  assert.ok(JSON.parse(limited.bytes).error.message);
});

test('an Anthropic answer has the event types in their order and refuses a prefix with a trailing space', async () => {
  const script = provider.script({ deltas: words(2), finish: 'length' });
  const answer = await askAnthropic(script);
  await answer.over;
  const types = [...answer.bytes.toString().matchAll(/^event: (\w+)$/gm)].map((m) => m[1]);
  assert.deepEqual(types, ['message_start', 'content_block_start', 'ping', 'content_block_delta', 'content_block_delta', 'content_block_stop', 'message_delta', 'message_stop']);
  assert.match(answer.bytes.toString(), /"stop_reason":"max_tokens"/);
  const refused = await askAnthropic(script, 'word0 ');
  assert.equal(refused.status, 400);
  assert.match(provider.violations.at(-1), /trailing whitespace/);
});

test('a refused connection is refused, and the stand-in comes back on the same port', async () => {
  const { port } = provider;
  await provider.close();
  await assert.rejects(ask(provider.script({ deltas: words(1) })), { code: 'ECONNREFUSED' });
  await provider.listen();
  assert.equal(provider.port, port);
});

test('the stream reader reassembles events that arrive in pieces and tells comments apart', async () => {
  const server = http.createServer(async (request, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8', 'X-Turn-Id': 't' });
    const bytes = Buffer.from(': idle\n\nevent: chunk\nid: t:1:0\ndata: {"text":"é","index":0}\n\nevent: complete\nid: t:1:1\ndata: {"text":"é"}\n\n');
    for (const byte of bytes) {
      response.write(Buffer.from([byte]));
      await new Promise(setImmediate);
    }
    response.end();
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const stream = await openStream({ host: '127.0.0.1', port: server.address().port }, '/');
  const events = await stream.rest();
  assert.deepEqual(events.map((e) => [e.event, e.id, e.data.text]), [['chunk', 't:1:0', 'é'], ['complete', 't:1:1', 'é']]);
  assert.deepEqual(stream.comments, ['idle']);
  server.close();
});

test('the raw client reads pipelined, chunked and sized responses', async () => {
  const server = http.createServer((request, response) => {
    if (request.url === '/sized') response.setHeader('Content-Length', 2);
    response.write('o');
    response.end('k');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const peer = { host: '127.0.0.1', port: server.address().port };
  for (const path of ['/sized', '/chunked']) {
    const answer = await exchange(peer, `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
    assert.deepEqual([answer.status, answer.body], [200, 'ok']);
  }
  assert.equal((await call(peer, 'GET', '/sized')).text, 'ok');
  server.close();
});

test('an inbox hands over in order, ends, and complains when nothing comes', async () => {
  const inbox = new Inbox();
  inbox.push(1);
  inbox.push(2);
  inbox.end();
  assert.deepEqual([await inbox.next(), await inbox.next(), await inbox.next()], [1, 2, null]);
  await assert.rejects(new Inbox().next('what never comes', 5), /waited 5 ms for what never comes/);
});
