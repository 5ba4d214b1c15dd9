// agentese.md 8.2, 15, 18.9: what the context self keeps for its tenant, over HTTP.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Observer } from '../support/agentese.mjs';
import { startProvider } from '../support/providers.mjs';
import { openDatabase, startDev } from '../support/server.mjs';
import { newTenant } from '../support/tenants.mjs';
import { until } from '../support/wait.mjs';

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

const tenant = async (archetype = 'developer', how = {}) => new Observer(server, (await newTenant(db, how)).key, archetype);

test('8.2: what is not found by its letters is found by its words, and only by its tenant', async () => {
  const [ana, ben] = [await tenant(), await tenant()];
  await ana.ok('self.memory.engram', { key: 'boat', data: { name: 'Ariel', note: 'she sails' } });
  await ana.ok('self.memory.engram', { key: 'house', data: 'brick' });
  assert.deepEqual(await ana.ok('self.memory.recall', { key: 'boat' }), { name: 'Ariel', note: 'she sails' });
  for (const query of ['ARIEL', 'oa', 'sailing ariel'])
    assert.deepEqual((await ana.ok('self.memory.recall', { query })).matches, [['boat', { name: 'Ariel', note: 'she sails' }]], query);
  for (const query of ['%', '_', '\\', 'x%']) assert.deepEqual((await ana.ok('self.memory.recall', { query })).matches, [], query);
  assert.deepEqual((await ben.ok('self.memory.recall', { query: 'ariel' })).matches, []);
  assert.deepEqual(await ben.ok('self.memory.recall', { key: 'boat' }), { not_found: 'boat' });
  assert.deepEqual(await ana.ok('self.memory.engram', { key: 'boat', data: [1, 2] }), { status: 'engrammed', key: 'boat' });
  assert.deepEqual(await ana.ok('self.memory.recall', { key: 'boat' }), [1, 2]);
});

test('8.2: consolidate makes firm, prune drops the least relevant, a checkpoint names what is there', async () => {
  const ana = await tenant();
  await ana.ok('self.memory.engram', { key: 'loose', data: 1, temporary: true });
  await ana.ok('self.memory.engram', { key: 'faint', data: 2, relevance: 0.05 });
  assert.deepEqual(await ana.ok('self.memory.consolidate'), { consolidated: 1, total_memories: 2, status: 'consolidation complete' });
  assert.equal((await ana.ok('self.memory.consolidate')).consolidated, 0);
  const { label, memory_count: n, keys } = await ana.ok('self.memory.checkpoint');
  assert.deepEqual([label, n, keys.sort()], ['checkpoint_1', 2, ['faint', 'loose']]);
  assert.deepEqual(await ana.ok('self.memory.prune'), { pruned: 1, remaining: 1, threshold: 0.1 });
  assert.deepEqual((await ana.ok('self.memory.recall')).memories, ['loose']);
});

test('8.2: a crystal comes back within its tokens, and is reaped unless it is cherished', async () => {
  const ana = await tenant();
  const turns = Array.from({ length: 14 }, (_, i) => ({ role: 'user', content: `Turn ${i}. More of it.`, ...(i === 0 ? { preserve: true } : {}) }));
  const made = await ana.ok('self.memory.crystallize', { context_window: turns, task_id: 'refit', task_description: 'Refit the boat', working_memory: { sails: 3 }, ttl_hours: 0.5 });
  assert.deepEqual([made.status, made.preserved_count, made.dropped_count, made.pinned], ['crystallized', 11, 3, false]);
  const { crystal_id: id } = made;
  const whole = await ana.ok('self.memory.resume', { crystal_id: id });
  assert.deepEqual(whole.window, [turns[0], ...turns.slice(4)]);
  assert.deepEqual([whole.working_memory, whole.truncated, whole.summary], [{ sails: 3 }, false, 'Turn 1. Turn 2. Turn 3.']);
  const part = await ana.ok('self.memory.resume', { crystal_id: id, max_tokens: 12 });
  assert.deepEqual([part.window, part.truncated], [[turns[0], turns[13]], true]);
  const child = await ana.ok('self.memory.crystallize', { context_window: 'more', task_id: 'refit', task_description: 'x', parent_crystal_id: id });
  assert.equal((await ana.ok('self.memory.resume', { crystal_id: child.crystal_id })).parent_crystal_id, id);
  assert.deepEqual((await ana.ok('self.memory.expiring_soon')).expiring.map((x) => x.crystal_id), [id]);
  assert.equal((await ana.ok('self.memory.expiring_soon', { threshold: '10m' })).count, 0);
  assert.equal((await ana.invoke('self.memory.expiring_soon', { threshold: 'soon' })).status, 400);
  assert.equal((await ana.ok('self.memory.cherish', { crystal_id: id })).pinned, true);
  await db.query(`UPDATE kg.agentese_crystals SET expires_at = now() - interval '1 minute' WHERE crystal_id = ANY ($1)`, [[id, child.crystal_id]]);
  const { reaped, events, allocations_remaining: left } = await ana.ok('self.memory.reap');
  assert.deepEqual([reaped, events.map((x) => x.crystal_id), left], [1, [child.crystal_id], 1]);
  assert.equal((await ana.ok('self.memory.resume', { crystal_id: id })).status, 'resumed');
  const stranger = await tenant();
  assert.match((await stranger.ok('self.memory.resume', { crystal_id: id })).error, /not found/);
});

