// What can go wrong with a model provider, in the wire formats of OpenAI and Anthropic: each fault ends in the right
// `error` event or in fail-over, within its deadline, and the turn row says so (design.md 7 and 10).
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { checkAnswer, wholeAnswer } from '../support/answers.mjs';
import { caller, isFinal } from '../support/http.mjs';
import { startMigratedPostgres } from '../support/postgres.mjs';
import { startProvider, words } from '../support/providers.mjs';
import { startServe } from '../support/server.mjs';
import { newTenant } from '../support/tenants.mjs';
import { within } from '../support/wait.mjs';

let database;
let db;
let provider;
before(async () => {
  database = await startMigratedPostgres();
  db = await database.connect();
  provider = await startProvider();
});
after(async () => {
  await provider?.close();
  await db?.end();
  await database?.dispose();
});

const deadlines = { KGENTS_LLM_CONNECT_TIMEOUT: 1, KGENTS_LLM_FIRST_CHUNK_TIMEOUT: 1, KGENTS_LLM_CHUNK_TIMEOUT: 1, KGENTS_LLM_TIMEOUT: 6 };
const tell = (script) => `Tell me of the moon ${script.token}`;

// name, script, type of the error, chunks shown before it, status with stream:false
const faults = [
  ['401', { status: 401 }, 'provider_rejected', 0, 502],
  ['400', { status: 400 }, 'provider_rejected', 0, 502],
  ['429 with Retry-After', { status: 429, headers: { 'Retry-After': '7' } }, 'provider_rate_limited', 0, 503],
  ['500', { status: 500 }, 'provider_unavailable', 0, 502],
  ['a slow first byte', { hold: true }, 'provider_timeout', 0, 504],
  ['a stall between chunks', { deltas: words(5), holdAfter: 3 }, 'provider_timeout', 3, 504],
  ['a cut in mid-chunk', { deltas: words(5), cutAfter: 3 }, 'provider_protocol', 3, 502],
  ['an end without the closing words', { deltas: words(5), endAfter: 3 }, 'provider_protocol', 3, 502],
  ['garbage', { deltas: words(5), garbageAfter: 3 }, 'provider_protocol', 3, 502],
  ['garbage from the start', { html: true }, 'provider_protocol', 0, 502],
  ['bad UTF-8', { deltas: words(5), badUtf8After: 3 }, 'provider_protocol', 3, 502],
  ['an error event in mid-stream', { deltas: words(5), errorAfter: 3 }, /^provider_(unavailable|protocol|rejected)$|^overloaded$/, 3, undefined],
];

