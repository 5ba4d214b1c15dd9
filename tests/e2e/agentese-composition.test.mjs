// agentese.md 9, 10 and 19 lines 11-14: compositions, pipelines, their laws and what they cost.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Observer, withoutTimes } from '../support/agentese.mjs';
import { openDatabase, startDev } from '../support/server.mjs';
import { addKey, newTenant } from '../support/tenants.mjs';

let server;
let db;
before(async () => {
  server = await startDev();
  db = await openDatabase(server.stateDir);
});
after(async () => {
  await db?.end();
  await server?.dispose();
});

async function tenant(archetype = 'developer', how = {}) {
  const made = await newTenant(db, how);
  const out = new Observer(server, made.key, archetype);
  out.tenant = made.id;
  return out;
}
const remaining = async (who) => (await who.ok('void.entropy.status')).remaining;
const text = 'A house is a home. A home is where one lives. Prices rose in spring. Nobody knows why.';

test('10: the example: a manifest is refined and kept', async () => {
  const ana = await tenant('architect');
  await ana.loose('world.doc.transform', { changes: { title: 'Harbour plan', pages: 12 } });
  const paths = ['world.doc.manifest', 'concept.summary.refine', 'self.memory.engram'];
  const { result, pipeline_trace: trace, laws_verified: laws, meta } = await ana.composed(paths);
  assert.equal(result.status, 'engrammed');
  assert.deepEqual(trace.map((x) => x.path), paths);
  assert.match(meta.span_id, /^[0-9a-f]{16}$/);
  trace.forEach((x, i) => {
    assert.equal(x.span_id, `${meta.span_id}-${i}`);
    assert.equal(x.output_type, 'object');
    assert.ok(Number.isInteger(x.duration_ms) && x.duration_ms >= 0);
  });
  assert.deepEqual(laws, ['identity', 'associativity']);
  assert.deepEqual([meta.observer, meta.cached, meta.laws_verified], ['architect', false, laws]);
  assert.ok(Date.parse(meta.timestamp) > Date.now() - 60e3);
  assert.ok((await ana.ok('self.memory.recall')).memories.includes(result.key), 'it really was kept');
});

test('10: a value reaches the next stage as input, the initial one the first stage', async () => {
  const ana = await tenant();
  const alone = await ana.ok('concept.summary.refine', { input: text });
  const { result } = await ana.composed(['concept.summary.refine'], { initial_input: text });
  assert.deepEqual(withoutTimes(result), withoutTimes(alone));
  const kept = await ana.composed(['self.memory.engram', 'self.memory.recall'], { initial_input: 'remember the lighthouse' });
  assert.equal(kept.pipeline_trace.length, 2);
});

const wayOf = [
  ['concept.summary.refine', 'concept.summary.refine', 'void.entropy.status'],
  ['world.house.manifest', 'self.vitals.manifest', 'time.schedule.list'],
  ['void.capital.balance', 'concept.summary.refine', 'self.soul.eigenvectors'],
  ['self.forest.manifest', 'world.agent.list', 'self.capabilities.list'],
];
test('19.11: (a >> b) >> c is a >> (b >> c)', async () => {
  const ana = await tenant();
  for (const [a, b, c] of wayOf) {
    const flat = await ana.composed([a, b, c], { initial_input: text });
    const left = await ana.composed([a, b], { initial_input: text });
    const leftThenC = await ana.composed([c], { initial_input: left.result });
    const right = await ana.composed([b, c], { initial_input: (await ana.composed([a], { initial_input: text })).result });
    assert.deepEqual(withoutTimes(leftThenC.result), withoutTimes(flat.result), `(${a} >> ${b}) >> ${c}`);
    assert.deepEqual(withoutTimes(right.result), withoutTimes(flat.result), `${a} >> (${b} >> ${c})`);
    const v1 = await ana.v1(`${a} >> ${b} >> ${c}`, { input: text });
    assert.equal(v1.status, 200, v1.text);
    assert.deepEqual(withoutTimes(v1.body.result), withoutTimes(flat.result));
    const { status, body } = await ana.verifyLaws([a, b, c], { initial_input: text });
    assert.equal(status, 200);
    assert.deepEqual(body, { identity_holds: true, associativity_holds: true, errors: [], locus: `${a} >> ${b} >> ${c}` });
  }
});

test('19.11: Id disappears on either side; alone it returns its input', async () => {
  const ana = await tenant();
  const path = 'concept.summary.refine';
  const plain = await ana.composed([path], { initial_input: text });
  for (const paths of [['Id', path], [path, 'Id'], ['Id', 'Id', path, 'Id']]) {
    const with_ = await ana.composed(paths, { initial_input: text });
    assert.deepEqual(withoutTimes(with_.result), withoutTimes(plain.result), paths.join(' >> '));
    assert.deepEqual(with_.pipeline_trace.map((x) => x.path), [path]);
  }
  for (const input of [7, 'words', { a: [1] }, null]) {
    const { result, pipeline_trace: trace } = await ana.composed(['Id'], { initial_input: input });
    assert.deepEqual([result, trace], [input, []]);
  }
});

