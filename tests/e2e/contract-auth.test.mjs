// http-api.md 13.2, 13.3 and sections 1.7, 2, 3: who may do what, and in which order it is checked.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';

import { call, caller, openStream } from '../support/http.mjs';
import { openDatabase, startDev } from '../support/server.mjs';
import { addKey, hashOf, newKey, newTenant } from '../support/tenants.mjs';

let server;
let db;
before(async () => {
  server = await startDev({ env: { KGENTS_EMBEDDED_TOKENS_PER_SECOND: 0 } });
  db = await openDatabase(server.stateDir);
});
after(async () => {
  await db?.end();
  await server?.dispose();
});

const ask = (method, path, options) => call(server, method, path, options);
const some = randomUUID();
const protectedRoutes = [
  ['POST', '/v1/agentese/invoke', { path: 'world.house.manifest' }],
  ['GET', '/v1/agentese/resolve?path=world.house'],
  ['GET', '/v1/agentese/affordances?path=world.house'],
  ['POST', '/v1/kgent/sessions', {}],
  ['GET', '/v1/kgent/sessions'],
  ['GET', `/v1/kgent/sessions/${some}`],
  ['POST', `/v1/kgent/sessions/${some}/messages`, { message: 'x' }],
  ['GET', `/v1/kgent/sessions/${some}/messages`],
  ['POST', '/v1/soul/dialogue', { prompt: 'x' }],
  ['POST', '/v1/soul/governance', { action: 'x' }],
];

for (const [method, path, body] of protectedRoutes) {
  test(`13.2/11: ${method} ${path.replace(some, '{id}')} without a credential is 401 with WWW-Authenticate`, async () => {
    const answer = await ask(method, path, { body });
    assert.equal(answer.status, 401);
    assert.equal(answer.body.detail, 'API key required. Provide via X-API-Key header or api_key query param.');
    assert.equal(answer.headers['www-authenticate'], 'Bearer');
  });
}

test('13.2/11: more routes of the sessions do the same', async () => {
  for (const [method, path] of [
    ['PATCH', `/v1/kgent/sessions/${some}`],
    ['DELETE', `/v1/kgent/sessions/${some}`],
    ['POST', `/v1/kgent/sessions/${some}/cancel`],
    ['GET', `/v1/kgent/sessions/${some}/stream`],
    ['GET', `/v1/kgent/sessions/${some}/turns/${some}`],
  ])
    assert.equal((await ask(method, path)).status, 401, `${method} ${path}`);
});

test('13.2/12: invoke with an unknown key is 401', async () => {
  const { status } = await ask('POST', '/v1/agentese/invoke', { key: 'kg_invalid_key', body: { path: 'world.house.manifest' } });
  assert.equal(status, 401);
});

test('13.2/13 and 15: a key is refused for its format, or looked up', async () => {
  for (const key of ['invalid_key', 'api_key_123', '', 'kg', 'KG_dev_alice']) {
    const { status, body } = await ask('GET', '/v1/kgent/sessions', { key });
    assert.equal(status, 401, key);
    assert.equal(body.detail, "Invalid API key format. Keys must start with 'kg_'", key);
  }
  for (const key of ['kg_prod_12345', 'kg_test', 'kg_']) {
    const { status, body } = await ask('GET', '/v1/kgent/sessions', { key });
    assert.equal(status, 401, key);
    assert.equal(body.detail, 'Invalid API key. Please check your credentials.', key);
  }
  assert.equal((await ask('GET', '/v1/kgent/sessions', { key: 'kg_dev_alice' })).status, 200);
});

test('13.2/14: key kg_nonexistent is 401', async () => {
  assert.equal((await ask('GET', '/v1/kgent/sessions', { key: 'kg_nonexistent' })).status, 401);
});

test('13.2/16: the development keys have their plans, and each answer says what is left', async () => {
  const midnight = (Math.floor(Date.now() / 86400000) + 1) * 86400;
  for (const [key, limit] of [['kg_dev_alice', '100'], ['kg_dev_bob', '1000'], ['kg_dev_carol', '10000']]) {
    const { headers } = await ask('GET', '/v1/kgent/sessions', { key });
    assert.equal(headers['x-ratelimit-limit'], limit, key);
    assert.ok(Number(headers['x-ratelimit-remaining']) <= Number(limit));
    assert.ok(Math.abs(Number(headers['x-ratelimit-reset']) - midnight) <= 86400);
    assert.equal(Number(headers['x-ratelimit-reset']) % 86400, 0, 'a UTC midnight');
    for (const name of ['x-ratelimit-requests-today', 'x-tokens-today', 'x-tokens-month']) assert.match(headers[name], /^\d+$/, name);
  }
});

