// How each operation of /openapi.json is called with a valid example, which scope the contract wants of it (http-api.md
// 2.5, 9.4, 10), and which things of a tenant its path or body names.
//
//   scope    what a key needs; none: open
//   also     what the aspect behind it needs beside that; or: what does as well, for what is the caller's own
//   things   those that it names; a stranger's are answered as ones that are not there
//   ask      the request for a tenant's things
//   ok       the status for their owner; absent: for who names none of their own
//   owns     what it does belongs to the caller, under whatever name: there is no absence

import { randomUUID } from 'node:crypto';

const session = (tail, more) => ({ things: ['session'], ask: (t) => ({ path: `/v1/kgent/sessions/${t.session}${tail}`, ...more }) });
const plain = (path, body) => ({ ask: () => ({ path, body }) });
const urls = { success_url: 'https://app.example.org/done', cancel_url: 'https://app.example.org/back' };
const query = (members) => new URLSearchParams(members);

const sessions = {
  'POST /v1/kgent/sessions': { scope: 'write', ...plain('/v1/kgent/sessions', { title: 'example' }) },
  'GET /v1/kgent/sessions': { scope: 'read', ...plain('/v1/kgent/sessions?limit=5') },
  'GET /v1/kgent/sessions/{id}': { scope: 'read', ...session('') },
  'PATCH /v1/kgent/sessions/{id}': { scope: 'write', ...session('', { body: { title: 'renamed' } }) },
  'DELETE /v1/kgent/sessions/{id}': { scope: 'write', ok: 204, last: true, ...session('') },
  'GET /v1/kgent/sessions/{id}/messages': { scope: 'read', ...session('/messages') },
  'POST /v1/kgent/sessions/{id}/messages': { scope: 'write', ...session('/messages', { body: { message: 'Hello', stream: false } }) },
  'GET /v1/kgent/sessions/{id}/stream': { scope: 'read', streams: true, ...session('/stream') },
  'GET /v1/kgent/sessions/{id}/ws': { scope: 'read', ok: 101, streams: true, ...session('/ws', { socket: true }) },
  'POST /v1/kgent/sessions/{id}/cancel': { scope: 'write', ...session('/cancel') },
  'GET /v1/kgent/sessions/{id}/turns/{turn_id}': {
    scope: 'read',
    things: ['session', 'turn'],
    ask: (t) => ({ path: `/v1/kgent/sessions/${t.session}/turns/${t.turn}` }),
  },
};

const soul = {
  'POST /v1/soul/dialogue': { scope: 'read', ...plain('/v1/soul/dialogue', { prompt: 'Hello', budget: 'dormant' }) },
  'POST /v1/soul/governance': { scope: 'read', ...plain('/v1/soul/governance', { action: 'read the docs', budget: 'dormant' }) },
};

// A tenant's own names. Where `absent` is 200, any name is a node of the world: one that nobody has defined is a blank one.
const node = (path, { absent = 404, request = () => ({}) } = {}) => ({ things: ['node'], absent, ask: (t) => ({ path: path(t.node), ...request(t.node) }) });
const blank = { absent: 200 };

const agentese = {
  'POST /v1/agentese/invoke': {
    scope: 'read',
    ...node(() => '/v1/agentese/invoke', { ...blank, request: (name) => ({ body: { path: `world.${name}.manifest`, observer: { archetype: 'architect' } } }) }),
  },
  'GET /v1/agentese/resolve': { scope: 'read', ...node((name) => `/v1/agentese/resolve?path=world.${name}`, blank) },
  'GET /v1/agentese/affordances': { scope: 'read', ...node((name) => `/v1/agentese/affordances?path=world.${name}`, blank) },
  'GET /v1/agentese/paths': { scope: 'read', ...plain('/v1/agentese/paths') },
  'GET /v1/agentese/query': { scope: 'read', ...plain(`/v1/agentese/query?${query({ q: '?world.*' })}`) },
  'POST /v1/agentese/effects': { scope: 'read', ...plain('/v1/agentese/effects', { paths: ['self.memory.recall'] }) },
  'GET /v1/agentese/aliases': { scope: 'read', ...plain('/v1/agentese/aliases') },
  'GET /v1/agentese/aliases/{name}': { scope: 'read', things: ['alias'], ask: (t) => ({ path: `/v1/agentese/aliases/${t.alias}` }) },
  'PUT /v1/agentese/aliases/{name}': {
    scope: 'write',
    also: ['read'],
    owns: true,
    things: ['alias'],
    ask: (t) => ({ path: `/v1/agentese/aliases/${t.alias}x`, body: { target: 'void.entropy' } }),
  },
  'DELETE /v1/agentese/aliases/{name}': { scope: 'write', also: ['read'], ok: 204, last: true, things: ['alias'], ask: (t) => ({ path: `/v1/agentese/aliases/${t.alias}` }) },
  'POST /v1/agentese/capabilities': { scope: 'read', ok: 201, ...plain('/v1/agentese/capabilities', { scopes: ['memory:read'] }) },
};

