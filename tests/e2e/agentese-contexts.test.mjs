// agentese.md 19, lines 2-4, 6-10, 18-20: what the five contexts do, over HTTP.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Observer, baseAspects } from '../support/agentese.mjs';
import { openDatabase, startDev } from '../support/server.mjs';
import { addKey, newTenant } from '../support/tenants.mjs';
import { until } from '../support/wait.mjs';

let server;
let db;
before(async () => {
  server = await startDev({ env: { KGENTS_EMBEDDED_TOKENS_PER_SECOND: 0, KGENTS_LOG_FORMAT: 'json' } });
  db = await openDatabase(server.stateDir);
});
after(async () => {
  await db?.end();
  await server?.dispose();
});

/// A new tenant's observer; `id` is the tenant's.
async function tenant(archetype = 'developer', how = {}) {
  const made = await newTenant(db, how);
  const out = new Observer(server, made.key, archetype);
  out.tenant = made.id;
  return out;
}

test('19.2: the same path is a blueprint, a poem or a price, by who looks', async () => {
  const ana = await tenant('architect');
  await ana.loose('world.define_me.define', { name: 'house', spec: 'a house by the sea', entity_type: 'building' });
  const path = 'world.define_me.house';
  const seen = {};
  for (const archetype of ['architect', 'poet', 'economist', 'scientist', 'developer', 'admin', 'guest']) seen[archetype] = await ana.as(archetype).ok(`${path}.manifest`);
  const { dimensions, materials, structural_analysis: analysis, type } = seen.architect;
  assert.equal(type, 'blueprint');
  assert.ok(dimensions && materials);
  assert.deepEqual(Object.keys(analysis).sort(), ['integrity', 'load_bearing', 'stress_points']);
  assert.equal(analysis.integrity, 1);
  assert.deepEqual([seen.poet.type, seen.poet.mood], ['poetic', 'contemplative']);
  assert.ok(seen.poet.description.length > 0 && Array.isArray(seen.poet.metaphors));
  assert.equal(seen.economist.type, 'economic');
  for (const name of ['market_value', 'comparable_sales', 'appreciation_forecast']) assert.ok(name in seen.economist, name);
  assert.deepEqual([seen.scientist.type, seen.scientist.confidence], ['scientific', 0.5]);
  assert.deepEqual([seen.developer.type, seen.developer.build_status, seen.developer.test_coverage], ['developer', 'unknown', 0]);
  assert.deepEqual([seen.admin.type, seen.admin.health], ['admin', 1]);
  assert.equal(seen.guest.summary, 'World_Entity: house');
  assert.ok('entity_type' in seen.guest.metadata);
  const affordances = {};
  for (const archetype of ['architect', 'poet', 'economist']) affordances[archetype] = (await ana.as(archetype).get(`/agentese/${path.replaceAll('.', '/')}/affordances`)).body.affordances;
  assert.ok(affordances.architect.includes('blueprint') && !affordances.poet.includes('blueprint'));
  assert.ok(affordances.poet.includes('metaphorize') && !affordances.economist.includes('metaphorize'));
});

test('19.3: an architect renovates; a poet hears what a poet may do', async () => {
  const ana = await tenant('architect');
  assert.equal((await ana.v1('world.house.renovate', { changes: { roof: 'slate' } })).status, 200);
  const { status, body } = await ana.as('poet').v1('world.house.renovate', { changes: { roof: 'verse' } });
  assert.equal(status, 403);
  assert.match(body.detail, /^Affordance not available: Aspect 'renovate' not available to poet\. Available: manifest, /);
  const detail = await ana.as('poet').refused('world.house.renovate', {}, 403, 'AFFORDANCE_DENIED');
  assert.deepEqual(
    [...detail.details.available].sort(),
    [...baseAspects, 'define', 'relate', 'transform', 'describe', 'metaphorize', 'inhabit', 'contemplate'].sort(),
  );
  assert.equal(detail.fallback_verb, 'world.house.manifest');
  assert.equal((await ana.ok('world.house.manifest')).materials?.roof ?? 'slate', 'slate', 'the poet changed nothing');
});