test('2: a key is good as X-API-Key of any case, as a bearer, and as ?api_key= on streaming GETs only', async () => {
  const tenant = await newTenant(db);
  const session = await caller(server, tenant.key).session();
  assert.equal((await ask('GET', '/v1/kgent/sessions', { headers: { 'x-ApI-kEy': tenant.key } })).status, 200);
  assert.equal((await ask('GET', '/v1/kgent/sessions', { headers: { Authorization: `Bearer ${tenant.key}` } })).status, 200);
  assert.equal((await ask('GET', `/v1/kgent/sessions?api_key=${tenant.key}`)).status, 401);
  const stream = await openStream(server, `/v1/kgent/sessions/${session}/stream?api_key=${tenant.key}`);
  assert.equal(stream.status, 200);
  stream.close();
  const foreign = await openStream(server, `/v1/kgent/sessions/${session}/stream?api_key=kg_nonexistent`);
  assert.equal(foreign.status, 401);
});

test('13.2/17: a key with empty scopes is refused by scope', async () => {
  const { key } = await newTenant(db, { scopes: [] });
  for (const [method, path, body] of [
    ['POST', '/v1/agentese/invoke', { path: 'world.house.manifest' }],
    ['GET', '/v1/kgent/sessions'],
    ['POST', '/v1/kgent/sessions', {}],
    ['POST', '/v1/soul/dialogue', { prompt: 'x' }],
  ]) {
    const answer = await ask(method, path, { key, body });
    assert.equal(answer.status, 403, path);
    assert.match(answer.body.detail, /scope/i);
  }
});

test('13.2/18: a valid key and the body {} on dialogue is 422, naming prompt', async () => {
  const { status, body } = await ask('POST', '/v1/soul/dialogue', { key: 'kg_dev_alice', body: {} });
  assert.equal(status, 422);
  assert.deepEqual(body.detail, [{ type: 'missing', loc: ['body', 'prompt'], msg: 'Field required', input: {} }]);
});

test('13.2/19 and 4.3: plans allow exactly their budgets', async () => {
  const allowed = {
    free: ['dormant', 'whisper'],
    starter: ['dormant', 'whisper'],
    pro: ['dormant', 'whisper', 'dialogue'],
    team: ['dormant', 'whisper', 'dialogue'],
    enterprise: ['dormant', 'whisper', 'dialogue', 'deep'],
    custom: ['dormant', 'whisper', 'dialogue', 'deep'],
  };
  for (const [tier, budgets] of Object.entries(allowed)) {
    const { key } = await newTenant(db, { tier });
    for (const budget of ['dormant', 'whisper', 'dialogue', 'deep']) {
      const { status, body } = await ask('POST', '/v1/soul/dialogue', { key, body: { prompt: 'What do you make of gardens?', budget } });
      assert.equal(status, budgets.includes(budget) ? 200 : 403, `${tier} ${budget}`);
      if (status === 403) assert.equal(body.detail, `Budget tier '${budget}' not available for ${tier.toUpperCase()} tier`);
    }
  }
});

test('13.2/19: a free plan\'s session answers in whispers, a pro plan\'s in dialogue', async () => {
  const say = async (tier) => {
    const who = caller(server, (await newTenant(db, { tier })).key);
    const session = await who.session();
    return (await who.post(`/v1/kgent/sessions/${session}/messages`, { message: 'Please write about 60 words on tides', stream: false })).body;
  };
  const whisper = await say('free');
  assert.equal(whisper.tokens_used, 50);
  const dialogue = await say('pro');
  assert.ok(dialogue.content.length > whisper.content.length);
});

test('1.7: the first failing check decides', async () => {
  const broken = '{"message":';
  const messages = `/v1/kgent/sessions/${some}/messages`;
  assert.equal((await ask('POST', messages, { body: broken })).status, 401, 'no key before the body');
  assert.equal((await ask('POST', messages, { key: 'kg_nonexistent', body: broken })).status, 401, 'bad key before the body');
  assert.equal((await ask('POST', messages, { key: 'kg_dev_alice', body: broken })).status, 422, 'the body before the scope');
  assert.equal((await ask('POST', '/v1/kgent/sessions/not-a-uuid/messages', { key: 'kg_dev_alice', body: { message: 'x' } })).status, 403, 'the scope before the id');
  assert.equal((await ask('POST', '/v1/kgent/sessions/not-a-uuid/messages', { key: 'kg_dev_bob', body: { message: 'x', mode: 'bad' } })).status, 400);
  const unknown = await ask('POST', messages, { key: 'kg_dev_bob', body: { message: 'x', mode: 'bad' } });
  assert.equal(unknown.status, 404, 'existence before the mode');
  assert.equal((await ask('POST', '/nowhere', { body: broken })).status, 404, 'the route before everything');
  const both = await ask('GET', '/v1/kgent/sessions', { key: 'invalid', headers: { Authorization: 'Bearer kg_dev_bob' } });
  assert.ok([200, 401].includes(both.status));
});

