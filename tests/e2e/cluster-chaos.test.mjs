// Three nodes in three network namespaces, PostgreSQL, a balancer, and readers that hold their streams while nodes join,
// drain, die, stop, lose their network and are restarted one by one. After each fault every answer is whole.
//
// CI runs each fault once. The long form is set by the environment: KGENTS_CHAOS_STREAMS (40), _ROUNDS (1), _MOVES (session
// moves to reach, by draining a node and letting it join again; 0), _QUIET (sessions beside, that move as well and are spoken
// to again at the end; 0), _STOP_SECONDS (8), _SEED (of the order).
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { startCluster } from '../support/cluster.mjs';
import { Conversation, checkStored, rehearse } from '../support/conversations.mjs';
import { newTenant } from '../support/tenants.mjs';
import { until } from '../support/wait.mjs';

const number = (name, otherwise) => Number(process.env[`KGENTS_CHAOS_${name}`] ?? otherwise);
const streams = number('STREAMS', 40);
const rounds = number('ROUNDS', 1);
const movesWanted = number('MOVES', 0);
const quietSessions = number('QUIET', 0);
const stopMs = 1000 * number('STOP_SECONDS', 8);
const seed = number('SEED', Math.floor(Math.random() * 2 ** 32));
const tokensPerSecond = number('TOKENS_PER_SECOND', 40);

// Mulberry32: the order of a run can be had again.
let state = seed;
function random() {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
}
const pick = (list) => list[Math.floor(random() * list.length)];
function shuffled(list) {
  const out = [...list];
  for (let i = out.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [out[i], out[j]] = [out[j], out[i]];
  }
  return out;
}
const elapse = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Until the other nodes have given the node's shards to others.
const replaced = (cluster, node) =>
  until(async () => {
    const view = await cluster.view();
    return view.nodes.every((x) => x.name !== node.name || x.state === 'dead' || x.shards === 0);
  }, `${node.name} to be replaced`);

// A cut lasts until the others have replaced the node, and some time more.
const cutOff = (how) => async (cluster) => {
  const node = pick(cluster.running);
  node.cut(how);
  await replaced(cluster, node);
  await elapse(2000);
  node.heal();
};

const faults = {
  'a fourth node joins': (cluster) => cluster.add(),
  'a node is drained and comes back': async (cluster) => {
    const node = pick(cluster.running);
    await cluster.drain(node);
    await until(async () => (await cluster.view()).nodes.every((x) => x.name !== node.name || x.shards === 0), `${node.name} to be empty`);
    await cluster.countMoves();
    await node.stop();
    await node.start();
  },
  'a node is killed': async (cluster) => {
    const node = pick(cluster.running);
    await node.kill();
    await replaced(cluster, node);
    await node.start();
  },
  'a node stops and goes on': async (cluster) => {
    const node = pick(cluster.running);
    node.pause();
    await elapse(stopMs);
    node.resume();
  },
  'a node is cut off': cutOff({ from: 'all', way: 'both' }),
  'a node hears nothing': cutOff({ from: 'all', way: 'in' }),
  'a node is not heard': cutOff({ from: 'all', way: 'out' }),
  'a node loses its peers': cutOff({ from: 'peers', way: 'both' }),
  'a node loses PostgreSQL': cutOff({ from: 'postgres', way: 'both' }),
  'all are restarted, one by one': async (cluster) => {
    for (const node of cluster.running) {
      await node.stop();
      await node.start();
      await cluster.settled(`${node.name} to be back`);
    }
  },
  'PostgreSQL is out of reach for five seconds': async (cluster) => {
    cluster.network.cutPostgres();
    await elapse(5000);
    cluster.network.heal('postgres');
  },
};
const needsNetwork = /cut off|hears nothing|not heard|loses|out of reach/;

