// What a tenant buys (http-api.md 9.4, events-and-billing.md 6), against a stand-in for Stripe's API that Stripe's own
// client is at home with.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';

import StripeClient from 'stripe';

import { call } from '../support/http.mjs';
import { startMigratedPostgres } from '../support/postgres.mjs';
import { startServe } from '../support/server.mjs';
import { startStripe, stripeEvent } from '../support/stripe.mjs';
import { addKey, newTenant } from '../support/tenants.mjs';
import { until } from '../support/wait.mjs';

let database, db, stripe, server, client;
before(async () => {
  database = await startMigratedPostgres();
  db = await database.connect();
  stripe = await startStripe();
  server = await startServe(database, { env: stripe.env() });
  client = new StripeClient(stripe.key, { host: '127.0.0.1', port: stripe.port, protocol: 'http', maxNetworkRetries: 0 });
});
after(async () => {
  await server?.dispose();
  await stripe?.close();
  await db?.end();
  await database?.dispose();
});

const urls = { success_url: 'https://app.example.org/done?tab=plan#top', cancel_url: 'http://localhost:3000/back' };

/// A tenant with an owner, who may be written to, and a key that may spend.
async function newBuyer({ tier = 'free', email = `owner-${randomUUID()}@example.org` } = {}) {
  const { id, key } = await newTenant(db, { tier, scopes: ['read', 'billing'] });
  if (email)
    await db.query(`INSERT INTO kg.users (tenant_id, email, name, role) VALUES ($1, $2, 'Owner', 'owner')`, [id, email]);
  const ask = (method, path, body, headers) => call(server, method, `/v1/billing${path}`, { key, body, headers });
  return { id, key, email, get: (path) => ask('GET', path), post: (path, body, headers) => ask('POST', path, body, headers) };
}

async function deliver(type, object) {
  const payload = JSON.stringify(stripeEvent(type, object));
  const header = client.webhooks.generateTestHeaderString({ payload, secret: 'whsec_stand_in' });
  const answer = await call(server, 'POST', '/webhooks/stripe', { body: payload, headers: { 'Stripe-Signature': header } });
  assert.equal(answer.status, 200);
}

const tierOf = async (id) => (await db.query('SELECT subscription_tier FROM kg.tenants WHERE id = $1', [id])).rows[0].subscription_tier;

/// Through checkout, payment and webhook.
async function newSubscriber() {
  const buyer = await newBuyer();
  const { body } = await buyer.post('/checkout', { tier: 'pro', ...urls });
  const subscription = stripe.pay(body.session_id);
  await deliver('checkout.session.completed', { ...stripe.sessions.get(body.session_id), mode: 'subscription' });
  await deliver('customer.subscription.created', subscription);
  await until(async () => (await tierOf(buyer.id)) === 'pro', 'the tier that was paid for');
  return { ...buyer, subscription, customer: subscription.customer };
}