test('19.4: the six base aspects are there on every node, for a guest too', async () => {
  const guest = await tenant('guest');
  const { body } = await guest.get('/agentese/discover');
  for (const path of body.paths)
    for (const aspect of baseAspects) {
      const result = await guest.ok(`${path}.${aspect}`);
      if (aspect === 'affordances') for (const name of baseAspects) assert.ok(result.affordances.includes(name), `${path}: ${name}`);
      if (aspect === 'alternatives') assert.ok(result.alternatives.length <= 5, path);
      if (aspect === 'polynomial') assert.ok(result.positions.includes(result.current), path);
      if (aspect === 'witness') assert.ok(Array.isArray(result.history ?? result.traces), path);
    }
});

test('4.1: witness is the history of the node itself, newest last', async () => {
  const ana = await tenant('architect');
  await ana.loose('world.mill.define', { name: 'wheel', spec: 'turns' });
  await ana.loose('world.mill.transform', { changes: { size: 1 } });
  await ana.as('poet').loose('world.mill.transform', { changes: { size: 2 } });
  const { handle, history, count } = await until(async () => {
    const seen = await ana.ok('world.mill.witness');
    return seen.history.some((x) => x.observer === 'poet') && seen;
  }, 'the last change in the history');
  assert.equal(handle, 'world.mill');
  assert.equal(count, history.length);
  assert.deepEqual(history.map((x) => x.timestamp), history.map((x) => x.timestamp).sort());
  assert.ok(history.some((x) => x.action === 'transform' && x.observer === 'architect'));
});

test('19.6: a node is one node: what transform sets, manifest shows, to this tenant only', async () => {
  const [ana, ben] = [await tenant('architect'), await tenant('architect')];
  const state = { dimensions: { width: 7 }, materials: { wall: 'brick' } };
  const { transformed, changes } = await ana.loose('world.house.transform', { changes: state });
  assert.equal(transformed, true);
  assert.deepEqual(changes, state);
  for (let i = 0; i < 2; i++) {
    const seen = await ana.ok('world.house.manifest');
    assert.deepEqual([seen.dimensions, seen.materials], [state.dimensions, state.materials]);
  }
  await ana.ok('world.house.transform', { changes: { dimensions: { width: 8 } } });
  assert.deepEqual((await ana.ok('world.house.manifest')).dimensions, { width: 8 });
  await ben.refused('world.house.manifest', {}, 404);
  assert.deepEqual((await ben.loose('world.house.manifest')).dimensions, {}, 'a fresh one');
  const universal = await ben.get('/api/v1/world/house/resolve');
  assert.equal(universal.body.exists, false);
  assert.equal((await ana.get('/api/v1/world/house/resolve')).body.exists, true);
});

test('8.1: relations are kept, jobs are queued, what is demolished says so', async () => {
  const ana = await tenant('developer');
  await ana.loose('world.bridge.transform', { changes: { span: 20 } });
  await ana.ok('world.bridge.relate', { target: 'world.river', relation: 'crosses' });
  assert.match(JSON.stringify(await ana.ok('world.bridge.relate')), /world\.river/);
  const jobs = new Set();
  for (const aspect of ['build', 'deploy', 'debug', 'test', 'refactor']) {
    const { job_id: id, status } = await ana.ok(`world.bridge.${aspect}`);
    assert.equal(status, 'queued', aspect);
    jobs.add(id);
  }
  assert.equal(jobs.size, 5);
  assert.equal((await ana.as('architect').ok('world.bridge.measure', { metric: 'span' })).value, 20);
  assert.equal((await ana.as('architect').ok('world.bridge.measure', { metric: 'weight' })).value, 'unmeasured');
});

