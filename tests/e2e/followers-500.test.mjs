// 500 followers of one session get the same bytes in the same order.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import http from 'node:http';
import { after, before, test } from 'node:test';

import { aboutWords, wholeAnswer } from '../support/answers.mjs';
import { caller } from '../support/http.mjs';
import { openDatabase, startDev } from '../support/server.mjs';
import { newTenant } from '../support/tenants.mjs';
import { within } from '../support/wait.mjs';

let server;
let db;
let who;
before(async () => {
  server = await startDev({ env: { KGENTS_EMBEDDED_TOKENS_PER_SECOND: 200 } });
  db = await openDatabase(server.stateDir);
  who = caller(server, (await newTenant(db)).key);
});
after(async () => {
  await db?.end();
  await server?.dispose();
});

// Everything the connection carries up to its third final event, without comments (they come by the clock).
function follow(session) {
  return new Promise((resolve, reject) => {
    const request = http.request(
      { host: server.host, port: server.port, path: `/v1/kgent/sessions/${session}/stream`, headers: { 'X-API-Key': who.key }, agent: false },
      (response) => {
        let text = '';
        let finals = 0;
        const done = new Promise((finish) => {
          response.setEncoding('utf8').on('data', (part) => {
            const from = Math.max(0, text.length - 20);
            text += part;
            finals += text.slice(from).split('event: complete\n').length - 1 - (text.slice(from, text.length - part.length).split('event: complete\n').length - 1);
            if (finals >= 3 && text.endsWith('\n\n')) {
              request.destroy();
              finish(text);
            }
          });
          response.on('close', () => finish(text));
        });
        resolve({ status: response.statusCode, done });
      },
    );
    request.on('error', reject);
    request.end();
  });
}

test('500 followers, three turns', async () => {
  const session = await who.session();
  const followers = [];
  for (let i = 0; i < 500; i += 25) followers.push(...(await Promise.all(Array.from({ length: 25 }, () => follow(session)))));
  assert.deepEqual([...new Set(followers.map((f) => f.status))], [200]);
  const told = [];
  for (const subject of ['rain', 'snow', 'hail']) told.push(await wholeAnswer(who, session, aboutWords(80, subject)));
  const views = await within(Promise.all(followers.map((f) => f.done)), 'all followers');
  const digests = new Set(views.map((text) => createHash('sha256').update(text.replace(/^:.*\n\n/gm, '')).digest('hex')));
  assert.equal(digests.size, 1, 'one sequence of bytes for all');
  const order = [...views[0].matchAll(/^id: ([^:\n]+):\d+:(\S+)$/gm)].map((m) => `${m[1]}:${m[2]}`);
  assert.deepEqual(order, told.flatMap((a) => [`${a.turn}:-`, ...Array.from({ length: a.complete.chunks + 1 }, (_, i) => `${a.turn}:${i}`)]));
});