test('10: laws of what changes something are looked at, not run', async () => {
  const ana = await tenant();
  const { status, body } = await ana.verifyLaws(['void.entropy.sip', 'self.memory.engram', 'void.gratitude.tithe']);
  assert.equal(status, 200);
  assert.deepEqual([body.identity_holds, body.associativity_holds, body.errors], [true, true, []]);
  assert.equal(await remaining(ana), 100, 'nothing was sipped');
  assert.deepEqual((await ana.ok('self.memory.recall')).memories, []);
});

test('19.12: an object that holds an array passes; no aspect answers with a bare one', async () => {
  const ana = await tenant();
  const { result } = await ana.composed(['time.schedule.list', 'self.capabilities.list', 'world.agent.list']);
  assert.ok(Object.values(result).some(Array.isArray));
  const { body } = await ana.get('/agentese/discover?include_schemas=true');
  for (const [node, aspects] of Object.entries(body.schemas))
    for (const [aspect, { response }] of Object.entries(aspects)) {
      const shapes = response.anyOf ?? [response];
      assert.ok(shapes.every((x) => x.type !== 'array'), `${node}.${aspect} answers with an array: compose it here, and expect minimal_output`);
    }
});

test('19.13: behind a stage that fails nothing runs; the error names the stage', async () => {
  const ana = await tenant();
  const paths = ['void.entropy.status', 'self.state.restore', 'void.entropy.sip'];
  assert.equal((await ana.compose(paths)).status, 200, 'no snapshot: a value like any other');
  const before = await remaining(ana);

  const failing = ['void.gratitude.thank', 'time.schedule.defer', 'void.entropy.sip'];
  const { status, body } = await ana.compose(failing);
  assert.ok(status >= 400 && status < 500, `${status}`);
  assert.deepEqual(body.detail.pipeline_trace.map((x) => x.path), failing.slice(0, 2), 'two entries');
  assert.equal(body.detail.failed_stage, 2);
  assert.match(body.detail.error, /^Stage 2 'time\.schedule\.defer' failed: path required/);
  assert.equal(await remaining(ana), before, 'the third never ran');

  const collected = await ana.composed(failing, { partial_results: 'collect' });
  assert.deepEqual(collected.result.stages.map((x) => [x.path, x.success]), [[failing[0], true], [failing[1], false], [failing[2], true]]);
  assert.ok(collected.result.stages[1].error.message);
});

test('10: everything is checked before the first stage runs', async () => {
  const ana = await tenant();
  const before = await remaining(ana);
  for (const [last, status, code] of [['world.house', 400, 'SYNTAX_ERROR'], ['earth.house.manifest', 400, 'SYNTAX_ERROR'], ['world.house.fly', 403, 'AFFORDANCE_DENIED'], ['void.entropy.SIP', 400, 'SYNTAX_ERROR']]) {
    const answer = await ana.compose(['void.entropy.sip', last]);
    assert.deepEqual([answer.status, answer.body.detail.code], [status, code], `${last}: ${answer.text}`);
  }
  const reader = new Observer(server, (await addKey(db, ana.tenant, { scopes: ['read'] })).key, 'developer');
  assert.equal((await reader.compose(['void.entropy.sip', 'self.memory.engram'])).status, 403);
  assert.equal((await ana.as('guest').compose(['void.entropy.sip', 'self.soul.dialogue'])).status, 403);
  assert.equal(await remaining(ana), before);
  const none = await ana.compose([]);
  assert.equal(none.status, 422);
  assert.deepEqual([none.body.detail[0].type, none.body.detail[0].loc], ['too_short', ['body', 'paths']]);
  const wrong = await ana.compose(['void.entropy.sip', 7]);
  assert.deepEqual([wrong.status, wrong.body.detail[0].loc], [422, ['body', 'paths', 1]]);
});

test('10: a refusal is the whole result', async () => {
  const ana = await tenant();
  const before = await remaining(ana);
  const { status, body } = await ana.compose(['self.identity.evolve', 'void.entropy.sip']);
  assert.equal(status, 451, JSON.stringify(body));
  assert.ok(body.detail.reason.length > 0);
  assert.equal(await remaining(ana), before);
});

const effects = async (who, paths) => {
  const { status, text: said, body } = await who.post('/v1/agentese/effects', { paths });
  assert.equal(status, 200, said);
  return body;
};

test('9: the effects of the example', async () => {
  const ana = await tenant();
  assert.deepEqual(await effects(ana, ['self.memory.recall', 'self.soul.dialogue']), {
    reads: ['memory'],
    writes: [],
    calls: ['llm'],
    charges: { tokens: 500 },
    required_capabilities: [],
  });
});

