// Conversations that go on through faults: each sends message after message, repeats what had no answer under the same
// Idempotency-Key, and compares every answer with what it would have been undisturbed.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import http from 'node:http';

import { createParser } from 'eventsource-parser';

import { aboutWords, wholeAnswer } from './answers.mjs';
import { caller } from './http.mjs';
import { Hearing } from './hearing.mjs';
import { EventSourceReader, SocketReader } from './readers.mjs';
import { startServe } from './server.mjs';
import { newTenant } from './tenants.mjs';
import { patience } from './wait.mjs';

const subjects = ['rivers', 'bridges', 'orchards', 'lighthouses', 'glaciers', 'markets', 'harbours', 'libraries'];

/// What is said in a session and what is answered undisturbed, one node alone: `[{prompt, text, chunks, tokens}]`. The
/// embedded provider answers by what was asked and how much was said before, so it is the same in every session. `words`:
/// about how many there are to each answer.
export async function rehearse(database, words) {
  const server = await startServe(database, { env: { KGENTS_NODE_NAME: 'rehearsal', KGENTS_EMBEDDED_TOKENS_PER_SECOND: 0 } });
  const db = await database.connect();
  try {
    const who = caller(server, (await newTenant(db)).key);
    const session = await who.session();
    const script = [];
    for (const [k, count] of words.entries()) {
      const prompt = aboutWords(count, subjects[k % subjects.length]);
      const { text, complete } = await wholeAnswer(who, session, prompt);
      script.push({ prompt, text, chunks: complete.chunks, tokens: complete.tokens_used });
    }
    return script;
  } finally {
    await db.end();
    await server.dispose();
  }
}