for (const wire of ['openai', 'anthropic'])
  describe(wire, () => {
    let server;
    let who;
    before(async () => {
      server = await startServe(database, { env: { ...provider[wire](), ...deadlines } });
      who = caller(server, (await newTenant(db)).key);
    });
    after(() => server?.dispose());

    // A good answer zeroes the breaker's count of consecutive failures, so each fault is met by a closed breaker.
    const healthy = async () => {
      const script = provider.script({ deltas: words(4) });
      const answer = await wholeAnswer(who, await who.session(), tell(script));
      assert.equal(answer.text, script.text);
    };

    test('an answer, its tokens and its finish reason', async () => {
      const session = await who.session();
      const script = provider.script({ deltas: words(7), finish: 'length' });
      const answer = await wholeAnswer(who, session, tell(script));
      assert.equal(answer.text, script.text);
      assert.equal(answer.complete.finish_reason, 'length');
      assert.equal(answer.complete.tokens_used, 11 + 7, 'prompt and output tokens as the provider reports them');
      const { rows } = await db.query('SELECT status, finish_reason, tokens_in, tokens_out FROM kg.turns WHERE id = $1', [answer.turn]);
      assert.deepEqual(rows, [{ status: 'completed', finish_reason: 'length', tokens_in: 11, tokens_out: 7 }]);
      const { body } = script.requests[0];
      assert.ok(body.max_tokens === undefined || body.max_tokens <= 4000);
      assert.deepEqual(provider.violations, []);
    });

    test('the history goes along, and the user\'s words only in the user\'s turn', async () => {
      const session = await who.session();
      const one = provider.script({ deltas: ['First ', 'answer.'] });
      const two = provider.script({ deltas: ['Second.'] });
      await wholeAnswer(who, session, tell(one));
      await wholeAnswer(who, session, tell(two));
      const { body } = two.requests[0];
      const spoken = body.messages.filter((m) => m.role !== 'system');
      assert.deepEqual(spoken.map((m) => m.role), ['user', 'assistant', 'user']);
      assert.ok(JSON.stringify(spoken[0]).includes(one.token));
      assert.ok(JSON.stringify(spoken[1]).includes('First answer.'));
      const system = JSON.stringify(body.system ?? body.messages.find((m) => m.role === 'system'));
      assert.ok(system && !system.includes(two.token));
    });

    for (const [name, options, type, shown, status] of faults) {
      test(`${name}: ends in its error event, and the turn row says so`, async () => {
        const session = await who.session();
        const script = provider.script(options);
        const stream = await who.say(session, tell(script));
        assert.equal(stream.status, 200);
        const events = await stream.rest();
        const last = events.at(-1);
        assert.equal(last?.event, 'error', JSON.stringify(last));
        if (type instanceof RegExp) assert.match(last.data.type, type);
        else assert.equal(last.data.type, type);
        assert.ok(last.data.error.length > 0);
        assert.ok(!JSON.stringify(last.data).includes('stand-in'), 'neither key nor body of the provider');
        assert.deepEqual(events.slice(0, -1).map((e) => [e.event, e.data.index, e.data.text]), words(shown).map((w, i) => ['chunk', i, w]));

        const turn = (await who.get(`/v1/kgent/sessions/${session}/turns/${stream.turn}`)).body;
        assert.deepEqual([turn.status, turn.text, turn.chunks], ['failed', words(shown).join(''), shown]);
        assert.ok(turn.error);
        const { rows } = await db.query('SELECT status, error_type FROM kg.turns WHERE id = $1', [stream.turn]);
        assert.deepEqual(rows, [{ status: 'failed', error_type: last.data.type }]);

        const replay = await who.stream(`/v1/kgent/sessions/${session}/stream?after=${stream.turn}:1:-`);
        assert.deepEqual(await replay.take(isFinal), events, 'a reader that comes later hears the same');
        replay.close();
        await healthy();
      });

      if (status)
        test(`${name}: with stream false it is ${status}`, async () => {
          const session = await who.session();
          const answer = await who.post(`/v1/kgent/sessions/${session}/messages`, { message: tell(provider.script(options)), stream: false });
          assert.equal(answer.status, status);
          assert.equal(typeof answer.body.detail, 'string');
          if (options.status === 429) assert.equal(answer.headers['retry-after'], '7');
          await healthy();
        });
    }

    test('an endless stream is ended within the deadline', async () => {
      const session = await who.session();
      const script = provider.script({ deltas: [], endless: true });
      const stream = await who.say(session, tell(script));
      let last;
      let length = 0;
      for (let e; (e = await stream.next()); last = e) if (e.event === 'chunk') length += e.data.text.length;
      assert.ok(last.event === 'complete' ? last.data.finish_reason === 'length' : ['provider_timeout', 'provider_protocol'].includes(last.data.type), JSON.stringify(last).slice(0, 300));
      await within(script.gone, 'the provider to be hung up on');
      assert.ok(length > 0);
      const turn = (await who.get(`/v1/kgent/sessions/${session}/turns/${stream.turn}`)).body;
      assert.equal(turn.status, last.event === 'complete' ? 'completed' : 'failed');
      await healthy();
    });

    test('a huge single delta arrives whole, in pieces that end at code points', async () => {
      const huge = 'größe🌊 '.repeat(60000);
      const script = provider.script({ deltas: ['a ', huge, ' z'] });
      const stream = await who.say(await who.session(), tell(script));
      const events = await stream.rest();
      const complete = checkAnswer(events, { turn: stream.turn });
      assert.equal(complete.text, `a ${huge} z`);
      for (const e of events.slice(0, -1)) assert.ok(!e.data.text.includes('\ufffd') && Buffer.byteLength(e.data.text) <= 64 * 1024);
      await healthy();
    });

    test('refused connections are provider_unavailable; five in a row open the breaker, and it closes again', async () => {
      await provider.close();
      const types = [];
      for (let i = 0; i < 7; i++) {
        const stream = await who.say(await who.session(), 'Tell me of the tide, please, and slowly');
        types.push((await stream.rest()).at(-1).data.type);
      }
      assert.deepEqual([...new Set(types)], ['provider_unavailable']);
      const refused = await who.post(`/v1/kgent/sessions/${await who.session()}/messages`, { message: 'Tell me of the tide, please, and slowly', stream: false });
      assert.equal(refused.status, 502);
      await provider.listen();
    });
  });

describe('fail-over', () => {
  for (const [first, second] of [['openai', 'embedded'], ['anthropic', 'openai']])
    test(`${first} then ${second}: a fault before the first chunk is answered by the next provider`, async (t) => {
      const env = { ...provider.openai(), ...provider.anthropic(), ...deadlines, KGENTS_LLM: `${first},${second}`, KGENTS_EMBEDDED_TOKENS_PER_SECOND: 0 };
      const server = await startServe(database, { env });
      t.after(() => server.dispose());
      const who = caller(server, (await newTenant(db)).key);
      for (const options of [{ status: 500 }, { status: 401 }, { status: 429 }, { html: true }, { hold: true }]) {
        const script = provider.script({ ...options, deltas: words(3), faultOn: first === 'openai' ? '/v1/chat/completions' : '/v1/messages' });
        const answer = await wholeAnswer(who, await who.session(), tell(script));
        assert.ok(answer.text.length > 0, JSON.stringify(options));
        assert.ok(script.requests.length >= 1);
        const good = provider.script({ deltas: words(3) });
        assert.equal((await wholeAnswer(who, await who.session(), tell(good))).text, good.text, 'the first provider is still preferred');
      }
    });

  test('a fault after the first chunk is not failed over: it is told', async (t) => {
    const server = await startServe(database, { env: { ...provider.openai(), ...deadlines, KGENTS_LLM: 'openai,embedded' } });
    t.after(() => server.dispose());
    const who = caller(server, (await newTenant(db)).key);
    const stream = await who.say(await who.session(), tell(provider.script({ deltas: words(5), cutAfter: 2 })));
    const events = await stream.rest();
    assert.deepEqual(events.map((e) => e.event), ['chunk', 'chunk', 'error']);
    assert.equal(events.at(-1).data.type, 'provider_protocol');
  });
});