const universal = {
  'POST /api/v1/compose': { scope: 'read', ...plain('/api/v1/compose', { paths: ['void.entropy.manifest', 'void.entropy.manifest'] }) },
  'POST /api/v1/verify-laws': { scope: 'read', ...plain('/api/v1/verify-laws', { paths: ['void.entropy.manifest'] }) },
  'GET /api/v1/{context}/{holon}/manifest': { scope: 'read', ...node((name) => `/api/v1/world/${name}/manifest`, blank) },
  'GET /api/v1/{context}/{holon}/affordances': { scope: 'read', ...node((name) => `/api/v1/world/${name}/affordances`, blank) },
  'GET /api/v1/{context}/{holon}/resolve': { scope: 'read', ...node((name) => `/api/v1/world/${name}/resolve`, blank) },
  'POST /api/v1/{context}/{holon}/{aspect}': { scope: 'read', ...node((name) => `/api/v1/world/${name}/manifest`, { ...blank, request: () => ({ body: {} }) }) },
  'GET /api/v1/{context}/{holon}/{aspect}/stream': { scope: 'read', streams: true, ...node((name) => `/api/v1/world/${name}/manifest/stream`, blank) },
};

const gateway = {
  'GET /agentese/subscribe': { scope: 'read', streams: true, ...plain(`/agentese/subscribe?${query({ pattern: '**' })}`) },
  'GET /agentese/ws/subscribe': { scope: 'read', ok: 101, streams: true, ask: () => ({ path: `/agentese/ws/subscribe?${query({ pattern: '**' })}`, socket: true }) },
  'GET /agentese/subscriptions': { scope: 'read', ...plain('/agentese/subscriptions') },
  'POST /agentese/subscriptions/{subscription}/ack': {
    scope: 'read',
    things: ['subscription', 'event'],
    ask: (t) => ({ path: `/agentese/subscriptions/${t.subscription}/ack`, body: { event_id: t.event } }),
  },
  'GET /agentese/discover': { scope: 'read', ...plain('/agentese/discover') },
  'GET /agentese/openapi.json': { scope: 'read', ...plain('/agentese/openapi.json') },
  'GET /agentese/discover/{context}': { scope: 'read', ...plain('/agentese/discover/world') },
  'GET /agentese/query': { scope: 'read', ...plain(`/agentese/query?${query({ q: '?self.*' })}`) },
  'GET /agentese/ws/{path}': { scope: 'read', ok: 101, streams: true, ...node((name) => `/agentese/ws/world/${name}`, { absent: 101, request: () => ({ socket: true }) }) },
  'GET /agentese/{path}/manifest': { scope: 'read', ...node((name) => `/agentese/world/${name}/manifest`) },
  'GET /agentese/{path}/affordances': { scope: 'read', ...node((name) => `/agentese/world/${name}/affordances`) },
  'POST /agentese/{path}/{aspect}': { scope: 'read', ...node((name) => `/agentese/world/${name}/manifest`, { request: () => ({ body: {} }) }) },
  'GET /agentese/{path}/{aspect}': { scope: 'read', ...node((name) => `/agentese/world/${name}/witness`) },
  'GET /agentese/{path}/{aspect}/stream': { scope: 'read', streams: true, ...node((name) => `/agentese/world/${name}/manifest/stream`) },
};

