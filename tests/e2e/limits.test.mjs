// Limits as a client meets them: N pass and the next is refused, at every plan and window, on one node and across two.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { startCluster } from '../support/cluster.mjs';
import { call } from '../support/http.mjs';
import { startMigratedPostgres } from '../support/postgres.mjs';
import { startServe } from '../support/server.mjs';
import { addKey, newTenant } from '../support/tenants.mjs';
import { until } from '../support/wait.mjs';
import { openSocket } from '../support/websocket.mjs';

const tiers = ['free', 'starter', 'pro', 'team', 'enterprise', 'custom'];
const traffic = ['GET', '/v1/kgent/sessions?limit=1'];
const operation = ['POST', '/v1/soul/dialogue', { prompt: 'hello', budget: 'dormant' }];

let database;
let db;
let server;
before(async () => {
  database = await startMigratedPostgres({ environment: 'dev' });
  db = await database.connect();
  server = await startServe(database);
});
after(async () => {
  await server?.dispose();
  await db?.end();
  await database?.dispose();
});

const ask = (at, key, [method, path, body]) => call(at, method, path, { key, body });

/// The answers to so many requests, one after the other; the nodes take turns.
async function inTurn(nodes, key, what, times) {
  const out = [];
  for (let i = 0; i < times; i++) out.push(await ask(nodes[i % nodes.length], key, what));
  return out;
}

/// `n` pass and what follows is refused; the last answer.
function exactly(answers, n, what) {
  assert.deepEqual(
    answers.map((x) => x.status),
    answers.map((_, i) => (i < n ? 200 : 429)),
    `${what}: ${answers.at(-1).text}`,
  );
  return answers.at(-1);
}

/// Again, if an hour or day ended in the middle of it.
async function withinOneHour(work) {
  const hour = () => Math.floor(Date.now() / 3600e3);
  for (;;) {
    const began = hour();
    try {
      return await work();
    } catch (wrong) {
      if (hour() === began) throw wrong;
    }
  }
}

const slow = { rate_limit_rpm: 1, rate_burst: 1000 };

test('a burst of N passes and the next is refused, in every plan', async () => {
  for (const [i, tier] of tiers.entries()) {
    const n = 3 + 5 * i;
    const { key } = await newTenant(db, { tier, limits: { rate_limit_rpm: 1, rate_burst: n } });
    const { headers, body } = exactly(await inTurn([server], key, traffic, n + 2), n, tier);
    assert.equal(body.detail, 'Rate limit exceeded. 1 requests per minute allowed.');
    assert.equal(body.code, 'rate_limited');
    assert.equal(body.resource, 'requests');
    assert.equal(body.tier, tier);
    assert.equal(body.upgrade_url, `/billing/upgrade?tier=${tier}`);
    assert.ok(body.retry_after >= 1 && body.retry_after <= 60, body.retry_after);
    assert.equal(headers['retry-after'], String(body.retry_after));
    assert.equal(headers['x-ratelimit-limit-minute'], '1');
    assert.equal(headers['x-ratelimit-remaining-minute'], '0');
  }
});

test('the hour ends after N requests, in every plan', async () => {
  for (const [i, tier] of tiers.entries()) {
    const n = 2 + 4 * i;
    await withinOneHour(async () => {
      const { key } = await newTenant(db, { tier, limits: { rate_limit_rph: n } });
      const { body } = exactly(await inTurn([server], key, traffic, n + 2), n, tier);
      assert.equal(body.detail, `Rate limit exceeded. ${n} requests per hour allowed.`);
      assert.ok(body.retry_after >= 1 && body.retry_after <= 3600);
    });
  }
});

test('the day ends after N operations, in every plan; what is no operation goes on', async () => {
  for (const [i, tier] of tiers.entries()) {
    const n = 2 + 2 * i;
    await withinOneHour(async () => {
      const { key } = await newTenant(db, { tier, limits: { requests_per_day: n } });
      const answers = await inTurn([server], key, operation, n + 2);
      const { headers, body } = exactly(answers, n, tier);
      assert.equal(body.detail, `Rate limit exceeded. ${n} requests per day allowed.`);
      assert.equal(body.code, 'daily_limit');
      assert.equal(body.resource, 'operations_per_day');
      assert.ok(body.retry_after >= 1 && body.retry_after <= 86400);
      assert.equal(headers['x-ratelimit-limit'], String(n));
      assert.equal(headers['x-ratelimit-remaining'], '0');
      assert.equal((await ask(server, key, traffic)).status, 200);
    });
  }
});

test('alice, bob and carol have the limits of their plans', async () => {
  for (const [name, day] of [['alice', 100], ['bob', 1000], ['carol', 10000]]) {
    const { status, headers } = await ask(server, `kg_dev_${name}`, traffic);
    assert.equal(status, 200, name);
    assert.equal(headers['x-ratelimit-limit'], String(day), name);
    const reset = Number(headers['x-ratelimit-reset']);
    assert.equal(reset % 86400, 0);
    assert.ok(reset > Date.now() / 1000 && reset <= Date.now() / 1000 + 86400);
  }
});

test('a day of operations is exact under parallel requests and survives kill -9', async () => {
  await withinOneHour(async () => {
    const { key } = await newTenant(db, { limits: { requests_per_day: 30 } });
    const many = await Promise.all(Array.from({ length: 20 }, () => ask(server, key, operation)));
    assert.ok(many.every((x) => x.status === 200), many.at(-1).text);
    await server.kill();
    server = await server.restart();
    const more = await Promise.all(Array.from({ length: 20 }, () => ask(server, key, operation)));
    assert.equal(more.filter((x) => x.status === 200).length, 10);
    assert.equal(more.filter((x) => x.status === 429).length, 10);
  });
});

