// Issue: what tenants do on the same paths at the same time stays theirs, arithmetic is exact under concurrency, and a context
// that is lost in the midst of a request comes back, its caller told clearly.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';

import { Observer } from '../support/agentese.mjs';
import { entityKind, shardOf, startCluster } from '../support/cluster.mjs';
import { openStream } from '../support/http.mjs';
import { openDatabase, startDev } from '../support/server.mjs';
import { newTenant } from '../support/tenants.mjs';
import { patience, until, within } from '../support/wait.mjs';

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

async function tenant(archetype = 'architect', at = server, using = db) {
  const made = await newTenant(using);
  const out = new Observer(at, made.key, archetype);
  out.tenant = made.id;
  return out;
}

/// Everything one tenant does; each value of it has the tenant's mark in it.
async function life(who, mark, rounds) {
  for (let i = 0; i < rounds; i++) {
    const value = `${mark}-${i}`;
    await who.ok('world.house.transform', { changes: { dimensions: { value } } });
    assert.equal((await who.ok('world.house.manifest')).dimensions.value, value);
    await who.ok('self.memory.engram', { key: 'shared', data: value });
    assert.match(JSON.stringify(await who.ok('self.memory.recall', { key: 'shared' })), new RegExp(value));
    await who.ok('self.memory.engram', { key: `note_${i % 5}`, data: value });
    await who.ok('self.judgment.expectations', { set_key: 'prior', set_value: value });
    assert.equal((await who.ok('self.judgment.expectations', { get_key: 'prior' })).value, value);
    await who.ok('self.state.checkpoint', { label: value });
    await who.ok('concept.idea.define', { name: 'idea', spec: value, extends: ['concept'] });
    assert.match(JSON.stringify(await who.ok('concept.idea.manifest')), new RegExp(value));
    await who.ok('void.gratitude.thank', { target: value });
    const { id } = await who.ok('time.schedule.defer', { path: 'world.house.transform', kwargs: { changes: { later: value } }, delay: 3600 });
    if (i % 2) await who.ok('time.schedule.cancel', { id });
    assert.equal((await who.put('/v1/agentese/aliases/mine', { target: i % 2 ? 'world.house' : 'void.entropy' })).status, 200);
  }
}

/// All that a tenant can be shown of itself.
async function everything(who) {
  const seen = {
    world: await who.ok('world.house.manifest'),
    worldOf: await who.as('guest').ok('world.house.manifest'),
    witness: await who.ok('world.house.witness'),
    keys: await who.ok('self.memory.recall'),
    found: await who.ok('self.memory.recall', { query: '-' }),
    expectations: await who.ok('self.judgment.expectations'),
    state: await who.ok('self.state.inspect'),
    concept: await who.ok('concept.idea.manifest'),
    lineage: await who.ok('concept.idea.witness'),
    traces: await who.ok('time.trace.witness', { limit: 1000 }),
    replay: await who.ok('time.trace.replay'),
    query: await who.ok('time.trace.query', { query: 'world' }),
    schedule: await who.ok('time.schedule.list', { limit: 1000 }),
    past: await who.ok('time.past.project', { target: 'world.house', timestamp: 'now' }),
    aliases: (await who.get('/v1/agentese/aliases')).body,
    matches: (await who.get('/agentese/query?q=%3Fworld.*&limit=1000')).body,
    subscriptions: (await who.get('/agentese/subscriptions')).body,
  };
  return JSON.stringify(seen);
}

