// HTTP/1.1 as no client should speak it (RFC 9112): the right status, a sane connection, the next client unaffected.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';

import { call, caller } from '../support/http.mjs';
import { connectRaw, exchange } from '../support/raw.mjs';
import { openDatabase, startDev } from '../support/server.mjs';
import { newTenant } from '../support/tenants.mjs';
import { within } from '../support/wait.mjs';

const bodyLimit = 256 * 1024;

let server;
let db;
let key;
let who;
let session;
before(async () => {
  server = await startDev({
    env: { API_HEADER_TIMEOUT: 1, API_BODY_TIMEOUT: 1, API_WRITE_TIMEOUT: 1, API_IDLE_TIMEOUT: 2, API_MAX_BODY_BYTES: bodyLimit, KGENTS_EMBEDDED_TOKENS_PER_SECOND: 0 },
  });
  db = await openDatabase(server.stateDir);
  key = (await newTenant(db)).key;
  who = caller(server, key);
  session = await who.session();
});
afterEach(async () => {
  assert.equal((await call(server, 'GET', '/health')).status, 200, 'the next client is served');
  assert.equal((await who.get(`/v1/kgent/sessions/${session}`)).status, 200);
});
after(async () => {
  await db?.end();
  const { code } = (await server?.stop()) ?? {};
  await server?.dispose();
  assert.equal(code, 0, 'the server was still itself at the end');
});

const get = (path = '/health', lines = '') => `GET ${path} HTTP/1.1\r\nHost: x\r\n${lines}\r\n`;
const post = (lines, body = '', path = '/v1/kgent/sessions') => Buffer.concat([Buffer.from(`POST ${path} HTTP/1.1\r\nHost: x\r\nX-API-Key: ${key}\r\n${lines}\r\n`), Buffer.from(body)]);

// The answer has `status` (one of them) and JSON, and the connection is closed after it: what follows a malformed request
// cannot be told from its body.
async function refused(what, data, ...statuses) {
  const connection = await connectRaw(server);
  // A second request rides along: it must not be answered as if nothing had happened.
  connection.send(data);
  const answer = await connection.response();
  assert.ok(answer, `${what}: answered before the connection closes`);
  assert.ok(statuses.includes(answer.status), `${what}: ${answer.status}, expected ${statuses.join(' or ')}`);
  assert.doesNotThrow(() => JSON.parse(answer.body), `${what}: JSON`);
  const after = (await connection.closed()).toString('latin1');
  assert.equal(after, '', `${what}: nothing behind the refusal`);
  connection.destroy();
}

const smuggled = get('/live', 'X-Smuggled: yes\r\n');

test('an oversized request line is 414 or 431, an oversized header 431', async () => {
  await refused('line', get(`/${'a'.repeat(20000)}`), 414, 431);
  await refused('query', get(`/health?${'a'.repeat(20000)}`), 414, 431);
  await refused('one header', get('/health', `X-Big: ${'b'.repeat(20000)}\r\n`), 431);
  await refused('many headers', get('/health', 'X-Many: cccccccccccccccc\r\n'.repeat(1000)), 431);
  await refused('a line without an end', `GET /${'a'.repeat(40000)}`, 414, 431);
});

test('an oversized body is 413, announced or not, with and without a key', async () => {
  const large = 'x'.repeat(bodyLimit + 1);
  const announced = await exchange(server, post(`Content-Length: ${large.length}\r\n`, large.slice(0, 1000)));
  assert.equal(announced.status, 413);
  assert.deepEqual(JSON.parse(announced.body), { detail: 'Request body too large' });
  const anonymous = await exchange(server, `POST /v1/kgent/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: ${large.length}\r\n\r\n`);
  assert.equal(anonymous.status, 413, 'the size is checked before the key');
  const chunked = await exchange(server, post('Transfer-Encoding: chunked\r\n', `${large.length.toString(16)}\r\n${large}\r\n0\r\n\r\n`));
  assert.equal(chunked.status, 413);
  const small = await exchange(server, post('Transfer-Encoding: chunked\r\n', '1\r\nx\r\n'.repeat(bodyLimit + 1)));
  assert.equal(small.status, 413, 'in very small chunks, too');
  const fitting = JSON.stringify({ title: 'fits', filler: 'y'.repeat(bodyLimit - 100) });
  assert.equal((await who.post('/v1/kgent/sessions', fitting)).status, 200);
});

