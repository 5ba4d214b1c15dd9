// When nothing can be made durable, the model is not read: TCP pushes back on the provider (design.md 3.4 and 4).
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { checkAnswer } from '../support/answers.mjs';
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

test('a frozen database stops the reading of the provider, and the answer goes on when it thaws', async () => {
  const session = await who.session();
  const script = provider.script({ deltas: words(10), endless: true });
  const post = await who.say(session, `Tell me ${script.token}`);
  await post.chunks(5);
  database.signalAll('SIGSTOP');
  const before = server.rss();
  let hungUp = false;
  script.gone.then(() => (hungUp = true));
  const sent = await settled(() => script.bytes, 'the provider to be pushed back on');
  // Without credit the server reads nothing more: had it read on, it would have ended the answer at its longest.
  assert.equal(hungUp, false, `the provider was read to the end: ${sent} bytes`);
  const shown = post.seen.reduce((sum, e) => sum + (e.data.text?.length ?? 0), 0);
  assert.ok(shown < mebibyte / 2, `${shown} bytes were shown while nothing could be stored`);
  const grown = (server.rss() - before) / mebibyte;
  assert.ok(grown < 64, `resident memory grew by ${grown.toFixed(0)} MiB`);
  assert.equal((await call(server, 'GET', '/live')).status, 200);

  database.signalAll('SIGCONT');
  await post.rest();
  const complete = checkAnswer(post.seen, { turn: post.turn });
  assert.equal(complete.finish_reason, 'length');
  assert.equal(complete.text, `${words(10).join('')}${'and so on '.repeat(110000)}`.slice(0, complete.text.length));
  await script.gone;
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
