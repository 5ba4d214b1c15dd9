// PgBouncer in transaction mode before everything (data.md 13, D19): tenants do not bleed, and it may fall over.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';

import { Observer } from '../support/agentese.mjs';
import { startCluster } from '../support/cluster.mjs';
import { caller, openStream } from '../support/http.mjs';
import { startPgbouncer } from '../support/pgbouncer.mjs';
import { startMigratedPostgres } from '../support/postgres.mjs';
import { run, startServe } from '../support/server.mjs';
import { newTenant } from '../support/tenants.mjs';
import { until } from '../support/wait.mjs';

const through = (bouncer) => ({ DATABASE_URL: bouncer.url('kg_app'), DATABASE_CONTROL_URL: bouncer.url('kg_control') });

let database;
let bouncer;
let db;
let server;
before(async () => {
  database = await startMigratedPostgres({ connections: 60 });
  bouncer = await startPgbouncer(database, { default_pool_size: 4 });
  db = await database.connect();
  server = await startServe(database, { env: { ...through(bouncer), DATABASE_POOL_SIZE: 16, KGENTS_EMBEDDED_TOKENS_PER_SECOND: 0 } });
});
after(async () => {
  await server?.dispose();
  await db?.end();
  await bouncer?.dispose();
  await database?.dispose();
});

/// One who does a bit of everything, and whose every answer must be of what it did.
class Resident {
  done = [];

  constructor(at, { id, key }) {
    Object.assign(this, { at, tenant: id, mark: `mark-${id}`, who: caller(at, key), observer: new Observer(at, key) });
  }

  async settle() {
    this.session = await this.who.session({ title: this.mark });
    return this;
  }

  /// The answer of one request, which must be good and speak of nobody else. Of a node that is saturated each has but a
  /// share, and asks again.
  async #good(what, ask) {
    const { status, text, body } = await until(async () => {
      const answer = await ask();
      return (answer.status !== 429 || answer.body.code !== 'fair_share') && answer;
    }, what);
    assert.equal(status, 200, `${what}: ${text}`);
    for (const [other] of text.matchAll(/mark-[0-9a-f-]{36}/g)) assert.equal(other, this.mark, `${what} tells of another tenant`);
    return body;
  }

  async act(kind) {
    const text = `${this.mark}/${randomUUID()}`;
    if (kind === 0) {
      const list = await this.#good('sessions', () => this.who.get('/v1/kgent/sessions?limit=100'));
      assert.ok(list.sessions.some((x) => x.id === this.session), 'its own session');
    } else if (kind === 1) {
      const session = (await this.#good('session', () => this.who.post('/v1/kgent/sessions', { title: this.mark }))).id;
      await this.#good('message', () => this.who.post(`/v1/kgent/sessions/${session}/messages`, { message: text, stream: false }));
      this.done.push(text);
    } else if (kind === 2) {
      await this.#good('engram', () => this.observer.invoke('self.memory.engram', { key: text, data: this.mark }));
      const { result } = await this.#good('recall', () => this.observer.invoke('self.memory.recall'));
      assert.ok(result.memories.includes(text), 'what it has just remembered');
    } else if (kind === 3) {
      await this.#good('usage', () => this.who.get('/v1/usage'));
    } else {
      await this.#good('history', () => this.who.get(`/v1/kgent/sessions/${this.session}`));
    }
  }
}

test('D19: 200 requests at once of ten tenants do not bleed, over fewer connections than there are clients', async (t) => {
  const residents = await Promise.all(Array.from({ length: 10 }, async () => new Resident(server, await newTenant(db)).settle()));
  await Promise.all(Array.from({ length: 200 }, (_, i) => residents[i % 10].act(Math.floor(i / 10) % 5)));
  // And once more in another order, on connections that have seen the others.
  await Promise.all(Array.from({ length: 200 }, (_, i) => residents[(i * 7) % 10].act((i * 3) % 5)));

  const servers = (await bouncer.show('servers')).filter((x) => x.user === 'kg_app').length;
  const clients = (await bouncer.show('clients')).filter((x) => x.user === 'kg_app').length;
  t.diagnostic(`${clients} connections of kgentsd share ${servers} of PostgreSQL's`);
  assert.equal(clients, 16);
  assert.ok(servers <= 4, `${servers} server connections`);

  const { rows } = await db.query(`SELECT s.tenant_id, m.content FROM kg.messages m JOIN kg.sessions s ON s.id = m.session_id
    WHERE m.role = 'user' AND m.content LIKE 'mark-%'`);
  for (const { tenant_id, content } of rows) assert.ok(content.startsWith(`mark-${tenant_id}`), 'a message is where it belongs');
  assert.deepEqual(rows.map((x) => x.content).sort(), residents.flatMap((x) => x.done).sort());
});