test('8.1: purgatory holds what waits for a person, and only once', async () => {
  const ana = await tenant('admin');
  const { token_id: id, status, reason } = await ana.ok('self.semaphore.yield', { prompt: 'Ship it?', options: ['yes', 'no'], severity: 'warning', reason: 'no such reason' });
  assert.deepEqual([status, reason], ['pending', 'approval_needed']);
  assert.match(JSON.stringify(await ana.ok('world.purgatory.list')), new RegExp(id));
  assert.equal((await ana.as('poet').ok('world.purgatory.inspect', { token_id: id })).status, 'pending');
  await ana.as('poet').refused('world.purgatory.resolve', { token_id: id, human_input: 'yes' }, 403);
  await ana.ok('world.purgatory.resolve', { token_id: id, human_input: 'yes' });
  assert.equal((await ana.ok('self.semaphore.status', { token_id: id })).status, 'resolved');
  const again = await ana.invoke('world.purgatory.cancel', { token_id: id });
  assert.ok(again.status !== 200 || again.body.result.error, `only pending tokens change: ${again.text}`);
  assert.equal((await ana.ok('self.semaphore.status', { token_id: id })).status, 'resolved');
});

test('19.7: the pool gives 100 to the last tenth, and no more', async () => {
  const ana = await tenant('guest');
  const { amount, seed, source } = await ana.ok('void.entropy.sip', { amount: 100 });
  assert.deepEqual([amount, source], [100, 'accursed_share']);
  assert.ok(seed >= 0 && seed < 1);
  const empty = await ana.refused('void.entropy.sip', { amount: 0.1 }, 402, 'BUDGET_EXHAUSTED');
  assert.deepEqual([empty.details.remaining, empty.details.requested], [0, 0.1]);
  assert.equal(empty.category, 'quota_exceeded');
  assert.match(empty.suggested_action, /tithe/);
  const v1 = await ana.v1('void.entropy.sip', { amount: 0.1 });
  assert.deepEqual([v1.status, v1.body.detail], [402, 'Budget exhausted: Requested 0.1 but only 0 remaining']);
  const { regenerated, gratitude } = await ana.ok('void.gratitude.tithe');
  assert.equal(regenerated, 0.1);
  assert.ok(gratitude.length > 0);
  assert.equal((await ana.ok('void.entropy.status')).remaining, 0.1);
  assert.equal((await ana.ok('void.entropy.sip', { amount: 0.1 })).amount, 0.1);
  assert.equal((await ana.ok('void.entropy.status')).remaining, 0);
});

test('19.8: what is poured back comes back by half, never above 100; amounts are amounts', async () => {
  const ana = await tenant('guest');
  await ana.ok('void.entropy.sip', { amount: 50 });
  assert.deepEqual(await ana.ok('void.entropy.pour', { amount: 10 }), { returned: 10, recovered: 5, remaining: 55 });
  const full = await ana.ok('void.entropy.pour', { amount: 1000 });
  assert.deepEqual([full.recovered, full.remaining], [45, 100]);
  await ana.ok('void.gratitude.tithe');
  assert.equal((await ana.ok('void.entropy.status')).remaining, 100);
  for (const amount of [-1, 0, -0.0000001, 'NaN', 'Infinity', '1e400', 'many', null, [], {}, true])
    for (const path of ['void.entropy.sip', 'void.capital.tithe']) {
      if (amount === null) continue; // absent: the default
      assert.equal((await ana.invoke(path, { amount })).status, 400, `${path} ${JSON.stringify(amount)}`);
    }
  for (const amount of [-1, 0]) {
    assert.equal((await ana.invoke('void.entropy.pour', { amount })).status, 400);
    assert.deepEqual(await ana.loose('void.entropy.pour', { amount }), { error: 'amount or unused grant required' });
  }
  assert.equal((await ana.ok('void.entropy.status')).remaining, 100, 'none of them moved anything');
});

