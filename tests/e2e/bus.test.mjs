// Copies of events on NATS JetStream, read there by npm `nats`: the same that SSE clients heard, in that order and once,
// whatever happens to the broker; and nobody who asks us for an answer notices.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { connect } from 'nats';

import { aboutWords, partsOf } from '../support/answers.mjs';
import { call, caller } from '../support/http.mjs';
import { startNats, startNatsCluster, stored } from '../support/nats.mjs';
import { startMigratedPostgres } from '../support/postgres.mjs';
import { startServe } from '../support/server.mjs';
import { newTenant } from '../support/tenants.mjs';
import { until } from '../support/wait.mjs';

let database;
before(async () => {
  database = await startMigratedPostgres();
});
after(async () => {
  await database?.dispose();
});

/// The breaker stays open for 30 s.
const recovery = 90_000;

const start = (servers, env = {}) =>
  startServe(database, {
    env: { NATS_ENABLED: 'true', NATS_SERVERS: servers, KGENTS_EMBEDDED_TOKENS_PER_SECOND: 40, ...env },
  });

async function user(server) {
  const db = await database.connect();
  const tenant = await newTenant(db);
  await db.end();
  return { ...caller(server, tenant.key), tenant: tenant.id };
}

async function health(server) {
  const { status, body } = await call(server, 'GET', '/health/saas');
  assert.equal(status, 200, 'it gates no traffic');
  return body;
}

const becomes = (server, status, ms) =>
  until(async () => (await health(server)).nats.status === status, `the bus to be ${status}`, ms).then(() => health(server));

/// Nothing waits and nothing is under way.
const published = (server, ms) =>
  until(async () => {
    const { nats } = await health(server);
    return nats.fallback_queue_depth + nats.unacknowledged === 0 && nats.status === 'healthy';
  }, 'everything to be published', ms);

async function metric(server, name) {
  const { text } = await call(server, 'GET', '/metrics');
  return Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(text)?.[1]);
}

/// The stream holds what the clients of the session heard, in that order, each once.
async function checkStored(servers, session, turns, tenant) {
  const heard = turns.flatMap((events) => [
    'dialogue_start',
    ...events.filter((e) => e.event !== 'turn').map((e) => (e.event === 'chunk' ? `${partsOf(e.id).turn}:${e.data.index}:${e.data.text}` : e.event)),
  ]);
  // A client may hear of an event an instant before the bus does.
  const found = await until(async () => {
    const now = await stored(servers, 'kgent-events', `kgent.session.${session}.>`);
    return now.length >= heard.length && now;
  }, `${heard.length} events of ${session} in the stream`);
  const told = found.map(({ data }) => (data.type === 'chunk' ? `${data.turn_id}:${data.index}:${data.text}` : data.type));
  assert.deepEqual(told, heard);
  assert.equal(new Set(found.map((x) => x.id)).size, found.length, 'ids are unique');
  for (const { subject, id, data } of found) {
    assert.equal(subject, `kgent.session.${session}.${data.type}`);
    assert.equal(data.session_id, session);
    assert.equal(data.tenant_id, tenant);
    assert.equal(data.v, 1);
    assert.match(data.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00$/);
    if (data.type === 'chunk') assert.equal(id, `${data.message_id}:${data.index}`);
  }
  return found;
}

/// Sessions that each ask once, all at a time, while `during` happens; no client notices.
async function askWhile(server, who, { sessions, words, during }) {
  const ids = await Promise.all(Array.from({ length: sessions }, () => who.session()));
  const posts = await Promise.all(ids.map((id, i) => who.say(id, aboutWords(words, `bus ${i}`))));
  const begun = await Promise.all(posts.map((post) => post.take((e) => e.event === 'chunk' && e.data.index === 3)));
  await during?.();
  const rest = await Promise.all(posts.map((post) => post.rest()));
  const answers = rest.map((events, i) => [...begun[i], ...events]);
  for (const events of answers) {
    const last = events.at(-1);
    assert.equal(last.event, 'complete', JSON.stringify(last));
    const chunks = events.filter((e) => e.event === 'chunk');
    assert.deepEqual(chunks.map((e) => e.data.index), chunks.map((_, k) => k), 'no gap and no double');
  }
  return ids.map((id, i) => [id, [answers[i]]]);
}