test('two tenants on the same paths never see each other', { timeout: 180000 }, async (t) => {
  const marks = ['anemone', 'bergamot'].map((name) => `${name}${randomUUID().slice(0, 8)}`);
  const pair = [await tenant(), await tenant()];
  await Promise.all(pair.map((who, i) => who.loose('world.house.define', { name: 'room', spec: marks[i] })));
  await Promise.all(pair.map((who, i) => who.loose('world.house.transform', { changes: { owner: marks[i] } })));
  await Promise.all(pair.map((who, i) => who.loose('concept.idea.define', { name: 'idea', spec: marks[i], extends: ['concept'] })));
  const listeners = await Promise.all(pair.map((who) => openStream(server, '/agentese/subscribe?pattern=**', { key: who.key, headers: who.headers })));
  for (const stream of listeners) {
    assert.equal(stream.status, 200, stream.text);
    assert.equal((await stream.next('subscribed')).event, 'subscribed');
  }
  const rounds = Number(process.env.KGENTS_TENANT_ROUNDS ?? 12);
  const begun = performance.now();
  await Promise.all(pair.map((who, i) => life(who, marks[i], rounds)));
  const streamed = await Promise.all(
    pair.map(async (who, i) => {
      const stream = await who.stream('self.soul.challenge', { message: `I never change my mind about ${marks[i]} and its many harbours` });
      return stream.rest();
    }),
  );
  t.diagnostic(`${2 * rounds * 15} operations in ${((performance.now() - begun) / 1000).toFixed(1)} s`);
  for (let i = 0; i < 2; i++) {
    const [own, foreign] = [marks[i], marks[1 - i]];
    await until(async () => (await pair[i].ok('time.trace.witness', { topic: 'schedule', limit: 1000 })).total >= rounds, 'the marks');
    const seen = await everything(pair[i]);
    assert.ok(seen.includes(own));
    assert.ok(!seen.includes(foreign), `${own} sees ${foreign}`);
    assert.ok(!JSON.stringify(streamed[i]).includes(foreign));
    await until(() => JSON.stringify(listeners[i].seen).includes(`${own}-${rounds - 1}`), 'the last event');
    const heard = JSON.stringify(listeners[i].seen);
    assert.ok(!heard.includes(foreign), 'a subscription hears one tenant');
    const { id } = listeners[i].seen[0].data;
    assert.equal((await pair[1 - i].post(`/agentese/subscriptions/${id}/ack`, { event_id: randomUUID() })).status, 404);
    const event = streamed[i].find((e) => e.id);
    assert.equal((await pair[1 - i].stream('self.soul.challenge', { message: 'x' }, { headers: { 'Last-Event-ID': event.id } })).status, 404);
  }
  for (const stream of listeners) stream.close();
  const { rows } = await db.query('SELECT count(*)::int AS n FROM kg.agentese_events WHERE (tenant_id = $1 AND data::text LIKE $2) OR (tenant_id = $3 AND data::text LIKE $4)', [
    pair[0].tenant, `%${marks[1]}%`, pair[1].tenant, `%${marks[0]}%`,
  ]);
  assert.equal(rows[0].n, 0);
});

/// Amounts are multiples of a billionth; sums of doubles are not.
const nano = (x) => BigInt(Math.round(x * 1e9));

test('64 callers sip, pour and tithe at once: the pool ends at what their answers say', { timeout: 180000 }, async (t) => {
  const who = await tenant('guest');
  await who.ok('void.entropy.sip', { amount: 70 });
  let expected = nano(30);
  let [sips, pours, tithes, refused] = [0, 0, 0, 0];
  await Promise.all(
    Array.from({ length: 64 }, async (_, i) => {
      for (let round = 0; round < 6; round++) {
        const kind = (i + round) % 4;
        if (kind < 2) {
          const amount = ((i * 7 + round * 3) % 11 + 1) / 10;
          const { status, text, body } = await who.invoke('void.entropy.sip', { amount });
          if (status === 402) refused++;
          else {
            assert.equal(status, 200, text);
            assert.equal(body.result.amount, amount);
            expected -= nano(amount);
            sips++;
          }
        } else if (kind === 2) {
          const { recovered } = await who.ok('void.entropy.pour', { amount: 0.3 });
          expected += nano(recovered);
          pours++;
        } else {
          const { regenerated } = await who.ok('void.gratitude.tithe');
          expected += nano(regenerated);
          tithes++;
        }
      }
    }),
  );
  t.diagnostic(`${sips} sips, ${refused} refused, ${pours} pours, ${tithes} tithes`);
  assert.ok(sips > 0 && refused > 0 && pours > 0 && tithes > 0, 'the pool ran dry in between');
  const { remaining } = await who.ok('void.entropy.status');
  assert.equal(nano(remaining), expected);
  const { history } = await who.ok('void.entropy.witness', { limit: 100 });
  history.slice(1).forEach((move, i) => {
    const sign = move.action === 'sip' ? -1n : 1n;
    const by = move.action === 'pour' ? nano(move.remaining) - nano(history[i].remaining) : sign * nano(move.amount);
    assert.equal(nano(move.remaining), nano(history[i].remaining) + by, `each move stands on the one before: ${JSON.stringify([history[i], move])}`);
  });
});