test('8.2: contents are found by likeness, scaled, and judged by what they cost', async () => {
  const ana = await tenant();
  for (const [id, content] of [['sailing', 'Sailing boats need steady wind.'], ['tax', 'The quarterly report is due.']]) await ana.ok('self.memory.store', { concept_id: id, content });
  const { matches, count } = await ana.ok('self.memory.retrieve', { cue: 'steady winds for a boat', threshold: 0.2 });
  assert.deepEqual([count, matches[0].concept_id, matches[0].resolution], [1, 'sailing', 1]);
  assert.equal((await ana.ok('self.memory.promote', { concept_id: 'sailing' })).new_resolution, 1.2);
  assert.equal((await ana.ok('self.memory.demote', { concept_id: 'sailing' })).new_resolution, 0.6);
  assert.ok(Math.abs((await ana.ok('self.memory.compress', { ratio: 0.5 })).new_resolution - (0.3 + 0.5) / 2) < 1e-9);
  for (const ratio of [0, 1.1, -1]) assert.equal((await ana.invoke('self.memory.compress', { ratio })).status, 400, `${ratio}`);
  await ana.ok('self.memory.deposit', { concept: 'sailing', intensity: 2 });
  const [trace] = (await ana.ok('self.memory.sense', { position: 'SAIL' })).gradients;
  assert.deepEqual([trace.concept, trace.trace_count], ['sailing', 1]);
  assert.ok(trace.total_intensity > 1.99 && trace.total_intensity <= 2);
  const energy = await ana.ok('self.memory.evaluate', { concept_id: 'sailing', relevance: 1 });
  assert.ok(Math.abs(energy.free_energy - (energy.complexity_cost - energy.accuracy_gain)) < 1e-9);
  assert.deepEqual([energy.retain, energy.action], [true, 'promote']);
  const all = await ana.ok('self.memory.inference_consolidate', { relevance: 0 });
  assert.deepEqual([all.evaluated, all.promoted + all.demoted + all.retained], [2, 2]);
  assert.deepEqual(await ana.ok('self.memory.play', { game: 'recall', position: 'idle', direction: 'find' }), { from_position: 'idle', direction: 'find', to_position: 'idle', is_grammatical: false });
  assert.equal((await ana.invoke('self.memory.play', { game: 'chess', position: 'e4' })).status, 400);
});

test('8.2: sixty-four at once acquire what is acquired once', async () => {
  const ana = await tenant();
  await Promise.all(Array.from({ length: 64 }, (_, i) => ana.ok('self.capabilities.acquire', { capability: `c${i % 16}` })));
  const { capabilities, count } = await ana.ok('self.capabilities.list');
  assert.deepEqual([count, capabilities], [16, [...capabilities].sort()]);
  await ana.ok('self.state.checkpoint', { label: 'sixteen' });
  assert.deepEqual(await ana.ok('self.capabilities.release', { capability: 'c3' }), { released: 'c3', total: 15 });
  assert.deepEqual(await ana.ok('self.capabilities.release', { capability: 'c3' }), { error: 'capability not found' });
  assert.equal((await ana.ok('self.state.restore', { index: 0 })).restored, 'sixteen');
  assert.deepEqual((await ana.ok('self.state.inspect', { key: 'capabilities' })).value, capabilities);
});