test('19.8: a grant is poured once', async () => {
  const ana = await tenant('guest');
  const grant = await ana.ok('void.entropy.sip', { amount: 8 });
  assert.equal((await ana.ok('void.entropy.pour', { grant })).recovered, 4);
  assert.equal((await ana.invoke('void.entropy.pour', { grant })).status, 400, 'used');
  assert.equal((await ana.ok('void.entropy.status')).remaining, 96);
});

test('19.9: serendipity on an empty pool says so, and is no error', async () => {
  const ana = await tenant('guest');
  const { tangent, confidence, context } = await ana.ok('void.serendipity.sip', { context: 'bridges', confidence_threshold: 0.2 });
  assert.ok(tangent.length > 0);
  assert.deepEqual([confidence, context], [0.8, 'bridges']);
  assert.equal((await ana.ok('void.entropy.status')).remaining, 99.95);
  await ana.ok('void.serendipity.inspire', { domain: 'sailing' });
  assert.equal((await ana.ok('void.entropy.status')).remaining, 99.92);
  await ana.ok('void.pataphysics.solve', { problem: 'the last page is missing' });
  await ana.ok('void.pataphysics.imagine');
  assert.equal((await ana.ok('void.entropy.status')).remaining, 99.79);
  await ana.ok('void.entropy.sip', { amount: 99.79 });
  for (const path of ['void.serendipity.sip', 'void.serendipity.tangent', 'void.serendipity.inspire', 'void.pataphysics.solve', 'void.pataphysics.imagine'])
    assert.equal((await ana.ok(path, { problem: 'x', context: 'y' })).status, 'budget_exhausted', path);
});

test('19.10: capital begins at a half, is given away, and is not had on credit', async () => {
  const ana = await tenant('guest');
  assert.equal((await ana.ok('void.capital.balance')).balance, 0.5);
  const { ritual, amount, remaining } = await ana.ok('void.capital.tithe', { amount: 0.1 });
  assert.deepEqual([ritual, amount, remaining], ['potlatch', 0.1, 0.4]);
  const detail = await ana.refused('void.capital.bypass', { check: 'trust_gate', cost: 0.5 }, 402, 'INSUFFICIENT_CAPITAL');
  assert.deepEqual([detail.details.required, detail.details.available], [0.5, 0.4]);
  const { events, count } = await ana.ok('void.capital.history');
  assert.deepEqual([count, events.filter((x) => x.type === 'POTLATCH').length, events.filter((x) => x.type === 'BYPASS').length], [events.length, 1, 0]);
  const token = await ana.ok('void.capital.bypass', { check: 'trust_gate', cost: 0.4, ttl: 60 });
  assert.equal(token.remaining, 0);
  assert.ok(Date.parse(token.expires_at) > Date.now());
  assert.equal((await ana.ok('void.capital.redeem', { token: token.token, check: 'other_gate' })).valid, false);
  assert.equal((await ana.ok('void.capital.redeem', { token: token.token, check: 'trust_gate' })).valid, true);
  assert.equal((await ana.ok('void.capital.redeem', { token: token.token, check: 'trust_gate' })).valid, false, 'once');
});

test('8.4: the oblique deck is the same for a seed', async () => {
  const ana = await tenant('guest');
  const drawn = new Set();
  for (let seed = 0; seed < 60; seed++) {
    const once = await ana.ok('void.metabolism.oblique', { seed });
    assert.deepEqual(await ana.ok('void.metabolism.oblique', { seed }), once);
    drawn.add(JSON.stringify({ ...once, seed: 0 }));
  }
  assert.ok(drawn.size > 5 && drawn.size <= 20, `${drawn.size} cards`);
});

