// A cluster as it is run: PostgreSQL, nodes with addresses of their own, a balancer in front, and the ways each can fail.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';

import { startBalancer } from './balancer.mjs';
import { makeAuthority } from './certificates.mjs';
import { call } from './http.mjs';
import { canMakeNamespaces, startLoopback, startNamespaces } from './network.mjs';
import { startMigratedPostgres } from './postgres.mjs';
import { begin, launch, removeDirectory, temporaryDirectory } from './server.mjs';
import { patience, until } from './wait.mjs';

const apiPort = 8000;
const peerPort = 4710;
const shardCount = 1024;
/// How many nodes the balancer knows by name: all that may ever join.
const mostNodes = 8;

/// One process, gone and back under the same name.
class Node {
  paused = false;
  isolated = false;

  constructor(cluster, index) {
    this.cluster = cluster;
    this.index = index;
    this.name = `node-${'abcdefgh'[index]}`;
    Object.assign(this, cluster.network.place(index));
    this.host = this.address;
    this.port = apiPort;
    this.url = `http://${this.address}:${apiPort}`;
    this.tls = cluster.authority?.issue(this.name, this.address);
  }

  settings(more = {}) {
    const { database, network, environment, platformKey, env } = this.cluster;
    const url = network.kind === 'namespaces' ? database.tcpUrl : database.url;
    const tls = this.tls && {
      KGENTS_CLUSTER_TLS_CA: this.tls.ca,
      KGENTS_CLUSTER_TLS_CERT: this.tls.cert,
      KGENTS_CLUSTER_TLS_KEY: this.tls.key,
    };
    return {
      API_HOST: this.address,
      API_PORT: apiPort,
      DATABASE_URL: url('kg_app'),
      DATABASE_CONTROL_URL: url('kg_control'),
      DATABASE_POOL_SIZE: 4,
      KGENTS_ENV: environment,
      KGENTS_NODE_NAME: this.name,
      KGENTS_CLUSTER_HOST: this.address,
      KGENTS_CLUSTER_PORT: peerPort,
      KGENTS_PLATFORM_KEY: platformKey,
      KGENTS_DRAIN_SECONDS: 20,
      KGENTS_WORKERS: 2,
      KGENTS_IO_THREADS: 1,
      ...tls,
      ...env,
      ...more,
    };
  }

  async start(more) {
    this.server = await launch(['serve'], this.settings(more), { prefix: this.prefix });
    this.paused = false;
    return this;
  }

  /// Starts it without expecting it to become ready.
  begin(more) {
    this.server = begin(['serve'], this.settings(more), this.prefix);
    return this.server;
  }

  get running() {
    return this.server?.running ?? false;
  }

  /// Neither stopped, ended nor cut off: what is asked of it is answered.
  get reachable() {
    return this.running && !this.paused && !this.isolated;
  }

  get pid() {
    return this.server.pid;
  }

  get log() {
    return this.server.log;
  }

  kill() {
    return this.server.kill();
  }

  async stop() {
    const how = await this.server.stop();
    assert.deepEqual(how, { code: 0, signal: null }, `${this.name} ends as asked\n${this.log.slice(-2000)}`);
  }

  pause() {
    this.paused = true;
    this.server.signal('SIGSTOP');
  }

  resume() {
    this.server.signal('SIGCONT');
    this.paused = false;
  }

  cut(how = {}) {
    this.isolated = true;
    this.cluster.network.cut(this.address, how);
  }

  heal() {
    this.cluster.network.heal(this.address);
    this.isolated = false;
  }

  call(method, path, options) {
    return call(this, method, path, options);
  }

  /// GET /v1/cluster as this node sees it.
  async view(query = '') {
    const { status, text, body } = await this.call('GET', `/v1/cluster${query}`, { key: this.cluster.platformKey });
    assert.equal(status, 200, text);
    return body;
  }

  /// `name{labels}` -> value of everything in /metrics.
  async metrics() {
    const { text } = await this.call('GET', '/metrics');
    const values = new Map();
    for (const [, name, value] of text.matchAll(/^([a-z_:]+(?:\{[^}]*\})?) (\S+)$/gm)) values.set(name, Number(value));
    return values;
  }

  /// The sum of a metric over its labels.
  async metric(name) {
    let sum = 0;
    for (const [key, value] of await this.metrics()) if (key === name || key.startsWith(`${name}{`)) sum += value;
    return sum;
  }
}

class Cluster {
  nodes = [];
  #moved = new Map();

  node(index) {
    return (this.nodes[index] ??= new Node(this, index));
  }

  /// Starts `n` nodes at once and waits until they have settled and the balancer has found them.
  async begin(n) {
    await Promise.all(Array.from({ length: n }, (_, i) => this.node(i).start()));
    await this.settled();
    if (this.balancer) await until(async () => (await this.balancer.up()).length === n, 'the balancer to find the nodes');
  }

  /// Starts one more node, or the next whose process is gone.
  async add(more) {
    const index = Array.from({ length: mostNodes }, (_, i) => i).find((i) => !this.nodes[i]?.running);
    return this.node(index).start(more);
  }

  get running() {
    return this.nodes.filter((node) => node?.running);
  }

  get reachable() {
    return this.nodes.filter((node) => node?.reachable);
  }

