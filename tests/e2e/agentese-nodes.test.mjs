// The table of all nodes and aspects, as discovery tells it, each aspect invoked by each archetype: the status is what the
// affordances say, a result is valid against its schema, and nothing is ever a 500 (agentese.md 4, 5, 8; 19 lines 2-4).
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import Ajv from 'ajv/dist/2020.js';
import { Pool } from 'undici';

import { Observer, baseAspects, contexts, slashed } from '../support/agentese.mjs';
import { openDatabase, startDev } from '../support/server.mjs';
import { newTenant } from '../support/tenants.mjs';

const archetypes = ['architect', 'poet', 'economist', 'inhabitant', 'scientist', 'developer', 'admin', 'philosopher', 'engineer', 'artist', 'teacher', 'guest', 'lighthouse_keeper'];
/// What stands for `*`.
const named = { 'world.*': 'world.house', 'concept.*': 'concept.justice', 'self.*': 'self.garden', 'void.*': 'void.well', 'time.*': 'time.river', 'world.agent.*': 'world.agent.a' };

let server;
let db;
let pool;
let table;
let ajv;
const observers = new Map();
const sessions = new Map();
before(async () => {
  server = await startDev({ env: { KGENTS_EMBEDDED_TOKENS_PER_SECOND: 0 } });
  db = await openDatabase(server.stateDir);
  pool = new Pool(server.url, { connections: archetypes.length, bodyTimeout: 60000, headersTimeout: 60000 });
  ajv = new Ajv({ strict: false, allErrors: true });
  // A tenant each: what one archetype does to a node must not decide what another finds.
  for (const archetype of archetypes) {
    const { key } = await newTenant(db, { scopes: ['read', 'write', 'admin'] });
    const who = new Observer(server, key, archetype);
    observers.set(archetype, who);
    sessions.set(archetype, (await who.post('/v1/kgent/sessions', {})).body.id);
  }
  const { status, text, body } = await observers.get('guest').get('/agentese/discover?include_metadata=true&include_schemas=true');
  assert.equal(status, 200, text);
  table = body;
});
after(async () => {
  await pool?.close();
  await db?.end();
  await server?.dispose();
});

const nodesOf = () => [...table.paths, ...table.forms];
const nameOf = (node) => named[node] ?? node;