const account = {
  'GET /v1/usage': { scope: 'read', ...plain('/v1/usage') },
  'GET /v1/usage/events': { scope: 'admin', ...plain('/v1/usage/events') },
  // All of them have a subscription already, which is known after everything else was looked at.
  'POST /v1/billing/checkout': { scope: 'billing', ok: 409, ...plain('/v1/billing/checkout', { tier: 'pro', ...urls }) },
  'POST /v1/billing/credits/purchase': { scope: 'billing', ...plain('/v1/billing/credits/purchase', { pack: 'STARTER', ...urls }) },
  'POST /v1/billing/portal': { scope: 'billing', ...plain('/v1/billing/portal', { return_url: urls.cancel_url }) },
  'GET /v1/billing/subscription': { scope: 'billing', ...plain('/v1/billing/subscription') },
  'POST /v1/billing/subscription/upgrade': { scope: 'billing', ...plain('/v1/billing/subscription/upgrade', { plan_code: 'team' }) },
  'POST /v1/billing/subscription/cancel': { scope: 'billing', ...plain('/v1/billing/subscription/cancel', { at_period_end: true }) },
  'GET /v1/billing/usage': { scope: 'billing', ...plain('/v1/billing/usage') },
  'GET /v1/billing/invoices': { scope: 'billing', ...plain('/v1/billing/invoices') },
  'GET /v1/billing/invoices/{invoice}/pdf': { scope: 'billing', ok: 302, things: ['invoice'], ask: (t) => ({ path: `/v1/billing/invoices/${t.invoice}/pdf` }) },
};

const user = (tail, more) => ({ scope: 'admin', things: ['user'], ask: (t) => ({ path: `/v1/users/${t.user}${tail}`, ...more }) });
const key = (name, tail, more) => ({ scope: 'admin', things: [name], ask: (t) => ({ path: `/v1/api-keys/${t[name]}${tail}` }), ...more });
const administration = {
  'GET /v1/tenant': { scope: 'read', ...plain('/v1/tenant') },
  'PATCH /v1/tenant': { scope: 'admin', ...plain('/v1/tenant', { name: 'renamed' }) },
  'GET /v1/users': { scope: 'admin', ...plain('/v1/users') },
  'POST /v1/users': { scope: 'admin', ok: 201, ask: () => ({ path: '/v1/users', body: { email: `${randomUUID()}@example.org`, name: 'Somebody' } }) },
  'GET /v1/users/{id}': user(''),
  'PATCH /v1/users/{id}': user('', { body: { name: 'renamed' } }),
  'DELETE /v1/users/{id}': { ...user(''), ok: 204, last: true },
  // Whether it is there concerns an owner only, and the keys of these tests are nobody's.
  'POST /v1/users/{id}/transfer-ownership': { ...user('/transfer-ownership'), ok: 403, absent: 403, owners: true },
  'GET /v1/api-keys': { scope: 'admin', or: 'read', ...plain('/v1/api-keys') },
  'POST /v1/api-keys': { scope: 'admin', ok: 201, ...plain('/v1/api-keys', { name: 'made', scopes: ['admin'] }) },
  'GET /v1/api-keys/{id}': key('key', '', { or: 'read' }),
  'DELETE /v1/api-keys/{id}': key('key', '', { ok: 204, last: true }),
  'POST /v1/api-keys/{id}/rotate': key('rotated', '/rotate', { ok: 201, last: true }),
  'GET /v1/audit': { scope: 'admin', ...plain('/v1/audit') },
  'GET /v1/traces': { scope: 'read', ...plain('/v1/traces') },
  'GET /v1/traces/{trace}': { scope: 'read', things: ['trace'], ask: (t) => ({ path: `/v1/traces/${t.trace}` }) },
};

const open = Object.fromEntries(
  ['/', '/health', '/health/saas', '/live', '/ready', '/metrics', '/openapi.json', '/docs', '/redoc', '/webhooks/stripe/health'].map((path) => [`GET ${path}`, plain(path)]),
);
// Its credential is a signature over the body.
open['POST /webhooks/stripe'] = { ok: 400, ...plain('/webhooks/stripe', {}) };

export const routes = { ...open, ...sessions, ...soul, ...agentese, ...universal, ...gateway, ...account, ...administration };
for (const route of Object.values(routes)) route.ok ??= 200;

/// What who has the scope and names things of somebody else, or of nobody, is told.
export const missing = (route, role) => {
  if (route.owners && role === 'owner') return 404;
  return route.things && !route.owns ? (route.absent ?? 404) : route.ok;
};

/// Which of its scopes a credential lacks for the route, if any.
export function lacking(route, scopes) {
  if (!scopes.includes(route.scope) && !scopes.includes(route.or)) return route.scope;
  return route.also?.find((x) => !scopes.includes(x));
}