test('a connection that comes back from a failed transaction is clean', async () => {
  const [one, other] = [await newTenant(db), await newTenant(db)];
  const context = (client, tenant) => client.query('SELECT kg.set_tenant_context($1)', [tenant.id]);
  const seen = async (client) => (await client.query('SELECT id FROM kg.tenants')).rows.map((x) => x.id);
  const first = await bouncer.connect('kg_app', 'narrow');
  await first.query('BEGIN');
  await context(first, one);
  assert.deepEqual(await seen(first), [one.id]);
  await assert.rejects(first.query('SELECT 1 / 0'), { code: '22012' });
  const second = await bouncer.connect('kg_app', 'narrow');
  const next = (async () => {
    // Waits for the one connection there is.
    const before = await seen(second);
    await second.query('BEGIN');
    await context(second, other);
    const inside = await seen(second);
    await second.query('COMMIT');
    return { before, inside, after: await seen(second) };
  })();
  await first.query('ROLLBACK');
  assert.deepEqual(await next, { before: [], inside: [other.id], after: [] });
  // One that leaves in the midst of its transaction leaves nothing either.
  await first.query('BEGIN');
  await context(first, one);
  await first.end();
  assert.deepEqual(await seen(second), []);
  await second.end();
});

test('kgentsd check says that nothing can be heard through it, and what can be done', async () => {
  const check = (env) => run(['check'], { KGENTS_ENV: 'dev', ...through(bouncer), ...env });
  const around = await check({ DATABASE_LISTEN_URL: database.url('kg_control') });
  assert.match(around.output, /ok +LISTEN/, around.output);
  const pooled = await check({});
  assert.match(pooled.output, /degraded +LISTEN.*DATABASE_LISTEN_URL/, pooled.output);
  assert.equal(pooled.code, 0, 'it works nevertheless');
});

test('killed and started again under load: answers go on, nothing is lost or doubled', async (t) => {
  const tenants = await Promise.all(Array.from({ length: 4 }, async () => new Resident(server, await newTenant(db)).settle()));
  const sent = [];
  let going = true;
  let refused = 0;
  const writer = async ({ who, session, mark }) => {
    while (going) {
      const message = `${mark} ${randomUUID()}`;
      const key = { 'Idempotency-Key': randomUUID() };
      sent.push({ session, message });
      await until(async () => {
        const { status, text } = await who.post(`/v1/kgent/sessions/${session}/messages`, { message, stream: false }, key);
          assert.ok([200, 409, 429, 502, 503, 504].includes(status), `${status} ${text}`);
        if (status !== 200) refused++;
        return status === 200;
      }, 'an answer');
    }
  };
  const writers = tenants.map(writer);
  for (let round = 0; round < 3; round++) {
    const before = sent.length;
    await until(() => sent.length >= before + 12, 'some answers');
    await bouncer.kill();
    await until(async () => (await caller(server).get('/ready')).status === 503, 'the node to notice');
    await bouncer.start();
    await until(async () => (await caller(server).get('/ready')).status === 200, 'the node to be ready');
  }
  const before = sent.length;
  await until(() => sent.length >= before + 12, 'some more answers');
  going = false;
  await Promise.all(writers);
  t.diagnostic(`${sent.length} messages, ${refused} tries refused meanwhile`);
  for (const { session } of tenants) {
    const { rows } = await db.query(`SELECT role, content FROM kg.messages WHERE session_id = $1`, [session]);
    const mine = sent.filter((x) => x.session === session).map((x) => x.message);
    assert.deepEqual(rows.filter((x) => x.role === 'user').map((x) => x.content).sort(), mine.sort(), 'each message once');
    assert.equal(rows.filter((x) => x.role !== 'user').length, mine.length, 'and one answer to each');
  }
});

test('a cluster of three behind it: any node answers for any session, and streams are heard', async (t) => {
  const cluster = await startCluster({ nodes: 0, network: 'loopback', balanced: false });
  t.after(() => cluster.dispose());
  const before = await startPgbouncer(cluster.database, { default_pool_size: 6 });
  t.after(() => before.dispose());
  cluster.env = { ...through(before), KGENTS_EMBEDDED_TOKENS_PER_SECOND: 0 };
  await cluster.begin(3);
  for (const node of cluster.nodes) assert.match(node.log, /pooler before the database/);
  const residents = await Promise.all(
    Array.from({ length: 9 }, async (_, i) => new Resident(cluster.nodes[i % 3], await newTenant(cluster.db)).settle()),
  );
  await Promise.all(Array.from({ length: 90 }, (_, i) => residents[i % 9].act(i % 5)));
  for (const [i, { who, session, mark }] of residents.entries()) {
    const other = cluster.nodes[(i + 1) % 3];
    const follow = await openStream(other, `/v1/kgent/sessions/${session}/stream`, { key: who.key });
    assert.equal(follow.status, 200, follow.text);
    const said = await who.post(`/v1/kgent/sessions/${session}/messages`, { message: mark, stream: false });
    assert.equal(said.status, 200, said.text);
    const events = await follow.turnEvents();
    assert.equal(events.at(-1).event, 'complete');
    follow.close();
  }
  // News of another node, which nobody tells here.
  const [{ who, observer }] = residents;
  const subscription = await openStream(cluster.nodes[1], '/agentese/subscribe?pattern=void.*', { key: who.key });
  await subscription.take((e) => e.event === 'subscribed', 'the greeting');
  await observer.ok('void.entropy.status');
  await subscription.take((e) => e.data.path?.startsWith('void.entropy'), 'what was invoked on another node');
  subscription.close();
  await cluster.nodes[2].kill();
  await cluster.settled();
  await Promise.all(residents.map((x, i) => Object.assign(x, { who: caller(cluster.nodes[i % 2], x.who.key) }).act(1)));
});
