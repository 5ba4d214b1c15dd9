// Usage and Stripe's events on the bus (events-and-billing.md 2.3): told once they are durable, with or without OpenMeter,
// and none is left out because of a kill -9 or a broker that was away.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { wholeAnswer } from '../support/answers.mjs';
import { caller } from '../support/http.mjs';
import { startNats, stored } from '../support/nats.mjs';
import { startMigratedPostgres } from '../support/postgres.mjs';
import { startServe } from '../support/server.mjs';
import { newTenant } from '../support/tenants.mjs';
import { until } from '../support/wait.mjs';

test('every row is told once, under its id, whatever was killed meanwhile', async (t) => {
  const database = await startMigratedPostgres();
  t.after(() => database.dispose());
  const db = await database.connect();
  t.after(() => db.end());
  const nats = await startNats();
  t.after(() => nats.dispose());
  const env = { NATS_ENABLED: 'true', NATS_SERVERS: nats.url };
  let server = await startServe(database, { env });
  t.after(() => server.dispose());
  const tenant = await newTenant(db);
  const answers = async (n) => {
    const who = caller(server, tenant.key);
    const session = await who.session();
    for (let i = 0; i < n; i += 1) await wholeAnswer(who, session, `Hello ${i}`);
  };
  const rows = async () =>
    (await db.query(`SELECT id, event_type, tokens_out FROM kg.usage_events WHERE tenant_id = $1`, [tenant.id])).rows;
  const told = async (subject) => (await stored(nats.url, 'BILLING', subject)).filter((x) => x.data.tenant_id === tenant.id);
  const agree = () =>
    until(async () => new Set((await told('billing.usage.>')).map((x) => x.data.id)).size === (await rows()).length, 'every row to be told', 60_000);

  await answers(3);
  await server.kill();
  server = await startServe(database, { env });
  await answers(2);
  await agree();
  await nats.kill();
  await answers(2);
  await nats.start();
  await agree();

  const usage = await told('billing.usage.>');
  assert.equal(usage.length, (await rows()).length, 'each once');
  const byId = new Map((await rows()).map((row) => [row.id, row]));
  for (const { subject, data, id } of usage) {
    assert.equal(subject, `billing.usage.${byId.get(data.id).event_type}`);
    assert.equal(data.tokens_out, byId.get(data.id).tokens_out);
    assert.equal(id, data.id, 'Nats-Msg-Id');
  }

  await db.query(`SELECT kg.queue_billing_event('substart:sub_1', $1, 'subscription.started', $2, now(), '{"plan_id":"price_1"}')`,
    [tenant.id, tenant.id]);
  const [started] = await until(async () => {
    const found = await told('billing.subscription.started');
    return found.length > 0 && found;
  }, "Stripe's event");
  assert.equal(started.data.id, 'substart:sub_1');
  assert.deepEqual(started.data.data, { plan_id: 'price_1' });
});