test('one broker', async (t) => {
  const nats = await startNats();
  const server = await start(nats.url);
  const who = await user(server);
  after(async () => {
    await server.dispose();
    await nats.dispose();
  });

  await t.test('its streams are as they should be, and it is healthy', async () => {
    const { nats: bus, status } = await becomes(server, 'healthy');
    assert.equal(status, 'ok');
    assert.deepEqual(
      [bus.configured, bus.mode, bus.circuit_state, bus.fallback_queue_depth, bus.stream],
      [true, 'jetstream', 'closed', 0, 'kgent-events'],
    );
    assert.deepEqual(bus.circuit_breaker, {
      state: 'closed', failures: 0, last_failure: null, failure_threshold: 5, recovery_timeout: 30,
    });
    const client = await connect({ servers: nats.url });
    const manager = await client.jetstreamManager();
    const { config } = await manager.streams.info('kgent-events');
    assert.deepEqual(
      [config.subjects, config.max_age, config.max_msgs_per_subject, config.duplicate_window, config.storage, config.discard],
      [['kgent.>'], 604_800_000_000_000, 10_000, 120_000_000_000, 'file', 'old'],
    );
    assert.equal((await manager.streams.info('AGENTESE')).config.max_msgs, 1_000_000);
    for (const [name, subject] of [['EVENTS', 'events.>'], ['BILLING', 'billing.>']])
      assert.deepEqual((await manager.streams.info(name)).config.subjects, [subject]);
    await client.close();
    assert.equal(await metric(server, 'kgents_nats_circuit_state'), 0);
  });

  await t.test('npm nats reads the chunks that SSE clients saw', async () => {
    const heard = await askWhile(server, who, { sessions: 4, words: 40 });
    await published(server);
    for (const [session, turns] of heard) {
      const found = await checkStored(nats.url, session, turns, who.tenant);
      const end = found.at(-1).data;
      assert.equal(end.text, turns[0].at(-1).data.text);
      assert.equal(end.tokens_used, turns[0].at(-1).data.tokens_used);
    }
    assert.ok((await metric(server, 'kgents_nats_messages_published_total\\{subject_type="chunk"\\}')) > 0);
  });

  await t.test('an invocation is an event of its path, without its result', async () => {
    const { status } = await who.post('/v1/agentese/invoke', { path: 'void.entropy.sip' });
    assert.equal(status, 200);
    const [found] = await until(async () => {
      const all = await stored(nats.url, 'AGENTESE', 'agentese.void.entropy.sip');
      return all.length > 0 && all;
    }, 'the event of the invocation');
    assert.equal(found.data.tenant_id, who.tenant);
    assert.equal(found.data.path, 'void.entropy.sip');
    assert.equal(found.id, found.data.event_id);
  });

  await t.test('killed and started again in mid-load', async () => {
    const heard = await askWhile(server, who, {
      sessions: 6,
      words: 120,
      during: async () => {
        await nats.kill();
        const { nats: bus, status } = await until(async () => {
          const now = await health(server);
          return now.nats.status !== 'healthy' && now.nats.fallback_queue_depth > 20 && now;
        }, 'events to wait');
        assert.equal(status, 'degraded');
        assert.ok(['disconnected', 'circuit_open'].includes(bus.status), bus.status);
        assert.equal(bus.mode, 'fallback');
        assert.ok((await metric(server, 'kgents_nats_fallback_queue_depth')) > 0);
        assert.equal((await call(server, 'GET', '/ready')).status, 200);
        await nats.start();
      },
    });
    await published(server, recovery);
    for (const [session, turns] of heard) await checkStored(nats.url, session, turns, who.tenant);
  });

  await t.test('away for whole answers: they wait and come in order', async () => {
    await nats.kill();
    const heard = await askWhile(server, who, { sessions: 3, words: 30 });
    await nats.start();
    await published(server, recovery);
    for (const [session, turns] of heard) await checkStored(nats.url, session, turns, who.tenant);
  });

  await t.test('frozen: the breaker opens, and closes when it is thawed', async () => {
    const heard = await askWhile(server, who, {
      sessions: 6,
      words: 120,
      during: async () => {
        nats.signal('SIGSTOP');
        const { nats: bus } = await becomes(server, 'circuit_open');
        assert.equal(bus.circuit_state, 'open');
        assert.ok(bus.circuit_breaker.failures >= 5);
        assert.match(bus.circuit_breaker.last_failure, /\+00:00$/);
        assert.equal(await metric(server, 'kgents_nats_circuit_state'), 1);
        assert.ok((await metric(server, 'kgents_nats_publish_errors_total')) >= 5);
        nats.signal('SIGCONT');
      },
    });
    await published(server, recovery);
    assert.equal((await health(server)).nats.circuit_state, 'closed');
    for (const [session, turns] of heard) await checkStored(nats.url, session, turns, who.tenant);
  });
});