test('every answer is whole, whatever happens to the nodes', async (t) => {
  t.diagnostic(`KGENTS_CHAOS_SEED=${seed}`);
  const cluster = await startCluster({ nodes: 0, env: { KGENTS_EMBEDDED_TOKENS_PER_SECOND: tokensPerSecond } });
  t.after(() => cluster.dispose());
  const script = await rehearse(cluster.database, Array.from({ length: 25 }, (_, k) => 60 + ((k * 7) % 20)));
  await cluster.begin(3);
  if (cluster.network.kind === 'namespaces')
    for (const { pid } of cluster.running) assert.match(readFileSync(`/proc/${pid}/status`, 'utf8'), /^NSpid:\t\d+\t1$/m, 'each is process 1, as in a container');
  else t.diagnostic('no network namespaces here: nothing will be cut off');

  const tenant = await newTenant(cluster.db);
  const held = [];
  t.after(() => held.forEach((conversation) => conversation.close()));
  for (let i = 0; i < streams / 2; i++) held.push(await new Conversation({ at: cluster.balancer, tenant, script }).open());
  const quiet = [];
  for (let i = 0; i < quietSessions; i += 20)
    quiet.push(...(await Promise.all(Array.from({ length: 20 }, () => new Conversation({ at: cluster.balancer, tenant, script, readers: [] }).open()))));
  const askQuiet = async () => {
    for (let i = 0; i < quiet.length; i += 20) await Promise.all(quiet.slice(i, i + 20).map((conversation) => conversation.turn()));
  };
  await askQuiet();
  for (const conversation of held) conversation.run();
  let moves = 0;
  const counting = setInterval(async () => (moves = await cluster.countMoves().catch(() => moves)), 1000);
  t.after(() => clearInterval(counting));

  const sum = (what) => held.reduce((total, conversation) => total + what(conversation), 0);
  // Every conversation has an answer that was asked for from now on, and one before it.
  const progress = async (what) => {
    const goal = new Map(held.map((conversation) => [conversation, conversation.turns.length + 2]));
    await until(
      () => {
        for (const { failure } of held)
          if (failure) {
            failure.message = `${new Date().toISOString()} ${what}: ${failure.message}`;
            throw failure;
          }
        return [...goal].every(([conversation, turns]) => conversation.turns.length >= turns);
      },
      `every conversation to go on after: ${what}`,
      120000,
    );
  };
  await progress('the beginning');

  const begun = Date.now();
  const inflict = async (what, fault) => {
    const before = { reconnects: sum((c) => c.reconnects), retries: sum((c) => c.retries), at: Date.now() };
    t.diagnostic(`${new Date().toISOString()} ${what}`);
    await fault(cluster);
    await cluster.settled(`the cluster to settle after: ${what}`, 60000);
    const settled = Date.now() - before.at;
    await progress(what);
    moves = await cluster.countMoves();
    const reconnects = sum((c) => c.reconnects) - before.reconnects;
    const retries = sum((c) => c.retries) - before.retries;
    t.diagnostic(`  settled after ${settled} ms, ${reconnects} reconnects, ${retries} retries, ${moves} moves so far`);
    return { reconnects };
  };

  const possible = Object.keys(faults).filter((what) => cluster.network.kind === 'namespaces' || !needsNetwork.test(what));
  for (let round = 0; round < rounds; round++)
    for (const what of shuffled(possible)) {
      const { reconnects } = await inflict(what, faults[what]);
      if (what === 'a fourth node joins') {
        assert.equal(reconnects, 0, 'nobody lost a connection to a node that joined');
        const extra = cluster.running.at(-1);
        await inflict('the fourth node leaves', () => extra.stop());
      }
    }
  for (let i = 1; moves < movesWanted; i++) {
    await faults['a node is drained and comes back'](cluster);
    await cluster.settled();
    moves = await cluster.countMoves();
    if (i % 10 === 0) {
      await progress(`${i} drains`);
      t.diagnostic(`${i} drains: ${moves} moves so far`);
    }
  }
  await progress('everything');

  await Promise.all(held.map((conversation) => conversation.stop()));
  await askQuiet();
  for (const conversation of quiet) await conversation.stop();
  await checkStored(cluster.db, [...held, ...quiet]);
  const pauses = held.map((conversation) => Math.round(conversation.longestPause)).sort((x, y) => x - y);
  t.diagnostic(`${sum((c) => c.turns.length)} answers in ${streams} streams, ${moves} session moves, ${sum((c) => c.reconnects)} reconnects, ${Math.round((Date.now() - begun) / 1000)} s`);
  t.diagnostic(`longest pause of a conversation's readers: half of them at most ${pauses[pauses.length >> 1]} ms, all ${pauses.at(-1)} ms`);
  assert.ok(moves > 0, 'sessions moved');
});