test('19.18: what only looks cannot write, whatever it looks through', async () => {
  const ana = await tenant('developer');
  await ana.ok('self.memory.engram', { key: 'kept', data: 'a harbour' });
  assert.equal((await ana.ok('self.memory.recall', { key: 'kept' })) !== undefined, true);
  // A policy whose check writes: every read of the memories is now an attempt to write.
  await db.query(`
    CREATE SCHEMA scribbling;
    CREATE TABLE scribbling.lines (at timestamptz);
    CREATE FUNCTION scribbling.scribble() RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$ BEGIN INSERT INTO scribbling.lines VALUES (now()); RETURN true; END $$;
    GRANT USAGE ON SCHEMA scribbling TO PUBLIC;
    GRANT INSERT ON scribbling.lines TO PUBLIC;
    GRANT EXECUTE ON FUNCTION scribbling.scribble TO PUBLIC;
    CREATE POLICY scribbling ON kg.memories AS RESTRICTIVE FOR SELECT USING (scribbling.scribble());`);
  try {
    const detail = await ana.refused('self.memory.recall', { query: 'harbour' }, 403, 'CATEGORY_VIOLATION');
    assert.equal(detail.category, 'forbidden');
    assert.equal(detail.details.category, 'PERCEPTION');
    assert.equal((await ana.v1('self.memory.recall', { query: 'harbour' })).status, 403);
    const { rows } = await db.query('SELECT count(*)::int AS n FROM scribbling.lines');
    assert.equal(rows[0].n, 0, 'nothing of it was kept');
  } finally {
    await db.query('DROP POLICY scribbling ON kg.memories; DROP SCHEMA scribbling CASCADE;');
  }
  assert.equal((await ana.invoke('self.memory.recall', { query: 'harbour' })).status, 200);
});

test('19.18: without write nothing is changed but by the soul and the void; a capability token may stand for it', async () => {
  const ana = await tenant('developer');
  const { key } = await addKey(db, ana.tenant, { scopes: ['read'] });
  const reader = new Observer(server, key, 'developer');
  for (const [path, kwargs] of [['world.house.transform', { changes: { a: 1 } }], ['world.house.define', { name: 'x' }], ['self.memory.forget', { key: 'x' }], ['time.schedule.defer', { path: 'void.entropy.sip', delay: 1 }]]) {
    const aspect = path.split('.').at(-1);
    const { status, body } = await reader.v1(path, kwargs);
    assert.deepEqual([status, body.detail], [403, `API key requires 'write' scope for aspect '${aspect}'`], path);
    assert.equal((await reader.as('architect').universal(path, kwargs)).status, 403, 'an archetype is no credential');
  }
  assert.equal((await reader.v1('self.memory.forget', { key: 'x' }, { observer: { archetype: 'developer', capabilities: ['write', 'admin', 'memory:write'] } })).status, 403, 'nor is a name');
  for (const [path, kwargs] of [['void.entropy.sip', {}], ['void.entropy.pour', { amount: 1 }], ['void.gratitude.thank', {}], ['self.soul.dialogue', { message: 'hello' }]])
    assert.equal((await reader.v1(path, kwargs)).status, 200, path);
});

test('4.1: what the server asks of itself is nobody else\'s to ask, on no way', async () => {
  const ana = await tenant('admin', { scopes: ['read', 'write', 'admin'] });
  for (const [path, kwargs] of [['void.capital.credit', { agent: 'tenant', amount: 0.5 }], ['void.entropy.charge', { id: 'x', amount: 1 }], ['void.entropy.refund', { id: 'x' }], ['time.schedule.run_due', {}], ['self.aliases.expand', { name: 'me' }]]) {
    await ana.refused(path, kwargs, 403, 'AFFORDANCE_DENIED');
    assert.equal((await ana.v1(path, kwargs)).status, 403, path);
    assert.equal((await ana.compose([path])).status, 403, path);
    await ana.refused('self.judgment.refine', { generator_path: path, ...kwargs }, 403);
    assert.notEqual((await ana.invoke('time.schedule.defer', { path, kwargs, delay: 0 })).status, 200, path);
    assert.equal((await ana.ok('void.pataphysics.melt', { path, kwargs })).melted, true, 'it failed, so it melted');
    const help = await ana.ok(`${path.split('.').slice(0, 2).join('.')}.help`);
    assert.ok(!help.aspects.some((x) => x.aspect === path.split('.')[2]), 'nor is it told of');
  }
  assert.equal((await ana.ok('void.capital.balance')).balance, 0.5);
});