/// POST …/messages that gives up after `ms`: `{status, headers, text}`, the stream checked as it comes.
function post(at, session, { key, idempotency, message, stream, ms, hearing }) {
  const body = JSON.stringify({ message, stream });
  const headers = {
    'X-API-Key': key,
    'Idempotency-Key': idempotency,
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(body),
  };
  const path = `/v1/kgent/sessions/${session}/messages`;
  return new Promise((resolve, reject) => {
    const request = http.request({ host: at.host, port: at.port, method: 'POST', path, headers, agent: false });
    const timer = setTimeout(() => request.destroy(new Error(`no answer within ${ms} ms`)), ms);
    request.on('close', () => clearTimeout(timer));
    request.on('error', reject);
    request.on('response', (response) => {
      const { statusCode: status, headers: got } = response;
      const streams = (got['content-type'] ?? '').startsWith('text/event-stream');
      let text = '';
      response.setEncoding('utf8');
      response.on('error', reject);
      if (streams) {
        clearTimeout(timer);
        response.socket.unref();
        const parser = createParser({ onEvent: ({ event, id, data }) => event !== 'reconnect' && hearing.take(event, id, JSON.parse(data)) });
        response.on('data', (part) => parser.feed(part));
        resolve({ status, headers: got, close: () => request.destroy() });
      } else {
        response.on('data', (part) => (text += part));
        response.on('end', () => resolve({ status, headers: got, text }));
      }
    });
    request.end(body);
  });
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/// A reader of each kind at each of these places.
export const bothKinds = (...places) => places.flatMap((at) => [EventSourceReader, SocketReader].map((Kind) => ({ Kind, at })));

export class Conversation {
  /// Turns whose answer every reader has heard.
  turns = [];
  retries = 0;
  /// Answers to messages that were not 200, by status; 0: no answer.
  refusals = new Map();
  session = null;
  readers = [];
  sessions = [];
  #stopping = false;
  #closed = false;
  #postReaders = [];
  #reconnects = 0;
  #longestPause = 0;

  /// `at`: where messages go; `readers`: classes of `readers.mjs` and where each connects; `session`: one to go on with
  /// (otherwise new ones); `patienceMs`: for one answer, faults included.
  constructor({ at, tenant, script, readers = bothKinds(at), session, patienceMs = 2 * patience.ms }) {
    Object.assign(this, { at, tenant, script, kinds: readers, first: session, patienceMs });
    this.who = caller(at, tenant.key);
  }

  /// The session with its readers, before the first message.
  async open() {
    await this.#begin();
    this.#connect();
    await Promise.all(this.readers.map((reader) => reader.opened));
    return this;
  }

  async #begin() {
    for (const reader of this.readers) {
      reader.close();
      this.#reconnects += reader.reconnects;
      this.#longestPause = Math.max(this.#longestPause, reader.hearing.longestPause);
    }
    this.readers = [];
    this.session = this.first ?? (await this.#newSession());
    this.first = undefined;
    this.sessions.push({ id: this.session, turns: [] });
  }

  #connect(from) {
    this.readers = this.kinds.map(({ Kind, at }) => new Kind(at, this.session, this.tenant.key, from));
  }

  async #newSession() {
    const deadline = Date.now() + this.patienceMs;
    for (;;)
      try {
        return await this.who.session();
      } catch (refused) {
        if (this.#closed || Date.now() > deadline) throw refused;
        await pause(200 + Math.random() * 200);
      }
  }

  /// One message and its answer.
  async turn() {
    const session = this.sessions.at(-1);
    const k = session.turns.length;
    const expected = this.script[k];
    const turn = await this.#say(k, expected);
    // In the midst of faults a reader without a cursor might lose its connection before it has heard anything.
    if (this.readers.length === 0) this.#connect(`${turn}:1:-`);
    const ends = this.readers.map((reader) => reader.hearing.ended(turn, this.patienceMs));
    const heard = await Promise.all(ends).catch((late) => {
      late.message += `\nits readers: ${this.readers.map(String).join('; ')}`;
      throw late;
    });
    for (const [i, { hearing }] of this.readers.entries()) this.#compare(heard[i], expected, hearing.name);
    session.turns.push(turn);
    this.turns.push(turn);
  }

  #compare(heard, expected, who) {
    assert.equal(heard.text, expected.text, `${who}: the undisturbed text`);
    assert.equal(heard.chunks, expected.chunks, `${who}: the undisturbed chunks`);
    assert.equal(heard.tokens, expected.tokens, `${who}: the undisturbed tokens`);
  }

  // Sends until it is accepted; the turn's id. Every third message waits for its whole answer, and every one that no
  // reader hears.
  async #say(k, expected) {
    const idempotency = randomUUID();
    const deadline = Date.now() + this.patienceMs;
    const stream = this.kinds.length > 0 && k % 3 !== 2;
    let why;
    for (; Date.now() < deadline && !this.#closed; this.retries++) {
      const hearing = new Hearing(`POST ${this.session}`, { oneAnswer: true });
      const ms = stream ? 5000 : 15000;
      const got = await post(this.at, this.session, { key: this.tenant.key, idempotency, message: expected.prompt, stream, ms, hearing }).catch(
        (error) => ({ status: 0, text: error.message, headers: {} }),
      );
      if (got.status === 200) {
        if (!stream) assert.equal(JSON.parse(got.text).content, expected.text);
        else this.#postReaders.push({ hearing, expected, close: got.close });
        return got.headers['x-turn-id'];
      }
      why = `${got.status} ${got.text}`;
      this.refusals.set(got.status, (this.refusals.get(got.status) ?? 0) + 1);
      assert.ok([0, 429, 502, 503, 504].includes(got.status), `a message was refused with ${why}`);
      if (got.status === 503) assert.ok(Number(got.headers['retry-after']) > 0, 'a 503 says when to come back');
      await pause(200 + Math.random() * 200);
    }
    throw new Error(`${this.session}: no node took message ${k}: ${why}`);
  }

  /// Goes on until `stop`; a session that has come to the end of the script is followed by a new one.
  run() {
    this.running = (async () => {
      while (!this.#stopping) {
        if (this.sessions.at(-1).turns.length === this.script.length) await this.#begin();
        await this.turn();
      }
    })();
    this.running.catch((error) => (this.failure = error));
    return this;
  }

  /// Ends after the answer that is under way.
  async stop() {
    this.#stopping = true;
    try {
      await this.running;
    } finally {
      this.close();
    }
    // A POST may have lost its connection; what it heard must be right as far as it goes.
    for (const { hearing, expected } of this.#postReaders) {
      assert.equal(hearing.problem, null);
      for (const heard of hearing.turns) this.#compare(heard, expected, hearing.name);
    }
  }

  close() {
    this.#stopping = true;
    this.#closed = true;
    for (const reader of this.readers) reader.close();
    for (const reader of this.#postReaders) reader.close();
  }

  get reconnects() {
    return this.readers.reduce((sum, reader) => sum + reader.reconnects, this.#reconnects);
  }

  /// Milliseconds between two chunks of an answer, the longest that a reader had to wait.
  get longestPause() {
    return Math.max(this.#longestPause, ...this.readers.map((reader) => reader.hearing.longestPause));
  }
}

/// What PostgreSQL keeps of finished conversations: each message once with its answer, each turn counted once.
export async function checkStored(db, conversations) {
  for (const { tenant, script, sessions } of conversations)
    for (const { id, turns } of sessions) {
      const expected = script.slice(0, turns.length);
      const { rows: messages } = await db.query('SELECT role, content FROM kg.messages WHERE session_id = $1 ORDER BY seq', [id]);
      const said = expected.flatMap(({ prompt, text }) => [
        { role: 'user', content: prompt },
        { role: 'assistant', content: text },
      ]);
      assert.deepEqual(messages, said, `the messages of ${id}`);
      const { rows: stored } = await db.query('SELECT id, status, chunks FROM kg.turns WHERE session_id = $1 ORDER BY seq', [id]);
      assert.deepEqual(stored, turns.map((turn, k) => ({ id: turn, status: 'completed', chunks: expected[k].chunks })), `the turns of ${id}`);
      const { rows: left } = await db.query('SELECT count(*)::int AS n FROM kg.turn_chunks WHERE turn_id = ANY($1)', [turns]);
      assert.equal(left[0].n, 0, `no chunks of ${id} are left over`);
      const usage = async (type) =>
        (
          await db.query(
            `SELECT tokens_in + tokens_out AS n FROM kg.usage_events
              WHERE tenant_id = $1 AND session_id = $2 AND event_type = $3 ORDER BY created_at, id`,
            [tenant.id, id, type],
          )
        ).rows.map((row) => Number(row.n));
      assert.deepEqual((await usage('llm_call')).sort((a, b) => a - b), expected.map((x) => x.tokens).sort((a, b) => a - b), `the tokens of ${id}`);
      assert.equal((await usage('api_call')).length, turns.length, `the calls of ${id}`);
    }
}
