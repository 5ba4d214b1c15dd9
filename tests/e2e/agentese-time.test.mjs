// time.trace, time.past, time.future: what is told of the past is what happened, and the future is made of it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { caller } from '../support/http.mjs';
import { openDatabase, startDev } from '../support/server.mjs';
import { newTenant } from '../support/tenants.mjs';
import { until } from '../support/wait.mjs';

let server;
let db;
before(async () => {
  server = await startDev();
  db = await openDatabase(server.stateDir);
});
after(async () => {
  await db.end();
  await server.dispose();
});

async function observer(archetype = 'developer') {
  const tenant = await newTenant(db);
  const who = caller(server, tenant.key);
  const invoke = (path, kwargs = {}) => who.post(`/agentese/${path.split('.').join('/')}`, kwargs, { 'X-Observer-Archetype': archetype });
  const ok = async (path, kwargs) => {
    const { status, text, body } = await invoke(path, kwargs);
    assert.equal(status, 200, `${path}: ${text}`);
    return body.result;
  };
  /// The same through /v1, where any name under world and concept may be used.
  const lenient = async (path, kwargs = {}) => {
    const { status, text, body } = await who.post('/v1/agentese/invoke', { path, kwargs, observer: { archetype } });
    assert.equal(status, 200, `${path}: ${text}`);
    return body.result;
  };
  /// Marks are written behind the answers.
  const marks = (n, topic) =>
    until(async () => {
      const found = await ok('time.trace.witness', { topic, limit: 1000 });
      return found.total >= n && found;
    }, `${n} marks of ${topic}`);
  return { tenant, invoke, ok, lenient, marks };
}

test('every invocation leaves one mark, a failed one too', async () => {
  const { ok, invoke, marks } = await observer();
  await ok('void.entropy.sip', { amount: 1 });
  assert.equal((await invoke('void.entropy.sip', { amount: 1000 })).status, 402);
  const { traces, total, topic, source } = await marks(2, 'ENTROPY');
  assert.deepEqual([topic, source, total], ['ENTROPY', 'local', 2]);
  assert.deepEqual(
    traces.map((x) => [x.path, x.aspect, x.observer, x.status]),
    [['void.entropy', 'sip', 'developer', 'ok'], ['void.entropy', 'sip', 'developer', 'BUDGET_EXHAUSTED']],
  );
  for (const x of traces) assert.match(x.trace_id, /^[0-9a-f]{32}$/);

  const from = traces[1].timestamp;
  const later = await ok('time.trace.query', { query: 'sip', start_time: from });
  assert.deepEqual(later.results.map((x) => x.timestamp), [from]);
  const { replay, start, end, total: all } = await ok('time.trace.replay', { start: 0, end: 1 });
  assert.deepEqual([replay.length, replay[0].path, start, end], [1, 'void.entropy', 0, 1]);
  assert.ok(all >= 2);
  assert.deepEqual((await ok('time.trace.replay', { start: -1 })).replay.length, 1);
  const collected = await ok('time.trace.collect', { path: 'void.entropy', status: 'error' });
  assert.deepEqual([collected.collected, collected.by_path['void.entropy.sip'].errors], [1, 1]);
  assert.equal((await invoke('time.trace.query', { start_time: 'then' })).status, 400);
});

test('the graph of invocations is that of what aspects invoked', async () => {
  const { ok, marks } = await observer();
  await ok('time.schedule.defer', { path: 'void.entropy.sip', delay: 0 });
  await marks(1, 'entropy.sip');
  const graph = await ok('time.trace.analyze', { target: 'void.entropy.sip', show_ghosts: true });
  assert.deepEqual(graph.edges, [{ from: 'time.schedule.run_due', to: 'void.entropy.sip', calls: 1 }]);
  assert.deepEqual(graph.nodes.map((x) => [x.path, x.distance]), [['void.entropy.sip', 0], ['time.schedule.run_due', 1]]);
  assert.equal(graph.node_count, 2);
  assert.ok(graph.ghosts.some((x) => x.path === 'void.entropy.pour'));
  const callees = await ok('time.trace.analyze', { target: 'time.schedule.run_due', callees: true });
  assert.deepEqual([callees.direction, callees.node_count], ['callees', 2]);

  for (const [mode, source] of [['tree', 'static'], ['graph', 'static'], ['tree', 'runtime'], ['graph', 'runtime'], ['timeline', 'runtime'], ['flame', 'runtime']]) {
    const { visualization, count } = await ok('time.trace.render', { mode, source, target: source === 'runtime' ? 'void.' : 'time.', width: 60 });
    assert.ok(count > 0, `${mode} ${source}`);
    assert.match(visualization, source === 'runtime' ? /sip|entropy/ : /schedule/);
    for (const line of visualization.split('\n')) assert.ok(line.length <= 60, line);
  }
  const none = await ok('time.trace.diff', { before: '2020-01-01', after: 'now' });
  assert.equal(none.before_count, 0);
  assert.ok(none.added.includes('void.entropy.sip'));
  assert.deepEqual(await ok('time.trace.diff', { before: ['a.b.c', 'd.e.f'], after: graph }), {
    added: ['time.schedule.run_due', 'void.entropy.sip'],
    removed: ['a.b.c', 'd.e.f'],
    unchanged: [],
    before_count: 2,
    after_count: 2,
  });
});

