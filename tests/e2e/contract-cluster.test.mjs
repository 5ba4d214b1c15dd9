// The operator's view: GET /v1/cluster and POST /v1/cluster/nodes/{name}/drain, on a cluster of one (design.md 5, 10).
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { after, before, test } from 'node:test';

import { call } from '../support/http.mjs';
import { startMigratedPostgres } from '../support/postgres.mjs';
import { startDev, startServe } from '../support/server.mjs';
import { until } from '../support/wait.mjs';

const platformKey = 'the-operators-own-secret';
const routes = [
  ['GET', '/v1/cluster'],
  ['GET', '/v1/cluster?shards=true'],
  ['HEAD', '/v1/cluster'],
  ['POST', '/v1/cluster'],
  ['DELETE', '/v1/cluster/nodes/one/drain'],
  ['POST', '/v1/cluster/nodes/one/drain'],
];

let server;
before(async () => {
  server = await startDev({ env: { KGENTS_PLATFORM_KEY: platformKey, KGENTS_NODE_NAME: 'one', KGENTS_CLUSTER_NAME: 'blue' } });
});
after(() => server?.dispose());

const view = async (query = '') => call(server, 'GET', `/v1/cluster${query}`, { key: platformKey });

// What differs from one request to the next.
const comparable = ({ status, headers, text }) => {
  const { date, 'x-request-id': id, 'x-response-time': time, ...rest } = headers;
  return { status, headers: rest, text };
};

test('a node of its own owns every shard', async () => {
  await until(async () => (await view()).body.nodes[0]?.shards === 1024, 'the node to take the shards');
  const { status, body } = await view();
  assert.equal(status, 200);
  assert.equal(body.cluster, 'blue');
  assert.equal(body.free_shards, 0);
  assert.deepEqual(body.moves, []);
  assert.ok(body.version > 0);
  assert.equal(body.nodes.length, 1);
  const { id, beat, ...node } = body.nodes[0];
  assert.equal(body.self, id);
  assert.ok(Number.isInteger(beat));
  assert.deepEqual(node, {
    name: 'one',
    address: null,
    roles: ['gateway', 'agentese', 'kgent', 'control', 'meter', 'cdc'],
    state: 'up',
    shards: 1024,
    linked: true,
    drain_requested: false,
  });
  assert.equal(body.shards, undefined, 'only when asked for');
});

test('with ?shards=true each shard has its owner and epoch', async () => {
  const { body } = await view('?shards=true');
  assert.equal(body.shards.length, 1024);
  body.shards.forEach((shard, i) => {
    assert.equal(shard.shard, i);
    assert.equal(shard.owner, body.self);
    assert.ok(shard.epoch >= 1);
  });
  assert.equal((await view('?shards=perhaps')).status, 422);
});

test('to anybody else it is an unknown route, whatever they show', async () => {
  const wrong = [
    {},
    { 'X-API-Key': 'kg_dev_alice' },
    { 'X-API-Key': `${platformKey}x` },
    { 'X-API-Key': platformKey.slice(0, -1) },
    { 'X-API-Key': '' },
    { Authorization: `Bearer ${platformKey}` },
  ];
  for (const headers of wrong)
    for (const [method, path] of [...routes, ['GET', `/v1/cluster?api_key=${platformKey}`]]) {
      const body = method === 'POST' ? { a: 1 } : undefined;
      const [asked, unknown] = await Promise.all([
        call(server, method, path, { headers, body }),
        call(server, method, '/v1/no-such-thing', { headers, body }),
      ]);
      assert.equal(asked.status, 404, `${method} ${path} ${JSON.stringify(headers)}`);
      assert.deepEqual(comparable(asked), comparable(unknown), `${method} ${path} ${JSON.stringify(headers)}`);
    }
});

test('without KGENTS_PLATFORM_KEY nobody is the operator', async () => {
  const other = await startDev();
  try {
    for (const headers of [{}, { 'X-API-Key': '' }, { 'X-API-Key': platformKey }])
      for (const [method, path] of routes) assert.equal((await call(other, method, path, { headers })).status, 404, `${method} ${path}`);
  } finally {
    await other.dispose();
  }
});

