// Stripe's webhook (events-and-billing.md 4, http-api.md 9.1, 9.2; E8 to E13), signed by Stripe's own library.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import http from 'node:http';
import { after, before, test } from 'node:test';

import Stripe from 'stripe';

import { call } from '../support/http.mjs';
import { startMigratedPostgres } from '../support/postgres.mjs';
import { startServe } from '../support/server.mjs';
import { stripeEvent } from '../support/stripe.mjs';
import { newTenant } from '../support/tenants.mjs';
import { until, within } from '../support/wait.mjs';

const secret = 'whsec_current';
const previous = 'whsec_previous';
const stripe = new Stripe('sk_test_unused');
const env = {
  STRIPE_WEBHOOK_SECRET: secret,
  STRIPE_WEBHOOK_SECRET_PREVIOUS: previous,
  STRIPE_PRICE_PRO_MONTHLY: 'price_pro',
  STRIPE_PRICE_TEAMS_MONTHLY: 'price_team',
};

let database, db, server;
before(async () => {
  database = await startMigratedPostgres();
  db = await database.connect();
  server = await startServe(database, { env });
});
after(async () => {
  await server?.dispose();
  await db?.end();
  await database?.dispose();
});

const now = () => Math.floor(Date.now() / 1000);
const sign = (payload, { key = secret, timestamp = now() } = {}) =>
  stripe.webhooks.generateTestHeaderString({ payload, secret: key, timestamp });

// Each address of the loopback net is a source of its own, so that no test uses up the limit of another.
let sources = 0;
const newSource = () => `127.1.${++sources >> 8}.${sources & 255}`;

async function post(body, headers, { to = server, source = newSource() } = {}) {
  const exchange = new Promise((resolve, reject) => {
    const payload = Buffer.from(body);
    const request = http.request(
      { host: to.host, port: to.port, method: 'POST', path: '/webhooks/stripe', localAddress: source, agent: false,
        headers: { 'Content-Type': 'application/json', 'Content-Length': payload.length, ...headers } },
      (response) => {
        let text = '';
        response.on('data', (part) => (text += part));
        response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body: JSON.parse(text) }));
      },
    );
    request.on('error', reject);
    request.end(payload);
  });
  return within(exchange, 'the answer to a webhook');
}

const deliver = (event, options) => {
  const payload = JSON.stringify(event);
  return post(payload, { 'Stripe-Signature': sign(payload, options) }, options);
};

const ledger = async (event) =>
  (await db.query('SELECT status, attempts, tenant_id, last_error FROM kg.stripe_events WHERE event_id = $1', [event.id])).rows[0];
const settled = async (...events) => {
  for (const event of events) {
    const answer = await deliver(event);
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    await until(async () => ['done', 'ignored', 'failed'].includes((await ledger(event))?.status), `${event.type} to be applied`);
  }
};
const tenantOf = async (id) =>
  (await db.query(
    `SELECT subscription_tier tier, subscription_status status, stripe_customer_id customer, stripe_subscription_id subscription,
            tokens_limit_month::int tokens, rate_limit_rpm rpm, grace_until, current_period_end period_end
       FROM kg.tenants WHERE id = $1`, [id])).rows[0];
const metered = async (customer) =>
  (await db.query(
    `SELECT id, tenant_id, type, subject, "time", data FROM kg.billing_events WHERE data->>'stripe_customer_id' = $1 ORDER BY "time", id`,
    [customer])).rows;

const unique = (prefix) => `${prefix}_${randomBytes(8).toString('hex')}`;
const free = { rate_limit_custom: false, tokens_limit_month: 10000, rate_limit_rpm: 60, rate_limit_rph: null, rate_burst: null, requests_per_day: null };
const base = 1_700_000_000;