async function ask(archetype, method, path, body) {
  const { key, headers } = observers.get(archetype);
  const answer = await pool.request({
    method,
    path,
    headers: { 'x-api-key': key, ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.body.text();
  return { status: answer.statusCode, text, body: text ? JSON.parse(text) : undefined };
}

/// Names of two segments are asked in the universal dialect, which knows what nobody has defined; deeper ones have only the gateway.
function invoke(archetype, node, aspect, kwargs) {
  const path = slashed(`${nameOf(node)}.${aspect}`);
  return nameOf(node).split('.').length === 2
    ? ask(archetype, 'POST', `/api/v1/${path}`, { kwargs })
    : ask(archetype, 'POST', `/agentese/${path}`, kwargs);
}

async function affordancesOf(archetype, node) {
  const query = new URLSearchParams({ path: nameOf(node), archetype });
  const { status, text, body } = await ask(archetype, 'GET', `/v1/agentese/affordances?${query}`);
  assert.equal(status, 200, `${node} ${archetype}: ${text}`);
  return body.affordances;
}

/// A value that the schema of an argument allows.
function sample(schema) {
  if (schema.enum) return schema.enum[0];
  if (schema.default !== undefined) return schema.default;
  const of = { string: 'sample', integer: schema.minimum ?? 1, number: schema.minimum ?? 0.5, boolean: true, object: {}, array: ['a', 'b'] };
  return of[schema.type] ?? 'sample';
}

/// The example of the table, with a session that is there, and whatever else is required.
function kwargsOf(archetype, node, aspect) {
  const example = table.metadata[node].examples.find((x) => x.aspect === aspect)?.kwargs ?? {};
  const request = table.schemas[node][aspect].request;
  const kwargs = { ...example };
  if (kwargs.session_id) kwargs.session_id = sessions.get(archetype);
  for (const name of request.required ?? []) kwargs[name] ??= sample(request.properties[name]);
  return kwargs;
}

// agentese.md 8.1, 8.3, 18.9: who has what beyond base.
const rows = {
  'world.*': {
    common: 'define relate transform',
    architect: 'renovate measure blueprint demolish design',
    poet: 'describe metaphorize inhabit contemplate',
    economist: 'appraise forecast compare trade',
    inhabitant: 'enter exit furnish repair use',
    scientist: 'analyze measure experiment hypothesize',
    developer: 'build deploy debug test refactor',
    admin: 'configure monitor audit provision',
  },
  'concept.*': {
    common: 'define relate',
    philosopher: 'refine dialectic synthesize analyze critique',
    scientist: 'hypothesize validate relate classify',
    engineer: 'implement decompose optimize validate',
    artist: 'interpret express transform inspire',
    teacher: 'explain simplify exemplify assess',
  },
  'world.agent.*': {
    common: 'invoke',
    developer: 'compose debug test trace',
    admin: 'status metrics restart',
    architect: 'compose design refactor',
    scientist: 'experiment analyze',
  },
};
const everybody = {
  'void.entropy': 'sip pour sample status',
  'void.serendipity': 'sip tangent inspire',
  'void.gratitude': 'tithe thank acknowledge',
  'void.capital': 'balance history tithe bypass',
  'void.pataphysics': 'solve melt verify imagine',
  'void.metabolism': 'pressure fever oblique dream tithe status',
  'void.hypnagogia': 'status wake report patterns',
  'void.*': 'sip tithe',
  'time.trace': 'witness query replay analyze collect render diff',
  'time.past': 'project compare diff',
  'time.future': 'forecast simulate predict',
  'time.schedule': 'defer cancel list',
  'time.*': 'witness',
  'self.memory': 'consolidate prune checkpoint recall forget crystallize resume cherish engram store retrieve compress promote demote deposit sense play evaluate inference_consolidate reap expiring_soon',
  'self.capabilities': 'list acquire release',
  'self.state': 'checkpoint restore inspect',
  'self.identity': 'reflect evolve',
  'self.judgment': 'taste surprise expectations calibrate critique refine',
  'self.semaphore': 'pending yield status',
  'self.vitals': 'triad synapse resonance circuit durability reflex',
  'self.kgent': 'create list message history',
  'self.forest': 'manifest witness',
  'self.*': 'inspect',
  'concept.blend': 'forge analyze generic emergent',
  'world.purgatory': 'list inspect',
  'world.agent': 'list',
};
const set = (...names) => new Set(names.flatMap((x) => (x ?? '').split(' ')).filter(Boolean));

test('5: discovery lists every node of section 8, with a description, a schema and the six base aspects', () => {
  const all = nodesOf();
  for (const node of [...Object.keys(rows), ...Object.keys(everybody), 'self.soul', 'concept.summary']) assert.ok(all.includes(node), node);
  assert.deepEqual(table.paths, [...table.paths].sort());
  assert.deepEqual(Object.keys(table.stats.contexts).sort(), [...contexts].sort());
  assert.equal(table.stats.registered_nodes, all.length);
  assert.deepEqual(table.contract_coverage, { paths_with_contracts: all.length, total_paths: all.length, coverage_pct: 100 });
  for (const node of all) {
    const { path, description, aspects, aspectMetadata } = table.metadata[node];
    assert.equal(path, node);
    assert.ok(description.length > 5, node);
    for (const aspect of baseAspects) assert.ok(aspects.includes(aspect), `${node}.${aspect}`);
    for (const aspect of aspects) {
      assert.ok(aspectMetadata[aspect].description.length > 5, `${node}.${aspect}`);
      assert.ok(table.schemas[node][aspect].response !== undefined, `${node}.${aspect}`);
      ajv.compile(table.schemas[node][aspect].response);
      ajv.compile(table.schemas[node][aspect].request);
    }
  }
});

test('19.4, 4.1: affordances are base, what is common, and the row of the archetype, and nothing else', async () => {
  for (const [node, row] of Object.entries(rows))
    for (const archetype of archetypes) {
      const expected = set(baseAspects.join(' '), row.common, row[archetype]);
      assert.deepEqual(new Set(await affordancesOf(archetype, node)), expected, `${node} ${archetype}`);
      assert.deepEqual((await affordancesOf(archetype, node)).slice(0, 3), ['manifest', 'witness', 'affordances'], 'base first');
    }
  for (const node of Object.keys(everybody)) {
    const guest = new Set(await affordancesOf('guest', node));
    for (const name of set(baseAspects.join(' '), everybody[node])) assert.ok(guest.has(name), `${node}.${name} for a guest`);
    if (!node.startsWith('world.'))
      for (const archetype of ['architect', 'poet', 'lighthouse_keeper'])
        assert.deepEqual(new Set(await affordancesOf(archetype, node)), guest, `${node}: the same for ${archetype}`);
  }
  for (const archetype of ['admin', 'developer', 'architect'])
    for (const name of ['resolve', 'cancel', 'void_expired']) assert.ok((await affordancesOf(archetype, 'world.purgatory')).includes(name), `${archetype} ${name}`);
  assert.ok(!(await affordancesOf('poet', 'world.purgatory')).includes('resolve'));
});

test('18.9: who may talk to the soul, and how; the case of an archetype does not matter', async () => {
  const all = 'dialogue challenge reflect why tension governance starters eigenvectors mode chat';
  const soul = {
    developer: all, architect: all, admin: all, system: all, technical: all, DEVELOPER: all,
    operator: 'dialogue governance challenge reflect mode starters chat',
    reviewer: 'dialogue challenge starters', security: 'dialogue challenge starters',
    newcomer: 'dialogue starters chat', casual: 'dialogue starters chat', reflective: 'dialogue starters chat',
    creative: 'dialogue challenge reflect why tension starters chat', strategic: 'dialogue challenge reflect why tension starters chat', tactical: 'dialogue challenge reflect why tension starters chat',
    guest: 'starters', poet: 'starters', lighthouse_keeper: 'starters',
  };
  const guest = observers.get('guest');
  for (const [archetype, names] of Object.entries(soul)) {
    const { body } = await guest.get(`/v1/agentese/affordances?path=self.soul&archetype=${archetype}`);
    assert.deepEqual(new Set(body.affordances), set(baseAspects.join(' '), names), archetype);
  }
});

test('6.3: standard aspects have their categories', () => {
  const categories = {
    PERCEPTION: 'manifest witness sense recall measure blueprint describe contemplate appraise compare forecast analyze monitor audit',
    MUTATION: 'transform repair consolidate prune acquire release cancel renovate demolish inhabit trade experiment validate build deploy refactor configure',
    INTROSPECTION: 'affordances help alternatives polynomial lineage',
    GENERATION: 'define checkpoint defer refine synthesize dialectic design metaphorize hypothesize provision',
    ENTROPY: 'sip pour tithe thank',
  };
  const of = new Map(Object.entries(categories).flatMap(([category, names]) => names.split(' ').map((name) => [name, category])));
  const wrong = [];
  for (const node of nodesOf())
    for (const [aspect, { category, requiredCapability }] of Object.entries(table.metadata[node].aspectMetadata)) {
      if (category === 'ENTROPY') assert.ok(node.startsWith('void.'), `${node}.${aspect}: entropy is void's`);
      if ((category === 'MUTATION' || category === 'GENERATION') && node !== 'self.soul') assert.ok(requiredCapability, `${node}.${aspect}`);
      // What the table says of world and concept; elsewhere some names mean other things.
      if (/^(world|concept)\.\*$/.test(node) && of.has(aspect) && of.get(aspect) !== category) wrong.push(`${node}.${aspect} is ${category}, not ${of.get(aspect)}`);
    }
  assert.deepEqual(wrong, []);
});

/// What is no mistake of the asker: an aspect that always refuses, or that may find nothing to work on.
const mayAnswer = {
  'self.identity.evolve': [451],
};
/// Who may define, beyond being afforded it (agentese.md 14.1).
const definers = ['architect', 'developer', 'admin'];

test('every aspect of every node, asked by every archetype', { timeout: 240000 }, async (t) => {
  const begun = performance.now();
  const wrong = [];
  const counts = new Map(nodesOf().map((node) => [node, { aspects: table.metadata[node].aspects.length, invocations: 0, ok: 0, denied: 0, other: new Map() }]));
  const validators = new Map();
  const validator = (node, aspect) => {
    const name = `${node}.${aspect}`;
    if (!validators.has(name)) validators.set(name, ajv.compile(table.schemas[node][aspect].response));
    return validators.get(name);
  };

  async function one(archetype, node, aspect, afforded) {
    const name = `${node}.${aspect}`;
    const { status, text, body } = await invoke(archetype, node, aspect, kwargsOf(archetype, node, aspect));
    const count = counts.get(node);
    count.invocations++;
    const complain = (what) => wrong.push(`${name} as ${archetype}: ${what}: ${status} ${text.slice(0, 300)}`);
    if (status >= 500) return complain('a server error');
    if (!afforded.has(aspect)) {
      count.denied++;
      if (status !== 403 || body.detail.code !== 'AFFORDANCE_DENIED') complain('not afforded, so 403');
      return;
    }
    if (status === 200) {
      count.ok++;
      const valid = validator(node, aspect);
      if (!valid(body.result)) complain(`not of its schema (${ajv.errorsText(valid.errors)})`);
      return;
    }
    count.other.set(status, (count.other.get(status) ?? 0) + 1);
    // 14.1: everybody is afforded `define`, but only these may, or who has the capability.
    const definer = ['architect', 'developer', 'admin'].includes(archetype);
    if (status === 403 && aspect === 'define' && !definer && body.detail.code === 'CAPABILITY_REQUIRED') return;
    if (status === 403 && aspect === 'define' && !definers.includes(archetype)) return;
    if (status === 403) complain('afforded, yet denied');
    else if (!(mayAnswer[name] ?? []).includes(status)) complain('its own example is not answered');
  }

  await Promise.all(
    archetypes.map(async (archetype) => {
      for (const node of ['world.*', 'concept.*']) {
        const [context, holon] = nameOf(node).split('.');
        const owner = new Observer(server, observers.get(archetype).key, 'architect');
        const kwargs = context === 'world' ? { name: 'room', spec: 'a room', entity_type: 'room' } : { name: holon, spec: 'giving each their due', extends: ['concept'] };
        await owner.loose(`${nameOf(node)}.define`, kwargs);
      }
      for (const node of nodesOf()) {
        let afforded = new Set(await affordancesOf(archetype, node));
        const last = ['demolish', 'forget', 'release', 'cancel'];
        const aspects = [...table.metadata[node].aspects].sort((a, b) => last.includes(a) - last.includes(b));
        for (const aspect of aspects) {
          await one(archetype, node, aspect, afforded);
          // A definition brings what its lineage affords.
          if (aspect === 'define') afforded = new Set(await affordancesOf(archetype, node));
        }
      }
    }),
  );
  const total = [...counts.values()].reduce((sum, x) => sum + x.invocations, 0);
  t.diagnostic(`${'node'.padEnd(20)} aspects invocations   200   403  other`);
  for (const [node, { aspects, invocations, ok, denied, other }] of counts)
    t.diagnostic(`${node.padEnd(20)} ${String(aspects).padStart(7)} ${String(invocations).padStart(11)} ${String(ok).padStart(5)} ${String(denied).padStart(5)}  ${[...other].map(([s, n]) => `${n} x ${s}`).join(', ')}`);
  t.diagnostic(`${total} invocations in ${((performance.now() - begun) / 1000).toFixed(1)} s`);
  const aspects = [...counts.values()].reduce((sum, x) => sum + x.aspects, 0);
  assert.equal(total, aspects * archetypes.length);
  for (const line of wrong) t.diagnostic(line);
  assert.equal(wrong.length, 0, `${wrong.length} answers are not what the table says`);
});

/// What is no proper argument, or hardly one.
const odd = {
  string: ['', ' ', '\u0000', 'x'.repeat(100000), '\ud83d\ude80\u202e\u0301', '\ud800', '../../etc/passwd', "'; DROP TABLE kg.tenants; --", '%s%n%00', '{"a":1}', 'world.house', 'concept', '2026-13-45T99:99:99Z', '-1', '1e400'],
  number: [0, -1, 1e300, -1e300, 1e-300, 9007199254740993, 4294967296, 2147483648, 0.1],
  other: [null, true, [], {}, [[[[[]]]]], { a: { b: { c: { d: null } } } }, [null, 1, 'a', {}], { '': '', $where: 1, __proto__x: [] }, Array.from({ length: 3000 }, (_, i) => i)],
};
const oddities = [...odd.string, ...odd.number, ...odd.other];

test('whatever the arguments are, no aspect fails by itself', { timeout: 280000 }, async (t) => {
  const begun = performance.now();
  const wrong = [];
  const statuses = new Map();
  // One who may do it asks; a lane each for a few tenants, so that they are done side by side.
  const lanes = ['architect', 'developer', 'admin', 'philosopher', 'poet', 'scientist', 'artist', 'teacher', 'engineer', 'economist', 'inhabitant'];
  const work = nodesOf().flatMap((node) => Object.entries(table.metadata[node].aspectMetadata).map(([aspect, { archetypes: who }]) => ({ node, aspect, who })));
  await Promise.all(
    lanes.map(async (lane) => {
      for (const { node, aspect, who } of work) {
        const mine = who.length > 0 ? lanes.find((x) => who.includes(x)) : lanes[(node.length + aspect.length) % lanes.length];
        if (mine !== lane) continue;
        const { properties } = table.schemas[node][aspect].request;
        const usual = kwargsOf(lane, node, aspect);
        for (const name of new Set([...Object.keys(properties), 'input', 'unheard_of']))
          for (const value of name in properties ? oddities : oddities.slice(-4)) {
            const { status, text } = await invoke(lane, node, aspect, { ...usual, [name]: value });
            statuses.set(status, (statuses.get(status) ?? 0) + 1);
            if (status >= 500) wrong.push(`${node}.${aspect} with ${name} = ${JSON.stringify(value).slice(0, 60)}: ${status} ${text.slice(0, 200)}`);
          }
      }
    }),
  );
  for (const line of wrong.slice(0, 100)) t.diagnostic(line);
  const total = [...statuses.values()].reduce((sum, n) => sum + n, 0);
  t.diagnostic(`${total} invocations in ${((performance.now() - begun) / 1000).toFixed(1)} s: ${[...statuses].map(([s, n]) => `${n} x ${s}`).join(', ')}`);
  assert.equal(wrong.length, 0, `${wrong.length} answers are the server's fault`);
  assert.equal((await ask('guest', 'GET', '/health')).status, 200, 'and it is still there');
});

test('12: every listed path answers manifest, to GET and for a guest', async () => {
  for (const path of table.paths) {
    const { status, text, body } = await ask('guest', 'GET', `/agentese/${slashed(path)}/manifest`);
    assert.equal(status, 200, `${path}: ${text}`);
    assert.deepEqual([body.path, body.aspect], [path, 'manifest']);
    assert.ok(body.result !== null && typeof body.result === 'object', path);
  }
});

test('3: the gateway does not know what nobody has defined', async () => {
  for (const path of ['world.nobody', 'concept.nothing', 'self.nowhere', 'void.nothing', 'time.never']) {
    const { status, text } = await ask('developer', 'GET', `/agentese/${slashed(path)}/manifest`);
    assert.equal(status, 404, `${path}: ${text}`);
  }
});