test('8.2: a decision is void after its deadline', async () => {
  const ana = await tenant('admin');
  const late = await ana.ok('self.semaphore.yield', { prompt: 'Sail?', deadline: '2020-01-01T00:00:00Z' });
  const open = await ana.ok('self.semaphore.yield', { prompt: 'Sail?', deadline: '2999-01-01T00:00:00+01:00', severity: 'critical' });
  assert.equal((await ana.ok('self.semaphore.status', { token_id: late.token_id })).status, 'voided');
  assert.deepEqual((await ana.ok('self.semaphore.pending')).pending.map((x) => x.token_id), [open.token_id]);
  assert.match((await ana.ok('world.purgatory.resolve', { token_id: late.token_id, human_input: 'yes' })).error, /not pending \(status: voided\)/);
  assert.deepEqual((await ana.ok('world.purgatory.void_expired')).token_ids, [late.token_id]);
  assert.equal((await ana.ok('world.purgatory.void_expired')).voided, 0);
  for (const wrong of [{ deadline: 'soon' }, { severity: 'urgent' }]) assert.equal((await ana.invoke('self.semaphore.yield', { prompt: 'x', ...wrong })).status, 400, JSON.stringify(wrong));
});

test('15: what an observer expects is his own, and colours his taste', async () => {
  const ana = await tenant();
  const ben = ana.as('developer', { id: 'ben' });
  await ana.ok('self.judgment.expectations', { set_key: 'prior', set_value: 10 });
  assert.equal((await ana.ok('self.judgment.taste', { content: 10 })).verdict, 'boring');
  assert.equal((await ben.ok('self.judgment.taste', { content: 10 })).verdict, 'interesting', 'he expects nothing');
  assert.deepEqual(await ana.ok('self.judgment.expectations', { get_key: 'prior' }), { key: 'prior', value: 10 });
  await ana.ok('self.judgment.expectations', { clear: true });
  assert.deepEqual(await ana.ok('self.judgment.expectations'), { expectations: {}, count: 0 });
  const { final_critique: critique, iterations, artifact } = await ana.ok('self.judgment.refine', { generator_path: 'self.forest.manifest', threshold: 1, max_iterations: 2 });
  assert.equal(iterations, 2);
  assert.ok(artifact.summary.length > 0 && critique.overall > 0);
  assert.equal((await ana.invoke('self.judgment.refine', { generator_path: 'self.judgment.taste' })).status, 400);
  await ana.refused('self.judgment.refine', { generator_path: 'earth.house.manifest' }, 404);
});

test('12: an alias of the tenant stands for a node until it is removed, and for no other tenant', async () => {
  const [ana, ben] = [await tenant(), await tenant()];
  await ana.ok('self.aliases.set', { name: 'soul', target: 'self.soul' });
  assert.equal((await ana.v1('soul.eigenvectors')).body.result.aesthetic, 0.15);
  assert.notEqual((await ben.v1('soul.eigenvectors')).status, 200);
  for (const [name, target, code] of [['time', 'self.soul', 'ALIAS_SHADOW'], ['x', 'me.soul', 'RECURSIVE_ALIAS'], ['x', 'x.y', 'RECURSIVE_ALIAS'], ['X', 'self.soul', 'INVALID_ARGUMENT'], ['x', 'self', 'SYNTAX_ERROR']])
    await ana.refused('self.aliases.set', { name, target }, 400, code);
  assert.equal((await ana.ok('self.aliases.set', { name: 'me', target: 'self.memory' })).replaced, true, 'a standard one');
  assert.deepEqual((await ana.v1('me.recall')).body.result, { memories: [] });
  await ana.ok('self.aliases.remove', { name: 'me' });
  await ana.refused('self.aliases.remove', { name: 'me' }, 404, 'ALIAS_NOT_FOUND');
  assert.ok(!('me' in (await ana.ok('self.aliases.list')).aliases));
  assert.equal((await ben.ok('self.aliases.list')).aliases.me, 'self.soul');
});