test('a slow header is 408 or closed, a slow body is 408', async () => {
  const header = await connectRaw(server);
  header.send('GET /health HTTP/1.1\r\nHo');
  const answer = await header.response();
  if (answer) assert.equal(answer.status, 408);
  await header.closed();

  const drip = await connectRaw(server);
  drip.send('GET /health HTTP/1.1\r\n');
  const dripping = setInterval(() => drip.send('X: y\r\n'), 100);
  const dripped = await drip.response();
  clearInterval(dripping);
  if (dripped) assert.equal(dripped.status, 408, 'the deadline is for the whole header');

  const body = await connectRaw(server);
  body.send(post('Content-Length: 100\r\n', '{"title":'));
  const late = await body.response();
  assert.equal(late?.status, 408);
  await body.closed();
});

test('a silent connection is closed', async () => {
  const idle = await connectRaw(server);
  await idle.closed();
  const used = await connectRaw(server);
  assert.equal((await used.send(get()).response()).status, 200);
  assert.equal((await used.closed()).length, 0, 'without a word');
});

test('a client that reads nothing is closed', async () => {
  const connection = await connectRaw(server);
  connection.socket.pause();
  // Far more answers than the kernel holds for a connection.
  for (let i = 0; i < 2000; i++) connection.send(get('/openapi.json'));
  const closed = new Promise((resolve) => connection.socket.once('close', resolve));
  // Only writing tells a paused reader that its peer is gone.
  const poke = setInterval(() => connection.socket.destroyed || connection.send(get()), 100);
  await within(closed, 'the end of a connection that reads nothing');
  clearInterval(poke);
});

test('Content-Length that conflicts, repeats or is no number is 400', async () => {
  for (const lines of [
    'Content-Length: 2\r\nContent-Length: 3\r\n',
    'Content-Length: 2\r\nContent-Length: 2\r\n',
    'Content-Length: 2, 2\r\n',
    'Content-Length: 2, 3\r\n',
    'Content-Length: +2\r\n',
    'Content-Length: -2\r\n',
    'Content-Length: 0x2\r\n',
    'Content-Length: 2 \t3\r\n',
    'Content-Length: two\r\n',
    'Content-Length:\r\n',
  ])
    await refused(lines, post(lines, `{}${smuggled}`), 400);
  await refused('beyond 64 bits', post('Content-Length: 18446744073709551618\r\n', `{}${smuggled}`), 400, 413);
});

test('Transfer-Encoding beside Content-Length, or one we do not know, is refused', async () => {
  const chunks = '2\r\n{}\r\n0\r\n\r\n';
  await refused('CL.TE', post('Content-Length: 2\r\nTransfer-Encoding: chunked\r\n', chunks + smuggled), 400);
  await refused('TE.CL', post('Transfer-Encoding: chunked\r\nContent-Length: 4\r\n', chunks + smuggled), 400);
  for (const coding of ['gzip', 'identity', 'chunked, chunked', 'chunked, gzip', 'gzip, chunked', 'xchunked', 'chunked\x0b', '"chunked"', ''])
    await refused(`Transfer-Encoding: ${coding}`, post(`Transfer-Encoding: ${coding}\r\n`, chunks + smuggled), 400, 501);
  await refused('two codings', post('Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n', chunks + smuggled), 400, 501);
  await refused('with HTTP/1.0', `POST /v1/kgent/sessions HTTP/1.0\r\nHost: x\r\nX-API-Key: ${key}\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}${smuggled}`, 400);
  const plain = await exchange(server, post('Transfer-Encoding: ChunKed\r\n', chunks));
  assert.equal(plain.status, 200, 'the name of the coding has no case');
});

