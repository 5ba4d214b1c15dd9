// WebSocket frames as no client should send them (RFC 6455): the right close code, and the next client unaffected.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';

import { call, caller } from '../support/http.mjs';
import { connectRaw } from '../support/raw.mjs';
import { openDatabase, startDev } from '../support/server.mjs';
import { newTenant } from '../support/tenants.mjs';
import { openSocket } from '../support/websocket.mjs';
import { closeFrame, frame, handshake, opcode, openRawSocket } from '../support/websocket-frames.mjs';

let server;
let db;
let key;
let session;
let path;
before(async () => {
  server = await startDev({ env: { API_HEADER_TIMEOUT: 1, KGENTS_EMBEDDED_TOKENS_PER_SECOND: 0 } });
  db = await openDatabase(server.stateDir);
  key = (await newTenant(db)).key;
  session = await caller(server, key).session();
  path = `/v1/kgent/sessions/${session}/ws`;
});
afterEach(async () => assert.equal((await call(server, 'GET', '/health')).status, 200));
after(async () => {
  await db?.end();
  const { code } = (await server?.stop()) ?? {};
  await server?.dispose();
  assert.equal(code, 0);
});

const message = (text) => JSON.stringify({ type: 'message', message: text });

const abuses = [
  ['an unmasked frame', [frame(opcode.text, message('hello'), { masked: false })], 1002],
  ['a reserved opcode', [frame(3, 'x')], 1002],
  ['a reserved control opcode', [frame(11, 'x')], 1002],
  ['reserved bits', [frame(opcode.text, message('hello'), { reserved: 4 })], 1002],
  ['a fragmented ping', [frame(opcode.ping, 'x', { final: false })], 1002],
  ['a fragmented close', [frame(opcode.close, '', { final: false })], 1002],
  ['a ping of 126 bytes', [frame(opcode.ping, 'x'.repeat(126))], 1002],
  ['a continuation of nothing', [frame(opcode.continuation, 'x')], 1002],
  ['a new message inside a fragmented one', [frame(opcode.text, '{"a":', { final: false }), frame(opcode.text, '1}')], 1002],
  ['a close with one byte', [frame(opcode.close, 'x')], 1002],
  ['a close with code 999', [closeFrame(999)], 1002],
  ['a close with code 1005', [closeFrame(1005)], 1002],
  ['a close whose reason is not UTF-8', [frame(opcode.close, Buffer.from([0x03, 0xe8, 0xc3, 0x28]))], 1007],
  ['a text that is not UTF-8', [frame(opcode.text, Buffer.from([0x22, 0xc3, 0x28, 0x22]))], 1007],
  ['a text cut inside a code point', [frame(opcode.text, Buffer.from([0x22, 0xf0, 0x9f]), { final: false }), frame(opcode.continuation, '"')], 1007],
  ['a frame that announces two MiB', [frame(opcode.text, 'x'.repeat(100), { length: 2 * 1024 * 1024 })], 1009],
  ['a frame that announces 2^62 bytes', [frame(opcode.text, 'x', { length: 2 ** 62 })], 1009],
  ['a message of two MiB in fragments', [frame(opcode.text, 'x'.repeat(65000), { final: false }), ...Array.from({ length: 32 }, () => frame(opcode.continuation, 'x'.repeat(65000), { final: false }))], 1009],
];

for (const [what, frames, code] of abuses)
  test(`${what} is closed with ${code}`, async () => {
    const socket = await openRawSocket(server, path, key);
    socket.send(...frames);
    assert.equal(await socket.closeCode(), code);
    await socket.connection.closed();
    socket.destroy();
  });

test('a binary message is refused with 1003 or an error message', async () => {
  const socket = await openRawSocket(server, path, key);
  socket.send(frame(opcode.binary, message('hello')));
  const answer = await socket.next();
  if (answer.op === opcode.close) assert.equal(answer.payload.readUInt16BE(0), 1003);
  else assert.equal(JSON.parse(answer.payload).type, 'error');
  socket.destroy();
});