test('8.2: kgent opens a session, says something and has its history', async () => {
  const ana = await tenant();
  const { id, status } = await ana.ok('self.kgent.create', { title: 'Boats', mode: 'explore' });
  assert.equal(status, 'active');
  const said = await ana.ok('self.kgent.message', { session_id: id, message: 'What should a small crew keep when it grows?' });
  assert.equal(said.stream, `/v1/kgent/sessions/${id}/stream`);
  const { messages } = await until(async () => {
    const seen = await ana.ok('self.kgent.history', { session_id: id });
    return seen.total === 2 && seen;
  }, 'the answer in the history');
  assert.deepEqual(messages.map((x) => x.role), ['user', 'assistant']);
  assert.deepEqual((await ana.ok('self.kgent.list')).sessions.map((x) => x.id), [id]);
  const ben = await tenant();
  await ben.refused('self.kgent.history', { session_id: id }, 404, 'SESSION_NOT_FOUND');
  await ben.refused('self.kgent.message', { session_id: id, message: 'hello' }, 404, 'SESSION_NOT_FOUND');
});

test('18.9: a mode that is set stays, and a chat counts its turns', async () => {
  const ana = await tenant();
  assert.deepEqual(await ana.ok('self.soul.mode'), { mode: 'reflect', status: 'current' });
  assert.equal((await ana.ok('self.soul.mode', { set: 'EXPLORE' })).status, 'changed');
  assert.equal((await ana.ok('self.soul.manifest')).mode, 'explore');
  assert.deepEqual(await ana.ok('self.soul.mode', { set: 'shout' }), { error: 'Invalid mode: shout' });
  await ana.ok('self.memory.engram', { key: 'boat', data: 'Ariel, a sloop' });
  for (let turn = 1; turn <= 3; turn++) {
    const said = await ana.ok('self.soul.chat', { message: 'Which sloop did we say should sail to the islands?' });
    assert.deepEqual([said.turn, said.mode, said.memories_recalled], [turn, 'explore', ['boat']]);
    assert.ok(Math.abs(said.entropy - (1 - 0.02 * turn)) < 1e-9);
  }
  const blank = await ana.ok('self.soul.chat', { message: '  ' });
  assert.deepEqual([blank.turn, blank.was_template], [3, true]);
});

test('18.9: a chat tells the model what was said and what is remembered, in the turn of the user', async () => {
  const provider = await startProvider();
  const modelled = await startDev({ env: provider.openai() });
  const modelledDb = await openDatabase(modelled.stateDir);
  try {
    const ana = new Observer(modelled, (await newTenant(modelledDb)).key, 'developer');
    const script = provider.script({ deltas: ['Aye, ', 'the sloop.'] });
    await ana.ok('self.memory.engram', { key: 'boat', data: 'Ariel, a sloop of 1911' });
    await ana.ok('self.soul.chat', { message: `Which sloop should sail to the islands first? ${script.token}` });
    await ana.ok('self.soul.chat', { message: `And which sloop should follow her next week? ${script.token}` });
    assert.equal(script.requests.length, 2);
    const { messages } = script.requests[1].body;
    const system = messages.filter((x) => x.role === 'system').map((x) => x.content).join();
    assert.ok(!system.includes(script.token) && !system.includes('1911'));
    const [first, answer, last] = messages.filter((x) => x.role !== 'system');
    assert.deepEqual([first.role, answer, last.role], ['user', { role: 'assistant', content: 'Aye, the sloop.' }, 'user']);
    assert.match(first.content, /islands first/);
    assert.match(last.content, /follow her next week[^]*\[Remembered: boat = "Ariel, a sloop of 1911"\]$/);
    assert.deepEqual(provider.violations, []);
  } finally {
    await modelledDb.end();
    await modelled.dispose();
    await provider.close();
  }
});

test('8.2: vitals are measured, not told', async () => {
  const ana = await tenant();
  const before = await ana.ok('self.vitals.synapse');
  await ana.ok('self.memory.recall');
  await until(async () => (await ana.ok('self.vitals.synapse')).last_seq > before.last_seq, 'the log to grow');
  const { status, durability, process } = await ana.ok('self.vitals.triad');
  assert.ok(['healthy', 'degraded'].includes(status));
  assert.equal(durability.fsync, 'on');
  assert.ok(process.resident_bytes > 1e6 && process.uptime_seconds >= 0 && process.threads > 1);
  for (const aspect of ['resonance', 'circuit', 'durability', 'reflex']) assert.equal(typeof (await ana.ok(`self.vitals.${aspect}`)).status, 'string');
});