/// A tenant of the free tier, and what Stripe would say about it.
async function newCustomer({ linked = true, tier = 'free' } = {}) {
  const { id, key } = await newTenant(db, { tier, limits: free, scopes: ['read', 'write', 'billing'] });
  const customer = unique('cus');
  const sub = unique('sub');
  if (linked) await db.query('UPDATE kg.tenants SET stripe_customer_id = $2 WHERE id = $1', [id, customer]);
  const subscription = (status, more = {}) => ({
    id: sub, object: 'subscription', customer, status, cancel_at_period_end: false, canceled_at: null, ended_at: null,
    trial_end: null, current_period_end: base + 30 * 86400, metadata: {},
    items: { object: 'list', data: [{ id: 'si_1', quantity: 2, price: { id: 'price_pro', object: 'price' } }] }, ...more,
  });
  const invoice = (more = {}) => ({
    id: unique('in'), object: 'invoice', customer, subscription: sub, amount_paid: 9900, amount_due: 9900, currency: 'usd',
    billing_reason: 'subscription_cycle', attempt_count: 1, next_payment_attempt: base + 3 * 86400, ...more,
  });
  const at = (seconds, type, object) => stripeEvent(type, object, { created: base + seconds });
  return {
    id, key, customer, sub, subscription, invoice, at,
    created: (seconds = 0, status = 'active', more) => at(seconds, 'customer.subscription.created', subscription(status, more)),
    updated: (seconds, status = 'active', more) => at(seconds, 'customer.subscription.updated', subscription(status, more)),
    deleted: (seconds) =>
      at(seconds, 'customer.subscription.deleted', subscription('canceled', { canceled_at: base + seconds, ended_at: base + seconds })),
    paid: (seconds, more) => at(seconds, 'invoice.paid', invoice(more)),
    failed: (seconds, more) => at(seconds, 'invoice.payment_failed', invoice(more)),
    checkout: (seconds, more) =>
      at(seconds, 'checkout.session.completed', {
        id: unique('cs'), object: 'checkout.session', customer, subscription: sub, mode: 'subscription', amount_total: 1900,
        currency: 'usd', client_reference_id: id, metadata: { tenant_id: id }, ...more,
      }),
  };
}

test('each of the six types is answered, metered once and moves its tenant', async () => {
  const x = await newCustomer({ linked: false });
  await settled(x.checkout(0), x.created(1));
  assert.deepEqual(await tenantOf(x.id), {
    tier: 'pro', status: 'active', customer: x.customer, subscription: x.sub, tokens: 100000, rpm: 600, grace_until: null,
    period_end: new Date((base + 30 * 86400) * 1000),
  });
  await settled(x.failed(100));
  assert.equal((await tenantOf(x.id)).status, 'past_due');
  assert.deepEqual((await tenantOf(x.id)).grace_until, new Date((base + 100 + 7 * 86400) * 1000));
  await settled(x.paid(200));
  assert.equal((await tenantOf(x.id)).status, 'active');
  assert.equal((await tenantOf(x.id)).grace_until, null);
  await settled(x.updated(300, 'active', { items: { data: [{ price: { id: 'price_team' } }] } }));
  assert.deepEqual([(await tenantOf(x.id)).tier, (await tenantOf(x.id)).tokens], ['team', 2000000]);
  await settled(x.deleted(400));
  const ended = await tenantOf(x.id);
  assert.deepEqual([ended.tier, ended.status, ended.subscription, ended.tokens], ['free', 'active', null, 10000]);

  const events = await metered(x.customer);
  assert.deepEqual(events.map((e) => e.type),
    ['subscription.started', 'payment.failed', 'payment.success', 'subscription.updated', 'subscription.ended']);
  for (const e of events) assert.deepEqual([e.tenant_id, e.subject], [x.id, x.id]);
  const [started, failed, paid, updated, over] = events;
  assert.equal(started.id, `substart:${x.sub}`, 'a checkout and the subscription it made begin once');
  assert.match(paid.id, /^stripe:evt_/);
  assert.equal(paid.id, `stripe:${paid.data.stripe_event_id}`);
  const { stripe_event_id: _1, stripe_customer_id: _2, invoice_id: _3, ...money } = paid.data;
  assert.deepEqual(money, { subscription_id: x.sub, amount_paid: 99, amount_minor: 9900, currency: 'usd', billing_reason: 'subscription_cycle' });
  assert.deepEqual([failed.data.amount_due, failed.data.attempt_count, failed.data.next_payment_attempt], [99, 1, base + 3 * 86400]);
  assert.deepEqual([updated.data.plan_id, updated.data.quantity, updated.data.cancel_at_period_end], ['price_team', 1, false]);
  assert.deepEqual([over.data.canceled_at, over.data.ended_at], [base + 400, base + 400]);
});

test('the answer names the event, also when it is a duplicate or of an unknown type', async () => {
  const x = await newCustomer();
  const event = x.created();
  for (let i = 0; i < 3; ++i)
    assert.deepEqual((await deliver(event)).body, { status: 'received', event_id: event.id, event_type: 'customer.subscription.created' });
  const other = stripeEvent('radar.early_fraud_warning.created', { id: 'issfr_1' });
  assert.deepEqual((await deliver(other)).body, { status: 'received', event_id: other.id, event_type: other.type });
  await settled(other);
  assert.equal((await ledger(other)).status, 'ignored');
});

