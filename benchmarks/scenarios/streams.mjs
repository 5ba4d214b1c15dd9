// 1,000 sessions, each with a turn whose model sends 50 tokens a second, on all cores with PostgreSQL, model and clients.
import {
  modelAt,
  newSessions,
  pathsFile,
  question,
  startBeast,
  startKgentsd,
  startNchan,
  startProvider,
} from '../lib/servers.mjs';
import { interleave, load, median, ratioOf } from '../lib/tools.mjs';

const count = 1000;
const rate = 50;

export default async function streams({ rounds, seconds, quick }, report) {
  const few = Math.min(rounds, 3);
  const window = quick ? 3 : 2 * seconds;
  const beast = await startBeast({ threads: 2 });
  const nchan = await startNchan({});
  const ofKgentsd = (durability) => async () => {
    const tokens = Math.round(rate * (window + 8)); // the answers outlive the measured window
    const provider = await startProvider({ rate, tokens });
    const server = await startKgentsd({ env: { ...modelAt(provider.url), KGENTS_STREAM_DURABILITY: durability } });
    const sessions = await newSessions(server, count);
    const result = await load('sse_load', {
      mode: 'streams',
      server: server.address,
      connections: count,
      method: 'POST',
      paths: pathsFile(sessions.map((id) => `/v1/kgent/sessions/${id}/messages`)),
      header: server.header,
      body: JSON.stringify({ message: question }),
      duration: window,
      settle: 2,
      'to-the-end': true,
      patience: 60,
      watch: server.watch,
    });
    await server.stop();
    const totals = await provider.stop();
    return { ...result, missing: totals.tokens - result.all_tokens, blocked: totals.blocked };
  };
  const results = await interleave(
    {
      durable: ofKgentsd('durable'),
      memory: ofKgentsd('memory'),
      beast: () =>
        load('sse_load', {
          mode: 'streams',
          server: beast.address,
          connections: count,
          path: `/streams?rate=${rate}`,
          duration: window,
          watch: beast.watch,
        }),
      // nchan gets its tokens as POST requests; at 50 a second each they, not the streams, would be what is measured.
      nchan: () =>
        load('sse_load', {
          mode: 'open',
          server: nchan.address,
          connections: count,
          channels: count,
          rate: rate / 5,
          path: '/sub?id={}',
          publish: '/pub?id={}',
          duration: window,
          watch: nchan.watch,
        }),
    },
    few,
  );
  await beast.stop();
  await nchan.stop();

  compare('durable', results, { p50: 3, p99: 15, work: 2 }, report);
  compare('memory', results, { p50: 0.3, p99: 3 }, report);
}

const cpu = (each) => (each.cpu.server / each.tokens) * 1e6;

function compare(mode, { [mode]: ours, beast, nchan }, goal, report) {
  const sum = (figure) => ours.reduce((total, each) => total + figure(each), 0);
  const of = (list, figure) => median(list.map(figure));
  const latency = (list, name) => of(list, (each) => each.latency[name]) / 1e3;
  const lost = sum((each) => each.missing + each.out_of_order);
  const broken = sum((each) => each.failed + (count - each.completed));
  const stalls = sum((each) => each.stalls);
  const speed = of(ours, (each) => each.tokens / each.seconds / 1e3).toFixed(1);
  report({
    figure: `1,000 streams × 50 tokens/s, ${mode}: loss, stalls`,
    ours: `${sum((each) => each.all_tokens)} tokens, ${speed} k/s, model blocked ${sum((each) => each.blocked)} times`,
    result: `${lost} lost or out of order, ${stalls} silences over 200 ms, ${broken} broken answers`,
    goal: 'none',
    met: lost === 0 && stalls === 0 && broken === 0,
  });
  const p50 = latency(ours, 'p50_us');
  const p99 = latency(ours, 'p99_us');
  const peer = `${latency(nchan, 'p50_us').toFixed(2)} / ${latency(nchan, 'p99_us').toFixed(1)} ms`;
  report({
    figure: `… ${mode}: model to client`,
    peers: `nchan (10 tokens/s each) ${peer}`,
    result: `p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(1)} ms, worst ${latency(ours, 'max_us').toFixed(0)} ms`,
    goal: `≤ ${goal.p50} ms, ≤ ${goal.p99} ms`,
    met: p50 <= goal.p50 && p99 <= goal.p99,
  });
  const work = ratioOf(ours, beast, cpu);
  const postgres = of(ours, (each) => (each.cpu.postgres / each.tokens) * 1e6).toFixed(1);
  report({
    figure: `… ${mode}: CPU a token`,
    ours: `${of(ours, cpu).toFixed(1)} µs (PostgreSQL ${postgres})`,
    peers: `Beast ${of(beast, cpu).toFixed(1)} µs, nchan ${of(nchan, cpu).toFixed(1)} µs`,
    result: `${work.text} × Beast`,
    ...(goal.work ? { goal: `≤ ${goal.work} ×`, met: work.ratio <= goal.work } : {}),
  });
}
