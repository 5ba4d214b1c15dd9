// events-and-billing.md 5 and 8.3: what Redis is for, and that nobody misses it. E13, E17.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';

import { makeAuthority } from '../support/certificates.mjs';
import { startCluster } from '../support/cluster.mjs';
import { call, caller } from '../support/http.mjs';
import { freePort, startRedis } from '../support/redis.mjs';
import { openDatabase, removeDirectory, startDev, temporaryDirectory } from '../support/server.mjs';
import { newTenant } from '../support/tenants.mjs';
import { until } from '../support/wait.mjs';

let redis;
let server;
let db;
before(async () => {
  redis = await startRedis();
  server = await startDev({ env: { KGENTS_EMBEDDED_TOKENS_PER_SECOND: 0, REDIS_URL: redis.url } });
  db = await openDatabase(server.stateDir);
  await until(async () => (await health()).status === 'healthy', 'Redis to be in use');
});
after(async () => {
  await db?.end();
  await server?.dispose();
  await redis?.dispose();
});

const health = async () => (await call(server, 'GET', '/health/saas')).body.redis;
const overall = async () => (await call(server, 'GET', '/health/saas')).body.status;
const errors = async () =>
  Number(/^kgents_redis_errors_total (\S+)$/m.exec((await call(server, 'GET', '/metrics')).text)[1]);
const fresh = async (where = server) => {
  const tenant = await newTenant(db);
  return Object.assign(caller(where, tenant.key), { tenant: tenant.id });
};
const make = (who, key, title = 'x') => who.post('/v1/kgent/sessions', { title }, { 'Idempotency-Key': key });
const count = async (tenant) =>
  Number((await db.query('SELECT count(*) AS n FROM kg.sessions WHERE tenant_id = $1', [tenant])).rows[0].n);

test('a repeated Idempotency-Key gets the first answer and does nothing again', async () => {
  const who = await fresh();
  const first = await make(who, 'k-1');
  assert.equal(first.status, 200);
  assert.equal(first.headers['idempotent-replayed'], undefined);
  const again = await make(who, 'k-1');
  assert.equal(again.status, 200);
  assert.equal(again.text, first.text);
  assert.equal(again.headers['idempotent-replayed'], 'true');
  assert.equal(await count(who.tenant), 1);
  const other = await make(who, 'k-2');
  assert.notEqual(other.body.id, first.body.id);
});

test('the same key with another request is 422, and a malformed one 400', async () => {
  const who = await fresh();
  await make(who, 'k', 'one');
  const mismatch = await make(who, 'k', 'two');
  assert.equal(mismatch.status, 422);
  assert.equal(mismatch.body.code, 'idempotency_mismatch');
  const elsewhere = await who.post('/v1/soul/governance', { action: 'read' }, { 'Idempotency-Key': 'k' });
  assert.equal(elsewhere.status, 422);
  for (const bad of ['', 'a b', 'x'.repeat(256), 'caf\u00e9'])
    assert.equal((await make(who, bad)).status, 400, JSON.stringify(bad));
  assert.equal((await make(who, 'x'.repeat(255))).status, 200);
  assert.equal(await count(who.tenant), 2);
});

test('keys are a key\'s own: nobody gets the answer of another', async () => {
  const [one, two] = [await fresh(), await fresh()];
  const mine = await make(one, 'same');
  const theirs = await make(two, 'same', 'another title');
  assert.equal(theirs.status, 200);
  assert.notEqual(theirs.body.id, mine.body.id);
});

test('of concurrent requests one works, the others are told to come back', async () => {
  const who = await fresh();
  const answers = await Promise.all(Array.from({ length: 12 }, () => make(who, 'race')));
  const statuses = answers.map((x) => x.status);
  assert.ok(statuses.every((x) => x === 200 || x === 409), statuses.join());
  const ids = new Set(answers.filter((x) => x.status === 200).map((x) => x.body.id));
  assert.equal(ids.size, 1);
  for (const { status, headers, body } of answers)
    if (status === 409) {
      assert.equal(headers['retry-after'], '1');
      assert.equal(body.code, 'idempotency_in_progress');
    }
  assert.equal(await count(who.tenant), 1);
});

test('a refusal before the work is not kept; what the handler refused for good is', async () => {
  const who = await fresh();
  assert.equal((await make(who, 'k', 5)).status, 422);
  assert.equal((await make(who, 'k')).status, 200);
  const invoke = (path, key) => who.post('/v1/agentese/invoke', { path }, { 'Idempotency-Key': key });
  const wrong = await invoke('nowhere.at.all', 'w');
  assert.ok(wrong.status >= 400 && wrong.status < 500, String(wrong.status));
  const again = await invoke('nowhere.at.all', 'w');
  assert.equal(again.status, wrong.status);
  assert.equal(again.text, wrong.text);
  assert.equal(again.headers['idempotent-replayed'], 'true');
});

test('a dialogue is charged once, however often it is repeated', async () => {
  const who = await fresh();
  const say = () =>
    who.post('/v1/soul/dialogue', { prompt: 'What do you see?', mode: 'reflect' }, { 'Idempotency-Key': 'd' });
  const first = await say();
  assert.equal(first.status, 200, first.text);
  for (let i = 0; i < 3; ++i) assert.equal((await say()).text, first.text);
  const { rows } = await db.query(
    `SELECT count(*) AS n FROM kg.usage_events WHERE tenant_id = $1 AND event_type = 'llm_call'`,
    [who.tenant],
  );
  assert.equal(Number(rows[0].n), 1);
});