test('a duplicate has no second effect, fifty at once neither', async () => {
  const x = await newCustomer();
  const paid = x.paid(10);
  await settled(x.created(), x.failed(5), paid);
  assert.equal((await tenantOf(x.id)).status, 'active');
  await db.query(`UPDATE kg.tenants SET subscription_status = 'past_due' WHERE id = $1`, [x.id]);
  const source = newSource();
  const answers = await Promise.all(Array.from({ length: 50 }, () => deliver(paid, { source })));
  assert.ok(answers.every((x) => x.status === 200));
  const later = x.updated(20, 'past_due');
  await settled(later);  // what was to be applied before it has been
  assert.equal((await tenantOf(x.id)).status, 'past_due', 'the payment was not applied again');
  assert.equal((await metered(x.customer)).filter((e) => e.type === 'payment.success').length, 1);
});

test('events that come late change nothing of the tenant, and are metered', async () => {
  const x = await newCustomer();
  await settled(x.updated(50, 'active', { items: { data: [{ price: { id: 'price_team' } }] } }), x.created(10, 'trialing'), x.updated(40, 'unpaid'));
  assert.deepEqual([(await tenantOf(x.id)).tier, (await tenantOf(x.id)).status], ['team', 'active']);
  await settled(x.paid(90), x.failed(80));
  assert.equal((await tenantOf(x.id)).status, 'active', 'a payment that failed before the one that did not');
  await settled(x.deleted(100), x.updated(99), x.checkout(1));
  assert.deepEqual([(await tenantOf(x.id)).tier, (await tenantOf(x.id)).subscription], ['free', null]);
  const late = x.updated(100);
  await settled(late);
  assert.equal((await tenantOf(x.id)).tier, 'free', 'in the same second the end is the last');
  assert.match((await ledger(late)).last_error, /older/);
  assert.equal((await metered(x.customer)).length, 8);
});

test('every order of one life comes to the same end', async () => {
  const orders = [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1], [1, 0, 3, 2]];
  for (const order of orders) {
    const x = await newCustomer();
    const life = [x.created(0, 'incomplete'), x.updated(0), x.paid(0), x.updated(1, 'active', { items: { data: [{ price: { id: 'price_team' } }] } })];
    for (const i of order) await settled(life[i]);
    const { tier, status } = await tenantOf(x.id);
    assert.deepEqual([tier, status], ['team', 'active'], order.join());
  }
});

test('a new subscription outlives the end of the one before', async () => {
  const x = await newCustomer();
  await settled(x.created(0));
  const next = { ...x.subscription('active'), id: unique('sub'), items: { data: [{ price: { id: 'price_team' } }] } };
  await settled(x.at(10, 'customer.subscription.created', next), x.deleted(11), x.failed(12));
  const { tier, status, subscription } = await tenantOf(x.id);
  assert.deepEqual([tier, status, subscription], ['team', 'active', next.id]);
});

test('each state of a subscription is the tenant\'s, and an unpaid one is shut out', async () => {
  const x = await newCustomer();
  let second = 0;
  for (const [theirs, ours] of [['trialing', 'trialing'], ['past_due', 'past_due'], ['active', 'active'], ['unpaid', 'paused'],
    ['active', 'active'], ['incomplete', 'active'], ['incomplete_expired', 'active'], ['paused', 'paused']]) {
    await settled(x.updated(++second, theirs));
    assert.equal((await tenantOf(x.id)).status, ours, theirs);
    assert.equal((await tenantOf(x.id)).tier, 'pro', theirs);
  }
  const answer = await call(server, 'GET', '/v1/kgent/sessions', { key: x.key });
  assert.equal(answer.status, 403);
  await settled(x.updated(++second, 'canceled'));
  assert.deepEqual([(await tenantOf(x.id)).tier, (await tenantOf(x.id)).status], ['free', 'active']);
});

test('a price that no setting names keeps the tier and is reported', async () => {
  const x = await newCustomer();
  await settled(x.created(0, 'active', { items: { data: [{ price: { id: 'price_of_somebody' } }] } }));
  assert.deepEqual([(await tenantOf(x.id)).tier, (await tenantOf(x.id)).status], ['free', 'active']);
  await until(() => /price_of_somebody/.test(server.log), 'the error in the log');
});