test('19.18: what invokes for others invokes with the rights of who asked', async () => {
  const ana = await tenant('developer');
  await ana.ok('self.memory.engram', { key: 'kept', data: 'x' });
  const reader = new Observer(server, (await addKey(db, ana.tenant, { scopes: ['read'] })).key, 'developer');
  for (const [path, kwargs] of [
    ['void.pataphysics.melt', { path: 'self.memory.forget', kwargs: { key: 'kept' } }],
    ['self.judgment.refine', { generator_path: 'self.memory.forget', key: 'kept' }],
    ['time.schedule.defer', { path: 'self.memory.forget', kwargs: { key: 'kept' }, delay: 0 }],
  ]) {
    const { status } = await reader.invoke(path, kwargs);
    assert.ok(status < 500, path);
    assert.deepEqual((await ana.ok('self.memory.recall')).memories, ['kept'], `${path} forgot nothing`);
  }
  // Nor may anything that only looks lead to a change.
  const { status } = await ana.invoke('void.pataphysics.melt', { path: 'void.pataphysics.melt', kwargs: { path: 'void.pataphysics.melt', kwargs: { path: 'void.entropy.status' } } });
  assert.equal(status, 200, 'nested, but not without end');
});

test('19.18: capability tokens narrow, never widen, and end', async () => {
  const ana = await tenant('developer');
  const reader = new Observer(server, (await addKey(db, ana.tenant, { scopes: ['read'] })).key, 'developer');
  const minted = await ana.post('/v1/agentese/capabilities', { scopes: ['memory:write'] });
  assert.equal(minted.status, 201, minted.text);
  const { token, capability } = minted.body;
  assert.deepEqual(capability.scopes, ['memory:write']);
  const bearer = reader.as('developer', { capability: token });
  assert.equal((await bearer.invoke('self.memory.engram', { key: 'by_token', data: 'x' })).status, 200);
  assert.equal((await bearer.v1('self.memory.forget', { key: 'by_token' })).status, 200);
  await bearer.refused('self.state.checkpoint', {}, 403);
  assert.equal((await reader.post('/v1/agentese/capabilities', { scopes: ['memory:write'] })).status, 403, 'nobody gives what he has not');
  const forged = `${token.slice(0, -3)}AAA`;
  const bad = await reader.as('developer', { capability: forged }).invoke('self.memory.engram', { key: 'k', data: 'x' });
  assert.ok([400, 401, 403].includes(bad.status), bad.text);
  const stranger = await tenant('developer', { scopes: ['read'] });
  const stolen = await stranger.as('developer', { capability: token }).invoke('self.memory.engram', { key: 'k', data: 'x' });
  assert.ok([401, 403].includes(stolen.status), `another tenant's: ${stolen.text}`);
});

