// What tenants define: entities of world with their state, concepts with their lineage, jobs, agents and the decisions that
// wait (agentese.md 8.1, 8.3, 14.1; 19 lines 2, 3, 6, 20).
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Observer } from '../support/agentese.mjs';
import { openDatabase, startDev } from '../support/server.mjs';
import { newTenant } from '../support/tenants.mjs';

let server;
let db;
let ana; // of one tenant, architect
let other; // of another
before(async () => {
  server = await startDev({ env: { KGENTS_EMBEDDED_TOKENS_PER_SECOND: 0 } });
  db = await openDatabase(server.stateDir);
  const scopes = ['read', 'write', 'admin'];
  ana = new Observer(server, (await newTenant(db, { scopes })).key, 'architect');
  other = new Observer(server, (await newTenant(db, { scopes })).key, 'architect');
});
after(async () => {
  await db?.end();
  await server?.dispose();
});

test('19.6: what transform sets is seen by every archetype and by no other tenant', async () => {
  await ana.loose('world.house.define', { spec: 'A house by the sea', entity_type: 'building' });
  await ana.ok('world.house.transform', { changes: { colour: 'red', dimensions: { height: 3 } } });
  await ana.ok('world.house.transform', { changes: { dimensions: { width: 4 }, colour: null } });
  const plan = await ana.ok('world.house.manifest');
  assert.deepEqual([plan.type, plan.dimensions], ['blueprint', { height: 3, width: 4 }]);
  const plain = await ana.as('guest').ok('world.house.manifest');
  assert.deepEqual([plain.summary, plain.content, plain.metadata.entity_type], ['World_Entity: house', 'A house by the sea', 'building']);
  for (const archetype of ['poet', 'economist', 'scientist', 'developer', 'admin', 'guest'])
    assert.deepEqual((await ana.as(archetype).ok('world.house.manifest')).state, { dimensions: { height: 3, width: 4 } }, archetype);
  await other.refused('world.house.manifest', {}, 404);
  assert.deepEqual((await other.loose('world.house.manifest')).dimensions, {});
});

test('fifty changes at once are all there', async () => {
  const names = Array.from({ length: 50 }, (_, i) => `part_${i}`);
  await ana.loose('world.crowd.define', { spec: 'many' });
  await Promise.all(names.map((name, i) => ana.ok('world.crowd.transform', { changes: { [name]: i } })));
  const { state } = await ana.ok('world.crowd.manifest');
  assert.deepEqual(Object.keys(state).sort(), [...names].sort());
  const { rows } = await db.query("SELECT count(*)::int AS n FROM kg.agentese_snapshots WHERE target = 'world.crowd'");
  assert.equal(rows[0].n, 51, 'each change has left a state');
});

test('what nobody has defined can be defined, with parts below it', async () => {
  const path = 'world.mill';
  await ana.refused(`${path}.manifest`, {}, 404, 'NODE_NOT_REGISTERED');
  assert.equal((await ana.ok(`${path}.define`, { spec: 'a mill' })).handle, path);
  const wheel = await ana.ok(`${path}.define`, { name: 'wheel', spec: 'turns', entity_type: 'machine' });
  assert.deepEqual([wheel.handle, wheel.status, wheel.version], ['world.mill.wheel', 'defined', 1]);
  assert.deepEqual((await ana.ok(`${path}.blueprint`)).parts, ['world.mill.wheel']);
  assert.equal((await ana.ok(`${path}.define`, { name: 'wheel', spec: 'turns fast' })).status, 'redefined');
  for (const name of ['Wheel', 'a.b', 'x-y', '1a']) await ana.refused(`${path}.define`, { name }, 400, 'INVALID_ARGUMENT');
  const guest = await ana.as('poet').refused(`${path}.define`, { name: 'door' }, 403, 'CAPABILITY_REQUIRED');
  assert.match(guest.message, /define/);
});