test('a failed first payment leaves a free tenant active, an operator\'s closing stays closed', async () => {
  const x = await newCustomer();
  await settled(x.created(0, 'incomplete'), x.failed(1));
  assert.deepEqual([(await tenantOf(x.id)).tier, (await tenantOf(x.id)).status], ['free', 'active']);
  await db.query(`UPDATE kg.tenants SET subscription_status = 'canceled' WHERE id = $1`, [x.id]);
  await settled(x.updated(5), x.paid(6), x.deleted(7));
  assert.equal((await tenantOf(x.id)).status, 'canceled');
});

test('customers: an expanded object is taken, our metadata links, nobody else\'s customer is taken over', async () => {
  const x = await newCustomer({ linked: false });
  await settled(x.created(0, 'active', { customer: { id: x.customer, object: 'customer', email: 'x@example.org' }, metadata: { tenant_id: x.id } }));
  assert.deepEqual([(await tenantOf(x.id)).tier, (await tenantOf(x.id)).customer], ['pro', x.customer]);
  const y = await newCustomer();
  const claim = x.at(5, 'checkout.session.completed', { ...x.checkout(5).data.object, metadata: { tenant_id: y.id }, client_reference_id: y.id });
  await settled(claim);
  assert.equal((await tenantOf(y.id)).customer, y.customer);
  assert.equal((await ledger(claim)).tenant_id, x.id, 'the customer decides');
  await settled(x.at(6, 'customer.created', { id: x.customer, object: 'customer', metadata: {} }));
  await settled(x.at(7, 'customer.deleted', { id: x.customer, object: 'customer', metadata: {} }));
  const gone = await tenantOf(x.id);
  assert.deepEqual([gone.tier, gone.status, gone.customer, gone.subscription], ['free', 'active', null, null]);
  await settled(x.at(8, 'payment_intent.succeeded', { id: 'pi_1', customer: x.customer, metadata: { pack: 'STARTER' } }));
});

test('an event without a customer is skipped', async () => {
  const event = stripeEvent('invoice.paid', { id: 'in_1', amount_paid: 100, currency: 'usd' });
  await settled(event);
  assert.equal((await ledger(event)).status, 'ignored');
  assert.equal((await db.query('SELECT FROM kg.billing_events WHERE id = $1', [`stripe:${event.id}`])).rowCount, 0);
});

test('an event whose customer nobody has waits for the tenant, five times and then not', async () => {
  const x = await newCustomer({ linked: false });
  const orphan = x.paid(0);
  const attempts = async (event, n) =>
    until(async () => (await ledger(event))?.attempts === n, `attempt ${n}`).then(() => ledger(event));
  const retry = (event) => db.query(`UPDATE kg.stripe_events SET next_attempt_at = now() WHERE event_id = $1`, [event.id]);
  const pause = async (event) =>
    (await db.query(`SELECT round(extract(epoch FROM next_attempt_at - now()) / 60)::int AS m FROM kg.stripe_events WHERE event_id = $1`, [event.id])).rows[0].m;
  assert.equal((await deliver(orphan)).status, 200);
  for (const [i, minutes] of [1, 5, 30, 120, 360].entries()) {
    assert.equal((await attempts(orphan, i + 1)).status, 'received');
    assert.equal(await pause(orphan), minutes);
    assert.equal((await metered(x.customer)).length, 0);
    await retry(orphan);
  }
  assert.equal((await attempts(orphan, 6)).status, 'failed');
  assert.deepEqual((await metered(x.customer)).map((e) => [e.tenant_id, e.subject]), [[null, x.customer]]);
  await until(() => new RegExp(`given up.*${orphan.id}|${orphan.id}.*given up`).test(server.log), 'the error in the log');

  const y = await newCustomer({ linked: false });
  const early = y.created(0);
  assert.equal((await deliver(early)).status, 200);
  await attempts(early, 1);
  await settled(y.checkout(1));
  await retry(early);
  await until(async () => (await tenantOf(y.id)).tier === 'pro', 'the early event to be applied');
});