test('19.19: defer, list, cancel, and a second cancel; what is due is done once', async () => {
  const ana = await tenant('developer');
  assert.deepEqual(await ana.loose('time.schedule.defer', {}), { error: 'path required' });
  assert.deepEqual(await ana.loose('time.schedule.defer', { path: 'void.entropy.sip' }), { error: "Either 'at' or 'delay' required" });
  const { id, path, status, scheduled_for: at } = await ana.ok('time.schedule.defer', { path: 'void.entropy.sip', delay: 3600, kwargs: { amount: 5 } });
  assert.match(id, /^action_\d+$/);
  assert.deepEqual([path, status], ['void.entropy.sip', 'scheduled']);
  assert.ok(Math.abs(Date.parse(at) - Date.now() - 3600e3) < 60e3);
  const { actions, count } = await ana.ok('time.schedule.list', { status: 'pending' });
  assert.deepEqual([count, actions.map((x) => [x.id, x.path, x.status])], [1, [[id, 'void.entropy.sip', 'pending']]]);
  assert.deepEqual(await ana.ok('time.schedule.cancel', { id }), { id, status: 'cancelled' });
  assert.deepEqual(await ana.loose('time.schedule.cancel', { id }), { error: `Action ${id} is not pending (status: cancelled)` });
  assert.deepEqual(await ana.loose('time.schedule.cancel', { id: 'action_999' }), { error: 'Action action_999 not found' });
  for (const bad of ['nonsense', 'earth.x.y', 'world.house.pa int']) assert.notEqual((await ana.invoke('time.schedule.defer', { path: bad, delay: 1 })).status, 200, bad);

  const due = await ana.ok('time.schedule.defer', { path: 'void.entropy.sip', at: '2020-01-01T00:00:00Z', delay: 3600, kwargs: { amount: 7 } });
  await until(async () => (await ana.ok('time.schedule.list', { status: 'executed' })).actions.some((x) => x.id === due.id), 'the due action to be executed');
  assert.equal((await ana.ok('void.entropy.status')).remaining, 93, 'at beats delay, and once is once');
});

const define = (who, name, kwargs) => who.v1(`concept.${name}.define`, { name, spec: `what ${name} means`, ...kwargs });
const defined = async (who, name, kwargs) => {
  const { status, text, body } = await define(who, name, kwargs);
  assert.equal(status, 200, `${name}: ${text}`);
  return body.result;
};

test('19.20: lineage: no parent, a missing one, a cycle, opposed affordances, empty constraints, depth', async () => {
  const ana = await tenant('architect');
  const at = async (name, kwargs) => {
    const { status, text, body } = await ana.post(`/agentese/concept/${name}/define`, { name, spec: 'x', ...kwargs });
    return { status, text, detail: body.detail };
  };
  const orphan = await at('orphan', { extends: [] });
  assert.deepEqual([orphan.status, orphan.detail.code], [412, 'LINEAGE'], orphan.text);
  assert.equal((await at('orphan', {})).status, 412);
  const lost = await at('lost', { extends: ['concept.nowhere', 'concept'] });
  assert.deepEqual([lost.status, lost.detail.code, lost.detail.details.missing_parents], [412, 'LINEAGE', ['concept.nowhere']]);
  const universal = await ana.universal('concept.lost.define', { name: 'lost', spec: 'x', extends: ['concept.nowhere'] });
  assert.deepEqual([universal.status, universal.body.detail.code], [422, 'LAW_VIOLATION']);

  await defined(ana, 'tool', { extends: ['concept.entity'] });
  await defined(ana, 'hammer', { extends: ['concept.tool'] });
  const cycle = await at('tool', { extends: ['concept.hammer'] });
  assert.deepEqual([cycle.status, cycle.detail.details.violation_type], [412, 'cycle'], cycle.text);
  const self = await at('snake', { extends: ['concept.snake', 'concept'] });
  assert.equal(self.status, 412, self.text);

  await defined(ana, 'rock', { extends: ['concept.entity'], affordances: ['immutable'] });
  await defined(ana, 'clay', { extends: ['concept.entity'], affordances: ['mutable'] });
  const opposed = await at('golem', { extends: ['concept.rock', 'concept.clay'] });
  assert.deepEqual([opposed.status, opposed.detail.details.violation_type], [412, 'affordance_conflict'], opposed.text);
  const empty = await at('flow', { extends: ['concept.process', 'concept.relation'] });
  assert.deepEqual([empty.status, empty.detail.details.violation_type], [412, 'empty_constraints'], empty.text);

  const hammer = (await ana.ok('concept.hammer.affordances')).affordances;
  assert.ok(hammer.includes('identify'), 'what the parents afford');
  assert.ok(!hammer.includes('execute'));
  await ana.ok('concept.hammer.identify', { candidate: 'a stone' });
  const { lineage } = await defined(ana, 'mallet', { extends: ['concept.hammer', 'concept.tool'], justification: 'softer' });
  assert.equal(lineage.depth, 4, '1 + the deepest parent: concept 0, entity 1, tool 2, hammer 3');
  assert.deepEqual([lineage.handle, lineage.extends, lineage.justification, lineage.domain], ['concept.mallet', ['concept.hammer', 'concept.tool'], 'softer', 'general']);
  const process = await defined(ana, 'baking', { extends: ['concept.process'] });
  assert.deepEqual(process.lineage.constraints, ['has_input', 'has_output']);
});

