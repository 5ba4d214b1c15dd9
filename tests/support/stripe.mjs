// A stand-in for Stripe's API that speaks its wire protocol: form-encoded requests with nested names, bearer keys,
// idempotency keys, its error bodies and its lists. What it does is held to by Stripe's own client (e2e/billing.test.mjs).
import { createHash, randomBytes } from 'node:crypto';
import http from 'node:http';

const id = (prefix) => `${prefix}_${randomBytes(8).toString('hex')}`;
const seconds = () => Math.floor(Date.now() / 1000);

// a[b][0][c]=x -> {a: {b: [{c: 'x'}]}}
function parseForm(text) {
  const out = {};
  for (const [name, value] of new URLSearchParams(text)) {
    const keys = name.split(/[[\]]+/).filter((x) => x !== '');
    let at = out;
    keys.slice(0, -1).forEach((key, i) => (at = at[key] ??= /^\d+$/.test(keys[i + 1]) ? [] : {}));
    at[keys.at(-1)] = value;
  }
  return out;
}

class StripeError extends Error {
  constructor(status, type, message, more = {}) {
    super(message);
    this.status = status;
    this.body = { error: { type, message, ...more } };
  }
}
const invalid = (message, param) => new StripeError(400, 'invalid_request_error', message, { param });
const missing = (what, key) =>
  new StripeError(404, 'invalid_request_error', `No such ${what}: '${key}'`, { code: 'resource_missing', param: 'id' });

export class Stripe {
  key = 'sk_test_stand_in';
  customers = new Map();
  subscriptions = new Map();
  invoices = [];
  sessions = new Map();
  /// Every request, repeated ones too: `{method, path, headers, form}`.
  requests = [];
  /// What the next requests get instead of their answer: `{status, body, headers}`, 'hang' or 'cut'; `after`: the work is done.
  faults = [];
  #kept = new Map();
  #sockets = new Set();

