// Every route of /openapi.json under every kind of credential: what is expected follows from what the contract wants of the
// route and the order of checks (http-api.md 1.7), and what is a stranger's looks as if it were not there, to the byte.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { absentThings, ask, comparable, everyScope, newActor, newInactive, passingNames, scopesOfRole } from '../support/authorisation.mjs';
import { lacking, missing, routes } from '../support/authorisation-routes.mjs';
import { call } from '../support/http.mjs';
import { startMigratedPostgres } from '../support/postgres.mjs';
import { startServe } from '../support/server.mjs';
import { startStripe } from '../support/stripe.mjs';

const platformKey = 'the-operators-own-secret';
const database = await startMigratedPostgres();
const db = await database.connect();
const stripe = await startStripe();
const server = await startServe(database, { env: stripe.env({ KGENTS_PLATFORM_KEY: platformKey, KGENTS_EMBEDDED_TOKENS_PER_SECOND: 0 }) });
const owner = await newActor(server, db, stripe);
const stranger = await newActor(server, db, stripe);
const paused = await newInactive(db, 'paused');
const document = (await call(server, 'GET', '/openapi.json')).body;
after(async () => {
  for (const actor of [owner, stranger]) actor.subscription.close();
  await server.dispose();
  await stripe.close();
  await db.end();
  await database.dispose();
});

const methods = ['get', 'put', 'post', 'delete', 'patch'];
const operations = Object.entries(document.paths).flatMap(([path, item]) =>
  methods.filter((m) => item[m]).map((m) => ({ name: `${m.toUpperCase()} ${path}`, method: m.toUpperCase(), path, security: item[m].security })),
);
const isOperators = ({ security }) => security.some((x) => x.platformKey);
const takesQueryKey = ({ security }) => security.some((x) => x.queryKey);
const ordinary = operations.filter((x) => !isOperators(x));

const no = {
  credential: 'API key required. Provide via X-API-Key header or api_key query param.',
  format: "Invalid API key format. Keys must start with 'kg_'",
  key: 'Invalid API key. Please check your credentials.',
};

/// One call of an operation. `things`: whose; `query`: more of it.
function asked(operation, things, { headers, key, query, body } = {}) {
  const made = routes[operation.name].ask(things);
  if (query) made.path += `${made.path.includes('?') ? '&' : '?'}${query}`;
  if (body !== undefined) made.body = body;
  return ask(server, { method: operation.method, ...made, headers: { ...(key === undefined ? {} : { 'X-API-Key': key }), ...headers } });
}

function refused(answer, status, detail, what) {
  assert.equal(answer.status, status, `${what}: ${answer.text}`);
  if (detail instanceof RegExp) assert.match(typeof answer.body.detail === 'string' ? answer.body.detail : JSON.stringify(answer.body.detail), detail, what);
  else assert.equal(answer.body.detail, detail, what);
}

/// Nothing of the owner's may be in what a stranger is told.
function discreet(answer, what) {
  for (const word of [owner.tenant, owner.things.secret, owner.things.turn, owner.wide]) assert.ok(!answer.text.includes(word), `${what} tells ${word}: ${answer.text}`);
}

test('the matrix knows every operation of the document, and no other', () => {
  assert.deepEqual(ordinary.map((x) => x.name).sort(), Object.keys(routes).sort());
});

test('the document asks of every operation what the contract does', () => {
  for (const { name, security } of ordinary) {
    const { scope, streams } = routes[name];
    if (scope === undefined) {
      assert.deepEqual(security, [], name);
      continue;
    }
    // A scope that another one can stand in for is looked at by the route itself.
    for (const choice of security) assert.deepEqual(Object.values(choice), [routes[name].or ? [] : [scope]], name);
    const schemes = security.flatMap((x) => Object.keys(x));
    // Aspects of the gateway stream or not, as they please, on one route.
    const both = name === 'GET /agentese/{path}/{aspect}';
    assert.deepEqual(schemes, streams || both ? ['apiKey', 'bearer', 'queryKey'] : ['apiKey', 'bearer'], name);
  }
});

for (const operation of ordinary.filter((x) => routes[x.name]?.scope === undefined && routes[x.name])) {
  test(`${operation.name}: is open, and no credential changes its answer`, async () => {
    const { ok } = routes[operation.name];
    for (const key of [undefined, owner.wide, owner.revoked, owner.unknown, 'invalid']) assert.equal((await asked(operation, {}, { key })).status, ok, key);
    const answer = await asked(operation, {}, { key: owner.wide });
    assert.ok(!passingNames(answer).includes('X-RateLimit'), 'nobody is told of a tenant here');
  });
}

