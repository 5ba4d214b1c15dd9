// Three nodes with mutual TLS on loopback addresses, one PostgreSQL, the model's stand-in, and readers whose every event
// has its time. Everything shares the machine's cores, as each scenario's rows say.
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

import { modelAt, newSessions, question, startProvider } from './servers.mjs';
import { binary, scratch } from './tools.mjs';

// The tests' cluster starts the program that this names.
process.env.KGENTSD = binary('kgentsd');
const { shardOf, startCluster } = await import('../../tests/support/cluster.mjs');
const { newTenant } = await import('../../tests/support/tenants.mjs');
const { until } = await import('../../tests/support/wait.mjs');
export { shardOf, until };

/// What every row says: figures of one machine are not figures of three.
export const machine = `three nodes, PostgreSQL and clients on ${availableParallelism()} cores`;

/// CLOCK_MONOTONIC in ms, which the load tools use too.
export const now = () => Number(process.hrtime.bigint()) / 1e6;
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Answers go on for as long as a scenario lasts.
const longAnswersAt = (url) => ({ ...modelAt(url), KGENTS_LLM_TIMEOUT: 3600 });

/// A cluster with a tenant whose limits do not get in the way. `model`: {rate, tokens} of the stand-in; none: the embedded.
export async function startNodes({ nodes = 3, model, env = {} } = {}) {
  const provider = model && (await startProvider({ ...model, goesOn: true }));
  const cluster = await startCluster({
    nodes,
    network: 'loopback',
    environment: 'dev',
    tls: true,
    balanced: false,
    env: { LOG_LEVEL: 'INFO', KGENTS_EMBEDDED_TOKENS_PER_SECOND: 0, ...(provider ? longAnswersAt(provider.url) : {}), ...env },
  });
  const dispose = cluster.dispose.bind(cluster);
  cluster.dispose = async () => {
    await dispose();
    await provider?.stop();
  };
  cluster.tenant = await newTenant(cluster.db);
  cluster.header = `X-API-Key: ${cluster.tenant.key}`;
  cluster.watch = () => [
    ...cluster.running.map((node) => `${node.name}=${node.pid}`),
    `postgres=${cluster.database.child.pid}+`,
  ];
  return cluster;
}

export const addressOf = (node) => `${node.host}:${node.port}`;

/// shard -> name of the node that has its lease.
export async function owners(cluster) {
  const { rows } = await cluster.db.query(
    'SELECT l.shard, n.name FROM kg.shard_leases l JOIN kg.cluster_nodes n ON n.node = l.owner',
  );
  return new Map(rows.map(({ shard, name }) => [Number(shard), name]));
}

/// `count` new sessions asked for at `node`: [{id, shard}].
export async function sessionsAt(cluster, node, count) {
  const ids = await newSessions({ address: addressOf(node), header: cluster.header }, count);
  return ids.map((id) => ({ id, shard: shardOf(cluster.tenant.id, id) }));
}

/// `count` new sessions that live on `owner`, asked for at `at`.
export async function sessionsOn(cluster, owner, count, at = owner) {
  const map = await owners(cluster);
  const found = [];
  while (found.length < count) {
    const more = await sessionsAt(cluster, at, Math.max(64, 2 * (count - found.length)));
    found.push(...more.filter((each) => map.get(each.shard) === owner.name));
  }
  return found.slice(0, count);
}

/// Begins a turn and hangs up once it was accepted: the turn goes on. Returns its id.
export function begin(cluster, node, session, message = question) {
  const body = JSON.stringify({ message, stream: true });
  return new Promise((resolve, reject) => {
    const request = http.request(
      {
        host: node.host,
        port: node.port,
        method: 'POST',
        path: `/v1/kgent/sessions/${session}/messages`,
        headers: {
          'X-API-Key': cluster.tenant.key,
          'Content-Type': 'application/json',
          'Content-Length': Buffer.byteLength(body),
          'Idempotency-Key': randomUUID(),
        },
        agent: false,
      },
      (response) => {
        const { statusCode, headers } = response;
        response.on('error', () => {});
        response.destroy();
        if (statusCode === 200) resolve(headers['x-turn-id']);
        else reject(new Error(`a message was answered with ${statusCode}`));
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

/// Readers in a process of their own. `readers`: [{node, session}]; a reader that loses its node goes to the next of `nodes`.
export async function follow(cluster, nodes, readers) {
  const arrivals = join(scratch, `arrivals-${randomUUID()}`);
  const targets = join(scratch, `targets-${randomUUID()}`);
  writeFileSync(
    targets,
    readers.map(({ node, session }) => `${nodes.indexOf(node)} /v1/kgent/sessions/${session}/stream\n`).join(''),
  );
  const args = ['--header', cluster.header, '--arrivals', arrivals, '--targets', targets];
  for (const node of nodes) args.push('--server', addressOf(node));
  const child = spawn(binary('trace_load'), args, { stdio: ['pipe', 'pipe', 'pipe'] });
  let output = '';
  let log = '';
  child.stderr.on('data', (text) => (log += text));
  const ended = new Promise((resolve) => child.on('close', resolve));
  child.stdout.on('data', (text) => (output += text));
  await until(() => output.includes('"open"') || child.exitCode !== null, 'the readers to connect', 120_000);
  if (child.exitCode !== null) throw new Error(`trace_load: ${log}`);
  return {
    /// {counts, of: for each reader [{what, at}], `what` an index, 'turn' or 'final', `at` in ms of `now()`}.
    end: async () => {
      child.stdin.end();
      await ended;
      if (log) console.error(log.trim());
      return { counts: JSON.parse(output.trim().split('\n').at(-1)), of: readArrivals(arrivals, readers.length) };
    },
  };
}

function readArrivals(name, count) {
  const bytes = readFileSync(name);
  const of = Array.from({ length: count }, () => []);
  for (let i = 0; i + 16 <= bytes.length; i += 16) {
    const what = bytes.readUInt32LE(i + 4);
    of[bytes.readUInt32LE(i)].push({
      what: what === 0xffffffff ? 'final' : what === 0xfffffffe ? 'turn' : what,
      at: Number(bytes.readBigUInt64LE(i + 8)) / 1e6,
    });
  }
  return of;
}

/// The longest time between two events of which some part lies in [from, to], in ms.
export function longestGap(events, from, to) {
  let longest = 0;
  for (let i = 1; i < events.length; ++i)
    if (events[i].at > from && events[i - 1].at < to) longest = Math.max(longest, events[i].at - events[i - 1].at);
  return longest;
}

export function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] : NaN;
}

export const ms = (value) => (value < 10 ? value.toFixed(1) : value.toFixed(0));
export const spread = (values) =>
  `p50 ${ms(quantile(values, 0.5))} ms, p99 ${ms(quantile(values, 0.99))} ms, worst ${ms(Math.max(...values))} ms`;

/// Seconds of a cluster's metric, summed over the nodes: {count, sum}.
export async function histogram(cluster, name) {
  let count = 0;
  let sum = 0;
  for (const node of cluster.reachable) {
    count += await node.metric(`${name}_count`);
    sum += await node.metric(`${name}_sum`);
  }
  return { count, sum };
}