test('a fragmented message with a ping in between is one message, and the ping is answered', async () => {
  const socket = await openRawSocket(server, path, key);
  const text = Buffer.from(message('hello'));
  socket.send(frame(opcode.text, text.subarray(0, 7), { final: false }), frame(opcode.ping, 'beat'), frame(opcode.continuation, text.subarray(7, 9), { final: false }), frame(opcode.continuation, text.subarray(9)));
  const pong = await socket.next();
  assert.deepEqual([pong.op, pong.payload.toString(), pong.masked], [opcode.pong, 'beat', false]);
  const types = [];
  while (types.at(-1) !== 'complete') types.push(JSON.parse((await socket.next()).payload).type);
  assert.ok(types.includes('accepted'));
  socket.send(closeFrame(1000, 'done'));
  assert.equal(await socket.closeCode(), 1000);
  await socket.connection.closed();
});

test('a megabyte message fits, in one frame', async () => {
  const socket = await openRawSocket(server, path, key);
  socket.send(frame(opcode.text, JSON.stringify({ type: 'message', message: 5, filler: 'x'.repeat(1000 * 1000) })));
  assert.equal(JSON.parse((await socket.next()).payload).type, 'error', 'read, and refused for its content');
  socket.destroy();
});

test('bytes one at a time make the same message', async () => {
  const socket = await openRawSocket(server, path, key);
  for (const byte of frame(opcode.text, '{"type":"cancel"}')) {
    socket.send(Buffer.from([byte]));
    await new Promise(setImmediate);
  }
  socket.send(frame(opcode.ping, 'after'));
  let answer;
  do answer = await socket.next();
  while (answer && answer.op !== opcode.pong);
  assert.equal(answer?.payload.toString(), 'after');
  socket.destroy();
});

test('handshakes that are none get an HTTP answer', async () => {
  for (const [what, options, ...statuses] of [
    ['no key', { nonce: null }, 400, 426],
    ['a short key', { nonce: 'YWJj' }, 400],
    ['a key that is not base64', { nonce: '!!!!!!!!!!!!!!!!!!!!!!==' }, 400],
    ['version 12', { version: '12' }, 400, 426],
    ['no version', { version: null }, 400, 426],
    ['POST', { method: 'POST' }, 400, 405],
    ['HTTP/1.0', { http: '1.0' }, 400, 426],
    ['no Upgrade', { upgrade: null }, 400, 426],
    ['another upgrade', { upgrade: 'h2c' }, 400, 426],
    ['no Connection: Upgrade', { connection: null }, 400, 426],
  ]) {
    const connection = await connectRaw(server);
    const answer = await connection.send(handshake(path, key, options)).response();
    assert.ok(statuses.includes(answer?.status), `${what}: ${answer?.status}`);
    connection.destroy();
  }
});

test('a flood of messages is answered, refused or closed, never lost in silence', async () => {
  const socket = await openRawSocket(server, path, key);
  for (let i = 0; i < 2000; i++) socket.send(frame(opcode.text, '{"type":"cancel"}'));
  socket.send(frame(opcode.text, JSON.stringify({ type: 'message', message: 'hello', ref: 'last' })));
  for (let f; (f = await socket.next()); ) {
    if (f.op === opcode.close) break;
    const heard = JSON.parse(f.payload);
    if (heard.ref === 'last') break;
  }
  socket.destroy();
});

test('a hundred sockets cut in the middle of a frame leave nothing behind', async () => {
  const sockets = await Promise.all(Array.from({ length: 100 }, () => openRawSocket(server, path, key)));
  sockets.forEach((socket, i) => {
    socket.send(frame(opcode.text, message('hello')).subarray(0, 3 + (i % 20)));
    if (i % 2) socket.connection.socket.resetAndDestroy();
    else socket.destroy();
  });
  const next = await openSocket(server, session, { key });
  next.send({ type: 'message', message: 'hello', ref: 'next' });
  assert.equal((await next.of('accepted')).ref, 'next');
  await next.of('complete');
  await next.close();
});
