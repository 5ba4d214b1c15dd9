// What an attacker tries beside plain requests: odd spellings of paths, headers that name somebody, methods in disguise,
// origins that are not allowed, and a look into the logs.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';

import { Observer } from '../support/agentese.mjs';
import { ask, comparable, newActor } from '../support/authorisation.mjs';
import { caller, openStream } from '../support/http.mjs';
import { startMigratedPostgres } from '../support/postgres.mjs';
import { startProvider } from '../support/providers.mjs';
import { exchange } from '../support/raw.mjs';
import { run, startServe } from '../support/server.mjs';
import { startStripe } from '../support/stripe.mjs';
import { newTenant } from '../support/tenants.mjs';
import { until } from '../support/wait.mjs';
import { openSocket } from '../support/websocket.mjs';

const platformKey = 'the-operators-own-secret';
const listed = 'https://app.example.org';
let database, db, stripe, server, owner, stranger;
before(async () => {
  database = await startMigratedPostgres();
  db = await database.connect();
  stripe = await startStripe();
  server = await startServe(database, { env: stripe.env({ KGENTS_PLATFORM_KEY: platformKey, KGENTS_EMBEDDED_TOKENS_PER_SECOND: 0, CORS_ORIGINS: listed }) });
  owner = await newActor(server, db, stripe);
  stranger = await newActor(server, db, stripe);
});
after(async () => {
  for (const actor of [owner, stranger]) actor?.subscription.close();
  await server?.dispose();
  await stripe?.close();
  await db?.end();
  await database?.dispose();
});

const keyOf = (actor, ...scopes) => [...actor.scoped].find(([x]) => x.join() === scopes.join())[1];
const get = (path, headers = {}) => ask(server, { method: 'GET', path, headers });
const discreet = (answer) => {
  for (const word of [owner.tenant, owner.things.secret]) assert.ok(!answer.text.includes(word), answer.text);
};

test('odd spellings of a path are other paths, not ways around a check', async () => {
  const nothing = keyOf(owner);
  const spellings = (path) => [
    `/${path}`, path.replace('/', '//'), path.replaceAll('/', '//'), `${path}/`, `${path}/.`, `${path}/..`, `/.${path}`, `/x/..${path}`, `/v1/health/..${path}`, path.toUpperCase(),
    path.replace('/v1', '/V1'), path.replace('/v1', '/%76%31'), path.replace(/\/([^/]*)$/, '%2f$1'), path.replace(/\/([^/]*)$/, '/%2e/$1'), path.replace(/\/([^/]*)$/, '/%2e%2e/$1'), `${path}%00`,
    `${path};x=y`, path.replace('/v1', '/v1;a=b'), `${path}%20`, `${path}.json`, `${path}%3f`, path.replaceAll('/', '\\'), `/docs/..${path}`,
    `/docs/..%2f${path.slice(1)}`, `/health${path}`, `/metrics/..${path}`,
  ];
  for (const path of ['/v1/kgent/sessions', `/v1/kgent/sessions/${owner.things.session}`, '/v1/cluster', '/v1/platform/cdc', '/v1/usage/events', '/v1/billing/invoices'])
    for (const way of spellings(path)) {
      if (way === path) continue;
      const none = await get(way);
      assert.ok([400, 401, 404].includes(none.status), `${way} without a key: ${none.status}`);
      for (const key of [stranger.wide, nothing]) {
        const answer = await get(way, { 'X-API-Key': key });
        assert.ok([400, key === nothing ? 403 : 404, 404].includes(answer.status), `${way}: ${answer.status} ${answer.text}`);
        discreet(answer);
      }
    }
});