test('a raised limit of the day is heard of', async () => {
  await withinOneHour(async () => {
    const tenant = await newTenant(db, { limits: { requests_per_day: 1 } });
    exactly(await inTurn([server], tenant.key, operation, 3), 1, 'low');
    await db.query('UPDATE kg.tenants SET requests_per_day = 1000 WHERE id = $1', [tenant.id]);
    const other = await addKey(db, tenant.id);
    assert.equal((await ask(server, other.key, operation)).status, 200);
    await until(async () => (await ask(server, tenant.key, operation)).status === 200, 'the cached limit to be read again', 60000);
  });
});

test('messages of a WebSocket are counted, in their order', async () => {
  await withinOneHour(async () => {
    const { key } = await newTenant(db, { limits: { requests_per_day: 3 } });
    const made = await call(server, 'POST', '/v1/kgent/sessions', { key, body: {} });
    const socket = await openSocket(server, made.body.id, { key });
    for (let i = 0; i < 5; i++) socket.send({ type: 'message', message: 'Please write about 5 words', ref: String(i) });
    const heard = [];
    while (heard.length < 5) {
      const frame = await socket.next();
      if (frame.ref !== undefined) heard.push(frame);
    }
    assert.deepEqual(heard.filter((x) => x.type === 'accepted').map((x) => x.ref).sort(), ['0', '1', '2']);
    for (const x of heard.filter((frame) => frame.type === 'error')) {
      assert.equal(x.status, 429);
      assert.equal(x.error, 'Rate limit exceeded. 3 requests per day allowed.');
    }
    socket.close();
  });
});

test('60 requests a minute without a key, by address; a key passes all the same', async () => {
  await server.dispose(); // it serves the database alone
  const outside = await startServe(database, { env: { KGENTS_ENV: 'test' } });
  try {
    const { key } = await newTenant(db);
    assert.equal((await ask(outside, key, traffic)).status, 200);
    const began = Date.now();
    const answers = await Promise.all(Array.from({ length: 90 }, (_, i) => ask(outside, i % 2 ? undefined : 'kg_none_such', traffic)));
    const seconds = Math.ceil((Date.now() - began) / 1000);
    const passed = answers.filter((x) => x.status === 401).length;
    assert.ok(passed >= 60 && passed <= 60 + seconds, `${passed} in ${seconds} s`);
    const refused = answers.find((x) => x.status === 429);
    assert.equal(refused.body.code, 'rate_limited');
    assert.ok(Number(refused.headers['retry-after']) >= 1);
    assert.equal((await ask(outside, key, traffic)).status, 200);
    assert.equal((await ask(outside, undefined, ['GET', '/health'])).status, 200);
  } finally {
    await outside.dispose();
    server = await startServe(database);
  }
});

test('two gateways admit one limit between them', async (t) => {
  const cluster = await startCluster({ nodes: 2, balanced: false });
  try {
    const { nodes } = cluster;
    await t.test('the burst, the hour and the day are exact', () =>
      withinOneHour(async () => {
        for (const [what, limits, n] of [
          [traffic, { rate_limit_rpm: 1, rate_burst: 25 }, 25],
          [traffic, { rate_limit_rph: 25 }, 25],
          [operation, { requests_per_day: 25 }, 25],
        ]) {
          const { key } = await newTenant(cluster.db, { limits });
          exactly(await inTurn(nodes, key, what, n + 4), n, JSON.stringify(limits));
        }
      }),
    );

    await t.test('at full speed a gateway leases blocks, and the sum stays within the limit', async () => {
      const { id, key } = await newTenant(cluster.db, { limits: { rate_limit_rpm: 6000, rate_burst: 100 } });
      const home = await cluster.ownerOf(id, id, 8);
      assert.ok(nodes.includes(home));
      const far = nodes.find((node) => node !== home);
      const before = await far.metric('kgents_limits_asked_total{of="traffic"}');
      const began = Date.now();
      const sent = Array.from({ length: 16 }, async (_, i) => {
        let passed = 0;
        while (Date.now() - began < 2000) if ((await ask(nodes[i % 2], key, traffic)).status === 200) passed++;
        return passed;
      });
      const passed = (await Promise.all(sent)).reduce((sum, x) => sum + x, 0);
      const seconds = (Date.now() - began) / 1000;
      const most = 100 + 100 * seconds + 25 + 16;
      assert.ok(passed <= most, `${passed} of ${most}`);
      assert.ok((await far.metric('kgents_limits_asked_total{of="traffic"}')) > before);
    });

    await t.test('a home that is killed costs a burst, and nobody waits for it', async () => {
      const { id, key } = await newTenant(cluster.db, { limits: { rate_limit_rpm: 1, rate_burst: 20 } });
      const home = await cluster.ownerOf(id, id, 8);
      const far = nodes.find((node) => node !== home);
      exactly(await inTurn([far], key, traffic, 21), 20, 'before');
      await home.kill();
      const answers = await inTurn([far], key, traffic, 45);
      const passed = answers.filter((x) => x.status === 200).length;
      assert.ok(passed <= 20, `${passed} passed`);
      assert.ok(answers.every((x) => x.status === 200 || x.status === 429), JSON.stringify(answers.map((x) => x.status)));
      await cluster.settled();
      await until(async () => (await ask(far, key, traffic)).status === 429, 'the new home to count');
    });
  } finally {
    await cluster.dispose();
  }
});