test('13.3/20: keys of the generated form authenticate by their hash alone', async () => {
  const tenant = await newTenant(db);
  const other = await addKey(db, tenant.id);
  assert.notEqual(tenant.key, other.key);
  for (const key of [tenant.key, other.key]) {
    assert.match(key, /^kg_[a-z0-9]{5}_[A-Za-z0-9_-]{43}$/);
    assert.match(hashOf(key), /^[0-9a-f]{64}$/);
    assert.equal((await ask('GET', '/v1/kgent/sessions', { key })).status, 200);
    assert.equal((await ask('GET', '/v1/kgent/sessions', { key: key.slice(0, -1) })).status, 401, 'a prefix of a key is no key');
    assert.equal((await ask('GET', '/v1/kgent/sessions', { key: hashOf(key) })).status, 401, 'the stored hash is no key');
  }
});

test('13.3/21: expired, revoked and unknown keys are one answer', async () => {
  const tenant = await newTenant(db);
  const expired = await addKey(db, tenant.id, { expires_at: new Date(Date.now() - 60000) });
  const revoked = await addKey(db, tenant.id, { is_active: false, revoked_at: new Date() });
  const later = await addKey(db, tenant.id, { expires_at: new Date(Date.now() + 3600000) });
  const shown = async (key) => {
    const { status, body, headers } = await ask('GET', '/v1/kgent/sessions', { key });
    return { status, body, challenge: headers['www-authenticate'] };
  };
  const unknown = await shown(newKey());
  assert.equal(unknown.status, 401);
  assert.deepEqual(await shown(expired.key), unknown);
  assert.deepEqual(await shown(revoked.key), unknown);
  assert.equal((await shown(later.key)).status, 200);
});

test('13.3/23: past_due and trialing work, canceled and paused do not; each plan has its daily limit', async () => {
  for (const [subscription_status, expected] of [['active', 200], ['trialing', 200], ['past_due', 200], ['canceled', 403], ['paused', 403]]) {
    const { key } = await newTenant(db, { limits: { subscription_status } });
    const { status, body } = await ask('GET', '/v1/kgent/sessions', { key });
    assert.equal(status, expected, subscription_status);
    if (expected === 403) assert.equal(body.detail, 'Tenant subscription is not active');
  }
  for (const [tier, limit] of [['free', '100'], ['pro', '1000'], ['enterprise', '10000']]) {
    const { key } = await newTenant(db, { tier, limits: { requests_per_day: null } });
    assert.equal((await ask('GET', '/v1/kgent/sessions', { key })).headers['x-ratelimit-limit'], limit, tier);
  }
});

test('13.3/24: what remains is never negative', async () => {
  const { key } = await newTenant(db, { tier: 'free', limits: { requests_per_day: 2 } });
  const statuses = [];
  for (let i = 0; i < 4; i++) {
    const { status, headers } = await ask('POST', '/v1/soul/dialogue', { key, body: { prompt: 'hello', budget: 'whisper' } });
    statuses.push(status);
    assert.equal(headers['x-ratelimit-remaining'], String(Math.max(0, 1 - i)));
  }
  assert.deepEqual(statuses, [200, 200, 429, 429]);
});

test('13.3/24 and 4.2: the monthly quota refuses in its words', async () => {
  const { key } = await newTenant(db, { tier: 'pro', limits: { tokens_limit_month: 120, tokens_used_month: 100 } });
  const { status, body, headers } = await ask('POST', '/v1/soul/dialogue', { key, body: { prompt: 'What do you make of gardens?', budget: 'dialogue' } });
  assert.equal(status, 429);
  assert.match(body.detail, /quota exceeded/i);
  assert.match(headers['retry-after'], /^\d+$/);
  const free = await ask('POST', '/v1/soul/dialogue', { key, body: { prompt: 'What do you make of gardens?', budget: 'dormant' } });
  assert.equal(free.status, 200, 'what costs nothing still fits');
});