test('an id in another form is the same id: of the owner\'s for its owner, of nothing for a stranger', async () => {
  const { session } = owner.things;
  for (const form of [session.toUpperCase(), session.replaceAll('-', ''), `{${session}}`, `urn:uuid:${session}`, [...session].map((x) => `%${x.charCodeAt(0).toString(16)}`).join('')]) {
    const path = `/v1/kgent/sessions/${encodeURI(form).replaceAll('%25', '%')}`;
    const own = await get(path, { 'X-API-Key': owner.wide });
    assert.ok([200, 400].includes(own.status), `${form}: ${own.status}`);
    const answer = await get(path, { 'X-API-Key': stranger.wide });
    assert.equal(answer.status, own.status === 200 ? 404 : 400, form);
    discreet(answer);
  }
});

test('the absolute form, another Host and a target of another authority open nothing', async () => {
  for (const target of ['http://localhost/v1/kgent/sessions', `http://evil.example/v1/kgent/sessions/${owner.things.session}`]) {
    const { status } = await exchange(server, `GET ${target} HTTP/1.1\r\nHost: internal.example\r\nConnection: close\r\n\r\n`);
    assert.equal(status, 401, target);
  }
  const foreign = await exchange(server, `GET http://internal/v1/kgent/sessions/${owner.things.session} HTTP/1.1\r\nHost: internal\r\nX-API-Key: ${stranger.wide}\r\nConnection: close\r\n\r\n`);
  assert.equal(foreign.status, 404);
  const operators = await exchange(server, `GET http://localhost/v1/cluster HTTP/1.1\r\nHost: localhost\r\nX-API-Key: ${stranger.wide}\r\nConnection: close\r\n\r\n`);
  assert.equal(operators.status, 404);
});

test('a key given twice is not a choice', async () => {
  for (const keys of [[stranger.wide, owner.wide], [owner.wide, stranger.wide], ['kg_nothing', owner.wide], [owner.wide, platformKey]]) {
    const lines = keys.map((key) => `X-API-Key: ${key}\r\n`).join('');
    const answer = await exchange(server, `GET /v1/kgent/sessions/${owner.things.session} HTTP/1.1\r\nHost: x\r\n${lines}Connection: close\r\n\r\n`);
    const first = keys[0] === owner.wide;
    assert.ok([400, 401, first ? 200 : 404].includes(answer.status), `${keys.map((x) => (x === owner.wide ? 'own' : 'other'))}: ${answer.status}`);
    assert.equal((await exchange(server, `GET /v1/cluster HTTP/1.1\r\nHost: x\r\n${lines}Connection: close\r\n\r\n`)).status, 404);
  }
});

// What proxies, gateways and frameworks pass along when they have checked somebody.
const identities = () => ({
  'X-User-Id': 'user_carol', 'X-User': 'admin', 'Remote-User': 'admin', 'X-Forwarded-User': 'admin', 'X-Forwarded-Email': 'dev@kgents.local', 'X-Authenticated-Userid': owner.tenant,
  'X-Consumer-ID': owner.wideId, 'X-Consumer-Custom-ID': owner.wideId, 'X-Consumer-Username': 'dev_carol', 'X-Credential-Identifier': owner.wideId,
  'X-Tenant': owner.tenant, 'X-Organization-Id': owner.tenant,
  'X-Scopes': 'read,write,admin,billing', 'X-Role': 'owner', 'X-Roles': 'super_admin', 'X-Forwarded-For': '127.0.0.1', 'X-Real-IP': '127.0.0.1', 'X-Client-IP': '::1',
  Forwarded: 'for=127.0.0.1;proto=https;host=localhost',
  'X-Forwarded-Host': 'localhost', 'X-Forwarded-Proto': 'https', 'X-Original-URL': '/health', 'X-Rewrite-URL': '/health', 'X-Forwarded-Prefix': '/health',
  'X-Original-Method': 'GET', 'X-Amzn-Oidc-Identity': 'admin',
  'X-Client-Cert': 'CN=admin', 'X-SSL-Client-Verify': 'SUCCESS', 'X-Observer-Id': 'user_carol', Cookie: `api_key=${owner.wide}; session=${owner.things.session}`,
  'Proxy-Authorization': `Bearer ${owner.wide}`, 'Api-Key': owner.wide, 'X-Auth-Token': owner.wide,
});

