// What gathers for a client goes out in few writes: after a pause of one second, and in the replay of an answer.
import { kgentsdUnderLoad, modelAt, newSessions, question, startKgentsd, startProvider } from '../lib/servers.mjs';
import { load } from '../lib/tools.mjs';

export default async function backlog({ serverCore, clientCore }, report) {
  const paused = await kgentsdUnderLoad({ core: serverCore, threads: 1, counted: true });
  const before = paused.written();
  const run = await load(
    'sse_load',
    // Small receive buffers, so that the backlog waits with the server and not in the kernel.
    {
      mode: 'open',
      connections: 20,
      rate: 4000,
      settle: 0,
      pause: 1,
      duration: 1,
      'tokens-per-turn': 100000,
      'receive-buffer': 8192,
      ...paused.loadOptions,
    },
    { core: clientCore },
  );
  const after = paused.written();
  await paused.stop();
  const each = (after.events - before.events) / (after.writes - before.writes);
  report({
    figure: '20 clients paused for 1 s at 4,000 tokens/s: events a write',
    ours: `${after.events - before.events} events in ${after.writes - before.writes} writes, ${run.lost} lost`,
    result: each.toFixed(1),
    goal: '≥ 4, nothing lost',
    met: each >= 4 && run.lost === 0 && run.out_of_order === 0,
  });

  const provider = await startProvider({ core: clientCore, rate: 1000, tokens: 1000 });
  const kgentsd = await startKgentsd({ core: serverCore, threads: 1, counted: true, env: modelAt(provider.url) });
  const [id] = await newSessions(kgentsd, 1);
  const first = await firstCursor(kgentsd, id);
  const start = kgentsd.written();
  const replay = await load(
    'sse_load',
    {
      mode: 'replay',
      server: kgentsd.address,
      connections: 20,
      header: kgentsd.header,
      path: `/v1/kgent/sessions/${id}/stream?after=${encodeURIComponent(first.id)}`,
    },
    { core: clientCore },
  );
  const end = kgentsd.written();
  await kgentsd.stop();
  await provider.stop();
  const replayed = (end.events - start.events) / (end.writes - start.writes);
  report({
    figure: `replay of ${first.chunks - 1} events to 20 clients: events a write`,
    ours: `${end.events - start.events} events in ${end.writes - start.writes} writes`,
    result: replayed.toFixed(1),
    goal: '≥ 4, nothing lost',
    met: replayed >= 4 && replay.events === 20 * (first.chunks - 1),
  });
}

// One whole answer: the cursor of its first chunk, and how many chunks it had.
async function firstCursor(server, id) {
  const response = await fetch(`http://${server.address}/v1/kgent/sessions/${id}/messages`, {
    method: 'POST',
    headers: { 'X-API-Key': server.key, 'Content-Type': 'application/json' },
    body: JSON.stringify({ message: question }),
  });
  const text = await response.text();
  const chunks = text.split('\n\n').filter((event) => event.includes('event: chunk'));
  if (!chunks.length) throw new Error(`no answer: ${response.status} ${text.slice(0, 200)}`);
  return { id: /^id: ?(.*)$/m.exec(chunks[0])[1], chunks: chunks.length };
}