test('14.1: who may define, and what the gateway knows of it', async () => {
  const ana = await tenant('poet');
  const { status } = await define(ana, 'verse', { extends: ['concept'] });
  assert.equal(status, 403, 'a poet may not define');
  await ana.refused('concept.verse.manifest', {}, 404);
  await defined(ana.as('architect'), 'verse', { extends: ['concept'] });
  assert.equal((await ana.ok('concept.verse.manifest')).summary, 'Concept: verse');
  const philosopher = ana.as('philosopher');
  const { original, challenge, refined, status: done } = await philosopher.ok('concept.verse.refine', { challenge: 'must it rhyme?' });
  assert.deepEqual([original, challenge, done], ['what verse means', 'must it rhyme?', 'refined']);
  assert.equal((await philosopher.ok('concept.verse.manifest')).definition, refined, 'refine is kept');
});

test('8.2: memory is remembered, found, forgotten; keys are no paths', async () => {
  const ana = await tenant('developer');
  for (const key of ['../x', '/etc/passwd', 'a..b', 'a b', '', 'x'.repeat(5000)]) assert.notEqual((await ana.invoke('self.memory.engram', { key, data: 1 })).status, 200, key.slice(0, 20));
  assert.deepEqual(await ana.ok('self.memory.engram', { key: 'harbour/first-light', data: 'Gulls over the Quay' }), { status: 'engrammed', key: 'harbour/first-light' });
  assert.equal((await ana.ok('self.memory.recall', { query: 'gULLs' })).matches[0][0], 'harbour/first-light');
  assert.deepEqual(await ana.ok('self.memory.recall', { key: 'nothing' }), { not_found: 'nothing' });
  assert.deepEqual((await ana.ok('self.memory.recall')).memories, ['harbour/first-light']);
  for (const [id, embedding] of [['north', [1, 0]], ['east', [0, 1]]]) await ana.ok('self.memory.store', { concept_id: id, content: id, embedding });
  const { matches } = await ana.ok('self.memory.retrieve', { cue: [0.9, 0.1], threshold: 0.5 });
  assert.deepEqual(matches.map((x) => x.concept_id), ['north']);
  assert.deepEqual(await ana.ok('self.memory.forget', { key: 'harbour/first-light' }), { forgotten: 'harbour/first-light', status: 'removed' });
  assert.deepEqual(await ana.ok('self.memory.forget', { key: 'harbour/first-light' }), { status: 'not found', key: 'harbour/first-light' });
  for (const aspect of ['allocate', 'compact', 'route', 'substrate_stats']) await ana.refused(`self.memory.${aspect}`, {}, 403, 'AFFORDANCE_DENIED');
});

test('8.2: state is checkpointed and restored', async () => {
  const ana = await tenant('developer');
  assert.deepEqual(await ana.ok('self.state.restore'), { error: 'no snapshots available' });
  const { label } = await ana.ok('self.state.checkpoint', { label: 'before' });
  assert.equal(label, 'before');
  assert.equal((await ana.ok('self.state.restore')).restored, 'before');
  assert.equal((await ana.invoke('self.state.restore', { index: 7 })).status, 400);
  const refused = await ana.invoke('self.identity.evolve', {});
  assert.equal(refused.status, 451);
  assert.equal((await ana.v1('self.identity.evolve')).status, 451);
});
