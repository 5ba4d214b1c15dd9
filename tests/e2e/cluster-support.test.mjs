// The cluster suites' judge, against itself: it must see what is missing, doubled, out of order or from a dead node.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { shardOf } from '../support/cluster.mjs';
import { Hearing, ResumingHearing } from '../support/hearing.mjs';

const id = (turn, index, epoch = 1) => `${turn}:${epoch}:${index}`;
const turn = (name, epoch) => ['turn', id(name, '-', epoch), {}];
const chunk = (name, index, epoch) => ['chunk', id(name, index, epoch), { index, text: `${name}${index} ` }];
const complete = (name, n, epoch) => [
  'complete',
  id(name, n, epoch),
  { text: Array.from({ length: n }, (_, i) => `${name}${i} `).join(''), chunks: n, tokens_used: n },
];
const whole = (name, n) => [turn(name), ...Array.from({ length: n }, (_, i) => chunk(name, i)), complete(name, n)];

function judge(events, hearing = new Hearing('reader')) {
  for (const event of events) hearing.take(...event);
  return hearing;
}

test('two answers, the second taken over in the middle', () => {
  const hearing = judge([...whole('a', 3), turn('b'), chunk('b', 0), chunk('b', 1, 2), complete('b', 2, 2)]);
  assert.equal(hearing.problem, null);
  assert.deepEqual(hearing.turns.map(({ turn: name, chunks }) => [name, chunks]), [['a', 3], ['b', 2]]);
});

test('everything else is a problem', () => {
  const wrong = {
    'a chunk is missing': [turn('a'), chunk('a', 0), chunk('a', 2)],
    'a chunk comes twice': [turn('a'), chunk('a', 0), chunk('a', 0)],
    'a chunk of an old epoch': [turn('a'), chunk('a', 0, 2), chunk('a', 1, 1)],
    'another answer in the middle': [turn('a'), chunk('a', 0), turn('b')],
    'an answer begins twice': [...whole('a', 1), turn('a')],
    'the beginning is missing': [chunk('a', 0)],
    'the end comes early': [turn('a'), chunk('a', 0), complete('a', 2)],
    'the text is another': [turn('a'), ['chunk', id('a', 0), { index: 0, text: 'x' }], complete('a', 1)],
    'an empty chunk': [turn('a'), ['chunk', id('a', 0), { index: 0, text: '' }]],
    'a gap': [turn('a'), ['gap', undefined, {}]],
    'an error': [turn('a'), ['error', id('a', 0), { error: 'x', type: 'internal' }]],
  };
  for (const [what, events] of Object.entries(wrong)) assert.notEqual(judge(events).problem, null, what);
});

test('who waits for an answer hears of a problem', async () => {
  const hearing = new Hearing('reader');
  const end = hearing.ended('a');
  judge([turn('a'), chunk('a', 1)], hearing);
  await assert.rejects(end, /chunk a:1:1 came behind a:1:-1/);
});

test('a socket that resumes hears what is live first, and then once from its cursor', () => {
  const hearing = judge([turn('a'), chunk('a', 0), chunk('a', 1)]);
  const again = new ResumingHearing(hearing);
  again.resumes();
  judge([turn('a'), chunk('a', 0), chunk('a', 1), chunk('a', 2)], again);
  judge([chunk('a', 2), chunk('a', 3), complete('a', 4)], again);
  assert.equal(hearing.problem, null);
  assert.equal(hearing.turns[0].chunks, 4);

  judge([turn('b'), chunk('b', 0), chunk('b', 2)], again);
  assert.match(hearing.problem, /came behind b:1:0/);
});

test('a socket that did not resume hears nothing twice', () => {
  const hearing = new Hearing('reader');
  judge([turn('a'), chunk('a', 0), turn('a')], new ResumingHearing(hearing));
  assert.notEqual(hearing.problem, null);
});

test('shards are computed as the program does', () => {
  const shards = Array.from({ length: 4096 }, (_, i) => shardOf('01a1fe1c-45b1-7fe2-ba61-af8caa2bb77d', `01a1fe1c-460d-7a4f-b668-${i.toString(16).padStart(12, '0')}`));
  assert.ok(shards.every((shard) => Number.isInteger(shard) && shard >= 0 && shard < 1024));
  assert.ok(new Set(shards).size > 900, 'spread over all');
});
