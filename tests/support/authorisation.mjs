// What the suites of authorisation share: requests of every kind on one form, the credentials of a tenant, and answers made
// comparable byte by byte.
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import http from 'node:http';

import { Observer } from './agentese.mjs';
import { call, caller, openStream } from './http.mjs';
import { addKey, hashOf, newKey, newTenant } from './tenants.mjs';
import { until, within } from './wait.mjs';

export const everyScope = ['read', 'write', 'admin', 'billing'];

/// What a key of a person may do at most, whatever its own scopes are (http-api.md 2.6, design.md 10).
export const scopesOfRole = { readonly: ['read'], member: ['read', 'write'], admin: everyScope, owner: everyScope };

/// One request, the answer's head and, unless it is a stream, its body: `{status, headers, raw, text, body}`. `socket` asks
/// for a WebSocket; a stream or socket that opens is closed again.
export function ask(server, { method, path, headers = {}, body, socket = false }) {
  const sent = { ...headers };
  if (socket)
    Object.assign(sent, { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'dGhlIHNhbWUgZm9yIGFsbA==' });
  const payload = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
  if (payload !== undefined) Object.assign(sent, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(payload) });
  const answered = new Promise((resolve, reject) => {
    const request = http.request({ host: server.host, port: server.port, method, path, headers: sent, agent: false });
    const done = (response, text) => {
      const type = response.headers['content-type'] ?? '';
      const json = type.startsWith('application/json') && text !== '';
      resolve({ status: response.statusCode, headers: response.headers, raw: response.rawHeaders, text, body: json ? JSON.parse(text) : undefined });
    };
    request.on('error', reject);
    request.on('upgrade', (response, stream) => {
      stream.destroy();
      done(response, '');
    });
    request.on('response', (response) => {
      if (response.statusCode === 200 && /^text\/event-stream/.test(response.headers['content-type'] ?? '')) {
        done(response, '');
        request.destroy();
        return;
      }
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('end', () => done(response, Buffer.concat(parts).toString('utf8')));
      response.on('error', reject);
    });
    request.end(payload);
  });
  return within(answered, `${method} ${path}`);
}

// What may differ between two equal answers: when they were made, which request they answer, what is left of the limits.
const passing = /^(date|x-response-time|x-request-id|x-ratelimit-.*|x-tokens-.*)$/i;

/// An answer as text, without what passes and with the names of `things` in place of their values.
/// `length`: whether that of the body is to be compared; how many digits a duration has is no difference.
export function comparable(answer, things = {}, length = !/"duration_ms"/.test(answer.text)) {
  const neutral = (text) => {
    for (const [name, value] of Object.entries(things)) if (typeof value === 'string') text = text.replaceAll(value, `<${name}>`);
    return text
      .replace(/"(span_id|trace_id)":"[^"]*"/g, '"$1":"…"')
      .replace(/"(timestamp|created_at|updated_at)":"[^"]*"/g, '"$1":"…"')
      .replace(/"duration_ms":\d+/g, '"duration_ms":0');
  };
  const lines = [];
  for (let i = 0; i < answer.raw.length; i += 2) {
    if (passing.test(answer.raw[i])) continue;
    if (!length && /^content-length$/i.test(answer.raw[i])) continue;
    lines.push(`${answer.raw[i]}: ${neutral(answer.raw[i + 1])}`);
  }
  return `${answer.status}\n${lines.join('\n')}\n\n${neutral(answer.text)}`;
}

/// Which of the passing headers there are: an answer that counts differently for a stranger's object would show it here.
export const passingNames = (answer) => answer.raw.filter((name, i) => i % 2 === 0 && passing.test(name)).join();

const word = (prefix) => `${prefix}${randomBytes(5).toString('hex')}`;

/// Names of things that nobody has, each as long as a real one, so that answers that echo it are as long.
export function absentThings() {
  return {
    session: randomUUID(),
    turn: randomUUID(),
    alias: word('alias'),
    node: word('node'),
    subscription: randomUUID(),
    event: randomUUID(),
    invoice: `in_${randomBytes(8).toString('hex')}`,
    user: randomUUID(),
    key: randomUUID(),
    rotated: randomUUID(),
    trace: randomBytes(16).toString('hex'),
    memory: word('memory'),
    crystal: randomUUID(),
    token: randomUUID(),
  };
}

