// agentese.md 1, 11, 12 and 19 lines 1, 5, 15, 16; http-api.md 6 and 13.4: what is a path, and what is answered to what is none.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Observer, baseAspects, contexts } from '../support/agentese.mjs';
import { openDatabase, startDev } from '../support/server.mjs';
import { addKey, newTenant } from '../support/tenants.mjs';

let server;
let db;
let tenant;
let ana;
before(async () => {
  server = await startDev();
  db = await openDatabase(server.stateDir);
  tenant = await newTenant(db);
  ana = new Observer(server, tenant.key);
});
after(async () => {
  await db?.end();
  await server?.dispose();
});

const resolve = (path) => ana.get(`/v1/agentese/resolve?path=${encodeURIComponent(path)}`);
const affordances = (path, archetype) =>
  ana.get(`/v1/agentese/affordances?path=${encodeURIComponent(path)}${archetype ? `&archetype=${archetype}` : ''}`);

// Each pattern of section 1.2: the text, the message, and where in the text it is wrong.
const wrong = [
  ['', 'Empty path'],
  ['world', "Path 'world' incomplete", 0],
  ['world.house', "Path must include aspect: 'world.house'", 0],
  ['world.House.manifest', "Invalid holon: 'House'", 6],
  ['world.house.Manifest', "Invalid aspect: 'Manifest'", 12],
  ['world.house-boat.manifest', "Invalid holon: 'house-boat'", 6],
  ['world.house; rm -rf /', "Unexpected character: ';'", 11],
  ['world.house.manifest[phase=PLAN', 'Unclosed clause bracket', 20],
  ['world.house.manifest[colour=red]', "Unknown clause modifier: 'colour'", 21],
  ['world.house.manifest[phase=LUNCH]', "Unknown phase: 'LUNCH'", 27],
  ['world.house.manifest[entropy=1.5]', 'Entropy out of range: 1.5', 29],
  ['world.house.manifest@span=', "Annotation missing value: '@span'", 21],
  ['world.house.manifest@colour=red', "Unknown annotation modifier: 'colour'", 21],
];
for (const [path, message, position] of wrong)
  test(`19.1: "${path}" is refused with: ${message}`, async () => {
    const { status, text, body } = await ana.v1(path);
    assert.equal(status, 400, text);
    assert.equal(body.detail, `Invalid path: ${message}`);
    if (!path.startsWith('world.') || path.split('.').length < 3 || /[\[@]/.test(path)) return;
    // The gateway tells the place as well.
    const detail = await ana.refused(path, {}, 400, 'SYNTAX_ERROR');
    assert.equal(detail.details.position, position);
  });

test('19.1: an unknown context is not found, whatever follows', async () => {
  const { status, body } = await ana.v1('earth.house.manifest');
  assert.equal(status, 404);
  assert.equal(body.detail, "Path not found: Unknown context: 'earth'");
});

test('19.1: a refusal says where the text is wrong, and what to write', async () => {
  const { status, body } = await ana.compose(['world.house.manifest', 'world.house.mani fest']);
  assert.equal(status, 400, JSON.stringify(body));
  assert.equal(body.detail.code, 'SYNTAX_ERROR');
  assert.match(body.detail.error, /Unexpected character: ' '/);
  assert.ok(body.detail.suggestion.length > 10);
  const detail = await ana.refused('world.HOUSE.manifest', {}, 400, 'SYNTAX_ERROR');
  assert.equal(detail.category, 'invalid_input');
  assert.deepEqual([detail.details.locus, detail.details.position], ['HOUSE', 6]);
  assert.ok(detail.suggested_action.length > 10);
});

test('1.2: legacy modifiers change neither node nor aspect', async () => {
  for (const more of ['[phase=plan]', '[entropy=0.07]', '[law_check]', '[rollback=true][minimal_output=false]', '@span=abc', '[phase=QA]@dot=x@law_check=true']) {
    const { status, text, body } = await ana.v1(`world.barn.manifest${more}`);
    assert.equal(status, 200, `${more}: ${text}`);
    assert.equal(body.path, `world.barn.manifest${more}`, 'path echoes the text');
    assert.equal(body.result.type, 'developer');
    assert.equal(body.result.entity, 'barn');
  }
});

test('1.1: 16 segments and 512 bytes are a path, more are none', async () => {
  const deep = (n) => ['world', ...Array.from({ length: n - 2 }, (_, i) => `n${i}`), 'manifest'].join('.');
  assert.equal((await ana.v1(deep(16))).status, 200);
  const seventeen = await ana.v1(deep(17));
  assert.equal(seventeen.status, 400);
  assert.match(seventeen.body.detail, /deep/);
  const long = (n) => `world.${'a'.repeat(n - 'world..manifest'.length)}.manifest`;
  assert.equal(long(512).length, 512);
  assert.equal((await ana.v1(long(512))).status, 200);
  assert.equal((await ana.v1(long(513))).status, 400);
});

test('1.3: paths of other servers are reserved', async () => {
  const { status, text } = await ana.v1('kg://acme@example.org/world.house.manifest');
  assert.equal(status, 503, text);
});

const hostile = [
  'world.house; rm -rf /',
  'world.house.../../etc/passwd',
  'world.house.manifest; DROP TABLE kg.tenants',
  "world.house'.manifest",
  'world.house".manifest',
  'world.house.manifest ',
  ' world.house.manifest',
  'world/house/manifest',
  'world..manifest',
  '.world.house.manifest',
  'world.house.manifest.',
  'world.h\u00f6use.manifest',
  'world.\u5bb6.manifest',
  'world.house\u0000.manifest',
  'world.house\n.manifest',
  'world.$(reboot).manifest',
  'world.${jndi}.manifest',
  'world.house.%2e%2e.manifest',
  '../../etc/passwd',
  '<script>.x.y',
  'world.1house.manifest',
  'world._house.manifest',
  'a'.repeat(600),
  '.'.repeat(100),
  'world.house.manifest >> ',
  '>> world.house.manifest',
  'world.house.pipe(',
  'world.house.pipe(manifest,,witness)',
];
for (const path of hostile)
  test(`13.4/32: hostile ${JSON.stringify(path).slice(0, 60)} is refused everywhere`, async () => {
    const before = await db.query('SELECT count(*)::int AS n FROM kg.agentese_nodes WHERE tenant_id = $1', [tenant.id]);
    const answers = {
      invoke: await ana.v1(path),
      resolve: await resolve(path),
      affordances: await affordances(path),
      compose: await ana.compose([path]),
      universal: await ana.post(`/api/v1/world/${encodeURIComponent(path)}/manifest`, {}),
      gateway: await ana.post(`/agentese/world/${encodeURIComponent(path)}/manifest`, {}),
    };
    for (const [how, { status, text, body }] of Object.entries(answers)) {
      assert.ok([400, 403, 404, 422].includes(status), `${how}: ${status} ${text}`);
      assert.ok(body.detail, `${how}: ${text}`);
      assert.ok(!text.includes('\u0000'));
    }
    assert.ok([400, 422].includes(answers.invoke.status), answers.invoke.text);
    const after = await db.query('SELECT count(*)::int AS n FROM kg.agentese_nodes WHERE tenant_id = $1', [tenant.id]);
    assert.equal(after.rows[0].n, before.rows[0].n);
  });

test('13.4/28: plausible paths are answered, never with 500', async () => {
  for (const path of ['world.house.manifest', 'self.memory.manifest', 'concept.justice.manifest', 'void.entropy.manifest', 'time.trace.manifest', 'self.soul.dialogue', 'world.house.demolish']) {
    const { status, text } = await ana.v1(path);
    assert.ok([200, 403, 404].includes(status), `${path}: ${status} ${text}`);
  }
});

test('13.4/29: unknown contexts, single segments and empty paths', async () => {
  assert.equal((await ana.v1('invalid.path.here')).status, 404);
  assert.equal((await ana.v1('world')).status, 400);
  assert.equal((await ana.v1('')).status, 400);
  const { status, body } = await ana.post('/v1/agentese/invoke', {});
  assert.equal(status, 422);
  assert.deepEqual(body.detail[0].loc, ['body', 'path']);
});

test('13.4/30: resolve', async () => {
  assert.equal((await resolve('invalid')).status, 400);
  assert.equal((await resolve('invalid.house')).status, 404);
  assert.equal((await ana.get('/v1/agentese/resolve')).status, 422);
  const { status, body } = await resolve('world.house');
  assert.equal(status, 200);
  assert.deepEqual([body.path, body.handle, body.context], ['world.house', 'world.house', 'world']);
  for (const name of [...baseAspects, 'define', 'build', 'deploy']) assert.ok(body.affordances.includes(name), name);
});

test('13.4/31: affordances of any entity, for any archetype', async () => {
  const { status, body } = await affordances('world.nobody_knows_it');
  assert.equal(status, 200);
  assert.deepEqual([body.path, body.observer_archetype], ['world.nobody_knows_it', 'developer']);
  const architect = await affordances('world.house', 'architect');
  assert.equal(architect.body.observer_archetype, 'architect');
  assert.ok(architect.body.affordances.includes('blueprint'));
  for (const bad of ['nowhere.house', 'world', 'world.Ho use']) assert.equal((await affordances(bad)).status, 404, bad);
});

test('6: a key without the scope read is refused in the words of each route', async () => {
  const { key } = await addKey(db, tenant.id, { scopes: [] });
  const none = new Observer(server, key);
  const invoke = await none.v1('world.house.manifest');
  assert.deepEqual([invoke.status, invoke.body.detail], [403, "API key requires 'read' scope for AGENTESE invoke"]);
  for (const path of ['/v1/agentese/resolve?path=world.house', '/v1/agentese/affordances?path=world.house', '/api/v1/world/house/manifest', '/agentese/discover']) {
    const { status, body } = await none.get(path);
    assert.deepEqual([status, body.detail], [403, "API key requires 'read' scope"], path);
  }
});

test('6.1: the answer echoes the text, and each member of the observer has its default', async () => {
  const { status, body } = await ana.post('/v1/agentese/invoke', { path: 'forest.manifest', observer: { archetype: 'poet' } });
  assert.equal(status, 200, JSON.stringify(body));
  assert.deepEqual(Object.keys(body), ['path', 'result', 'tokens_used', 'cached']);
  assert.deepEqual([body.path, body.tokens_used, body.cached], ['forest.manifest', 0, false]);
  const plain = await ana.post('/v1/agentese/invoke', { path: 'world.house.manifest' });
  assert.equal(plain.body.result.type, 'developer', 'the default observer is a developer');
});

test('6.4: the registered paths, page by page', async () => {
  const { body } = await ana.get('/v1/agentese/paths');
  assert.equal(body.total, body.paths.length);
  for (const x of body.paths) {
    assert.match(x.path, /^(world|self|concept|void|time)\.[a-z0-9_.*]+$/);
    assert.ok(x.description.length > 5, x.path);
    for (const name of baseAspects) assert.ok(x.aspects.includes(name), `${x.path}.${name}`);
  }
  const names = body.paths.map((x) => x.path);
  for (const name of ['world.*', 'concept.*', 'void.entropy', 'void.gratitude', 'void.serendipity', 'void.capital', 'void.pataphysics', 'void.metabolism', 'void.hypnagogia', 'time.trace', 'time.past', 'time.future', 'time.schedule', 'self.memory', 'self.soul', 'self.judgment', 'self.state', 'self.identity', 'self.capabilities', 'self.semaphore', 'self.vitals', 'self.kgent', 'self.forest', 'world.purgatory', 'world.agent', 'concept.blend', 'concept.summary'])
    assert.ok(names.includes(name), name);
  const page = await ana.get('/v1/agentese/paths?limit=3&offset=2');
  assert.deepEqual(page.body.paths.map((x) => x.path), names.slice(2, 5));
});

test('19.5: an unknown context names the five, an unknown node its neighbours', async () => {
  const universal = await ana.get('/api/v1/earth/house/manifest');
  assert.equal(universal.status, 400);
  assert.deepEqual(universal.body.detail.available, contexts);
  const gateway = await ana.refused('earth.house.manifest', {}, 404);
  assert.match(gateway.error, /Unknown context: 'earth'/);
  assert.deepEqual(gateway.similar_paths, contexts);
  for (const name of contexts) assert.match(gateway.suggestion, new RegExp(name));

  const nobody = await ana.refused('world.agentt.x.manifest', {}, 404, 'NODE_NOT_REGISTERED');
  assert.equal(nobody.error, "Node 'world.agentt.x' not registered");
  assert.ok(nobody.similar_paths.length >= 1 && nobody.similar_paths.length <= 5);
  assert.ok(nobody.similar_paths.includes('world.agent'), nobody.similar_paths.join());
  assert.equal(nobody.discover_endpoint, '/agentese/discover');
  assert.ok(nobody.suggestion.length > 10 && nobody.why.length > 10);
});

test('3: what nobody has defined is there for /v1 and /api/v1, and is not for the gateway', async () => {
  const path = 'world.not_defined_yet';
  assert.equal((await ana.v1(`${path}.manifest`)).status, 200);
  assert.equal((await ana.get('/api/v1/world/not_defined_yet/manifest')).status, 200);
  await ana.refused(`${path}.manifest`, {}, 404, 'NODE_NOT_REGISTERED');
  assert.equal((await ana.as('architect').v1(`${path}.define`, { name: 'shed', spec: 'a shed', entity_type: 'building' })).status, 200);
  assert.equal((await ana.ok(`${path}.shed.manifest`)).entity, 'shed');
});

test('8: a required argument that is missing is a result on /v1 and an error elsewhere', async () => {
  const v1 = await ana.v1('time.schedule.defer', {});
  assert.deepEqual([v1.status, v1.body.result], [200, { error: 'path required' }]);
  const gateway = await ana.refused('time.schedule.defer', {}, 400);
  assert.equal(gateway.category, 'invalid_input');
  assert.match(gateway.message, /path required/);
  const universal = await ana.universal('time.schedule.defer', {});
  assert.equal(universal.status, 400);
  assert.match(universal.body.detail.error, /path required/);
});

// Queries.
const query = (q, more = '', who = ana) => who.get(`/agentese/query?q=${encodeURIComponent(q)}${more}`);

test('11: a query of one node answers as the example does', async () => {
  const { status, body } = await query('?void.entropy');
  assert.equal(status, 200);
  const [match] = body.matches;
  assert.deepEqual(body, { pattern: '?void.entropy', matches: [match], total_count: 1, limit: 100, offset: 0, has_more: false, cost_estimate: 0.01 });
  assert.deepEqual([match.path, match.node_type, match.context], ['void.entropy', 'holon', 'void']);
  for (const name of [...baseAspects, 'sip', 'pour', 'sample', 'status']) assert.ok(match.affordances.includes(name), name);
});

test('11: patterns select contexts, nodes and aspects', async () => {
  const of = async (q) => (await query(q, '&limit=1000')).body.matches.map((x) => x.path);
  const all = await of('?*.*');
  assert.deepEqual(all, [...all].sort(), 'sorted by path');
  assert.deepEqual(await of('?self'), all.filter((x) => x.startsWith('self.')));
  assert.deepEqual(await of('?self.*'), all.filter((x) => x.startsWith('self.')));
  assert.deepEqual((await of('?self.mem*')).filter((x) => x.startsWith('self.memory')), ['self.memory']);
  const aspects = await query('?self.memory.?', '&limit=1000');
  assert.ok(aspects.body.matches.every((x) => x.node_type === 'aspect'));
  assert.ok(aspects.body.matches.some((x) => x.path === 'self.memory.recall'));
  assert.ok((await of('?*.*.sip')).includes('void.entropy.sip'));
  assert.deepEqual((await query('?earth.*')).body.matches, [], 'an unknown context: nothing matches');
});

test('11: a query sees what its observer may do, and nothing of another tenant', async () => {
  const other = new Observer(server, (await newTenant(db)).key, 'architect');
  await ana.as('architect').loose('world.query_place.define', { name: 'here', spec: 'a place', entity_type: 'place' });
  assert.equal((await query('?world.query_place*', '&limit=1000')).body.matches.length, 1);
  assert.deepEqual((await query('?world.query_place*', '', other)).body.matches, []);
  const poet = (await query('?self.soul', '', ana.as('guest'))).body.matches[0];
  assert.ok(poet.affordances.includes('starters') && !poet.affordances.includes('dialogue'));
  const { key } = await addKey(db, tenant.id, { scopes: ['read'] });
  const reader = (await query('?self.memory', '', new Observer(server, key))).body.matches[0];
  assert.ok(reader.affordances.includes('recall') && !reader.affordances.includes('forget'), 'what needs write is left out');
  assert.equal((await query('?self.memory', `&tenant_id=${tenant.id}`, other)).status, 403, 'a foreign tenant');
});

test('19.15: limits, pages and dry runs', async () => {
  assert.equal((await query('?self.*', '&limit=1000')).status, 200);
  const refused = await query('?self.*', '&limit=1001');
  assert.equal(refused.status, 400);
  assert.equal(refused.body.detail.message, 'Max limit is 1000. Use pagination.');
  const one = (await query('?self.*', '&limit=0')).body;
  assert.deepEqual([one.limit, one.matches.length, one.has_more], [1, 1, true]);
  assert.equal((await query('?self.*', '&offset=-5')).body.offset, 0);
  const { total_count: total, matches } = (await query('?self.*', '&limit=1000')).body;
  const last = (await query('?self.*', `&limit=2&offset=${total - 2}`)).body;
  assert.deepEqual([last.matches.map((x) => x.path), last.has_more, last.total_count], [matches.slice(-2).map((x) => x.path), false, total]);
  assert.equal((await query('?self.*', `&limit=2&offset=${total - 3}`)).body.has_more, true);
  for (const [pattern, cost] of [['?self.memory.?', 0.001], ['?self.memory', 0.01], ['?self.*', 0.05], ['?*.*', 0.5]]) {
    const dry = (await query(pattern, '&dry_run=true')).body;
    assert.deepEqual([dry.matches, dry.cost_estimate], [[], cost], pattern);
  }
});

test('11: what is no query says why', async () => {
  for (const [q, text] of [['self.*', /must start with '\?'/], ['?', /Empty query pattern/], ['?a.b.c.d', /too deep/]]) {
    const { status, body } = await query(q);
    assert.equal(status, 400, q);
    assert.match(body.detail.message, text);
  }
});

// Aliases.
const standard = { me: 'self.soul', brain: 'self.memory', chaos: 'void.entropy', serendipity: 'void.serendipity', forest: 'self.forest', gratitude: 'void.gratitude', history: 'time.trace', past: 'time.past', future: 'time.future' };

test('12: the standard aliases stand for their nodes, at the first segment only', async () => {
  const { body } = await ana.get('/v1/agentese/aliases');
  for (const [name, target] of Object.entries(standard)) assert.equal(body.aliases[name], target);
  assert.equal((await ana.v1('chaos.status')).body.result.initial, 100);
  assert.equal((await ana.v1('me.eigenvectors')).status, 200);
  assert.equal((await ana.ok('chaos.status')).initial, 100, 'over the gateway too');
  assert.equal((await ana.loose('world.me.manifest')).entity, 'me', 'the second segment is nobody else');
  assert.equal((await ana.composed(['chaos.status'])).result.initial, 100);
});

test('19.16: aliases: shadowing, recursion, overwrite, removal', async () => {
  const put = (name, target) => ana.put(`/v1/agentese/aliases/${name}`, { target });
  const shadow = await put('world', 'self.soul');
  assert.equal(shadow.status, 400);
  assert.equal(shadow.body.detail, "Cannot create alias 'world': would shadow context 'world'");
  const recursive = await put('loop', 'me.more');
  assert.deepEqual([recursive.status, recursive.body.detail], [400, "Recursive alias detected: 'loop' -> 'me.more'"]);
  assert.match((await put('loop', 'loop.x')).body.detail, /Recursive alias detected: 'loop' -> 'loop.x'/);
  for (const target of ['self', 'earth.x', 'Self.soul', '']) assert.equal((await put('bad', target)).status, 400, target);
  assert.equal((await put('Bad-name', 'self.soul')).status, 400);

  assert.equal((await put('boat', 'void.entropy')).status, 200);
  assert.equal((await ana.loose('boat.status')).initial, 100);
  assert.equal((await put('boat', 'void.gratitude')).status, 200, 'the last one wins');
  assert.equal((await ana.get('/v1/agentese/aliases/boat')).body.target, 'void.gratitude');
  assert.equal((await ana.v1('boat.sip')).status, 403);
  assert.equal((await ana.delete('/v1/agentese/aliases/boat')).status, 204);
  const gone = await ana.delete('/v1/agentese/aliases/boat');
  assert.deepEqual([gone.status, gone.body.detail], [404, "Alias not found: 'boat'"]);
  assert.equal((await ana.v1('boat.status')).status, 400, 'two segments and no alias: no path');

  const reader = new Observer(server, (await addKey(db, tenant.id, { scopes: ['read'] })).key);
  assert.equal((await reader.put('/v1/agentese/aliases/mine', { target: 'self.soul' })).status, 403);
  assert.equal((await reader.get('/v1/agentese/aliases/me')).body.target, 'self.soul');
});

test('19.16: aliases outlive the server; pairs that are not right are left out', async () => {
  assert.equal((await ana.put('/v1/agentese/aliases/kept', { target: 'void.entropy' })).status, 200);
  const put = (name, target) =>
    db.query('INSERT INTO kg.agentese_aliases (tenant_id, name, target) VALUES ($1, $2, $3)', [tenant.id, name, target]).then(() => true, () => false);
  const bad = [await put('time', 'self.soul'), await put('spoilt', 'earth.x'), await put('twice', 'me.more')];
  await server.end('SIGTERM');
  server = await server.restart();
  db = await openDatabase(server.stateDir);
  const later = new Observer(server, tenant.key);
  const { status, body } = await later.get('/v1/agentese/aliases');
  assert.equal(status, 200);
  assert.equal(body.aliases.kept, 'void.entropy');
  for (const name of ['time', 'spoilt', 'twice']) assert.ok(!(name in body.aliases), `${name}, which PostgreSQL took: ${bad}`);
  assert.equal((await later.loose('kept.status')).initial, 100);
});
