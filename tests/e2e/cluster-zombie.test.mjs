// A node that was replaced while it could not act wakes up in the midst of its answers: what it tries to write is refused,
// nothing of it reaches a client, and it comes back as a new node.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { logged, startCluster } from '../support/cluster.mjs';
import { Conversation, bothKinds, checkStored, rehearse } from '../support/conversations.mjs';
import { caller } from '../support/http.mjs';
import { newTenant } from '../support/tenants.mjs';
import { until } from '../support/wait.mjs';

async function zombie(t, { cluster, script, fall, rise }) {
  const tenant = await newTenant(cluster.db);
  const [node, other] = cluster.running;
  const who = caller(other, tenant.key);
  const held = [];
  t.after(() => held.forEach((conversation) => conversation.close()));
  for (let i = 0; i < 6; i++) {
    const session = await cluster.sessionOn(node, tenant.id, who);
    // Readers of the node itself as well: they would hear whatever it says.
    held.push(await new Conversation({ at: other, tenant, script, session, readers: bothKinds(other, node) }).open());
  }
  const before = await cluster.lives(node);
  const answers = held.map((conversation) => conversation.turn());
  for (const answer of answers) answer.catch(() => {});
  const hearings = held.flatMap(({ readers }) => readers.map((reader) => reader.hearing));
  await until(() => hearings.every((hearing) => hearing.index >= 5), 'every answer to be under way');

  await fall(node);
  await until(async () => (await cluster.lives(node)).at(-1).state === 'dead', `${node.name} to be declared dead`);
  // It wakes up while others make the answers that it takes for its own.
  const abroad = held.flatMap(({ readers }) => readers.filter((reader) => reader.at === other));
  const marks = new Map(abroad.map(({ hearing }) => [hearing, hearing.index]));
  await until(() => [...marks].every(([hearing, mark]) => hearing.index > mark || hearing.problem), 'the answers to go on elsewhere');
  assert.ok(abroad.every(({ hearing }) => hearing.turns.length === 0), 'and they are not at their end');
  await rise(node);

  // Every reader, also of the node itself, hears each answer once and whole; a second message finds all in order.
  await Promise.all(answers);
  await cluster.settled();
  await Promise.all(held.map((conversation) => conversation.turn()));
  assert.equal(abroad.reduce((sum, reader) => sum + reader.reconnects, 0), 0, 'readers of other nodes kept their connections');
  for (const conversation of held) conversation.close();
  await checkStored(cluster.db, held);
  const lives = await cluster.lives(node);
  assert.equal(lives.length, before.length + 1, JSON.stringify(lives));
  assert.deepEqual(lives.map(({ state }) => state), [...before.map(() => 'dead'), 'up']);
  await logged(node, /replaced in the cluster/, 'the node to say that it was replaced');
  return node;
}

test('stopped and cut off in the midst of answers', async (t) => {
  const cluster = await startCluster({ nodes: 0, env: { KGENTS_EMBEDDED_TOKENS_PER_SECOND: 40 }, balanced: false });
  t.after(() => cluster.dispose());
  // The first is long enough to be under way still when its node has been replaced.
  const script = await rehearse(cluster.database, [280, 20]);
  await cluster.begin(3);

  await t.test('SIGSTOP', () => zombie(t, { cluster, script, fall: (node) => node.pause(), rise: (node) => node.resume() }));
  const uncut = cluster.network.kind !== 'namespaces' && 'this machine makes no network namespaces';
  for (const way of ['both', 'in', 'out'])
    await t.test(`cut off: ${way}`, { skip: uncut }, () =>
      zombie(t, { cluster, script, fall: (node) => node.cut({ from: 'all', way }), rise: (node) => node.heal() }),
    );
  const refused = await Promise.all(cluster.running.map((node) => node.metric('kgents_cluster_fenced_total')));
  assert.ok(refused.reduce((sum, n) => sum + n, 0) > 0, 'PostgreSQL refused what a zombie wrote');
});