test('bad chunk sizes are 400', async () => {
  for (const chunks of ['zz\r\n{}\r\n0\r\n\r\n', '-2\r\n{}\r\n0\r\n\r\n', '0x2\r\n{}\r\n0\r\n\r\n', '\r\n{}\r\n0\r\n\r\n', '2 2\r\n{}\r\n0\r\n\r\n', '2\r\n{}X\r\n0\r\n\r\n', '2\n{}\r\n0\r\n\r\n', '1ffffffffffffffff\r\n{}\r\n'])
    await refused(JSON.stringify(chunks), post('Transfer-Encoding: chunked\r\n', chunks), 400, 413);
  const extended = await exchange(server, post('Transfer-Encoding: chunked\r\n', '2;name=value;other\r\n{}\r\n0\r\nX-Trailer: t\r\n\r\n'));
  assert.equal(extended.status, 200, 'extensions and trailers are legal');
});

test('bare LF, obs-fold, NUL and malformed header lines are 400', async () => {
  await refused('bare LF', 'GET /health HTTP/1.1\nHost: x\n\n', 400);
  await refused('bare LF in a header', 'GET /health HTTP/1.1\r\nHost: x\nX-A: b\r\n\r\n', 400);
  await refused('bare CR in a value', 'GET /health HTTP/1.1\r\nHost: x\r\nX-A: b\rc\r\n\r\n', 400);
  await refused('obs-fold', get('/health', 'X-A: b\r\n  folded\r\n'), 400);
  await refused('space before the first header', 'GET /health HTTP/1.1\r\n Host: x\r\n\r\n', 400);
  await refused('space before the colon', get('/health', 'X-A : b\r\n'), 400);
  await refused('no colon', get('/health', 'nonsense\r\n'), 400);
  await refused('empty name', get('/health', ': b\r\n'), 400);
  await refused('NUL in a value', get('/health', 'X-A: b\0c\r\n'), 400);
  await refused('NUL in a name', get('/health', 'X\0A: b\r\n'), 400);
  await refused('NUL in the target', get('/hea\0lth'), 400);
  await refused('control byte in the target', get('/hea\x01lth'), 400);
});

test('Host: missing, repeated or malformed is 400', async () => {
  await refused('missing', 'GET /health HTTP/1.1\r\n\r\n', 400);
  await refused('repeated', 'GET /health HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n', 400);
  for (const host of ['a b', 'a/b', 'a,b', 'user@x', 'x:port', '[::1', 'x:99999999']) await refused(`Host: ${host}`, `GET /health HTTP/1.1\r\nHost: ${host}\r\n\r\n`, 400);
  for (const host of ['x', 'x:1', '127.0.0.1:80', '[::1]:80', 'a.example'])
    assert.equal((await exchange(server, `GET /health HTTP/1.1\r\nHost: ${host}\r\n\r\n`)).status, 200, host);
});