test('19.14: effects of a composition contain those of its parts; charges are summed; order does not matter', async () => {
  const ana = await tenant();
  const parts = ['self.memory.engram', 'self.soul.dialogue', 'world.house.transform', 'self.soul.challenge', 'void.entropy.sip', 'time.trace.witness', 'self.memory.forget'];
  const each = await Promise.all(parts.map((path) => effects(ana, [path])));
  const whole = await effects(ana, parts);
  for (const name of ['reads', 'writes', 'calls', 'required_capabilities']) {
    const union = new Set(each.flatMap((x) => x[name]));
    assert.deepEqual(new Set(whole[name]), union, name);
  }
  const sums = {};
  for (const { charges } of each) for (const [resource, n] of Object.entries(charges)) sums[resource] = (sums[resource] ?? 0) + n;
  assert.deepEqual(whole.charges, sums);
  assert.equal(whole.charges.tokens, 1000);
  assert.ok(whole.required_capabilities.includes('memory:write'));
  assert.deepEqual(await effects(ana, [...parts].reverse()), whole);
  assert.equal(await remaining(ana), 100, 'a dry run');
  const { body } = await ana.post('/v1/agentese/effects', { paths: ['self.memory.recall', 'self.nothing_here.at.all'] });
  assert.ok(body.detail, 'what is not registered has no effects');
});

test('19.14: an entropy budget is taken before the aspect runs and given back when it fails', async () => {
  const ana = await tenant();
  const ok = await ana.universal('void.entropy.status', {}, { entropy_budget: 0.5 });
  assert.deepEqual([ok.status, ok.body.result.remaining], [200, 99.5], 'charged before');
  assert.equal(await remaining(ana), 99.5);
  const denied = await ana.universal('self.memory.allocate', {}, { entropy_budget: 0.25 });
  const missing = await ana.universal('time.schedule.defer', {}, { entropy_budget: 0.25 });
  const refused = await ana.universal('self.identity.evolve', {}, { entropy_budget: 0.25 });
  assert.equal(denied.status, 403);
  assert.equal(missing.status, 400);
  assert.equal(refused.status, 451);
  assert.equal(await remaining(ana), 99.5, 'refunded in full');
  for (const budget of [-0.1, 1.1]) assert.equal((await ana.universal('void.entropy.status', {}, { entropy_budget: budget })).status, 422);
  await ana.ok('void.entropy.sip', { amount: await remaining(ana) });
  const empty = await ana.universal('void.entropy.status', {}, { entropy_budget: 0.1 });
  assert.deepEqual([empty.status, empty.body.detail.code], [402, 'BUDGET_EXHAUSTED']);
});

test('10: a pipeline on one node tells each stage', async () => {
  const ana = await tenant();
  const line = async (path, kwargs) => {
    const { status, text: said, body } = await ana.v1(path, kwargs);
    assert.equal(status, 200, said);
    return body.result;
  };
  const good = await line('void.entropy.pipe(sip, sample, status)');
  assert.deepEqual(good.stages.map((x) => [x.aspect, x.success, x.error]), [['sip', true, null], ['sample', true, null], ['status', true, null]]);
  assert.deepEqual([good.success, good.failed_at, good.final_result], [true, -1, good.stages[2].result]);
  assert.equal(good.final_result.remaining, 99.9);
  assert.ok(good.stages.every((x) => x.duration_ms >= 0) && good.total_duration_ms >= 0);

  await ana.ok('void.entropy.sip', { amount: 99.9 });
  const bad = await line('void.entropy.pipe(status, sip, sample)');
  assert.deepEqual(bad.stages.map((x) => [x.aspect, x.success]), [['status', true], ['sip', false]]);
  assert.deepEqual([bad.success, bad.failed_at, bad.final_result], [false, 1, null]);
  assert.ok(bad.stages[1].error.length > 0);
  for (const path of ['void.entropy.pipe(sip, fly)', 'void.pipe(sip)', 'void.entropy.pipe(sip', 'void.entropy.pipe(Sip)']) assert.ok([400, 403, 404].includes((await ana.v1(path)).status), path);
});

test('10: laws hold for random compositions', async () => {
  const ana = await tenant();
  const quiet = ['void.entropy.status', 'concept.summary.refine', 'world.house.manifest', 'self.capabilities.list', 'void.capital.balance', 'time.schedule.list', 'self.soul.eigenvectors', 'self.memory.recall', 'concept.justice.manifest', 'Id'];
  const seed = Number(process.env.KGENTS_TEST_SEED ?? Date.now() % 1e9);
  let state = seed;
  const random = (n) => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return Math.floor((state / 2147483648) * n);
  };
  for (let round = 0; round < 25; round++) {
    const paths = Array.from({ length: 1 + random(5) }, () => quiet[random(quiet.length)]);
    const { status, text: said, body } = await ana.verifyLaws(paths, { initial_input: 'a house by the sea' });
    assert.equal(status, 200, `seed ${seed}: ${paths.join(' >> ')}: ${said}`);
    assert.deepEqual([body.identity_holds, body.associativity_holds, body.errors], [true, true, []], `seed ${seed}: ${paths.join(' >> ')}`);
  }
});