test('a state is found again at its time', async () => {
  const { ok, invoke, lenient } = await observer('architect');
  const before = new Date(Date.now() - 1000).toISOString();
  await lenient('world.tower.transform', { changes: { height: 10, colour: 'red' } });
  const { at: first } = await ok('time.past.project', { target: 'world.tower', timestamp: 'now' });
  await ok('world.tower.transform', { changes: { height: 12, colour: null, roof: 'flat' } });
  assert.equal((await ok('time.past.project', { target: 'world.tower', timestamp: before })).state, null);
  assert.equal((await ok('time.past.project', { target: 'world.tower', timestamp: first })).state.height, 10);
  assert.equal((await ok('time.past.project', { target: 'world.tower', timestamp: 'now' })).state.height, 12);
  for (const aspect of ['compare', 'diff']) {
    const { changes, state1, state2 } = await ok(`time.past.${aspect}`, { target: 'world.tower', t1: first });
    assert.deepEqual([state1.height, state2.height], [10, 12]);
    assert.deepEqual(changes.modified.height, { old: 10, new: 12 });
    assert.deepEqual(changes.added, { roof: 'flat' });
    assert.deepEqual(changes.removed, { colour: 'red' });
  }
  assert.equal((await invoke('time.past.project', { target: 'world.tower', timestamp: 'once' })).status, 400);
});

test('a forecast follows what was seen, and says so when nothing was', async () => {
  const { ok, lenient } = await observer('architect');
  const nothing = await ok('time.future.forecast', { target: 'world.nowhere' });
  assert.deepEqual(nothing.forecast, {
    trend: 'uncertain',
    confidence: 0.5,
    scenarios: [
      { name: 'optimistic', probability: 0.3 },
      { name: 'baseline', probability: 0.4 },
      { name: 'pessimistic', probability: 0.3 },
    ],
  });
  for (let size = 10; size < 60; size += 10) await lenient('world.tower.transform', { changes: { size } });
  const { forecast, horizon } = await ok('time.future.forecast', { target: 'world.tower', horizon: '2h' });
  assert.equal(horizon, '2h');
  assert.equal(forecast.trend, 'rising');
  assert.equal(forecast.measure, 'size');
  assert.ok(forecast.expected > 50);
  assert.ok(Math.abs(forecast.scenarios.reduce((sum, x) => sum + x.probability, 0) - 1) < 1e-9);

  const { simulation } = await ok('time.future.simulate', { steps: 3, parameters: { state: { a: 2 }, growth: 1 } });
  assert.deepEqual(simulation, [{ step: 0, state: { a: 2 } }, { step: 1, state: { a: 4 } }, { step: 2, state: { a: 8 } }]);
  const own = await ok('time.future.simulate', { steps: 2, target: 'world.tower', step: '1s' });
  assert.equal(own.simulation[0].state.size, 50);
  assert.ok(own.simulation[1].state.size > 50);

  const question = 'Will world.tower grow?';
  const told = await ok('time.future.predict', { question, confidence_threshold: 0.1 });
  assert.equal(told.question, question);
  assert.match(told.prediction, /size of world.tower will rise/);
  assert.equal((await ok('time.future.predict', { question: 'Will it rain?' })).prediction, 'uncertain');
});

test('what the server asks of itself is nobody\'s to ask', async () => {
  const { ok, invoke } = await observer();
  const { affordances } = await ok('time.schedule.affordances');
  for (const name of ['defer', 'cancel', 'list']) assert.ok(affordances.includes(name));
  assert.ok(!affordances.includes('run_due'));
  assert.equal((await invoke('time.schedule.run_due')).status, 403);
});

test('what somebody generates is made less boring when he expects it', async () => {
  const { ok, lenient } = await observer('philosopher');
  const plain = await lenient('concept.justice.dialectic', { thesis: 'Might is right.' });
  assert.equal(plain.blend, undefined);
  await lenient('self.judgment.expectations', { set_key: 'prior', set_value: plain });
  const curated = await lenient('concept.justice.dialectic', { thesis: 'Might is right.' });
  for (const name of Object.keys(plain)) assert.ok(name in curated, name);
  assert.ok(curated.blend, 'a blend was added');
  await ok('void.entropy.sip', { amount: (await ok('void.entropy.status')).remaining });
  const broke = await lenient('concept.justice.dialectic', { thesis: 'Might is right.' });
  assert.equal(broke.blend, undefined, 'without entropy the original stays');
});