test('checkout, payment and webhook make a subscriber', async () => {
  const buyer = await newBuyer();
  const { status, body } = await buyer.post('/checkout', { tier: 'pro', ...urls });
  assert.equal(status, 200);
  assert.match(body.session_id, /^cs_test_/);
  assert.match(body.session_url, /^https:\/\/checkout\.stripe\.com\//);
  assert.equal(body.expires_at, '2030-01-01T00:00:00+00:00');

  const customer = stripe.made('/v1/customers').at(-1).form;
  assert.deepEqual([customer.email, customer.metadata], [buyer.email, { tenant_id: buyer.id }]);
  const { headers, form } = stripe.made('/v1/checkout/sessions').at(-1);
  assert.match(headers['idempotency-key'], /^.{16,255}$/);
  assert.equal(headers['stripe-version'], '2024-06-20');
  assert.deepEqual(form, {
    mode: 'subscription',
    customer: form.customer,
    client_reference_id: buyer.id,
    line_items: [{ price: 'price_pro', quantity: '1' }],
    payment_method_types: ['card'],
    billing_address_collection: 'auto',
    success_url: 'https://app.example.org/done?tab=plan&session_id={CHECKOUT_SESSION_ID}#top',
    cancel_url: 'http://localhost:3000/back',
    metadata: { tenant_id: buyer.id, tier: 'pro' },
    allow_promotion_codes: 'true',
    subscription_data: { metadata: { tenant_id: buyer.id } },
  });

  assert.equal((await buyer.get('/subscription')).status, 404);
  const subscription = stripe.pay(body.session_id);
  assert.deepEqual(subscription.metadata, { tenant_id: buyer.id });
  await deliver('customer.subscription.created', subscription);
  await until(async () => (await tierOf(buyer.id)) === 'pro', 'the tier that was paid for');
  assert.deepEqual((await buyer.get('/subscription')).body, {
    tier: 'pro', status: 'active', current_period_end: '2030-01-01T00:00:00+00:00', cancel_at_period_end: false,
  });
  const again = await buyer.post('/checkout', { tier: 'pro', ...urls });
  assert.deepEqual([again.status, again.body.code], [409, 'subscription_exists']);
});

test('a tenant has one customer, however often and at once it goes to checkout', async () => {
  const buyer = await newBuyer();
  const answers = await Promise.all(Array.from({ length: 4 }, () => buyer.post('/checkout', { tier: 'pro', ...urls })));
  assert.ok(answers.every((x) => x.status === 200));
  const customers = new Set(answers.map((x) => stripe.sessions.get(x.body.session_id).customer));
  assert.equal(customers.size, 1);
  assert.equal([...stripe.customers.values()].filter((x) => x.email === buyer.email).length, 1);
  assert.equal(new Set(answers.map((x) => x.body.session_id)).size, 4);
  assert.equal((await buyer.post('/portal', { return_url: 'https://app.example.org/' })).status, 200);
  assert.equal([...stripe.customers.values()].filter((x) => x.email === buyer.email).length, 1);
});

test('a client\'s Idempotency-Key opens one checkout, of its tenant alone', async () => {
  const [one, two] = [await newBuyer(), await newBuyer()];
  const key = { 'Idempotency-Key': 'buy-1' };
  const go = async (who) => (await who.post('/checkout', { tier: 'pro', ...urls }, key)).body.session_id;
  const first = await go(one);
  assert.equal(await go(one), first);
  assert.notEqual(await go(two), first);
});

test('plans, packs and URLs that are none are refused before Stripe hears of them', async () => {
  const buyer = await newBuyer();
  const before = stripe.requests.length;
  for (const [path, body, detail] of [
    ['/checkout', { tier: 'gold', ...urls }, 'Invalid tier: gold'],
    ['/checkout', { tier: 'free', ...urls }, 'Invalid tier: free'],
    ['/credits/purchase', { pack: 'HUGE', ...urls }, 'Invalid pack: HUGE'],
  ]) {
    const answer = await buyer.post(path, body);
    assert.deepEqual([answer.status, answer.body.detail], [400, detail]);
  }
  for (const url of ['javascript:alert(1)', 'http://example.org/', 'https://', 'https://user@example.org/', '/relative', 'https://a b/',
    'https://example.org/\r\nX: y', 'ftp://localhost/', 'http://localhost.evil.org/', `https://example.org/${'x'.repeat(2048)}`])
    for (const [path, body] of [['/checkout', { tier: 'pro', ...urls, success_url: url }], ['/checkout', { tier: 'pro', ...urls, cancel_url: url }],
      ['/portal', { return_url: url }]]) {
      const answer = await buyer.post(path, body);
      assert.equal(answer.status, 400, url);
      assert.match(answer.body.detail, /^Invalid (success|cancel|return)_url/);
    }
  assert.equal((await buyer.post('/checkout', { tier: 'pro' })).status, 422);
  const unpriced = await buyer.post('/checkout', { tier: 'enterprise', ...urls });
  assert.deepEqual([unpriced.status, unpriced.body.code], [503, 'billing_not_configured']);
  assert.match(unpriced.body.detail, /STRIPE_PRICE_ENTERPRISE/);
  assert.equal(stripe.requests.length, before);
});

test('packs of credits are paid once and carry what was bought', async () => {
  const buyer = await newBuyer();
  const { status, body } = await buyer.post('/credits/purchase', { pack: 'EXPLORER', ...urls });
  assert.equal(status, 200);
  assert.match(body.session_url, /^https:/);
  const { form } = stripe.made('/v1/checkout/sessions').at(-1);
  assert.deepEqual([form.mode, form.line_items], ['payment', [{ price: 'price_credits_2500', quantity: '1' }]]);
  const { user_id: user, ...metadata } = form.payment_intent_data.metadata;
  assert.deepEqual(metadata, { tenant_id: buyer.id, pack: 'EXPLORER', credits: '2500' });
  assert.ok(user);
});

test('upgrade and cancel change Stripe\'s subscription', async () => {
  const x = await newSubscriber();
  const item = x.subscription.items.data[0].id;
  const upgraded = await x.post('/subscription/upgrade', { plan_code: 'team' });
  assert.deepEqual([upgraded.status, upgraded.body.tier, upgraded.body.status], [200, 'team', 'active']);
  const { form, headers } = stripe.made(`/v1/subscriptions/${x.subscription.id}`).at(-1);
  assert.deepEqual(form.items, [{ id: item, price: 'price_team' }]);
  assert.ok(headers['idempotency-key']);
  assert.deepEqual([(await x.post('/subscription/upgrade', { plan_code: 'gold' })).status], [400]);

  const later = await x.post('/subscription/cancel');
  assert.deepEqual([later.status, later.body.success], [200, true]);
  assert.equal((await x.get('/subscription')).body.cancel_at_period_end, true);
  await x.post('/subscription/upgrade', { plan_code: 'pro' });
  assert.equal((await x.get('/subscription')).body.cancel_at_period_end, false);
  const now = await x.post('/subscription/cancel', { at_period_end: false });
  assert.deepEqual([now.status, now.body.success], [200, true]);
  assert.equal(stripe.subscriptions.get(x.subscription.id).status, 'canceled');
  stripe.subscriptions.delete(x.subscription.id);
  for (const answer of [await x.get('/subscription'), await x.post('/subscription/cancel'), await x.post('/subscription/upgrade', { plan_code: 'pro' })])
    assert.deepEqual([answer.status, answer.body.detail], [404, 'No subscription']);
});

test('the portal leads back to where it was opened', async () => {
  const x = await newSubscriber();
  const { status, body } = await x.post('/portal', { return_url: 'https://app.example.org/account' });
  assert.equal(status, 200);
  assert.match(body.url, /^https:\/\/billing\.stripe\.com\//);
  assert.deepEqual(stripe.made('/v1/billing_portal/sessions').at(-1).form, { customer: x.customer, return_url: 'https://app.example.org/account' });
});

test('invoices are the tenant\'s own, in pages, and so is their PDF', async () => {
  const [x, other] = [await newSubscriber(), await newSubscriber()];
  for (let i = 0; i < 130; ++i) stripe.invoice(x.customer);
  const yen = stripe.invoice(x.customer, { currency: 'jpy', amount_due: 500, amount_paid: 0, status: 'open', invoice_pdf: null });
  const all = stripe.invoices.filter((i) => i.customer === x.customer).map((i) => i.id);
  const page = async (query) => (await x.get(`/invoices${query}`)).body;
  const first = await page('');
  assert.deepEqual(first.items.map((i) => i.id), all.slice(0, 20));
  assert.deepEqual([first.has_more, first.limit, first.offset], [true, 20, 0]);
  assert.deepEqual([first.items[0].amount_due, first.items[0].amount_due_minor, first.items[1].amount_paid], [500, 500, 19]);
  assert.deepEqual((await page('?limit=50&offset=75')).items.map((i) => i.id), all.slice(75, 125));
  const last = await page('?limit=100&offset=100');
  assert.deepEqual([last.items.length, last.has_more], [31, false]);
  assert.deepEqual((await page('?offset=131')).items, []);
  assert.equal((await x.get('/invoices?limit=0')).status, 422);
  assert.deepEqual((await other.get('/invoices')).body.items, []);
  assert.deepEqual((await (await newBuyer()).get('/invoices')).body.items, []);

  const pdf = await x.get(`/invoices/${all[1]}/pdf`);
  assert.deepEqual([pdf.status, pdf.headers.location], [302, 'https://pay.stripe.com/invoice/1/pdf']);
  for (const [who, id] of [[other, all[1]], [x, 'in_none'], [x, 'sub_1'], [x, '%2e%2e'], [x, yen.id]])
    assert.equal((await who.get(`/invoices/${id}/pdf`)).status, 404, id);
});

test('usage is of the month that was asked for', async () => {
  const x = await newBuyer();
  const month = new Date().toISOString().slice(0, 7);
  await db.query(
    `INSERT INTO kg.usage_events (tenant_id, event_type, source, tokens_in, tokens_out, billing_period)
     VALUES ($1, 'llm_call', 'kgent', 30, 12, $2), ($1, 'llm_call', 'kgent', 5, 5, '2024-02')`, [x.id, month]);
  const { body } = await x.get('/usage');
  assert.deepEqual([body.period, body.tokens_in, body.tokens_out, body.total_tokens], [month, 30, 12, 42]);
  assert.equal((await x.get('/usage?period=2024-02')).body.total_tokens, 10);
  assert.equal((await x.get('/usage?period=previous')).body.total_tokens, 0);
  for (const period of ['2024-13', '2024-1', 'never', '2024-00'])
    assert.equal((await x.get(`/usage?period=${period}`)).status, 400, period);
});

test('who may: the scope, and a user that is owner or admin', async () => {
  const x = await newBuyer();
  const plain = await addKey(db, x.id, { scopes: ['read', 'write', 'admin'] });
  const paths = [['GET', '/usage'], ['GET', '/subscription'], ['GET', '/invoices'], ['GET', '/invoices/in_1/pdf'], ['POST', '/checkout'],
    ['POST', '/portal'], ['POST', '/subscription/upgrade'], ['POST', '/subscription/cancel'], ['POST', '/credits/purchase']];
  const body = { tier: 'pro', pack: 'STARTER', plan_code: 'pro', return_url: 'https://a.example/', ...urls };
  for (const [method, path] of paths) {
    const send = { body: method === 'POST' ? body : undefined };
    const answer = await call(server, method, `/v1/billing${path}`, { key: plain.key, ...send });
    assert.deepEqual([answer.status, answer.body.detail], [403, "API key requires 'billing' scope"], path);
    assert.equal((await call(server, method, `/v1/billing${path}`, send)).status, 401, path);
  }
  for (const [role, status] of [['admin', 200], ['member', 403], ['readonly', 403]]) {
    const { rows } = await db.query(`INSERT INTO kg.users (tenant_id, email, role) VALUES ($1, $2, $3) RETURNING id`,
      [x.id, `${role}@example.org`, role]);
    const { key } = await addKey(db, x.id, { scopes: ['read', 'billing'], user_id: rows[0].id });
    assert.equal((await call(server, 'GET', '/v1/billing/usage', { key })).status, status, role);
  }
});

test('nobody to write to is told, not invented', async () => {
  const x = await newBuyer({ email: null });
  const answer = await x.post('/checkout', { tier: 'pro', ...urls });
  assert.deepEqual([answer.status, answer.body.code], [409, 'billing_no_email']);
});

test('Stripe\'s errors: the card\'s and the parameter\'s are passed on, its own are not', async () => {
  const x = await newSubscriber();
  const error = (type, message, more) => ({ error: { type, message, ...more } });
  const upgrade = () => x.post('/subscription/upgrade', { plan_code: 'team' });
  for (const [fault, status, code, detail] of [
    [{ status: 402, body: error('card_error', 'Your card was declined.', { code: 'card_declined' }) }, 402, 'card_declined', /declined/],
    [{ status: 400, body: error('invalid_request_error', 'Coupon expired') }, 400, 'billing_invalid', /Coupon expired/],
    [{ status: 401, body: error('invalid_request_error', 'Invalid API Key provided: sk_test_***') }, 502, 'billing_misconfigured', /^((?!sk_).)*$/],
    [{ status: 403, body: error('invalid_request_error', 'sk_ may not') }, 502, 'billing_misconfigured', /^((?!sk_).)*$/],
    [{ status: 200, body: 'not json' }, 502, 'billing_provider_failed', /failed/],
    [{ status: 302, headers: { Location: 'https://elsewhere.example' } }, 502, 'billing_provider_failed', /failed/],
  ]) {
    stripe.fail(fault);
    const answer = await upgrade();
    assert.deepEqual([answer.status, answer.body.code], [status, code], JSON.stringify(fault));
    assert.match(answer.body.detail, detail);
  }
  assert.equal((await upgrade()).status, 200);
});

test('what fails for a moment is tried again under the same key and done once', async () => {
  const buyer = await newBuyer();
  const { body } = await buyer.post('/portal', { return_url: 'https://a.example/' });
  assert.ok(body.url);
  for (const fault of ['cut', { status: 500 }, { status: 503 }, { status: 409, body: { error: { type: 'idempotency_error' } } },
    { status: 429, headers: { 'Retry-After': '1' } }, { after: true }]) {
    const sessions = stripe.sessions.size;
    const requests = stripe.requests.length;
    stripe.fail(fault, 2);
    const answer = await buyer.post('/checkout', { tier: 'pro', ...urls });
    assert.equal(answer.status, 200, JSON.stringify(fault));
    const sent = stripe.requests.slice(requests);
    assert.equal(sent.length, 3);
    assert.equal(new Set(sent.map((x) => x.headers['idempotency-key'])).size, 1);
    assert.equal(stripe.sessions.size, sessions + 1);
  }
  for (const [fault, status] of [['cut', 503], [{ status: 500 }, 502], [{ status: 429 }, 503]]) {
    stripe.fail(fault, 3);
    const answer = await buyer.post('/checkout', { tier: 'pro', ...urls });
    assert.equal(answer.status, status);
    assert.ok(status === 502 || Number(answer.headers['retry-after']) >= 1);
  }
  assert.equal(stripe.faults.length, 0);
  assert.ok(!server.log.includes(stripe.key), 'the key is in no log');
});

test('Stripe\'s own client finds the stand-in to be Stripe', async () => {
  const customer = await client.customers.create({ email: 'a@example.org', metadata: { tenant_id: 'x' } });
  assert.match(customer.id, /^cus_/);
  assert.equal((await client.customers.retrieve(customer.id)).email, 'a@example.org');
  const options = { idempotencyKey: randomUUID() };
  const params = {
    mode: 'subscription', customer: customer.id, line_items: [{ price: 'price_pro', quantity: 1 }],
    success_url: 'https://a.example/?session_id={CHECKOUT_SESSION_ID}', cancel_url: 'https://a.example/',
    subscription_data: { metadata: { tenant_id: 'x' } },
  };
  const session = await client.checkout.sessions.create(params, options);
  assert.equal((await client.checkout.sessions.create(params, options)).id, session.id);
  await assert.rejects(client.checkout.sessions.create({ ...params, cancel_url: 'https://b.example/' }, options),
    StripeClient.errors.StripeIdempotencyError);
  const subscription = stripe.pay(session.id);
  assert.deepEqual(subscription.metadata, { tenant_id: 'x' });
  const changed = await client.subscriptions.update(subscription.id,
    { items: [{ id: subscription.items.data[0].id, price: 'price_team' }], cancel_at_period_end: true });
  assert.deepEqual([changed.items.data[0].price.id, changed.cancel_at_period_end], ['price_team', true]);
  assert.equal((await client.subscriptions.cancel(subscription.id)).status, 'canceled');
  assert.match((await client.billingPortal.sessions.create({ customer: customer.id, return_url: 'https://a.example/' })).url, /^https:/);
  for (let i = 0; i < 7; ++i) stripe.invoice(customer.id);
  const found = [];
  for await (const invoice of client.invoices.list({ customer: customer.id, limit: 3 })) found.push(invoice.id);
  assert.equal(found.length, 7);
  await assert.rejects(client.subscriptions.retrieve('sub_none'), { code: 'resource_missing', statusCode: 404 });
  const stranger = new StripeClient('sk_test_wrong', { host: '127.0.0.1', port: stripe.port, protocol: 'http', maxNetworkRetries: 0 });
  await assert.rejects(stranger.customers.retrieve(customer.id), StripeClient.errors.StripeAuthenticationError);
});

test('without settings each route says which are missing', async () => {
  await server.dispose();
  server = await startServe(database, { env: stripe.env({ STRIPE_API_KEY: undefined, STRIPE_WEBHOOK_SECRET: undefined }) });
  const x = await newBuyer();
  for (const answer of [await x.get('/subscription'), await x.get('/invoices'), await x.post('/checkout', { tier: 'pro', ...urls })]) {
    assert.deepEqual([answer.status, answer.body.code], [503, 'billing_not_configured']);
    assert.match(answer.body.detail, /STRIPE_API_KEY, STRIPE_WEBHOOK_SECRET/);
  }
  assert.equal((await x.get('/usage')).status, 200, 'which is ours');
});