test('64 callers give capital away at once: five tenths go five times', async () => {
  const who = await tenant('guest');
  const answers = await Promise.all(Array.from({ length: 64 }, () => who.invoke('void.capital.tithe', { amount: 0.1 })));
  const statuses = answers.map((x) => x.status);
  assert.equal(statuses.filter((x) => x === 200).length, 5, statuses.join());
  assert.equal(statuses.filter((x) => x === 402).length, 59, statuses.join());
  assert.equal((await who.ok('void.capital.balance')).balance, 0);
});

test('64 writers of one entity: nothing is lost', async () => {
  const who = await tenant();
  await who.loose('world.house.define', { name: 'room', spec: 'x' });
  await who.loose('world.house.transform', { changes: { begun: true } });
  await Promise.all(Array.from({ length: 64 }, (_, i) => who.ok('world.house.transform', { changes: { [`m${i}`]: i } })));
  const { state } = await who.ok('time.past.project', { target: 'world.house', timestamp: 'now' });
  for (let i = 0; i < 64; i++) assert.equal(state[`m${i}`], i);
});

test('what may happen once happens once, however many ask', async () => {
  const who = await tenant();
  const { token } = await who.ok('void.capital.bypass', { cost: 0.1 });
  const redeemed = await Promise.all(Array.from({ length: 32 }, () => who.ok('void.capital.redeem', { token })));
  assert.equal(redeemed.filter((x) => x.valid).length, 1, 'a token is used once');

  const { token_id: id } = await who.ok('self.semaphore.yield', { prompt: 'Ship it?' });
  const ends = await Promise.all(Array.from({ length: 32 }, (_, i) => who.ok(`world.purgatory.${i % 2 ? 'resolve' : 'cancel'}`, { token_id: id, human_input: `${i}` })));
  const won = ends.filter((x) => !x.error);
  assert.equal(won.length, 1, JSON.stringify(ends));
  assert.equal((await who.ok('self.semaphore.status', { token_id: id })).status, won[0].status);

  const grant = await who.ok('void.entropy.sip', { amount: 8 });
  const poured = await Promise.all(Array.from({ length: 16 }, () => who.invoke('void.entropy.pour', { grant })));
  assert.equal(poured.filter((x) => x.status === 200).length, 1, 'a grant is poured once');
  assert.equal((await who.ok('void.entropy.status')).remaining, 96);

  const { id: action } = await who.ok('time.schedule.defer', { path: 'void.entropy.sip', delay: 3600 });
  const cancelled = await Promise.all(Array.from({ length: 16 }, () => who.ok('time.schedule.cancel', { id: action })));
  assert.equal(cancelled.filter((x) => !x.error).length, 1, 'an action is cancelled once');
});

test('two definitions that would close a circle together: one of them is refused', async () => {
  const who = await tenant();
  const define = (name, parent) => who.v1(`concept.${name}.define`, { name, spec: name, extends: [`concept.${parent}`] });
  for (let i = 0; i < 6; i++) {
    await define(`a${i}`, 'entity');
    await define(`b${i}`, 'entity');
    const statuses = (await Promise.all([define(`a${i}`, `b${i}`), define(`b${i}`, `a${i}`)])).map((x) => x.status);
    assert.equal(statuses.filter((x) => x === 200).length, 1, statuses.join());
  }
});