test('messages keep their own record: a repeated key joins the turn, with Redis empty', async () => {
  const who = await fresh();
  const { body: session } = await who.post('/v1/kgent/sessions', {});
  const send = () =>
    who.post(`/v1/kgent/sessions/${session.id}/messages`, { message: 'hello', stream: false }, { 'Idempotency-Key': 'm' });
  const first = await send();
  assert.equal(first.status, 200, first.text);
  await redis.flush();
  const again = await send();
  assert.equal(again.headers['x-turn-id'], first.headers['x-turn-id']);
});

test('Redis killed and back in mid-load: every request is answered, none is done twice', async () => {
  const who = await fresh();
  let stop = false;
  let made = 0;
  const wrong = [];
  const worker = async () => {
    while (!stop) {
      const key = randomUUID();
      const first = await make(who, key);
      const again = await make(who, key);
      ++made;
      if (first.status !== 200 || again.status !== 200 || again.text !== first.text)
        wrong.push(`${first.status} ${again.status} ${first.text} ${again.text}`);
    }
  };
  const workers = Array.from({ length: 4 }, worker);
  const progress = async (what) => {
    const enough = made + 40;
    await until(() => made >= enough || wrong.length > 0, what);
  };
  try {
    await progress('work with Redis');
    const before = await errors();
    await redis.kill();
    await until(async () => (await health()).status === 'disconnected', 'the loss to be shown');
    assert.equal((await health()).mode, 'memory');
    assert.equal(await overall(), 'degraded');
    assert.equal((await call(server, 'GET', '/ready')).status, 200);
    assert.ok((await errors()) > before);
    await progress('work without Redis');
    await redis.start();
    await until(async () => (await health()).status === 'healthy', 'Redis to be taken back');
    await progress('work with Redis again');
  } finally {
    stop = true;
    await Promise.all(workers);
  }
  assert.deepEqual(wrong, []);
  assert.equal(await count(who.tenant), made);
  assert.ok((await redis.size()) > 0, 'and it is used again');
});

test('a Redis that hangs is given up after one deadline', async () => {
  const who = await fresh();
  const before = await errors();
  redis.pause();
  try {
    assert.equal((await make(who, 'hanging')).status, 200);
    await until(async () => (await health()).status === 'disconnected', 'the hang to be noticed');
    const noticed = await errors();
    assert.ok(noticed > before);
    for (let i = 0; i < 200; ++i) assert.equal((await make(who, `h-${i}`)).status, 200);
    assert.equal((await make(who, 'hanging')).headers['idempotent-replayed'], 'true');
    // Each attempt to come back costs an error; requests that waited for a deadline would cost 200.
    assert.ok((await errors()) - noticed < 20, 'requests do not wait for it');
  } finally {
    redis.resume();
  }
  await until(async () => (await health()).status === 'healthy', 'Redis to be taken back');
});

test('two nodes share it', async () => {
  const cluster = await startCluster({ nodes: 2, network: 'loopback', balanced: false, env: { REDIS_URL: redis.url } });
  try {
    const [a, b] = cluster.nodes;
    for (const node of [a, b])
      await until(async () => (await node.call('GET', '/health/saas')).body.redis.status === 'healthy', 'Redis to be in use');
    const tenant = await newTenant(cluster.db);
    const [here, there] = [caller(a, tenant.key), caller(b, tenant.key)];
    const first = await make(here, 'shared');
    assert.equal(first.status, 200, first.text);
    const again = await until(async () => {
      const x = await make(there, 'shared');
      return x.status !== 409 && x;
    }, 'the answer to have got there');
    assert.equal(again.text, first.text);
    assert.equal(again.headers['idempotent-replayed'], 'true');
    assert.equal((await make(there, 'shared', 'another')).status, 422);
  } finally {
    await cluster.dispose();
  }
});

test('rediss:// verifies the server and enters with the password', async () => {
  const directory = temporaryDirectory();
  const { ca, ...own } = makeAuthority(directory).issue('redis', '127.0.0.1');
  const port = await freePort();
  const tls = ['--tls-port', port, '--tls-cert-file', own.cert, '--tls-key-file', own.key, '--tls-ca-cert-file', ca];
  const secured = await startRedis({ args: [...tls, '--tls-auth-clients', 'no', '--requirepass', 'pass/word'] });
  const start = (env) => startDev({ env: { REDIS_URL: `rediss://:pass%2Fword@127.0.0.1:${port}/4`, ...env } });
  const [trusting, wary] = await Promise.all([start({ SSL_CERT_FILE: ca }), start({})]);
  try {
    const seen = async (where) => (await call(where, 'GET', '/health/saas')).body.redis;
    await until(async () => (await seen(trusting)).status === 'healthy', 'the store over TLS');
    const refused = await until(async () => {
      const x = await seen(wary);
      return x.error && x;
    }, 'the unknown authority to be refused');
    assert.equal(refused.status, 'disconnected');
    assert.match(refused.error, /^TLS: .*certificate/);
    const bob = caller(trusting, 'kg_dev_bob');
    const first = await make(bob, 'over-tls');
    assert.equal(first.status, 200, first.text);
    assert.equal((await make(bob, 'over-tls')).text, first.text);
    assert.doesNotMatch(trusting.log + wary.log, /pass.?word|pass%2F/i);
  } finally {
    await Promise.all([trusting.dispose(), wary.dispose()]);
    await secured.dispose();
    removeDirectory(directory);
  }
});