test('signatures: tampering, staleness, both secrets', async () => {
  const payload = JSON.stringify(stripeEvent('charge.succeeded', { id: 'ch_1' }));
  const refused = async (body, header, detail = 'Invalid signature') => {
    const answer = await post(body, header === undefined ? {} : { 'Stripe-Signature': header });
    assert.deepEqual([answer.status, answer.body], [400, { detail }]);
  };
  await refused(payload, undefined, 'Missing Stripe-Signature header');
  await refused(payload, '');
  await refused(payload.replace('ch_1', 'ch_2'), sign(payload));
  await refused(`${payload} `, sign(payload));
  await refused(payload, sign(payload, { key: 'whsec_other' }));
  await refused(payload, sign(payload).replace(/t=\d+/, `t=${now() + 1}`));
  await refused(payload, sign(payload).replace(/^t=\d+,/, ''));
  await refused(payload, sign(payload, { timestamp: now() - 302 }));
  await refused(payload, sign(payload, { timestamp: now() + 302 }));
  const accepted = async (header) => assert.equal((await post(payload, { 'Stripe-Signature': header })).status, 200);
  await accepted(sign(payload));
  await accepted(sign(payload, { key: previous }));
  await accepted(sign(payload, { timestamp: now() - 290 }));
  await accepted(sign(payload, { timestamp: now() + 290 }));
  await accepted(`${sign(payload, { key: 'whsec_other' })},${sign(payload).split(',')[1]}`.replace(/t=\d+/, /t=\d+/.exec(sign(payload))[0]));
});

test('what is signed and no event is refused', async () => {
  for (const body of ['', 'null', '[]', '{', '{"id":"evt_1"}', JSON.stringify({ ...stripeEvent('a.b', {}), created: 'now' }),
    JSON.stringify({ ...stripeEvent('a.b', {}), id: 7 }), JSON.stringify(stripeEvent('a.b', 'none')),
    JSON.stringify(stripeEvent('invoice.paid', { id: 'in\u0000' }))]) {
    const answer = await post(body, { 'Stripe-Signature': sign(body) });
    assert.deepEqual([answer.status, answer.body], [400, { detail: 'Invalid payload' }], body);
  }
});

test('a body of more than 1 MiB is too large', async () => {
  const event = (bytes) => JSON.stringify(stripeEvent('charge.succeeded', { id: 'x'.repeat(bytes) }));
  const fits = event(1024 * 1024 - 400);
  assert.equal((await post(fits, { 'Stripe-Signature': sign(fits) })).status, 200);
  const long = event(1024 * 1024);
  assert.equal((await post(long, { 'Stripe-Signature': sign(long) })).status, 413);
});

test('one address may deliver a hundred times a minute, whatever it delivers', async () => {
  const source = newSource();
  const answers = await Promise.all(Array.from({ length: 300 }, () => post('{}', { 'Stripe-Signature': 't=1,v1=0' }, { source })));
  assert.ok(answers.filter((x) => x.status === 400).length >= 100);
  const refused = answers.filter((x) => x.status === 429);
  assert.ok(refused.length > 0);
  assert.ok(Number(refused[0].headers['retry-after']) >= 1);
  assert.equal((await deliver(stripeEvent('charge.succeeded', { id: 'ch_1' }))).status, 200, 'others are not held up');
});

test('health and metrics say what has become of events', async () => {
  const { status, body } = await call(server, 'GET', '/webhooks/stripe/health');
  assert.equal(status, 200);
  assert.deepEqual([body.stripe_sdk, body.billing_module, body.webhook_secret_configured], [true, true, true]);
  assert.ok(body.bridge_metrics.events_processed > 0 && body.bridge_metrics.events_skipped > 0);
  const { text } = await call(server, 'GET', '/metrics');
  for (const line of [/^kgents_stripe_webhooks_received_total\{event_type="invoice.paid"\} [1-9]/m,
    /^kgents_stripe_webhooks_processed_total\{event_type="invoice.paid"\} [1-9]/m,
    /^kgents_stripe_webhooks_errors_total\{error_type="signature"\} [1-9]/m,
    /^kgents_stripe_webhooks_errors_total\{error_type="payload"\} [1-9]/m])
    assert.match(text, line);
  assert.ok(!server.log.includes(secret) && !server.log.includes('v1='), 'no secret and no signature in the log');
});

test('without a secret nothing is believed', async () => {
  await server.dispose();
  server = await startServe(database);
  const event = stripeEvent('charge.succeeded', { id: 'ch_1' });
  const answer = await deliver(event, { key: 'x' });
  assert.deepEqual([answer.status, answer.body], [500, { detail: 'Webhook secret not configured' }]);
  assert.equal(await ledger(event), undefined);
  const { body } = await call(server, 'GET', '/webhooks/stripe/health');
  assert.deepEqual([body.webhook_secret_configured, body.bridge_status, body.bridge_metrics], [false, 'not_initialized', undefined]);
});