test('headers that name somebody name nobody', async () => {
  const path = `/v1/kgent/sessions/${owner.things.session}`;
  const [anonymous, foreign, unknown] = [await get(path), await get(path, { 'X-API-Key': stranger.wide }), await get('/v1/cluster')];
  for (const [name, value] of Object.entries(identities())) {
    assert.equal(comparable(await get(path, { [name]: value })), comparable(anonymous), name);
    assert.equal(comparable(await get(path, { [name]: value, 'X-API-Key': stranger.wide })), comparable(foreign), name);
    assert.equal(comparable(await get('/v1/cluster', { [name]: value })), comparable(unknown), name);
  }
  const all = identities();
  assert.equal(comparable(await get(path, all)), comparable(anonymous));
  const own = await get('/v1/kgent/sessions', { ...all, 'X-API-Key': stranger.wide });
  assert.equal(own.status, 200);
  assert.ok(own.body.sessions.every((x) => x.tenant_id === stranger.tenant));
});

test('a method in disguise is the one it came as', async () => {
  const key = owner.wide;
  const path = `/v1/kgent/sessions/${owner.things.session}`;
  for (const name of ['X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override'])
    for (const [method, status] of [['GET', 200], ['POST', 405]]) {
      assert.equal((await ask(server, { method, path, headers: { 'X-API-Key': key, [name]: 'DELETE' } })).status, status, name);
      assert.equal((await ask(server, { method, path: `${path}?_method=DELETE`, headers: { 'X-API-Key': key } })).status, status);
    }
  assert.equal((await get(path, { 'X-API-Key': key })).status, 200, 'it is still there');
  const reader = keyOf(owner, 'read');
  assert.equal((await ask(server, { method: 'PATCH', path, headers: { 'X-API-Key': reader, 'X-HTTP-Method-Override': 'GET' }, body: { title: 'x' } })).status, 403);
  for (const method of ['TRACE', 'CONNECT', 'PROPFIND', 'get'])
    assert.ok([400, 404, 405, 501].includes((await exchange(server, `${method} ${path} HTTP/1.1\r\nHost: x\r\nX-API-Key: ${key}\r\nConnection: close\r\n\r\n`)).status), method);
});

test('an origin that is not listed reads no answer, whatever the answer is', async () => {
  const cases = [
    ['GET', '/v1/kgent/sessions', { 'X-API-Key': owner.wide }, 200], ['GET', '/v1/kgent/sessions', {}, 401], ['GET', '/v1/kgent/sessions', { 'X-API-Key': keyOf(owner) }, 403],
    ['GET', `/v1/kgent/sessions/${owner.things.session}`, { 'X-API-Key': stranger.wide }, 404], ['GET', '/nowhere', {}, 404], ['PUT', '/v1/kgent/sessions', {}, 405], ['GET', '/v1/cluster', {}, 404],
    ['POST', '/v1/soul/dialogue', { 'X-API-Key': owner.wide }, 422], ['GET', `/v1/kgent/sessions/${owner.things.session}/stream`, { 'X-API-Key': owner.wide }, 200],
  ];
  for (const [method, path, headers, status] of cases) {
    const from = (origin) => ask(server, { method, path, headers: { ...headers, Origin: origin }, ...(method === 'POST' ? { body: {} } : {}) });
    for (const origin of ['https://evil.example', 'null', `${listed}.evil.example`, listed.replace('https', 'http'), `${listed}:8443`, 'https://evil.app.example.org', listed.toUpperCase()]) {
      const answer = await from(origin);
      assert.equal(answer.status, status, `${method} ${path} from ${origin}`);
      for (const name of ['access-control-allow-origin', 'access-control-allow-credentials']) assert.equal(answer.headers[name], undefined, `${origin} ${path}`);
      assert.match(answer.headers.vary ?? '', /Origin/i, 'a cache keeps them apart');
    }
    const answer = await from(listed);
    assert.equal(answer.status, status);
    assert.equal(answer.headers['access-control-allow-origin'], listed, `${method} ${path} ${status}`);
    assert.equal(answer.headers['access-control-allow-credentials'], 'true');
  }
});

