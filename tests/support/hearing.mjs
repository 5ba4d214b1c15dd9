// What one reader of a session hears, checked as it comes: turn after turn, each from its first chunk to its end, no
// index missing and none twice, whatever the reader's connections went through.
import assert from 'node:assert/strict';

import { partsOf } from './answers.mjs';
import { within } from './wait.mjs';

/// The place of an event in its session, and what may follow it.
class Place {
  constructor(id, kind) {
    const { turn, epoch, index } = partsOf(id);
    this.turn = turn;
    this.epoch = epoch;
    this.final = kind === 'complete' || kind === 'error';
    this.index = index === '-' ? -1 : Number(index);
  }

  /// Whether an event at `next` may come right behind this one.
  precedes(next) {
    if (this.final) return next.turn !== this.turn && next.index === -1;
    return next.turn === this.turn && next.index === this.index + 1 && next.epoch >= this.epoch;
  }

  toString() {
    return `${this.turn}:${this.epoch}:${this.index}${this.final ? ' (final)' : ''}`;
  }
}

export class Hearing {
  /// Finished turns in order: `{turn, text, chunks, tokens}`.
  turns = [];
  /// Id of the last event: the cursor.
  last = null;
  /// The first thing that was wrong.
  problem = null;
  /// Milliseconds between two chunks of an answer, the longest.
  longestPause = 0;

  #place = null;
  #text = '';
  #heardAt = 0;
  #waiting = new Map();

  /// `oneAnswer`: of a POST, which begins with the answer's first event. `from`: the cursor of a `turn` event, behind which
  /// it begins.
  constructor(name, { oneAnswer = false, from } = {}) {
    this.name = name;
    this.begins = oneAnswer ? 0 : -1;
    if (from) {
      this.#place = new Place(from, 'turn');
      this.last = from;
    }
  }

  /// Whether an event with this id is the one that is due. Before the first event any beginning of a turn is.
  isDue(id, kind) {
    const place = new Place(id, kind);
    return this.#place === null ? place.index === this.begins : this.#place.precedes(place);
  }

  /// Index of the last event in its turn: -1 at `turn` and before everything.
  get index() {
    return this.#place?.index ?? -1;
  }

  take(kind, id, data) {
    try {
      this.#take(kind, id, data);
    } catch (wrong) {
      this.fail(wrong.message);
    }
  }

  fail(why) {
    this.problem ??= `${this.name}: ${why}`;
    this.abandon(this.problem);
  }

  /// Nobody waits any more.
  abandon(why) {
    for (const { reject } of this.#waiting.values()) reject(new Error(why));
    this.#waiting.clear();
  }

  #take(kind, id, data) {
    assert.notEqual(kind, 'gap', `a gap: ${JSON.stringify(data)}`);
    const place = new Place(id, kind);
    assert.ok(this.isDue(id, kind), `${kind} ${place} came behind ${this.#place}`);
    assert.notEqual(kind, 'error', `${id} ended with ${JSON.stringify(data)}`);
    const now = performance.now();
    if (kind === 'turn') {
      this.#text = '';
    } else {
      if (place.index > 0) this.longestPause = Math.max(this.longestPause, now - this.#heardAt);
      if (kind === 'chunk') {
        assert.equal(data.index, place.index, 'the id carries the index');
        assert.ok(data.text.length > 0, 'no empty chunk');
        this.#text += data.text;
      } else {
        assert.equal(kind, 'complete');
        assert.equal(data.text, this.#text, 'complete has the concatenation');
        assert.equal(data.chunks, place.index, 'complete counts the chunks');
        this.turns.push({ turn: place.turn, text: data.text, chunks: data.chunks, tokens: data.tokens_used });
      }
    }
    this.#heardAt = now;
    this.#place = place;
    this.last = id;
    if (kind === 'complete') {
      this.#waiting.get(place.turn)?.resolve(this.turns.at(-1));
      this.#waiting.delete(place.turn);
    }
  }

  /// The finished turn.
  ended(turn, ms) {
    if (this.problem) return Promise.reject(new Error(this.problem));
    const done = this.turns.find((x) => x.turn === turn);
    if (done) return Promise.resolve(done);
    const end = new Promise((resolve, reject) => this.#waiting.set(turn, { resolve, reject }));
    return within(end, `${this.name} to hear the end of ${turn}`, ms);
  }
}

/// One connection whose reader says where it had been only once it is open. Until the server has read that, it hears what
/// anyone who opens a connection now would hear, which may repeat what was heard or run ahead of it; but in order, and each
/// `resume` makes one step, to the event behind its cursor.
export class ResumingHearing {
  #previous = null;
  #steps = 0;

  constructor(hearing) {
    this.hearing = hearing;
  }

  resumes() {
    this.#steps++;
  }

  take(kind, id, data) {
    if (kind === 'gap') return this.hearing.take(kind, id, data);
    const place = new Place(id, kind);
    const due = this.hearing.isDue(id, kind);
    if (this.#previous !== null && !this.#previous.precedes(place)) {
      if (this.#steps === 0) return this.hearing.fail(`${kind} ${place} came behind ${this.#previous} of the same connection`);
      this.#steps--;
    }
    this.#previous = place;
    if (due) this.hearing.take(kind, id, data);
  }
}