test('request lines that are none', async () => {
  for (const line of ['GET', 'GET /health', 'GET  /health HTTP/1.1', 'GET /health HTTP/1.1 x', 'GET /health HTTP/x', 'GET /health http/1.1', ' GET /health HTTP/1.1', 'G\x00T /health HTTP/1.1', 'GET health HTTP/1.1', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'])
    await refused(JSON.stringify(line), Buffer.from(`${line}\r\nHost: x\r\n\r\n`, 'latin1'), 400, 505);
  await refused('HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, 505);
  await refused('HTTP/9.9', 'GET /health HTTP/9.9\r\nHost: x\r\n\r\n', 400, 505);
});

test('methods: unknown ones are refused, the connection goes on or closes sanely', async () => {
  for (const method of ['BREW', 'get', 'TRACE', 'CONNECT']) {
    const answer = await exchange(server, `${method} /health HTTP/1.1\r\nHost: x\r\n\r\n`);
    assert.ok([400, 405, 501].includes(answer.status), `${method}: ${answer.status}`);
  }
  const asterisk = await exchange(server, 'OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n');
  assert.ok(asterisk.status < 500, `OPTIONS *: ${asterisk.status}`);
});

test('the absolute form is understood, traversal finds nothing', async () => {
  const absolute = await exchange(server, 'GET http://x/health HTTP/1.1\r\nHost: x\r\n\r\n');
  assert.equal(absolute.status, 200, 'RFC 9112 3.2.2');
  for (const path of ['/../../../../etc/passwd', '/docs/../../../etc/passwd', '/%2e%2e/%2e%2e/etc/passwd', '/v1/kgent/sessions/..%2f..%2fetc%2fpasswd', '/health/../../etc/passwd', '//etc/passwd', '/..\\..\\etc\\passwd', '/health%00', '/%', '/%zz', '/%c0%ae%c0%ae/', '/health/', '/HEALTH', '//health', '/./health', '/health/../health']) {
    const answer = await exchange(server, get(path, `X-API-Key: ${key}\r\n`));
    assert.ok([400, 404].includes(answer.status), `${path}: ${answer.status}`);
    assert.ok(!answer.body.includes('root:'));
  }
  for (const id of ['%00', '%', '..', '%2e%2e', "';--", '\xff'])
    assert.ok([400, 404].includes((await exchange(server, Buffer.from(get(`/v1/kgent/sessions/${id}`, `X-API-Key: ${key}\r\n`), 'latin1'))).status), id);
});

test('JSON: too deep, truncated, of wrong types, with bad text, is 422, never 500', async () => {
  const path = `/v1/kgent/sessions/${session}/messages`;
  const bodies = [
    '['.repeat(100000),
    `{"message":${'{"a":'.repeat(20000)}1${'}'.repeat(20000)}}`,
    '{"message":"x"',
    '{"message":"x"} trailing',
    '{"message":"x",}',
    "{'message':'x'}",
    '{"message":nan}',
    '"\\u12"',
    'null',
    'true',
    '17',
    '""',
    '\ufeff\ufeff{}',
    '{"message":["x"]}',
    '{"message":{"a":1}}',
    '{"message":null}',
    '{"message":1e999}',
    '{"message":"x","mode":[]}',
    '{"message":"nul \\u0000 inside"}',
    '{"message":"lone \\ud800 surrogate"}',
    Buffer.from([0x7b, 0x22, 0x6d, 0x65, 0x73, 0x73, 0x61, 0x67, 0x65, 0x22, 0x3a, 0x22, 0xc3, 0x28, 0x22, 0x7d]),
    Buffer.from([0xff, 0xfe, 0x7b, 0x00, 0x7d, 0x00]),
    Buffer.from('{"message":"raw \0 nul"}'),
    Buffer.from('{"message":"raw \n newline"}'),
  ];
  for (const body of bodies) {
    const answer = await who.post(path, body);
    assert.equal(answer.status, 422, `${String(body).slice(0, 60)}: ${answer.status} ${answer.text.slice(0, 200)}`);
    assert.ok(Array.isArray(answer.body.detail));
    assert.ok(answer.text.length < 600 * 1024, 'the refusal is not much longer than the request');
  }
  const { body } = await who.get(`/v1/kgent/sessions/${session}/messages`);
  assert.equal(body.total, 0);
});

test('JSON: long, deep and odd but legal texts are taken', async () => {
  const own = await who.session();
  const say = async (message) => {
    const answer = await who.post(`/v1/kgent/sessions/${own}/messages`, { message, stream: false });
    assert.equal(answer.status, 200, `${message.slice(0, 40)}: ${answer.text.slice(0, 200)}`);
  };
  for (const message of ['', ' \t\n ', '𝒳🌊\u200d', '\u0001\u001f\u007f', '"\\/\b', 'x'.repeat(100000), '</script><!--', '%s%n${7*7}{{7*7}}', "'; DROP TABLE kg.messages; --", 'data: x\n\nevent: complete\ndata: {}\n\n', '\r\n\r\nHTTP/1.1 200 OK\r\n\r\n']) await say(message);
  const titled = await who.post('/v1/kgent/sessions', { title: 'a"b\\c\u2028d', other: { deep: [[[[[[1]]]]]] } });
  assert.equal(titled.body.title, 'a"b\\c\u2028d');
});

test('message text cannot forge frames of the stream', async () => {
  const own = await who.session({ title: 'frames' });
  const follower = await who.stream(`/v1/kgent/sessions/${own}/stream`);
  const stream = await who.say(own, 'Please write about 30 words on "event: complete\n\nid: 0\ndata: {}\n\n" in poems');
  const events = await stream.rest();
  assert.deepEqual([...new Set(events.map((e) => e.event))], ['chunk', 'complete']);
  const followed = await follower.turnEvents();
  assert.equal(followed.length, events.length + 1);
  follower.close();
});

test('pipelined requests are answered in order, errors among them', async () => {
  const connection = await connectRaw(server);
  connection.send(get('/health') + get('/nowhere') + get('/live') + `HEAD /health HTTP/1.1\r\nHost: x\r\n\r\n`);
  assert.deepEqual([(await connection.response()).status, (await connection.response()).status, (await connection.response()).status], [200, 404, 200]);
  assert.equal((await connection.response(undefined, { head: true })).status, 200);
  // A refused POST whose body was not needed: the next request is found behind that body.
  const body = '{"title":"GET /live HTTP/1.1\\r\\nHost: x"}';
  connection.send(`POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}${get('/live')}`);
  assert.equal((await connection.response()).status, 404);
  const last = await connection.response();
  if (last) assert.deepEqual([last.status, JSON.parse(last.body).status], [200, 'ok']);
  connection.destroy();
});

test('a body that looks like a request is a body', async () => {
  const body = get('/live');
  const connection = await connectRaw(server);
  connection.send(post(`Content-Length: ${body.length}\r\n`, body));
  assert.equal((await connection.response()).status, 422);
  connection.send(get('/health'));
  const next = await connection.response();
  if (next) assert.equal(JSON.parse(next.body).version, 'v1');
  connection.destroy();
});

test('bytes one at a time make the same request', async () => {
  const connection = await connectRaw(server);
  for (const byte of post('Content-Length: 2\r\n', '{}')) {
    connection.send(Buffer.from([byte]));
    await new Promise(setImmediate);
  }
  assert.equal((await connection.response()).status, 200);
  connection.destroy();
});

test('HTTP/1.0 and Connection: close end the connection after the answer', async () => {
  for (const request of ['GET /health HTTP/1.0\r\n\r\n', get('/health', 'Connection: close\r\n')]) {
    const connection = await connectRaw(server);
    assert.equal((await connection.send(request).response()).status, 200);
    assert.equal((await connection.closed()).length, 0);
  }
  const kept = await connectRaw(server);
  kept.send('GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
  assert.equal((await kept.response()).status, 200);
  kept.destroy();
});

test('an HTTP/1.0 client gets its stream unchunked, ended by the close', async () => {
  const own = await who.session();
  const body = JSON.stringify({ message: 'hello' });
  const connection = await connectRaw(server);
  connection.send(`POST /v1/kgent/sessions/${own}/messages HTTP/1.0\r\nX-API-Key: ${key}\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  const answer = await connection.response();
  assert.equal(answer.status, 200);
  assert.equal(answer.headers['transfer-encoding'], undefined);
  assert.match(answer.body, /^event: chunk\n/m);
  assert.match(answer.body, /event: complete\n[^]*\n\n$/);
});

test('an expectation we do not know is 417; a 100-continue for a body too large is refused before it is sent', async () => {
  const odd = await exchange(server, post('Content-Length: 2\r\nExpect: 200-maybe\r\n', '{}'));
  assert.equal(odd.status, 417);
  const large = await exchange(server, post(`Content-Length: ${bodyLimit + 1}\r\nExpect: 100-continue\r\n`));
  assert.equal(large.status, 413);
});

test('two hundred connections cut in the middle of everything leave nothing behind', async () => {
  const pieces = [get().slice(0, 10), get(), post('Content-Length: 50\r\n', '{"a'), post('Content-Length: 15\r\n', '{"message":"x"}', `/v1/kgent/sessions/${session}x/messages`), post('Transfer-Encoding: chunked\r\n', '5\r\nab'), get(`/v1/kgent/sessions/${session}/stream`, `X-API-Key: ${key}\r\n`)];
  const connections = await Promise.all(Array.from({ length: 200 }, () => connectRaw(server)));
  connections.forEach((connection, i) => {
    connection.send(pieces[i % pieces.length]);
    if (i % 2) connection.socket.resetAndDestroy();
    else connection.socket.destroy();
  });
});