// What ends a thing comes last, so that the owner still has it for the others.
const guarded = ordinary.filter((x) => routes[x.name]?.scope).sort((a, b) => (routes[a.name].last ? 1 : 0) - (routes[b.name].last ? 1 : 0));

for (const operation of guarded) {
  const route = routes[operation.name];
  const { name, method } = operation;

  test(`${name}: without a good credential`, async () => {
    const body = method === 'GET' || method === 'DELETE' ? undefined : '{"broken":';
    for (const things of [owner.things, absentThings()]) {
      const none = await asked(operation, things);
      refused(none, 401, no.credential, 'no credential');
      assert.equal(none.headers['www-authenticate'], 'Bearer');
      refused(await asked(operation, things, { headers: { Authorization: 'Basic a2dfZGV2X2JvYjo=' } }), 401, no.credential, 'a scheme that is none');
      for (const key of ['', 'kg', 'invalid_key', owner.wide.toUpperCase(), owner.hashed]) {
        refused(await asked(operation, things, { key }), 401, no.format, `the key '${key}'`);
        if (key) refused(await asked(operation, things, { headers: { Authorization: `Bearer ${key}` } }), 401, /./, `the bearer '${key}'`);
      }
      const unknown = await asked(operation, things, { key: owner.unknown });
      refused(unknown, 401, no.key, 'an unknown key');
      assert.equal(unknown.headers['www-authenticate'], 'Bearer');
      for (const key of [owner.revoked, owner.expired, stranger.revoked, owner.wide.slice(0, -1), `${owner.wide}x`, `kg_${'x'.repeat(300)}`])
        assert.equal(comparable(await asked(operation, things, { key })), comparable(unknown), 'a dead key is an unknown one');
    }
    if (body) {
      refused(await asked(operation, owner.things, { body }), 401, no.credential, 'the credential before the body');
      refused(await asked(operation, owner.things, { body, key: owner.revoked }), 401, no.key, 'the key before the body');
    }
  });

  test(`${name}: a key in the query is one on streams only`, async () => {
    const answer = await asked(operation, absentThings(), { query: `api_key=${owner.wide}` });
    if (takesQueryKey(operation)) assert.equal(answer.status, missing(route), answer.text);
    else refused(answer, 401, no.credential, 'api_key');
  });

  test(`${name}: needs ${route.scope}, and no other scope stands for it`, async () => {
    for (const [scopes, key] of [...owner.scoped, [everyScope, owner.wide]]) {
      const answer = await asked(operation, absentThings(), { key });
      const lacks = lacking(route, scopes);
      if (lacks) refused(answer, 403, new RegExp(`'${lacks}' scope`), `scopes '${scopes}'`);
      else assert.equal(answer.status, missing(route), `${scopes}: ${answer.text}`);
    }
  });

  test(`${name}: a person's key never exceeds the person's role`, async () => {
    for (const [role, scopes] of Object.entries(scopesOfRole)) {
      const answer = await asked(operation, absentThings(), { key: owner.persons.get(role) });
      const lacks = lacking(route, scopes);
      if (lacks) refused(answer, 403, new RegExp(`'${lacks}' scope`), role);
      else assert.equal(answer.status, missing(route, role), `${role}: ${answer.text}`);
    }
  });

  test(`${name}: the scope is asked for before it is looked whether the thing is there`, async () => {
    const without = [...owner.scoped].filter(([scopes]) => lacking(route, scopes) === route.scope).sort(([a], [b]) => b.length - a.length)[0][1];
    const own = await asked(operation, owner.things, { key: without });
    const absent = absentThings();
    assert.equal(comparable(own, owner.things), comparable(await asked(operation, absent, { key: without }), absent));
    const uuids = route.things?.filter((x) => ['session', 'turn', 'user', 'key', 'rotated'].includes(x)) ?? [];
    if (uuids.length === 0) return;
    const malformed = { ...owner.things, [uuids[0]]: 'not-a-uuid' };
    assert.equal((await asked(operation, malformed, { key: without })).status, 403, 'before its id is looked at');
    assert.equal((await asked(operation, malformed, { key: owner.wide })).status, 400);
  });

  test(`${name}: a tenant that may not do anything`, async () => {
    for (const things of [owner.things, absentThings()]) refused(await asked(operation, things, { key: paused.wide }), 403, 'Tenant subscription is not active', 'paused');
  });

  test(`${name}: X-Tenant-ID opens nothing`, async () => {
    for (const claimed of [stranger.tenant, 'anything', '00000000-0000-0000-0000-000000000000']) {
      const absent = absentThings();
      refused(await asked(operation, absent, { key: owner.wide, headers: { 'X-Tenant-ID': claimed } }), 403, /X-Tenant-ID/, claimed);
      const answer = await asked(operation, owner.things, { key: stranger.wide, headers: { 'X-Tenant-ID': owner.tenant } });
      refused(answer, 403, /X-Tenant-ID/, 'a stranger');
      discreet(answer, 'the refusal');
    }
    assert.equal((await asked(operation, absentThings(), { key: owner.wide, headers: { 'X-Tenant-ID': owner.tenant } })).status, missing(route));
  });

  test(`${name}: what is a stranger's and what is not there are one answer`, async () => {
    const absent = absentThings();
    const foreign = await asked(operation, owner.things, { key: stranger.wide });
    const nothing = await asked(operation, absent, { key: stranger.wide });
    assert.equal(foreign.status, missing(route), foreign.text);
    discreet(foreign, name);
    if (route.owns || !route.things) return;
    assert.equal(comparable(foreign, owner.things), comparable(nothing, absent));
    assert.equal(passingNames(foreign), passingNames(nothing));
    // One thing of one's own with one of the owner's is no better.
    for (const one of route.things.length > 1 ? route.things : []) {
      const mixed = { ...stranger.things, [one]: owner.things[one] };
      const halfAbsent = { ...stranger.things, [one]: absent[one] };
      const answer = await asked(operation, mixed, { key: stranger.wide });
      assert.equal(comparable(answer, mixed), comparable(await asked(operation, halfAbsent, { key: stranger.wide }), halfAbsent), one);
      discreet(answer, `a mix with the owner's ${one}`);
    }
  });

  if (method === 'GET' && !routes[name].ask(absentThings()).socket)
    test(`${name}: HEAD tells no more than GET`, async () => {
      const head = { ...operation, method: 'HEAD' };
      refused(await asked(operation, owner.things), 401, no.credential, 'GET');
      const cases = [[owner.things, undefined], [owner.things, owner.revoked], [owner.things, stranger.wide], [absentThings(), stranger.wide], [owner.things, owner.scoped.get([...owner.scoped.keys()][0])]];
      for (const [things, key] of cases) {
        const answer = await asked(head, things, { key });
        assert.equal(answer.status, (await asked(operation, things, { key })).status);
        assert.equal(answer.text, '', 'no body');
        discreet({ text: answer.raw.join('\n') }, 'HEAD');
      }
      if (!route.things) return;
      const absent = absentThings();
      const told = (await asked(operation, absent, { key: stranger.wide })).text;
      const length = !route.streams && !/"duration_ms"/.test(told);
      assert.equal(comparable(await asked(head, owner.things, { key: stranger.wide }), owner.things, length), comparable(await asked(head, absent, { key: stranger.wide }), absent, length));
    });
}

