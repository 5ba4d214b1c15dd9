// agentese.md 19, lines 21-24, 26: the soul and its judgment, without a model and with one.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Observer } from '../support/agentese.mjs';
import { startProvider } from '../support/providers.mjs';
import { openDatabase, startDev } from '../support/server.mjs';
import { newTenant } from '../support/tenants.mjs';

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

/// A new tenant's observer.
const tenant = async (archetype = 'developer', how = {}) => new Observer(server, (await newTenant(db, how)).key, archetype);

const table = { aesthetic: 0.15, categorical: 0.92, gratitude: 0.78, heterarchy: 0.88, generativity: 0.9, joy: 0.75 };

test('19.21: six eigenvectors with the numbers of the table, whoever asks', async () => {
  const ana = await tenant('developer');
  assert.deepEqual(await ana.ok('self.soul.eigenvectors'), table);
  assert.deepEqual((await ana.ok('self.soul.manifest')).eigenvectors, table);
  await ana.ok('self.soul.dialogue', { message: 'What should a small team hold on to when it grows?' });
  assert.deepEqual(await ana.ok('self.soul.eigenvectors'), table, 'talk does not change them');
});

test('19.22: plans set the tier; a blank message costs nothing and counts nothing', async () => {
  const message = 'What should a small team hold on to when it grows?';
  for (const [tier, budget, tokens] of [['free', 'whisper', (n) => n === 50], ['starter', 'whisper', (n) => n === 50], ['pro', 'dialogue', (n) => n > 0], ['enterprise', 'deep', (n) => n > 0], ['custom', 'deep', (n) => n > 0]]) {
    const who = await tenant('developer', { tier });
    const said = await who.ok('self.soul.dialogue', { message });
    assert.equal(said.budget_tier, budget, tier);
    assert.ok(tokens(said.tokens_used), `${tier}: ${said.tokens_used}`);
    const before = await who.ok('self.soul.manifest');
    assert.equal(before.interactions_count, 1);
    const blank = await who.ok('self.soul.dialogue', { message: '  \n ' });
    assert.deepEqual([blank.budget_tier, blank.tokens_used, blank.was_template], ['dormant', 0, true]);
    const { interactions_count: n, tokens_used_session: used } = await who.ok('self.soul.manifest');
    assert.deepEqual([n, used], [before.interactions_count, before.tokens_used_session]);
  }
});

test('19.23: every mode answers without a model; nothing dangerous is approved', async () => {
  const ana = await tenant('developer');
  for (const mode of ['reflect', 'advise', 'challenge', 'explore']) {
    const said = await ana.ok('self.soul.dialogue', { message: 'I want to rewrite everything from scratch this winter', mode });
    assert.equal(said.mode, mode);
    assert.ok(said.response.trim().length > 0);
  }
  assert.deepEqual(await ana.ok('self.soul.dialogue', { message: 'x', mode: 'shout' }), { error: 'Invalid mode: shout' });
  assert.equal((await ana.ok('self.soul.challenge', { input: 'I never change my mind about boats' })).mode, 'challenge');
  assert.equal((await ana.ok('self.soul.why', { topic: 'sailing alone' })).depth, 'exploring purpose');
  assert.equal((await ana.ok('self.soul.tension', { topic: 'speed and safety' })).holding_space, true);
  assert.deepEqual(await ana.loose('self.soul.dialogue', {}), { error: 'message required' });
  assert.deepEqual(await ana.loose('self.soul.why', {}), { error: 'message or topic required' });
  assert.equal((await ana.loose('self.soul.governance', {})).error, 'action required');
  const starters = (await ana.ok('self.soul.starters')).starters;
  for (const mode of Object.keys(starters)) assert.equal(starters[mode].length, 12, mode);
  for (const word of ['delete', 'remove', 'drop', 'truncate', 'destroy', 'rm ', 'rm -', 'rmdir', 'del ', 'production', 'prod', 'force', '--force', '-f', 'sudo', 'password', 'secret', 'token', 'credential', 'api_key', 'apikey', 'format', 'wipe', 'purge', 'erase']) {
    const action = `gratitude and joy: generate a simple minimalist peer hierarchy, then ${word.toUpperCase()} x`;
    const found = await ana.ok('self.soul.governance', { action });
    assert.deepEqual([found.handled, found.recommendation, found.confidence, found.principles], [false, 'escalate', 0, ['SAFETY_OVERRIDE']], word);
  }
});