  /// Until all nodes that can be reached say the same: they alone are up, and every shard has its owner among them, evenly.
  async settled(what = 'the cluster to settle', ms = patience.ms) {
    let last;
    try {
      return await until(async () => {
        const expected = this.reachable.map((node) => node.name).sort();
        const views = await Promise.all(this.reachable.map((node) => node.view().catch(() => undefined)));
        last = views;
        return views.every((view) => view && isSettled(view, expected)) && views[0];
      }, what, ms);
    } catch (late) {
      const seen = last?.map((view) => view && { ...view, nodes: view.nodes.map((n) => `${n.name} ${n.state} ${n.shards}`) });
      const states = this.nodes.map((node) => `${node.name}${node.running ? '' : ' ended'}${node.reachable ? '' : ' out of reach'}`);
      late.message += `\n${states.join(', ')}\n${JSON.stringify(seen, null, 1)}`;
      throw late;
    }
  }

  async view() {
    return this.reachable[0].view();
  }

  /// The node that holds the lease of a session's shard, as PostgreSQL has it; or of another entity's.
  async ownerOf(tenant, session, kind) {
    const { rows } = await this.db.query(
      'SELECT n.name FROM kg.shard_leases l JOIN kg.cluster_nodes n ON n.node = l.owner WHERE l.shard = $1',
      [shardOf(tenant, session, kind)],
    );
    return this.nodes.find((node) => node?.name === rows[0]?.name);
  }

  /// A new session of `who` that lives on `node`.
  async sessionOn(node, tenant, who) {
    for (;;) {
      const session = await who.session();
      if ((await this.ownerOf(tenant, session)) === node) return session;
    }
  }

  /// What `kg.cluster_nodes` has of a node's lives, the newest last: `[{node, state, why}]`.
  async lives(node) {
    const { rows } = await this.db.query('SELECT node::int, state, why FROM kg.cluster_nodes WHERE name = $1 ORDER BY node', [node.name]);
    return rows;
  }

  /// Sessions that have moved from node to node so far; to be asked often, since a killed process takes its count along.
  async countMoves() {
    await Promise.all(
      this.reachable.map(async (node) => {
        const { server } = node;
        const value = await node.metric('kgents_cluster_moved_sessions_total').catch(() => undefined);
        if (value !== undefined) this.#moved.set(server, value);
      }),
    );
    return [...this.#moved.values()].reduce((sum, value) => sum + value, 0);
  }

  async drain(node, by = this.reachable.find((other) => other !== node)) {
    const path = `/v1/cluster/nodes/${node.name}/drain`;
    const { status, text } = await by.call('POST', path, { key: this.platformKey });
    assert.equal(status, 202, text);
  }

  async dispose() {
    for (const node of this.nodes) if (node?.running) node.resume();
    this.balancer?.child.kill('SIGKILL');
    await Promise.all(this.nodes.filter((node) => node?.running).map((node) => node.kill().catch(() => {})));
    await this.db?.end().catch(() => {});
    await this.database?.dispose();
    this.network.dispose();
    removeDirectory(this.directory);
  }
}

/// As protocol/entity.hpp numbers them. The key of a context is its tenant.
export const entityKind = { session: 1, world: 3, self: 4, concept: 5, void: 6, time: 7, traffic: 8 };

/// protocol/cluster.cpp's `shard_of`, for a session unless another kind is named.
export function shardOf(tenant, key, kind = entityKind.session) {
  const bytes = (id) => Buffer.from(id.replaceAll('-', ''), 'hex');
  let hash = 0xcbf29ce484222325n;
  for (const byte of [kind, ...bytes(tenant), ...bytes(key)]) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return Number((hash ^ (hash >> 32n)) % BigInt(shardCount));
}

function isSettled(view, expected) {
  const alive = view.nodes.filter((node) => node.state !== 'dead');
  const up = alive.filter((node) => node.state === 'up');
  const hosts = up.filter((node) => node.roles.includes('kgent'));
  const held = hosts.reduce((sum, node) => sum + node.shards, 0);
  return (
    alive.length === up.length &&
    up.map((node) => node.name).sort().join() === expected.join() &&
    held === shardCount &&
    view.moves.length === 0 &&
    // Rendezvous hashing is even, though only by chance: a third less than the mean does not happen.
    hosts.every((node) => node.shards > (0.7 * shardCount) / hosts.length)
  );
}

/// `nodes` of them, up and settled, with a balancer in front. In namespaces they are production, with mutual TLS; on
/// loopback they are plain development processes.
export async function startCluster({ nodes = 3, network, environment, tls, env = {}, balanced = true } = {}) {
  const wanted = network ?? (canMakeNamespaces() ? 'namespaces' : 'loopback');
  const cluster = new Cluster();
  cluster.directory = temporaryDirectory('kgents-cluster');
  cluster.network = wanted === 'namespaces' ? startNamespaces() : startLoopback();
  try {
    const { address, subnet } = cluster.network;
    cluster.environment = environment ?? (wanted === 'namespaces' ? 'production' : 'dev');
    cluster.env = env;
    cluster.platformKey = `operator-${randomBytes(24).toString('base64url')}`;
    if (tls ?? wanted === 'namespaces') cluster.authority = makeAuthority(cluster.directory);
    const tcp = wanted === 'namespaces' ? { address, subnet } : undefined;
    cluster.database = await startMigratedPostgres({ tcp, connections: 250, environment: cluster.environment });
    cluster.db = await cluster.database.connect();
    if (balanced) {
      const servers = Array.from({ length: mostNodes }, (_, i) => cluster.node(i));
      cluster.balancer = await startBalancer({ address, port: 8080, servers, directory: cluster.directory });
    }
    if (nodes > 0) await cluster.begin(nodes);
  } catch (error) {
    await cluster.dispose();
    throw error;
  }
  return cluster;
}

/// Waits for a line of a node's log that `match` accepts.
export function logged(node, match, what, ms = patience.ms) {
  return until(() => node.log.split('\n').find((line) => match.test(line)), what, ms);
}
