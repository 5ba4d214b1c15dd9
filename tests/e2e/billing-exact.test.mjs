// kill -9 at random points under load: what was recorded, what the provider received and what clients got are the same.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { aboutWords, checkAnswer } from '../support/answers.mjs';
import { caller, isFinal } from '../support/http.mjs';
import { startOpenMeter } from '../support/openmeter.mjs';
import { startMigratedPostgres } from '../support/postgres.mjs';
import { startServe } from '../support/server.mjs';
import { newTenant } from '../support/tenants.mjs';
import { until } from '../support/wait.mjs';

const clients = 6;
const kills = 6;

test('usage_events, events received and tokens that clients got are equal after kill -9s under load', async (t) => {
  const database = await startMigratedPostgres();
  t.after(() => database.dispose());
  const db = await database.connect();
  t.after(() => db.end());
  const meter = await startOpenMeter();
  t.after(() => meter.close());
  const env = meter.env({ KGENTS_EMBEDDED_TOKENS_PER_SECOND: 150, OPENMETER_BATCH_SIZE: 7, OPENMETER_FLUSH_INTERVAL: 0.02 });
  let server = await startServe(database, { env });
  t.after(() => server.dispose());
  const tenants = [];
  for (let i = 0; i < clients; i += 1) tenants.push(await newTenant(db));

  let heard = 0; // events, by all clients
  let killed = 0;

  /// One whole answer, asked for under one Idempotency-Key until it is there.
  async function answer(tenant, session, key) {
    return until(async () => {
      try {
        const stream = await caller(server, tenant.key).say(session, aboutWords(25, key), {}, { 'Idempotency-Key': key });
        if (stream.status !== 200) return false;
        const events = [];
        for (let event; (event = await stream.next()) !== null; heard += 1) events.push(event);
        if (!events.some(isFinal)) return false;
        return checkAnswer(events).tokens_used;
      } catch {
        return false; // it was killed, or is not there again yet
      }
    }, `the answer ${key}`, 120_000);
  }

  async function talk(tenant, i) {
    const session = await until(() => caller(server, tenant.key).session().catch(() => false), 'a session');
    const got = { tokens: 0, answers: 0 };
    for (; killed < kills || got.answers < 2; got.answers += 1) got.tokens += await answer(tenant, session, `c${i}-${got.answers}`);
    return got;
  }

  const talking = Promise.all(tenants.map(talk));
  talking.catch(() => {});
  while (killed < kills) {
    // At a random point of the answers, or of the export: that goes on once the lease of the one killed before has ended.
    const exporting = killed % 2 === 1;
    const count = () => (exporting ? meter.requests.length : heard);
    const point = count() + 1 + Math.floor(Math.random() * (exporting ? 12 : 120));
    await until(() => count() >= point, 'the next point', 90_000);
    if (exporting && Math.random() < 0.5) {
      meter.faults.push({ cut: 'after' });
      await until(() => meter.faults.length === 0, 'a lost answer', 90_000);
    }
    await server.kill();
    killed += 1;
    server = await startServe(database, { env, port: server.port });
  }
  const got = await talking;
  await until(async () => (await db.query('SELECT 1 FROM kg.usage_events WHERE exported_at IS NULL LIMIT 1')).rowCount === 0,
    'everything to be exported');

  for (const [i, tenant] of tenants.entries()) {
    const recorded = (
      await db.query(`SELECT coalesce(sum(tokens_in + tokens_out), 0)::int AS tokens, count(*) FILTER (WHERE event_type = 'llm_call')::int AS calls
        FROM kg.usage_events WHERE tenant_id = $1`, [tenant.id])
    ).rows[0];
    assert.equal(recorded.calls, got[i].answers);
    assert.equal(recorded.tokens, got[i].tokens, 'recorded is what the client got');
    assert.equal(meter.tokens(tenant.id), got[i].tokens, 'the provider received what the client got');
  }
  const ids = (await db.query(`SELECT id FROM kg.usage_events WHERE event_type = 'llm_call'`)).rows.map((row) => row.id).sort();
  assert.deepEqual(meter.ofType('llm.tokens').map((event) => event.id).sort(), ids);
  const sent = meter.requests.flatMap((request) => (request.events ?? []).map((event) => event.id)).length;
  const answers = got.reduce((sum, x) => sum + x.answers, 0);
  const tokens = got.reduce((sum, x) => sum + x.tokens, 0);
  t.diagnostic(`${killed} kills, ${answers} answers, ${tokens} tokens; ${meter.events.size} events received in ${sent} deliveries`);
});