test('8.1: acts change the state that they name', async () => {
  const path = 'world.villa';
  const as = (archetype) => ana.as(archetype);
  await ana.ok(`${path}.define`, { spec: 'a villa' });
  assert.equal((await ana.ok(`${path}.renovate`, { roof: 'new', changes: { materials: ['oak'] } })).status, 'renovated');
  assert.deepEqual((await ana.ok(`${path}.manifest`)).materials, ['oak']);
  await as('inhabitant').ok(`${path}.furnish`, { item: 'table' });
  assert.deepEqual((await as('inhabitant').ok(`${path}.furnish`, { item: 'chair' })).furniture, ['table', 'chair']);
  assert.equal((await as('inhabitant').ok(`${path}.enter`, { who: 'ana' })).status, 'entered');
  assert.equal((await as('inhabitant').ok(`${path}.exit`, { who: 'bob' })).status, 'not inside');
  assert.deepEqual((await as('inhabitant').ok(`${path}.exit`, { who: 'ana' })).occupants, []);
  assert.equal((await as('scientist').ok(`${path}.measure`)).value, 'unmeasured');
  assert.equal((await as('scientist').ok(`${path}.measure`, { metric: 'roof' })).value, 'new');
  assert.deepEqual(await as('scientist').ok(`${path}.experiment`, { hypothesis: 'it leaks' }).then((x) => [x.hypothesis, x.result]), ['it leaks', 'pending']);
  assert.equal((await as('scientist').ok(`${path}.hypothesize`)).hypotheses.length, 3);
  for (const price of [100, 110, 120]) await as('economist').ok(`${path}.trade`, { price });
  const worth = await as('economist').ok(`${path}.manifest`);
  assert.deepEqual([worth.market_value, worth.appreciation_forecast, worth.comparable_sales.length], [110, 'rising', 3]);
  assert.ok((await as('economist').ok(`${path}.forecast`, { horizon: '7d' })).expected_value > 110);
  assert.match(await as('poet').ok(`${path}.metaphorize`, { context: 'the sea' }), /sea/);
  assert.equal((await as('poet').ok(`${path}.manifest`)).metaphors.length, 1);
  assert.deepEqual((await as('admin').ok(`${path}.configure`, { config: { heating: 'on' } })).config, { heating: 'on' });
  assert.equal((await as('admin').ok(`${path}.provision`, { resource: 'power', amount: 2 })).provisioned, 2);
  assert.ok((await as('admin').ok(`${path}.audit`)).entries.length >= 10);
  assert.equal((await ana.ok(`${path}.demolish`, { part: 'roof' })).status, 'demolished');
  assert.equal((await ana.ok(`${path}.manifest`)).state.roof, undefined);
  const { note, acts } = await ana.ok(`${path}.witness`);
  assert.match(note, /^Changed \d+ times since /);
  assert.deepEqual(acts.slice(0, 2).map((x) => x.action), ['define', 'renovate']);
  assert.equal((await ana.ok(`${path}.demolish`, { forget: true })).status, 'forgotten');
  await ana.refused(`${path}.manifest`, {}, 404);
});

test('relations are kept, and listed without a target', async () => {
  await ana.ok('world.harbour.define', {});
  assert.deepEqual((await ana.ok('world.harbour.relate')).related, []);
  const first = await ana.ok('world.harbour.relate', { target: 'world.mill', relation: 'serves' });
  assert.deepEqual(first.all_relations, { serves: ['world.mill'] });
  await ana.ok('world.harbour.relate', { target: 'world.mill', relation: 'serves' });
  assert.deepEqual((await ana.ok('world.harbour.relate')).related, ['world.mill']);
});

