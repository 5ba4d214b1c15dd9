// http-api.md 13.6 and section 8: dialogue and governance without a session.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { caller } from '../support/http.mjs';
import { openDatabase, startDev } from '../support/server.mjs';
import { newTenant } from '../support/tenants.mjs';

let server;
let db;
let free;
let pro;
let enterprise;
before(async () => {
  server = await startDev({ env: { KGENTS_EMBEDDED_TOKENS_PER_SECOND: 0 } });
  db = await openDatabase(server.stateDir);
  free = caller(server, (await newTenant(db, { tier: 'free' })).key);
  pro = caller(server, (await newTenant(db, { tier: 'pro' })).key);
  enterprise = caller(server, (await newTenant(db)).key);
});
after(async () => {
  await db?.end();
  await server?.dispose();
});

const prompt = 'What should a small team hold on to when it grows?';
const dialogue = (who, body) => who.post('/v1/soul/dialogue', { prompt, ...body });
const governance = (who, body) => who.post('/v1/soul/governance', body);
const eigenvectors = { aesthetic: 0.15, categorical: 0.92, gratitude: 0.78, heterarchy: 0.88, generativity: 0.9, joy: 0.75 };

for (const mode of ['reflect', 'advise', 'challenge', 'explore'])
  test(`13.6/40: dialogue in mode ${mode} answers with its mode and six eigenvectors`, async () => {
    const { status, body } = await dialogue(pro, { mode: mode.toUpperCase() });
    assert.equal(status, 200);
    assert.equal(body.mode, mode);
    assert.ok(body.response.length > 0);
    assert.deepEqual(body.eigenvectors, eigenvectors);
    assert.ok(body.tokens_used > 0);
    assert.ok(body.referenced_preferences.length <= 3 && body.referenced_patterns.length <= 3);
  });

test('13.6/41: an invalid mode or budget is 400 in its words', async () => {
  const mode = await dialogue(pro, { mode: 'invalid' });
  assert.equal(mode.status, 400);
  assert.equal(mode.body.detail, "Invalid mode 'invalid'. Valid modes: reflect, advise, challenge, explore");
  const budget = await dialogue(pro, { budget: 'invalid' });
  assert.equal(budget.status, 400);
  assert.equal(budget.body.detail, "Invalid budget 'invalid'. Valid budgets: dormant, whisper, dialogue, deep");
  assert.match((await dialogue(pro, { mode: 'invalid', budget: 'invalid' })).body.detail, /mode/, 'mode is checked first');
});

test('13.6/42: budgets follow the plan, whatever their case', async () => {
  const refused = await dialogue(free, { budget: 'dialogue' });
  assert.equal(refused.status, 403);
  assert.equal(refused.body.detail, "Budget tier 'dialogue' not available for FREE tier");
  assert.equal((await dialogue(free, {})).status, 403, 'the default is dialogue, also for FREE');
  assert.equal((await dialogue(free, { budget: 'whisper' })).status, 200);
  for (const budget of ['dormant', 'WHISPER', 'dialogue', null, '']) assert.equal((await dialogue(pro, { budget })).status, 200, String(budget));
  assert.equal((await dialogue(enterprise, { budget: 'Deep' })).status, 200);
});

test('8.1: tokens follow the budget: none, fifty, or what the answer took', async () => {
  assert.equal((await dialogue(pro, { budget: 'dormant' })).body.tokens_used, 0);
  assert.equal((await dialogue(pro, { budget: 'whisper' })).body.tokens_used, 50);
  assert.ok((await dialogue(pro, { budget: 'dialogue' })).body.tokens_used > 0);
  const blank = await dialogue(pro, { prompt: '   ' });
  assert.deepEqual([blank.status, blank.body.tokens_used], [200, 0]);
  assert.ok(blank.body.response.length > 0);
});

test('13.6/43: governance beyond the plan is 403 "not available", an unknown budget too', async () => {
  for (const budget of ['deep', 'bottomless']) {
    const { status, body } = await governance(free, { action: 'rename a variable', budget });
    assert.equal(status, 403, budget);
    assert.match(body.detail, /not available/);
  }
  assert.equal((await governance(free, { action: 'rename a variable', budget: 'whisper' })).status, 200);
});

test('13.6/44: rm -rf is not approved', async () => {
  const { status, body } = await governance(pro, { action: 'rm -rf /production/database' });
  assert.equal(status, 200);
  assert.equal(body.approved, false);
  assert.equal(body.recommendation, 'escalate');
  assert.deepEqual(body.alternatives, [
    'Get explicit confirmation from stakeholders',
    'Review in team meeting',
    'Defer until more context available',
  ]);
  assert.deepEqual(body.principles, ['SAFETY_OVERRIDE']);
  assert.equal(body.confidence, 0);
  assert.equal(body.tokens_used, 0);
});

test('13.6/45: governance with a context reasons and keeps its confidence in [0,1]', async () => {
  for (const action of ['tidy the minimalist peer garden with joy', 'paint the shed']) {
    const { status, body } = await governance(pro, { action, context: { reason: 'spring', severity: 0.2, more: [1] } });
    assert.equal(status, 200);
    assert.ok(body.reasoning.length > 0);
    assert.ok(body.confidence >= 0 && body.confidence <= 1);
    assert.ok(['approve', 'reject', 'escalate'].includes(body.recommendation));
    assert.equal(body.approved, body.recommendation === 'approve');
    assert.equal(body.alternatives.length, body.approved ? 0 : 3);
    assert.ok(body.principles.length <= 3);
  }
});

test('8.2: governance validates its body', async () => {
  assert.equal((await governance(pro, {})).status, 422);
  const { status, body } = await governance(pro, { action: 'x', context: 'spring' });
  assert.equal(status, 422);
  assert.deepEqual(body.detail[0], { type: 'dict_type', loc: ['body', 'context'], msg: 'Input should be a valid dictionary', input: 'spring' });
});

test('13.6/46: ten a day are ten a day, and another user is not affected', async () => {
  const limited = caller(server, (await newTenant(db, { tier: 'free', limits: { requests_per_day: null }, key: { requests_per_day: 10 } })).key);
  for (let i = 0; i < 10; i++) assert.equal((await dialogue(limited, { budget: 'whisper' })).status, 200, `call ${i + 1}`);
  const refused = await dialogue(limited, { budget: 'whisper' });
  assert.equal(refused.status, 429);
  assert.equal(refused.body.detail, 'Rate limit exceeded. 10 requests per day allowed.');
  assert.match(refused.headers['retry-after'], /^\d+$/);
  assert.equal(refused.headers['x-ratelimit-remaining'], '0');
  assert.equal((await dialogue(free, { budget: 'whisper' })).status, 200);
});

test('a day\'s count survives a restart of the server', async () => {
  const tenant = await newTenant(db, { tier: 'free', limits: { requests_per_day: null }, key: { requests_per_day: 3 } });
  const call = () => dialogue(caller(server, tenant.key), { budget: 'whisper' });
  assert.deepEqual([(await call()).status, (await call()).status], [200, 200]);
  await db.end();
  await server.stop();
  server = await server.restart();
  db = await openDatabase(server.stateDir);
  assert.deepEqual([(await call()).status, (await call()).status], [200, 429]);
});
