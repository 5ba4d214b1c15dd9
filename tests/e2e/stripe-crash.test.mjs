// An event that was answered with 200 is applied once, whatever dies between its ledger and its tenant (E9, E13).
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { after, before, test } from 'node:test';

import Stripe from 'stripe';

import { call } from '../support/http.mjs';
import { startMigratedPostgres } from '../support/postgres.mjs';
import { startServe } from '../support/server.mjs';
import { stripeEvent } from '../support/stripe.mjs';
import { newTenant } from '../support/tenants.mjs';
import { until } from '../support/wait.mjs';

const stripe = new Stripe('sk_test_unused');
const env = { STRIPE_WEBHOOK_SECRET: 'whsec_x', STRIPE_PRICE_PRO_MONTHLY: 'price_pro' };

let database, db, server;
before(async () => {
  database = await startMigratedPostgres();
  db = await database.connect();
});
after(async () => {
  await server?.dispose();
  await db?.end();
  await database?.dispose();
});

const deliver = (to, event) => {
  const payload = JSON.stringify(event);
  const header = stripe.webhooks.generateTestHeaderString({ payload, secret: 'whsec_x' });
  return call(to, 'POST', '/webhooks/stripe', { body: payload, headers: { 'Stripe-Signature': header } });
};

async function newCustomer(name) {
  const { id } = await newTenant(db, { tier: 'free' });
  const customer = `cus_${name}`;
  await db.query('UPDATE kg.tenants SET stripe_customer_id = $2 WHERE id = $1', [id, customer]);
  const event = stripeEvent('customer.subscription.created', {
    id: `sub_${name}`, customer, status: 'active', items: { data: [{ price: { id: 'price_pro' } }] },
  });
  return { id, customer, event };
}

async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

const one = async (text, ...values) => Object.values((await db.query(text, values)).rows[0])[0];
const statusOf = (event) => one('SELECT status FROM kg.stripe_events WHERE event_id = $1', event.id);
const tierOf = (id) => one('SELECT subscription_tier FROM kg.tenants WHERE id = $1', id);
const meteredOf = (customer) => one(`SELECT count(*)::int FROM kg.billing_events WHERE data->>'stripe_customer_id' = $1`, customer);

test('killed after the answer and before the effect', async () => {
  const x = await newCustomer('answered');
  // A node without the role `meter` takes events in and applies none.
  server = await startServe(database, { env: { ...env, KGENTS_ROLES: 'gateway,agentese,kgent,control' } });
  assert.equal((await deliver(server, x.event)).status, 200);
  await server.kill();
  assert.deepEqual([await statusOf(x.event), await tierOf(x.id), await meteredOf(x.customer)], ['received', 'free', 0]);
  server = await startServe(database, { env });
  await until(async () => (await statusOf(x.event)) === 'done', 'the event to be applied');
  assert.equal((await deliver(server, x.event)).status, 200);
  assert.deepEqual([await tierOf(x.id), await meteredOf(x.customer)], ['pro', 1]);
});

test('killed in the middle of the transaction', async () => {
  const x = await newCustomer('torn');
  const holder = await database.connect();
  await holder.query('BEGIN');
  await holder.query('SELECT FROM kg.tenants WHERE id = $1 FOR UPDATE', [x.id]);
  assert.equal((await deliver(server, x.event)).status, 200);
  const waiting = `SELECT count(*)::int FROM pg_stat_activity WHERE query LIKE '%apply_stripe_event%' AND wait_event_type = 'Lock'`;
  await until(async () => (await one(waiting)) === 1, 'the worker to wait for the tenant');
  await server.kill();
  assert.equal(await tierOf(x.id), 'free');
  await holder.query('ROLLBACK');
  await holder.end();
  server = await startServe(database, { env });
  await until(async () => (await statusOf(x.event)) === 'done', 'the event to be applied');
  assert.deepEqual([await tierOf(x.id), await meteredOf(x.customer)], ['pro', 1]);
});

test('two nodes and a stream of events: each has one effect', async () => {
  await server.dispose();
  const node = (name, port) =>
    startServe(database, { env: { ...env, KGENTS_NODE_NAME: name, KGENTS_CLUSTER_HOST: '127.0.0.1', KGENTS_CLUSTER_PORT: port } });
  const ports = [await freePort(), await freePort()];
  server = await node('one', ports[0]);
  const other = await node('two', ports[1]);
  const all = [];
  for (let i = 0; i < 12; ++i) all.push(await newCustomer(`many_${i}`));
  for (const [i, x] of all.entries()) {
    const [a, b] = i % 2 ? [server, other] : [other, server];
    const answers = await Promise.all([deliver(a, x.event), deliver(b, x.event), deliver(a, x.event)]);
    assert.ok(answers.every((answer) => answer.status === 200));
    if (i === 6) {
      await server.kill();
      server = await node('one', ports[0]);
    }
  }
  for (const x of all) await until(async () => (await statusOf(x.event)) === 'done', 'each event to be applied');
  for (const x of all) assert.deepEqual([await tierOf(x.id), await meteredOf(x.customer)], ['pro', 1]);
  await other.dispose();
});

test('without the ledger there is no 200', async () => {
  const x = await newCustomer('outage');
  await database.stop();
  const away = await until(async () => {
    const answer = await deliver(server, x.event);
    return answer.status === 503 && answer;
  }, 'the answer of an outage');
  assert.equal(away.headers['retry-after'], '5');
  await database.start();
  db = await database.connect();
  await until(async () => (await deliver(server, x.event)).status === 200, 'the event to be taken');
  await until(async () => (await statusOf(x.event)) === 'done', 'the event to be applied');
  assert.equal(await tierOf(x.id), 'pro');
});