test('19.26: Wundt: 0 is boring, a half is 1, 1 is chaotic; the thresholds themselves are interesting', async () => {
  const ana = await tenant('developer');
  const taste = (content, prior) => ana.ok('self.judgment.taste', prior === undefined ? { content } : { content, prior });
  for (const [content, prior, novelty, score, verdict] of [
    [5, 5, 0, 0, 'boring'],
    [7, undefined, 0.5, 1, 'interesting'],
    [20, 10, 1, 0, 'chaotic'],
    [11, 10, 0.1, 0.36, 'interesting'],
    [19, 10, 0.9, 0.36, 'interesting'],
    [10.5, 10, 0.05, 0.19, 'boring'],
    [19.5, 10, 0.95, 0.19, 'chaotic'],
  ]) {
    const found = await taste(content, prior);
    assert.ok(Math.abs(found.novelty - novelty) < 1e-9, `${content} after ${prior}: ${found.novelty}`);
    assert.ok(Math.abs(found.wundt_score - score) < 1e-9, `${content} after ${prior}: ${found.wundt_score}`);
    assert.deepEqual([found.verdict, found.is_acceptable, found.complexity], [verdict, verdict === 'interesting', 0.5], `${content} after ${prior}`);
  }
  assert.deepEqual(await ana.ok('self.judgment.calibrate', { low: 0.8, high: 0.2 }), { status: 'calibrated', low_threshold: 0.8, high_threshold: 0.9 });
  const { surprise } = await ana.ok('self.judgment.surprise', { content: { a: 1, b: 2 }, prior: { b: 2, c: 3 } });
  assert.ok(Math.abs(surprise - 2 / 3) < 1e-9);
});

// With a model: a provider that follows a script.
let provider;
let modelled;
let modelledDb;
async function withModel(archetype = 'developer', how = {}) {
  provider ??= await startProvider();
  modelled ??= await startDev({ env: provider.openai() });
  modelledDb ??= await openDatabase(modelled.stateDir);
  return new Observer(modelled, (await newTenant(modelledDb, how)).key, archetype);
}
after(async () => {
  await modelledDb?.end();
  await modelled?.dispose();
  await provider?.close();
});

test('19.22: dormant never calls the model, nor does a template; others within their caps', async () => {
  const script = (await withModel(), provider).script({ deltas: ['Hold on to ', 'the doubts.'] });
  const message = `What should a small team of sailors hold on to when it grows? ${script.token}`;
  for (const [tier, calls] of [['free', 0], ['starter', 0], ['pro', 1], ['enterprise', 1], ['custom', 1]]) {
    const who = await withModel('developer', { tier });
    const before = script.requests.length;
    const said = await who.ok('self.soul.dialogue', { message });
    assert.equal(script.requests.length - before, calls, tier);
    if (calls === 0) continue;
    assert.equal(said.response, 'Hold on to the doubts.');
    const { body } = script.requests.at(-1);
    assert.ok((body.max_tokens ?? body.max_completion_tokens) <= 500, 'a single turn is capped at 500');
    const system = body.messages.filter((x) => x.role === 'system').map((x) => x.content).join();
    assert.ok(!system.includes(script.token), "the user's words are only in the user's turn");
  }
  const who = await withModel();
  const before = script.requests.length;
  assert.equal((await who.ok('self.soul.dialogue', { message: `hello ${script.token}` })).was_template, true);
  assert.equal(script.requests.length, before);
  assert.deepEqual(provider.violations, []);
});

test('19.24: a model that is not sure, says nonsense or fails approves nothing', async () => {
  const who = await withModel();
  const verdict = async (options) => {
    const script = provider.script(options);
    const found = await who.ok('self.soul.governance', { action: `rename the label ${script.token}` });
    assert.ok(script.requests.length >= 1, 'the model was asked');
    assert.equal(script.requests[0].body.temperature, 0.2);
    return found;
  };
  const says = (confidence, recommendation = 'approve') => ({ deltas: [`RECOMMENDATION: ${recommendation}\nCONFIDENCE: ${confidence}\n`, 'PRINCIPLES: curated, joy\nREASONING: It is a label.'] });
  const unsure = await verdict(says(0.65));
  assert.deepEqual([unsure.handled, unsure.recommendation], [false, 'escalate']);
  assert.match(unsure.reasoning, /^Confidence too low for auto-approve\./);
  const sure = await verdict(says(0.7));
  assert.deepEqual([sure.handled, sure.recommendation, sure.confidence, sure.was_deep], [true, 'approve', 0.7, true]);
  assert.equal((await verdict(says(7))).confidence, 1, 'clamped');
  assert.deepEqual([(await verdict(says(0.9, 'reject'))).handled, (await verdict(says(0.9, 'reject'))).recommendation], [false, 'reject']);
  const garbage = await verdict({ deltas: ['Well, it depends, ', 'does it not?'] });
  assert.deepEqual([garbage.handled, garbage.recommendation], [false, 'escalate']);
  const failed = await verdict({ status: 400 });
  assert.deepEqual([failed.handled, failed.recommendation, failed.confidence, failed.principles], [false, 'escalate', 0, ['ERROR_FALLBACK']]);
});

test('8.3: concepts are refined by the model, and without an answer by what is known', async () => {
  const who = await withModel('philosopher');
  const script = provider.script({ deltas: ['Justice is ', 'what is owed.'] });
  const refined = await who.loose('concept.justice.refine', { challenge: `what of strangers? ${script.token}` });
  assert.match(refined.refined, /Justice is what is owed\./);
  assert.ok(script.requests.length >= 1);
  const broken = provider.script({ status: 500 });
  const fallback = await who.loose('concept.mercy.refine', { challenge: `what of strangers? ${broken.token}` });
  assert.ok(fallback.refined.length > 0);
  assert.equal(fallback.status, 'refined');
});