test('a server that starts before its broker publishes what it had to say', async () => {
  const nats = await startNats();
  await nats.kill();
  const server = await start(nats.url);
  try {
    const who = await user(server);
    await becomes(server, 'disconnected');
    const heard = await askWhile(server, who, { sessions: 2, words: 20 });
    await nats.start();
    await published(server, recovery);
    for (const [session, turns] of heard) await checkStored(nats.url, session, turns, who.tenant);
  } finally {
    await server.dispose();
    await nats.dispose();
  }
});

test('kgentsd killed in mid-answer: what the clients heard before and after is in the stream, once', async () => {
  const nats = await startNats();
  let server = await start(nats.url);
  try {
    const who = await user(server);
    await becomes(server, 'healthy');
    const sessions = await Promise.all(Array.from({ length: 4 }, () => who.session()));
    const posts = await Promise.all(sessions.map((session, i) => who.say(session, aboutWords(80, `crash ${i}`))));
    const heard = await Promise.all(posts.map((post) => post.take((e) => e.event === 'chunk' && e.data.index === 15)));
    await server.kill();
    server = await server.restart();
    const again = caller(server, who.key);
    for (const [i, session] of sessions.entries()) {
      const after = encodeURIComponent(heard[i].at(-1).id);
      const stream = await until(async () => {
        const follow = await again.stream(`/v1/kgent/sessions/${session}/stream?after=${after}`);
        return follow.status === 200 && follow;
      }, 'the session to be followed again');
      heard[i].push(...(await stream.turnEvents(posts[i].turn)));
      stream.close();
    }
    await published(server, recovery);
    for (const [i, session] of sessions.entries()) await checkStored(nats.url, session, [heard[i]], who.tenant);
  } finally {
    await server.dispose();
    await nats.dispose();
  }
});

test('three brokers, of which the one that leads the stream is killed', async () => {
  const cluster = await startNatsCluster(3);
  const server = await start(cluster.url, { NATS_REPLICAS: 3 });
  try {
    const who = await user(server);
    await becomes(server, 'healthy', recovery);
    let killed;
    const heard = await askWhile(server, who, {
      sessions: 6,
      words: 120,
      during: async () => {
        const client = await connect({ servers: cluster.url.split(',') });
        const { leader } = (await (await client.jetstreamManager()).streams.info('kgent-events')).cluster;
        await client.close();
        killed = cluster.servers.find((x) => x.name === leader);
        await killed.kill();
      },
    });
    await published(server, recovery);
    await killed.start();
    for (const [session, turns] of heard) await checkStored(cluster.url, session, turns, who.tenant);
  } finally {
    await server.dispose();
    await cluster.dispose();
  }
});

test('switched off, it is silent', async () => {
  const server = await startServe(database);
  try {
    const { nats } = await health(server);
    assert.deepEqual([nats.configured, nats.status, nats.mode], [false, 'disabled', 'fallback']);
    assert.equal(await metric(server, 'kgents_nats_circuit_state'), -1);
  } finally {
    await server.dispose();
  }
});