test('a job is queued, goes to one taker and ends once', async () => {
  const dev = ana.as('developer');
  const { job_id, status } = await dev.loose('world.engine.build', { target: 'core' });
  assert.equal(status, 'queued');
  assert.equal((await dev.ok('world.engine.manifest')).build_status, 'queued');
  const claims = await Promise.all([1, 2, 3].map(() => dev.ok('world.jobs.claim', { job_id })));
  assert.equal(claims.filter((x) => x.error === undefined).length, 1);
  assert.equal((await dev.ok('world.jobs.report', { job_id, status: 'done' })).status, 'done');
  assert.match((await dev.ok('world.jobs.cancel', { job_id })).error, /done already/);
  assert.equal((await dev.ok('world.engine.manifest')).build_status, 'done');
  assert.equal((await ana.as('guest').ok('world.jobs.list', { node: 'world.engine' })).count, 1);
  await ana.as('poet').refused('world.jobs.cancel', { job_id }, 403, 'AFFORDANCE_DENIED');
  assert.match((await other.as('developer').ok('world.jobs.inspect', { job_id })).error, /not found/);
});

test('14.1, 19.20: a lineage is checked in order and gives what the parents have', async () => {
  const define = (name, kwargs, who = ana) => who.invoke(`concept.${name}.define`, kwargs);
  const code = async (name, kwargs) => {
    const { status, body, text } = await define(name, kwargs);
    assert.equal(status, 412, text);
    return [body.detail.code, body.detail.details?.violation_type].filter(Boolean).join(' ');
  };
  assert.equal(await code('virtue', { spec: 'x' }), 'LINEAGE');
  assert.equal(await code('virtue', { extends: ['concept.nowhere'] }), 'LINEAGE');
  const { status, body } = await define('virtue', { spec: 'What makes good', extends: ['concept.entity'] });
  assert.equal(status, 200);
  assert.deepEqual([body.result.lineage.depth, body.result.lineage.domain], [2, 'general']);
  const courage = await ana.ok('concept.virtue.define', { name: 'courage', spec: 'To stand firm', extends: ['virtue', 'concept.process'] });
  assert.deepEqual([courage.handle, courage.lineage.domain, courage.lineage.depth], ['concept.virtue.courage', 'virtue', 3]);
  assert.deepEqual(courage.lineage.constraints, ['has_input', 'has_output']);
  assert.equal(await code('virtue', { extends: ['concept.virtue.courage'] }), 'LATTICE cycle');
  assert.equal(await code('mixed', { extends: ['concept.process', 'concept.relation'] }), 'LATTICE empty_constraints');
  await ana.ok('concept.fluid.define', { extends: ['concept.entity'], affordances: ['mutable'] });
  await ana.ok('concept.solid.define', { extends: ['concept.entity'], affordances: ['immutable'] });
  assert.equal(await code('both', { extends: ['concept.fluid', 'concept.solid'] }), 'LATTICE affordance_conflict');
  assert.equal((await define('mine', { extends: ['concept'] }, ana.as('poet'))).status, 403);
  // What it extends decides what can be done with it, by anybody.
  const guest = ana.as('guest');
  const { ancestors } = await guest.ok('concept.virtue.courage.lineage');
  assert.ok(['concept.virtue', 'concept.process', 'concept.entity', 'concept'].every((x) => ancestors.includes(x)), ancestors.join());
  assert.match((await guest.ok('concept.virtue.courage.execute', { input: 'a storm' })).output, /storm/);
  assert.equal((await guest.ok('concept.virtue.refine', { challenge: 'And of machines?' })).status, 'refined');
  await guest.refused('concept.virtue.dialectic', {}, 403, 'AFFORDANCE_DENIED');
  await guest.refused('concept.virtue.execute', { input: 1 }, 403, 'AFFORDANCE_DENIED');
  await guest.refused('concept.virtue.courage.traverse', { source: 'a' }, 403, 'AFFORDANCE_DENIED');
  await ana.ok('concept.cause.define', { extends: ['concept.relation'] });
  for (const [source, target] of [['a', 'b'], ['b', 'c'], ['c', 'a']]) await guest.ok('concept.cause.connect', { source, target });
  assert.deepEqual((await guest.ok('concept.cause.traverse', { source: 'a' })).reached, ['b', 'c']);
  await other.refused('concept.virtue.manifest', {}, 404);
});