test('the operator gets 405 for a wrong method, and the key opens nothing else', async () => {
  const wrong = await call(server, 'DELETE', '/v1/cluster', { key: platformKey });
  assert.equal(wrong.status, 405);
  assert.match(wrong.headers.allow, /GET/);
  assert.equal((await call(server, 'GET', '/v1/kgent/sessions', { key: platformKey })).status, 401);
});

test('the metrics of a cluster are there', async () => {
  const { text } = await call(server, 'GET', '/metrics');
  for (const line of [
    'kgents_cluster_nodes{state="up"} 1',
    'kgents_cluster_state{state="up"} 1',
    'kgents_cluster_state{state="leaving"} 0',
    'kgents_cluster_shards 1024',
    'kgents_cluster_shards_moving 0',
    'kgents_cluster_free_shards 0',
    'kgents_cluster_links{state="up"} 0',
    'kgents_cluster_moved_sessions_total 0',
    'kgents_cluster_fenced_total 0',
    'kgents_handoff_seconds_count 0',
    'kgents_failover_seconds_count 0',
  ])
    assert.ok(text.split('\n').includes(line), line);
});

test('the log tells how the shards lie', async () => {
  const line = await until(() => server.log.split('\n').find((text) => text.includes('"msg":"shards"')), 'the line');
  assert.deepEqual(Object.keys(JSON.parse(line).nodes), ['one']);
});

test('a node without the gateway role answers probes and its operator, and nothing else', async () => {
  const host = await startDev({ env: { KGENTS_PLATFORM_KEY: platformKey, KGENTS_ROLES: 'kgent' } });
  try {
    for (const path of ['/live', '/ready', '/health', '/health/saas', '/metrics'])
      assert.equal((await call(host, 'GET', path)).status, 200, path);
    const node = await until(
      async () => (await call(host, 'GET', '/v1/cluster', { key: platformKey })).body.nodes[0],
      'the node to see itself',
    );
    assert.deepEqual(node.roles, ['kgent']);
    for (const [method, path] of [['GET', '/v1/kgent/sessions'], ['POST', '/v1/soul/dialogue'], ['POST', '/v1/kgent/sessions']]) {
      const answer = await call(host, method, path, { key: 'kg_dev_alice', body: method === 'POST' ? {} : undefined });
      assert.equal(answer.status, 503, path);
      assert.equal(answer.body.code, 'not_gateway');
      assert.match(answer.body.detail, /KGENTS_ROLES/);
    }
    assert.equal((await call(host, 'GET', '/unknown')).status, 404);
  } finally {
    await host.dispose();
  }
});

test('a node of several shows its address and hears of changes from PostgreSQL', async () => {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  const database = await startMigratedPostgres();
  const env = { KGENTS_PLATFORM_KEY: platformKey, KGENTS_CLUSTER_HOST: '127.0.0.1', KGENTS_CLUSTER_PORT: port };
  const node = await startServe(database, { env });
  const client = await database.connect();
  try {
    const { address } = await until(async () => (await call(node, 'GET', '/v1/cluster', { key: platformKey })).body.nodes[0], 'the node to see itself');
    assert.equal(address, `127.0.0.1:${port}`);
    await until(async () => {
      const { rows } = await client.query(`SELECT 1 FROM pg_stat_activity WHERE query LIKE '%LISTEN "kg_cluster"%' AND pid <> pg_backend_pid()`);
      return rows.length === 1;
    }, 'the node to listen');
  } finally {
    await client.end();
    await node.stop();
    await database.dispose();
  }
});

// The last one: this node is of no use after it.
test('a node is asked to leave once', async () => {
  const drain = (name) => call(server, 'POST', `/v1/cluster/nodes/${name}/drain`, { key: platformKey });
  const unknown = await drain('nobody');
  assert.equal(unknown.status, 404);
  assert.deepEqual(unknown.body, { detail: 'Node not found' });
  const asked = await drain('one');
  assert.equal(asked.status, 202);
  assert.deepEqual(asked.body, { name: 'one', status: 'leaving' });
  await until(async () => {
    const { nodes } = (await view()).body;
    return nodes[0].drain_requested || nodes[0].state === 'leaving';
  }, 'the request to be seen');
  const again = await drain('one');
  assert.equal(again.status, 409);
  assert.deepEqual(again.body, { detail: 'Node is already leaving' });
});