  async listen() {
    this.server = http.createServer((request, response) => this.#serve(request, response));
    this.server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    await new Promise((resolve) => this.server.listen(this.port ?? 0, '127.0.0.1', resolve));
    this.port = this.server.address().port;
    return this;
  }

  async close() {
    const closed = new Promise((resolve) => this.server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  /// Settings of kgentsd with which this is Stripe.
  env(extra = {}) {
    return {
      STRIPE_API_BASE: `http://127.0.0.1:${this.port}`,
      STRIPE_API_KEY: this.key,
      STRIPE_WEBHOOK_SECRET: 'whsec_stand_in',
      STRIPE_PRICE_STARTER_MONTHLY: 'price_starter',
      STRIPE_PRICE_PRO_MONTHLY: 'price_pro',
      STRIPE_PRICE_TEAMS_MONTHLY: 'price_team',
      ...extra,
    };
  }

  /// What `times` requests get before the next good answer.
  fail(fault, times = 1) {
    for (let i = 0; i < times; ++i) this.faults.push(fault);
  }

  /// Those that asked to do something: `made('/v1/customers')`.
  made(path) {
    return this.requests.filter((x) => x.method === 'POST' && x.path === path);
  }

  /// The customer pays: what Stripe would do at the end of a checkout. Returns its subscription.
  pay(sessionId) {
    const session = this.sessions.get(sessionId);
    const made = this.subscribe(session.customer, session.price, session.subscription_metadata);
    session.status = 'complete';
    session.subscription = made.id;
    return made;
  }

  /// A customer of that tenant, as its first checkout makes one.
  customer(tenant) {
    const customer = { id: id('cus'), object: 'customer', email: `${tenant}@example.org`, name: null, metadata: { tenant_id: tenant } };
    this.customers.set(customer.id, customer);
    return customer.id;
  }

  subscribe(customer, price, metadata = {}) {
    const subscription = {
      id: id('sub'),
      object: 'subscription',
      customer,
      status: 'active',
      cancel_at_period_end: false,
      canceled_at: null,
      current_period_end: 1893456000,
      metadata,
      items: { object: 'list', data: [{ id: id('si'), object: 'subscription_item', quantity: 1, price: { id: price, object: 'price' } }], has_more: false },
    };
    this.subscriptions.set(subscription.id, subscription);
    return subscription;
  }

  /// Newest first, as Stripe lists them.
  invoice(customer, more = {}) {
    const made = {
      id: id('in'),
      object: 'invoice',
      customer,
      number: `KG-${this.invoices.length + 1}`,
      status: 'paid',
      currency: 'usd',
      amount_due: 1900,
      amount_paid: 1900,
      subscription: null,
      created: 1767225600 + this.invoices.length,
      hosted_invoice_url: 'https://invoice.stripe.com/i/1',
      invoice_pdf: 'https://pay.stripe.com/invoice/1/pdf',
      ...more,
    };
    this.invoices.unshift(made);
    return made;
  }

  async #serve(request, response) {
    const parts = [];
    for await (const part of request) parts.push(part);
    const text = Buffer.concat(parts).toString('utf8');
    const { pathname, search } = new URL(request.url, 'http://stand-in');
    const form = parseForm(request.method === 'GET' ? search : text);
    this.requests.push({ method: request.method, path: pathname, headers: request.headers, form });
    const fault = this.faults.shift();
    const send = (status, body, headers = {}) => {
      const payload = typeof body === 'string' ? body : JSON.stringify(body);
      response.writeHead(status, { 'Content-Type': 'application/json', 'Request-Id': id('req'), ...headers }).end(payload);
    };
    if (fault && !fault.after) {
      if (fault === 'hang') return;
      if (fault === 'cut') return void request.socket.destroy();
      return send(fault.status, fault.body ?? {}, fault.headers);
    }
    const { status, body, replayed } = this.#answer(request, pathname, text, form);
    if (fault?.after) return void request.socket.destroy();
    send(status, body, replayed ? { 'Idempotent-Replayed': 'true' } : {});
  }

  #answer(request, path, text, form) {
    try {
      const bearer = /^Bearer (.*)$/.exec(request.headers.authorization ?? '')?.[1];
      const basic = /^Basic (.*)$/.exec(request.headers.authorization ?? '')?.[1];
      const key = bearer ?? (basic && Buffer.from(basic, 'base64').toString().split(':')[0]);
      if (key !== this.key) throw new StripeError(401, 'invalid_request_error', `Invalid API Key provided: ${String(key).slice(0, 8)}***`);
      if (request.method === 'POST' && text !== '' && !/^application\/x-www-form-urlencoded/.test(request.headers['content-type'] ?? ''))
        throw invalid('Invalid request (check that your POST content type is application/x-www-form-urlencoded).');
      const once = request.method === 'POST' ? request.headers['idempotency-key'] : undefined;
      if (once === undefined) return { status: 200, body: this.#perform(request.method, path, form) };
      const shape = createHash('sha256').update(`${path}\n${text}`).digest('hex');
      const known = this.#kept.get(once);
      if (known && known.shape !== shape)
        throw new StripeError(400, 'idempotency_error', 'Keys for idempotent requests can only be used with the same parameters they were first used with.');
      if (known) return { ...known.answer, replayed: true };
      const answer = { status: 200, body: this.#perform(request.method, path, form) };
      this.#kept.set(once, { shape, answer });
      return answer;
    } catch (error) {
      if (!(error instanceof StripeError)) throw error;
      return { status: error.status, body: error.body };
    }
  }

  #perform(method, path, form) {
    const [, version, kind, key, more] = path.split('/');
    if (version !== 'v1') throw new StripeError(404, 'invalid_request_error', `Unrecognized request URL (${method}: ${path}).`);
    switch (`${method} ${kind}`) {
      case 'POST customers': {
        if (!form.email?.includes('@')) throw invalid(`Invalid email address: ${form.email}`, 'email');
        const customer = { id: id('cus'), object: 'customer', email: form.email, name: form.name ?? null, metadata: form.metadata ?? {} };
        this.customers.set(customer.id, customer);
        return customer;
      }
      case 'GET customers':
        return this.customers.get(key) ?? this.#miss('customer', key);
      case 'POST checkout':
        if (key === 'sessions') return this.#checkout(form);
        break;
      case 'POST billing_portal': {
        if (!this.customers.has(form.customer)) throw invalid(`No such customer: '${form.customer}'`, 'customer');
        return { id: id('bps'), object: 'billing_portal.session', customer: form.customer, return_url: form.return_url, url: `https://billing.stripe.com/p/session/${id('test')}` };
      }
      case 'GET subscriptions':
        return this.subscriptions.get(key) ?? this.#miss('subscription', key);
      case 'POST subscriptions':
        return this.#update(this.subscriptions.get(key) ?? this.#miss('subscription', key), form);
      case 'DELETE subscriptions': {
        const found = this.subscriptions.get(key) ?? this.#miss('subscription', key);
        return Object.assign(found, { status: 'canceled', canceled_at: seconds(), ended_at: seconds() });
      }
      case 'GET invoices':
        if (key) return this.invoices.find((x) => x.id === key) ?? this.#miss('invoice', key);
        return this.#list(form);
    }
    throw new StripeError(404, 'invalid_request_error', `Unrecognized request URL (${method}: ${path}${more ? '' : ''}).`);
  }

  #miss(what, key) {
    throw missing(what, key);
  }

  #checkout(form) {
    if (!['subscription', 'payment'].includes(form.mode)) throw invalid('Invalid mode', 'mode');
    for (const name of ['success_url', 'cancel_url'])
      if (!/^https?:\/\//.test(form[name] ?? '')) throw invalid(`Not a valid URL`, name);
    if (!this.customers.has(form.customer)) throw invalid(`No such customer: '${form.customer}'`, 'customer');
    const price = form.line_items?.[0]?.price;
    if (!/^price_/.test(price ?? '')) throw invalid(`No such price: '${price}'`, 'line_items[0][price]');
    const session = {
      id: id('cs_test'),
      object: 'checkout.session',
      mode: form.mode,
      customer: form.customer,
      client_reference_id: form.client_reference_id ?? null,
      metadata: form.metadata ?? {},
      success_url: form.success_url,
      cancel_url: form.cancel_url,
      status: 'open',
      subscription: null,
      amount_total: 1900,
      currency: 'usd',
      url: `https://checkout.stripe.com/c/pay/${id('cs_test')}`,
      expires_at: 1893456000,
    };
    this.sessions.set(session.id, Object.assign({}, session, { price, subscription_metadata: form.subscription_data?.metadata }));
    return session;
  }

  #update(subscription, form) {
    const change = form.items?.[0];
    if (change) {
      const item = subscription.items.data.find((x) => x.id === change.id);
      if (!item) throw invalid(`No such subscription item: '${change.id}'`, 'items[0][id]');
      item.price = { id: change.price, object: 'price' };
    }
    if (form.cancel_at_period_end !== undefined) subscription.cancel_at_period_end = form.cancel_at_period_end === 'true';
    return subscription;
  }

  #list({ customer, limit = '10', starting_after: after }) {
    const all = this.invoices.filter((x) => !customer || x.customer === customer);
    const from = after ? all.findIndex((x) => x.id === after) + 1 : 0;
    const data = all.slice(from, from + Number(limit));
    return { object: 'list', url: '/v1/invoices', has_more: from + data.length < all.length, data };
  }
}

export const startStripe = () => new Stripe().listen();

/// An event as Stripe sends it. `object` is what it is about.
export function stripeEvent(type, object, { id: known = id('evt'), created = seconds() } = {}) {
  return {
    id: known,
    object: 'event',
    api_version: '2024-06-20',
    created,
    type,
    livemode: false,
    pending_webhooks: 1,
    request: { id: null, idempotency_key: null },
    data: { object },
  };
}