test('13.3/25: a user\'s key never exceeds its owner\'s role', async () => {
  const tenant = await newTenant(db);
  const keyOf = async (role) => {
    const { rows } = await db.query(`INSERT INTO kg.users (tenant_id, email, role) VALUES ($1, $2, $3) RETURNING id`, [
      tenant.id,
      `${role}@example.org`,
      role,
    ]);
    return (await addKey(db, tenant.id, { user_id: rows[0].id })).key;
  };
  for (const [role, expected] of [['owner', 200], ['admin', 200], ['member', 200], ['readonly', 403]]) {
    const key = await keyOf(role);
    assert.equal((await ask('POST', '/v1/kgent/sessions', { key, body: {} })).status, expected, role);
    assert.equal((await ask('GET', '/v1/kgent/sessions', { key })).status, 200, role);
  }
});

test('13.3/26: the tenant comes from the key; a client\'s own idea of it is ignored or refused', async () => {
  const one = await newTenant(db);
  const two = await newTenant(db);
  const created = await ask('POST', '/v1/kgent/sessions', { key: one.key, body: { tenant_id: two.id, title: 'mine' } });
  assert.equal(created.body.tenant_id, one.id);
  const listed = await ask('GET', `/v1/kgent/sessions?tenant_id=${one.id}`, { key: two.key });
  assert.equal(listed.body.total, 0);
  assert.equal((await ask('GET', '/v1/kgent/sessions', { key: two.key, headers: { 'X-Tenant-ID': one.id } })).status, 403);
  assert.equal((await ask('GET', '/v1/kgent/sessions', { key: one.key, headers: { 'X-Tenant-ID': one.id } })).status, 200);
});

test('13.3/27: a turn raises the tenant\'s month by exactly its tokens', async () => {
  const tenant = await newTenant(db);
  const who = caller(server, tenant.key);
  const session = await who.session();
  const used = async () => Number((await db.query('SELECT tokens_used_month FROM kg.tenants WHERE id = $1', [tenant.id])).rows[0].tokens_used_month);
  assert.equal(await used(), 0);
  let sum = 0;
  for (let i = 0; i < 2; i++) {
    const { body } = await who.post(`/v1/kgent/sessions/${session}/messages`, { message: `Please write about 40 words on hill ${i}`, stream: false });
    assert.ok(body.tokens_used > 0);
    sum += body.tokens_used;
    assert.equal(await used(), sum);
  }
  const { rows } = await db.query(`SELECT sum(tokens_in + tokens_out)::int AS n FROM kg.usage_events WHERE tenant_id = $1`, [tenant.id]);
  assert.equal(rows[0].n, sum);
});

test('4.2: the traffic bucket refuses with Retry-After and the rate in its text', async () => {
  const { key } = await newTenant(db, { limits: { rate_limit_rpm: 1, rate_burst: 3 } });
  const answers = [];
  for (let i = 0; i < 4; i++) answers.push(await ask('GET', '/v1/kgent/sessions', { key }));
  assert.deepEqual(answers.map((a) => a.status), [200, 200, 200, 429]);
  assert.equal(answers[3].body.detail, 'Rate limit exceeded. 1 requests per minute allowed.');
  const wait = Number(answers[3].headers['retry-after']);
  assert.ok(wait >= 1 && wait <= 60, `Retry-After ${wait}`);
});

test('a revoked key stops working within two seconds, its open stream included', async () => {
  const tenant = await newTenant(db);
  const doomed = await addKey(db, tenant.id);
  const session = await caller(server, tenant.key).session();
  const stream = await openStream(server, `/v1/kgent/sessions/${session}/stream`, { key: doomed.key });
  assert.equal(stream.status, 200);
  await db.query('UPDATE kg.api_keys SET is_active = false, revoked_at = now() WHERE id = $1', [doomed.id]);
  await stream.rest();
  assert.equal((await ask('GET', '/v1/kgent/sessions', { key: doomed.key })).status, 401);
});

test('no key and no message text ever reaches the log', async () => {
  const tenant = await newTenant(db);
  const who = caller(server, tenant.key);
  const session = await who.session({ title: 'a title of mine' });
  await who.post(`/v1/kgent/sessions/${session}/messages`, { message: 'xyzzy-unmistakable', stream: false });
  const stream = await openStream(server, `/v1/kgent/sessions/${session}/stream?api_key=${tenant.key}`);
  stream.close();
  await ask('GET', '/v1/kgent/sessions', { key: 'kg_wrong_but_secret' });
  assert.equal(await server.stop().then((how) => how.code), 0);
  for (const secret of [tenant.key, 'xyzzy-unmistakable', 'kg_wrong_but_secret']) assert.ok(!server.log.includes(secret), secret);
});
