// The same server behind TLS: HTTPS, SSE and WebSocket, and a new certificate on SIGHUP.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import tls from 'node:tls';

import WebSocket from 'ws';

import { removeDirectory, run, startDev, temporaryDirectory } from '../support/server.mjs';
import { until, within } from '../support/wait.mjs';

let directory;
let server;
let ca;
before(async () => {
  directory = temporaryDirectory('kgents-tls');
  certify('first');
  server = await startDev({ env: { API_TLS_CERT: join(directory, 'cert.pem'), API_TLS_KEY: join(directory, 'key.pem'), KGENTS_EMBEDDED_TOKENS_PER_SECOND: 0 } });
});
after(async () => {
  await server?.dispose();
  removeDirectory(directory);
});

function certify(name) {
  const args = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1'];
  execFileSync('openssl', [...args, '-keyout', join(directory, 'key.pem'), '-out', join(directory, 'cert.pem')], { stdio: 'ignore' });
  ca = readFileSync(join(directory, 'cert.pem'));
}

function ask(method, path, body) {
  const headers = { 'X-API-Key': 'kg_dev_carol', ...(body ? { 'Content-Length': Buffer.byteLength(body) } : {}) };
  const exchange = new Promise((resolve, reject) => {
    const request = https.request({ host: '127.0.0.1', port: server.port, method, path, headers, ca, agent: false }, async (response) => {
      let text = '';
      for await (const part of response.setEncoding('utf8')) text += part;
      resolve({ status: response.statusCode, text });
    });
    request.on('error', reject);
    request.end(body);
  });
  return within(exchange, `${method} ${path}`);
}

test('the ready line says https, and requests work', async () => {
  assert.match(server.url, /^https:/);
  assert.equal((await ask('GET', '/health')).status, 200);
});

test('an answer streams, and a WebSocket opens', async () => {
  const session = JSON.parse((await ask('POST', '/v1/kgent/sessions', '{}')).text).id;
  const streamed = await ask('POST', `/v1/kgent/sessions/${session}/messages`, '{"message":"Please write about 40 words on locks"}');
  assert.match(streamed.text, /event: complete\n/);
  const ws = new WebSocket(`wss://127.0.0.1:${server.port}/v1/kgent/sessions/${session}/ws?api_key=kg_dev_carol`, 'kgents.v1', { ca });
  await within(new Promise((resolve, reject) => ws.on('open', resolve).on('error', reject)), 'wss to open');
  ws.send('{"type":"message","message":"hello"}');
  await within(new Promise((resolve) => ws.on('message', (data) => JSON.parse(data).type === 'complete' && resolve())), 'complete over wss');
  ws.close();
});

test('plain HTTP and old TLS are turned away and leave the listener alone', async () => {
  const plain = await within(fetch(`http://127.0.0.1:${server.port}/health`).then((r) => r.status, () => 'refused'), 'plain HTTP');
  assert.ok(plain === 'refused' || plain === 400);
  const old = new Promise((resolve) => {
    const socket = tls.connect({ host: '127.0.0.1', port: server.port, ca, maxVersion: 'TLSv1.1', minVersion: 'TLSv1' });
    socket.on('secureConnect', () => resolve('accepted')).on('error', () => resolve('refused'));
  });
  assert.equal(await within(old, 'TLS 1.1'), 'refused');
  assert.equal((await ask('GET', '/health')).status, 200);
});

test('SIGHUP loads a new certificate without a pause', async () => {
  const shown = () =>
    new Promise((resolve, reject) => {
      const socket = tls.connect({ host: '127.0.0.1', port: server.port, rejectUnauthorized: false });
      socket.on('error', reject).on('secureConnect', () => {
        resolve(socket.getPeerCertificate().subject.CN);
        socket.destroy();
      });
    });
  assert.equal(await shown(), 'first');
  certify('second');
  server.child.kill('SIGHUP');
  await until(async () => (await shown()) === 'second', 'the new certificate');
  assert.equal((await ask('GET', '/health')).status, 200);
});

test('a certificate without its key stops the start with its name', async () => {
  const { code, log } = await run(['dev', '--port', '0', '--state-dir', join(directory, 'state')], { API_TLS_CERT: join(directory, 'cert.pem') });
  assert.equal(code, 64);
  assert.match(log, /API_TLS_KEY/);
});