for (const [context, path, kwargs] of [
  ['world', 'world.house.transform', { changes: { colour: 'red' } }],
  ['void', 'void.entropy.sip', { amount: 1 }],
  ['self', 'self.memory.engram', { key: 'kept', data: 'x' }],
])
  test(`the context ${context}, lost in mid-request, comes back; the caller is told at once`, async () => {
    const who = await tenant();
    if (context === 'world') await who.loose('world.house.define', { name: 'house', spec: 'x' });
    await who.loose(path, kwargs);
    const before = await who.ok('void.entropy.status');
    // The write waits for the lease of its shard; when it may look, the lease is somebody else's.
    const shard = shardOf(who.tenant, who.tenant, entityKind[context]);
    const holder = await openDatabase(server.stateDir);
    try {
      await holder.query('BEGIN');
      const { rows } = await holder.query('UPDATE kg.shard_leases SET owner = NULL, epoch = epoch + 1 WHERE shard = $1 RETURNING epoch', [shard]);
      assert.equal(rows.length, 1);
      await holder.query('SELECT kg.cluster_changed()');
      const asked = who.invoke(path, kwargs);
      await until(async () => (await db.query(`SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = 'kg_app'`)).rows.length > 0, 'the write to wait for the lease');
      const at = performance.now();
      await holder.query('COMMIT');
      const { status, text, body } = await within(asked, 'the answer');
      assert.equal(status, 503, text);
      assert.equal(body.detail.category, 'unavailable');
      assert.ok(body.detail.message.length > 0 && body.detail.retry_after >= 1, text);
      assert.ok(performance.now() - at < patience.ms / 3, 'an error, not a timeout');
    } finally {
      await holder.end();
    }
    const answer = await until(async () => {
      const again = await who.invoke(path, kwargs);
      assert.ok([200, 503].includes(again.status), again.text);
      return again.status === 200 && again;
    }, 'the context to be back');
    assert.ok(answer.body.result);
    if (context === 'void') assert.equal((await who.ok('void.entropy.status')).remaining, before.remaining - 1, 'only the one that was answered was sipped');
  });

test('kill -9 of the node of a context, in mid-request: a clear error, and the other node goes on', { timeout: 240000 }, async (t) => {
  const cluster = await startCluster({ nodes: 2, network: 'loopback', balanced: false });
  t.after(() => cluster.dispose());
  const [near] = cluster.nodes;
  // A tenant whose world lives on the other node.
  let who;
  let far;
  do {
    who = await tenant('architect', near, cluster.db);
    far = await cluster.ownerOf(who.tenant, who.tenant, entityKind.world);
  } while (far === near);
  await who.loose('world.house.transform', { changes: { dimensions: { width: 1 } } });
  const holder = await cluster.database.connect();
  t.after(() => holder.end());
  await holder.query('BEGIN');
  await holder.query('LOCK TABLE kg.agentese_nodes IN ACCESS EXCLUSIVE MODE');
  const asked = who.invoke('world.house.transform', { changes: { dimensions: { width: 2 } } });
  await until(async () => (await cluster.db.query(`SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = 'kg_app'`)).rows.length > 0, 'the write to wait');
  await far.kill();
  const { status, text, body } = await within(asked, 'the answer');
  assert.equal(status, 503, text);
  assert.equal(body.detail.category, 'unavailable');
  assert.ok(body.detail.retry_after >= 1);
  await holder.query('ROLLBACK');
  const after = await until(async () => {
    const seen = await who.invoke('world.house.manifest');
    assert.ok([200, 503].includes(seen.status), seen.text);
    return seen.status === 200 && seen.body.result;
  }, 'the other node to take over');
  assert.ok([1, 2].includes(after.dimensions.width), 'what was answered is there; what was not may be');
  await who.ok('world.house.transform', { changes: { dimensions: { width: 3 } } });
  assert.equal((await who.ok('world.house.manifest')).dimensions.width, 3);
});
