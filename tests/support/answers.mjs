// What every answer of the contract must look like, in one place (http-api.md 7.5, design.md 3).
import assert from 'node:assert/strict';

/// A prompt that no template answers; the embedded provider writes about `n` words to it, always the same ones.
export const aboutWords = (n, subject = 'rivers and their deltas') => `Please write about ${n} words on ${subject}`;

/// `{turn, epoch, index}` of an event id, for checks of order; clients treat ids as opaque.
export function partsOf(id) {
  const [turn, epoch, index] = id.split(':');
  return { turn, epoch: Number(epoch), index };
}

/// Checks the frames of one turn, from chunk `first` to its final event, and returns the `complete` data.
export function checkAnswer(events, { turn, first = 0, prefix = '' } = {}) {
  const frames = events.filter((e) => e.event !== 'turn');
  const last = frames.at(-1);
  assert.equal(last?.event, 'complete', `the answer ends with complete, not ${JSON.stringify(last)}`);
  const chunks = frames.slice(0, -1);
  let text = prefix;
  chunks.forEach((e, i) => {
    assert.equal(e.event, 'chunk', JSON.stringify(e));
    assert.equal(e.data.index, first + i, 'indices are contiguous');
    assert.equal(partsOf(e.id).index, String(e.data.index), 'the id carries the index');
    if (turn) assert.equal(partsOf(e.id).turn, turn);
    assert.ok(e.data.text.length > 0, 'no empty chunk');
    text += e.data.text;
  });
  assert.ok(last.id, 'the final event has an id');
  assert.equal(new Set(frames.map((e) => e.id)).size, frames.length, 'ids are unique');
  if (first === 0 || prefix) assert.equal(last.data.text, text, 'complete has the concatenation');
  assert.equal(last.data.chunks, first + chunks.length, 'complete counts the chunks');
  assert.ok(Number.isInteger(last.data.tokens_used) && last.data.tokens_used >= 0);
  return last.data;
}

/// The whole of one answer over POST: `{text, chunks, turn, events, complete}`.
export async function wholeAnswer(who, session, message, more, headers) {
  const stream = await who.say(session, message, more, headers);
  assert.equal(stream.status, 200, stream.text);
  const events = await stream.rest();
  const complete = checkAnswer(events, { turn: stream.turn });
  return { text: complete.text, complete, events, turn: stream.turn, headers: stream.headers };
}