for (const operation of guarded)
  test(`${operation.name}: its owner, however the key comes`, async () => {
    const route = routes[operation.name];
    const first = await asked(operation, owner.things, { key: owner.wide });
    assert.equal(first.status, route.ok, first.text);
    if (route.last) return;
    assert.equal((await asked(operation, owner.things, { headers: { authorization: `bEaReR ${owner.wide}` } })).status, route.ok);
    assert.equal((await asked(operation, owner.things, { headers: { 'x-api-key': owner.wide, Authorization: `Bearer ${stranger.wide}` } })).status, route.ok, 'the key wins');
    if (takesQueryKey(operation)) assert.equal((await asked(operation, owner.things, { query: `api_key=${owner.wide}` })).status, route.ok);
  });

test('the operator\'s routes do not exist for anybody else', async () => {
  const theirs = operations.filter(isOperators);
  assert.ok(theirs.length > 5);
  const credentials = [{}, { 'X-API-Key': owner.wide }, { Authorization: `Bearer ${platformKey}` }, { 'X-API-Key': platformKey.toUpperCase() }, { 'X-API-Key': `${platformKey} x` }, { 'X-API-Key': '' }];
  for (const { method, path } of theirs) {
    const target = path.replace(/\{\w+\}/g, 'one');
    for (const headers of credentials)
      for (const [asking, way] of [[method, target], [method, `${target}?api_key=${platformKey}`], ['TRACE', target], ['PUT', target], ['HEAD', target], [method, `${target}/`]]) {
        const answer = await ask(server, { method: asking, path: way, headers });
        const unknown = await ask(server, { method: asking, path: '/v1/nowhere', headers });
        assert.equal(comparable(answer), comparable(unknown), `${asking} ${way} ${JSON.stringify(headers)}`);
      }
  }
});