test('8.3: refining changes the definition, dialectic has three parts, validation counts what is there', async () => {
  const wise = ana.as('philosopher');
  await ana.ok('concept.justice.define', { spec: 'Justice is giving everybody their due.', extends: ['concept.entity'] });
  const refined = await wise.ok('concept.justice.refine', { challenge: 'What of strangers?' });
  assert.equal(refined.original, 'Justice is giving everybody their due.');
  assert.match(refined.refined, /strangers/);
  assert.equal((await wise.ok('concept.justice.manifest')).definition, refined.refined);
  const triad = await wise.ok('concept.justice.dialectic', { thesis: 'Justice is equality' });
  assert.deepEqual([triad.thesis, triad.antithesis, triad.status], ['Justice is equality.', 'Justice is not equality.', 'dialectic complete']);
  assert.equal((await wise.ok('concept.justice.manifest')).dialectic.thesis, triad.thesis);
  assert.ok(Array.isArray((await wise.ok('concept.justice.critique')).critique));
  const check = (kwargs) => ana.as('engineer').ok('concept.justice.validate', kwargs);
  assert.equal((await check({})).valid, false);
  await ana.as('teacher').ok('concept.justice.exemplify');
  await ana.ok('concept.justice.relate', { target: 'concept.law' });
  assert.deepEqual(await check({ domain: 'law' }).then((x) => [x.valid, x.criteria_checked]), [true, 4]);
  assert.match((await ana.as('engineer').ok('concept.justice.implement', { language: 'rust' })).implementation, /pub struct Justice/);
});

test('blends and summaries are computed of what they are given', async () => {
  const x = await ana.ok('concept.blend.forge', { inputs: ['house', 'boat'] });
  assert.deepEqual([x.input_space_a.name, x.input_space_b.name], ['house', 'boat']);
  assert.ok(x.alignment_score >= 0 && x.alignment_score <= 1);
  assert.ok((await ana.ok('concept.blend.analyze', { blend: x })).reading.length > 5);
  const text = 'The house has a garden. The garden of the house is green. Interest rates rose sharply.';
  const { refined } = await ana.ok('concept.summary.refine', { input: text, target_coherence: 0.5 });
  assert.equal(refined, 'The house has a garden. The garden of the house is green.');
});

test('agents answer, each observer may do its own with them', async () => {
  const { agents } = await ana.as('guest').ok('world.agent.list');
  assert.deepEqual(agents.filter((x) => x.kind === 'builtin').map((x) => x.agent), [...'abcdefghijklmnopqrstuvw', 'psi', 'flux']);
  assert.ok((await ana.as('guest').ok('world.agent.k.invoke', { input: 'How do I begin?' })).response.length > 20);
  assert.deepEqual((await ana.as('developer').ok('world.agent.k.compose', { with: 'r', input: 'A long story' })).agents, ['k', 'r']);
  await ana.as('developer').refused('world.agent.k.restart', {}, 403, 'AFFORDANCE_DENIED');
  assert.equal((await ana.as('admin').ok('world.agent.k.restart')).restarts, 1);
  assert.equal((await ana.as('admin').ok('world.agent.k.status')).restarts, 1);
  await ana.refused('world.agent.zeta.manifest', {}, 404);
});

test('decisions that wait are found, made once and stay made', async () => {
  const { token_id } = await ana.ok('self.semaphore.yield', { prompt: 'Ship it?', options: ['yes', 'no'] });
  const waiting = await ana.as('guest').ok('world.purgatory.list');
  assert.ok(JSON.stringify(waiting).includes(token_id));
  await ana.as('guest').refused('world.purgatory.resolve', { token_id, human_input: 'yes' }, 403, 'AFFORDANCE_DENIED');
  await ana.ok('world.purgatory.resolve', { token_id, human_input: 'yes' });
  assert.ok(JSON.stringify(await ana.ok('world.purgatory.inspect', { token_id })).includes('resolved'));
  const again = await ana.invoke('world.purgatory.cancel', { token_id });
  assert.ok(again.status === 409 || again.body.result?.error, again.text);
});