test('an address in a header does not give a new allowance to who guesses keys', async () => {
  const outside = await startServe(database, { env: { KGENTS_ENV: 'test' } });
  try {
    const guess = (i) => ask(outside, { method: 'GET', path: '/v1/kgent/sessions', headers: { 'X-API-Key': `kg_guess_${i}`, 'X-Forwarded-For': `10.0.${i >> 8}.${i & 255}`, 'X-Real-IP': `10.1.0.${i & 255}`, Forwarded: `for=10.2.0.${i & 255}` } });
    const answers = await Promise.all(Array.from({ length: 150 }, (_, i) => guess(i)));
    assert.ok(answers.some((x) => x.status === 429), 'guesses are limited by where they come from');
    assert.deepEqual([...new Set(answers.map((x) => x.status))].sort(), [401, 429]);
  } finally {
    await outside.dispose();
  }
});

test('no key, secret or word of a conversation is in a log, in the metrics or in what check prints', { timeout: 120000 }, async (t) => {
  const word = (name) => `${name}${randomBytes(8).toString('hex')}`;
  const said = Object.fromEntries(['message', 'title', 'prompt', 'answer', 'memory', 'capital', 'query', 'badbody', 'header', 'password'].map((name) => [name, word(name)]));
  const provider = await startProvider();
  const settings = {
    ...stripe.env({ STRIPE_WEBHOOK_SECRET: word('whsec_'), STRIPE_WEBHOOK_SECRET_PREVIOUS: word('whsec_') }),
    // Neither is what it should be, so there is something to tell.
    OPENMETER_ENABLED: 'true',
    OPENMETER_API_KEY: word('om'),
    OPENMETER_BASE_URL: `http://127.0.0.1:${stripe.port}`,
    OPENMETER_FLUSH_INTERVAL: '0.05',
    REDIS_URL: `redis://:${said.password}@127.0.0.1:9/0`,
    ...provider.openai(),
    KGENTS_PLATFORM_KEY: word('operator'),
    AUTH_JWT_SECRET: word('jwtjwtjwtjwtjwtjwtjwt'),
    AUTH_ISSUER: 'https://auth.example.org',
    AUTH_AUDIENCE: 'kgents',
    DATABASE_URL: `${database.url('kg_app')}&password=${said.password}`,
    DATABASE_CONTROL_URL: `${database.url('kg_control')}&password=${said.password}`,
    LOG_LEVEL: 'DEBUG',
  };
  t.after(() => provider.close());
  const own = await startServe(database, { env: settings });
  t.after(() => own.dispose());
  const tenant = await newTenant(db, { scopes: ['read', 'write', 'admin', 'billing'] });
  const who = caller(own, tenant.key);
  const script = (options) => provider.script({ deltas: [`${said.answer} `, 'and more'], ...options });
  const session = await who.session({ title: said.title });
  for (const options of [{}, { errorAfter: 1 }, { garbageAfter: 1 }, { status: 400 }, { html: true }, { cutAfter: 1 }]) {
    const s = script(options);
    const stream = await who.say(session, `${said.message} ${s.token}`);
    assert.equal(stream.status, 200, stream.text);
    await stream.turnEvents();
  }
  const observer = new Observer(own, tenant.key, 'admin');
  await observer.ok('self.memory.engram', { key: 'k', data: said.memory });
  await observer.ok('void.gratitude.thank', { target: said.memory });
  const capability = (await observer.post('/v1/agentese/capabilities', { scopes: ['memory:write'] })).body.token;
  const pass = (await observer.ok('void.capital.bypass', { cost: 0.1 })).token;
  await observer.as('admin', { capability }).invoke('self.memory.engram', { key: 'k', data: said.capital });
  await observer.invoke('void.capital.redeem', { token: pass });
  await observer.get(`/agentese/query?q=${said.query}`);
  await who.post('/v1/soul/dialogue', { prompt: said.prompt, budget: 'dormant' });
  await who.post('/v1/soul/dialogue', { prompt: said.prompt, budget: said.badbody, mode: said.badbody });
  await who.post('/v1/soul/governance', { action: said.prompt, budget: 'dormant' });
  await who.post('/v1/kgent/sessions', `{"title": "${said.badbody}`);
  await who.post(`/v1/kgent/sessions/${session}/messages`, { message: { text: said.badbody } });
  await who.get(`/v1/kgent/sessions/${said.query}?x=${said.query}`);
  const other = { 'X-API-Key': `kg_${word('wrong')}`, Authorization: `Bearer kg_${word('bearer')}`, Cookie: said.header, 'Idempotency-Key': said.header };
  for (const headers of [other, { Authorization: other.Authorization }, { Authorization: `Bearer eyJhbGciOiJub25lIn0.${word('claims')}.` }, { 'X-API-Key': settings.KGENTS_PLATFORM_KEY }, { 'X-API-Key': `${settings.KGENTS_PLATFORM_KEY}x` }])
    for (const path of ['/v1/kgent/sessions', '/v1/cluster']) await ask(own, { method: 'GET', path, headers });
  (await openStream(own, `/v1/kgent/sessions/${session}/stream?api_key=${tenant.key}`)).close();
  const socket = await openSocket(own, session, { query: `?api_key=${tenant.key}` });
  socket.send({ type: said.badbody, message: said.message });
  await socket.next('the answer to a message of no type');
  socket.send(`{"type": "message", "message": "${said.badbody}`);
  await socket.next('the answer to half a message');
  await socket.close();
  await ask(own, { method: 'POST', path: '/webhooks/stripe', headers: { 'Stripe-Signature': `t=1,v1=${said.header}` }, body: { id: said.badbody } });
  const metrics = (await ask(own, { method: 'GET', path: '/metrics' })).text;
  const checked = await run(['check'], { ...settings, KGENTS_ENV: 'dev' });

  // Errors of the database quote statements and addresses.
  await database.stop();
  for (let i = 0; i < 3; i++) {
    await who.post('/v1/kgent/sessions', { title: said.title });
    await who.post(`/v1/kgent/sessions/${session}/messages`, { message: said.message, stream: false });
    await observer.invoke('self.memory.engram', { key: 'k', data: said.memory });
  }
  await until(() => /database|postgres|sql/i.test(own.log), 'the log to tell of the database');
  await database.start();
  await own.end('SIGTERM');

  assert.ok(own.log.split('\n').filter((line) => line.includes('"debug"') || line.includes('DEBUG')).length > 10, 'the log is of level debug');
  const configured = ['STRIPE_API_KEY', 'STRIPE_WEBHOOK_SECRET', 'STRIPE_WEBHOOK_SECRET_PREVIOUS', 'OPENMETER_API_KEY', 'OPENAI_API_KEY', 'KGENTS_PLATFORM_KEY', 'AUTH_JWT_SECRET'];
  const secrets = { ...said, ...Object.fromEntries(configured.map((name) => [name, settings[name]])), key: tenant.key, capability, pass, wrong: other['X-API-Key'], bearer: other.Authorization.slice(7) };
  for (const [what, text] of Object.entries({ 'the log': own.log, 'the metrics': metrics, check: checked.output + checked.log }))
    for (const [name, secret] of Object.entries(secrets)) {
      const at = text.indexOf(secret);
      assert.equal(at, -1, `${what} has the ${name}: …${text.slice(Math.max(0, at - 200), at + 80)}…`);
    }
});