/// A tenant with credentials of every kind and one of each thing that a path can name, made as its users make them.
export async function newActor(server, db, stripe) {
  const made = await newTenant(db, { scopes: everyScope });
  const keyOf = async (scopes, more = {}) => (await addKey(db, made.id, { scopes, ...more })).key;
  const actor = { server, db, stripe, tenant: made.id, wide: made.key, wideId: made.keyId, scoped: new Map(), things: {} };
  for (const scopes of [[], ...everyScope.map((x) => [x]), ...everyScope.map((x) => everyScope.filter((y) => y !== x))])
    actor.scoped.set(scopes, await keyOf(scopes));
  actor.revoked = await keyOf(everyScope, { is_active: false, revoked_at: new Date() });
  actor.expired = await keyOf(everyScope, { expires_at: new Date(Date.now() - 60000) });
  actor.unknown = newKey();
  actor.hashed = hashOf(made.key);
  actor.persons = new Map();
  for (const role of Object.keys(scopesOfRole)) {
    const { rows } = await db.query(`INSERT INTO kg.users (tenant_id, email, name, role) VALUES ($1, $2, 'Somebody', $3) RETURNING id`, [made.id, `${role}-${randomUUID()}@example.org`, role]);
    actor.persons.set(role, await keyOf(everyScope, { user_id: rows[0].id }));
  }
  await addThings(actor);
  return actor;
}

/// A tenant that may not do anything now.
export async function newInactive(db, status) {
  const made = await newTenant(db, { scopes: everyScope });
  await db.query('UPDATE kg.tenants SET subscription_status = $2 WHERE id = $1', [made.id, status]);
  return { tenant: made.id, wide: made.key };
}

async function addThings(actor) {
  const { server, db, stripe, tenant, wide, things } = actor;
  const who = caller(server, wide);
  Object.assign(things, absentThings());
  things.secret = word('secret');
  things.session = await who.session({ title: things.secret });
  const said = await openStream(server, `/v1/kgent/sessions/${things.session}/messages`, { key: wide, method: 'POST', body: { message: `Please write about 10 words on ${things.secret}` } });
  const events = await said.turnEvents();
  things.turn = said.turn;
  things.cursor = events.find((e) => e.event === 'chunk').id;

  const observer = new Observer(server, wide, 'architect');
  await observer.loose(`world.${things.node}.define`, { name: things.node, spec: things.secret });
  await observer.ok('self.memory.engram', { key: things.memory, data: things.secret });
  const put = await call(server, 'PUT', `/v1/agentese/aliases/${things.alias}`, { key: wide, body: { target: `world.${things.node}` } });
  assert.equal(put.status, 200, put.text);

  actor.subscription = await openStream(server, '/agentese/subscribe?pattern=**&delivery=at_least_once&replay_offset=0', { key: wide, headers: observer.headers });
  assert.equal(actor.subscription.status, 200);
  things.subscription = (await actor.subscription.next('subscribed')).data.id;
  things.event = (await actor.subscription.next('an event')).id;

  // What checkout and Stripe's webhook would have written.
  const customer = stripe.customer(tenant);
  const subscription = stripe.subscribe(customer, 'price_pro');
  await db.query('UPDATE kg.tenants SET stripe_customer_id = $2, stripe_subscription_id = $3 WHERE id = $1', [tenant, customer, subscription.id]);
  const { rows } = await db.query(`INSERT INTO kg.users (tenant_id, email, name, role) VALUES ($1, $2, $2, 'member') RETURNING id`, [tenant, `${things.secret}@example.org`]);
  things.user = rows[0].id;
  things.invoice = stripe.invoice(customer).id;
  things.key = (await addKey(db, tenant, { name: things.secret })).id;
  things.rotated = (await addKey(db, tenant, { name: things.secret })).id;
  const traces = async () => (await call(server, 'GET', '/v1/traces?limit=1', { key: wide })).body.traces?.[0];
  things.trace = (await until(traces, 'a trace')).trace_id;
}
