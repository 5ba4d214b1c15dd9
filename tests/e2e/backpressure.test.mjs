// When nothing can be made durable, the model is not read: TCP pushes back on the provider (design.md 3.4 and 4).
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { call, caller } from '../support/http.mjs';
import { startMigratedPostgres } from '../support/postgres.mjs';
import { startProvider, words } from '../support/providers.mjs';
import { startServe } from '../support/server.mjs';
import { newTenant } from '../support/tenants.mjs';
import { until } from '../support/wait.mjs';

const mebibyte = 1024 * 1024;

let database;
let provider;
let server;
let who;
before(async () => {
  database = await startMigratedPostgres();
  provider = await startProvider();
  server = await startServe(database, { env: provider.openai() });
  const db = await database.connect();
  who = caller(server, (await newTenant(db)).key);
  await db.end();
});
after(async () => {
  await server?.dispose();
  await provider?.close();
  await database?.dispose();
});

// The same value many looks in a row: nothing moves any more.
async function settled(look, what) {
  let last = NaN;
  let same = 0;
  await until(() => {
    const now = look();
    same = now === last ? same + 1 : 0;
    last = now;
    return same >= 40;
  }, what);
  return last;
}

test('a frozen database stops the provider within the bound, and the answer goes on when it thaws', async () => {
  const session = await who.session();
  const deltas = Array.from({ length: 3900 }, (_, i) => `${i}:${'backpressure'.repeat(300)} `);
  const script = provider.script({ deltas });
  const before = server.rss();
  const post = await who.say(session, `Tell me ${script.token}`);
  await post.chunks(5);
  database.signalAll('SIGSTOP');
  const sent = await settled(() => script.sent, 'the provider to be pushed back on');
  assert.ok(sent < deltas.length, `${sent} of ${deltas.length} deltas were taken while nothing could be stored`);
  const grown = (server.rss() - before) / mebibyte;
  assert.ok(grown < 64, `resident memory grew by ${grown.toFixed(0)} MiB`);
  assert.equal((await call(server, 'GET', '/live')).status, 200);
  database.signalAll('SIGCONT');
  const events = await post.rest();
  const last = events.at(-1);
  assert.equal(last.event, 'complete', JSON.stringify(last).slice(0, 200));
  assert.equal(last.data.text, script.text);
});

test('a slow consumer of one turn does not slow the provider of another', async () => {
  const slow = provider.script({ deltas: words(3), gated: true });
  const held = await who.say(await who.session(), `Tell me ${slow.token}`);
  for (let i = 0; i < 5; i++) {
    const script = provider.script({ deltas: words(50) });
    const stream = await who.say(await who.session(), `Tell me ${script.token}`);
    assert.equal((await stream.rest()).at(-1).data.text, script.text);
  }
  slow.release();
  assert.equal((await held.rest()).at(-1).data.text, slow.text);
});
