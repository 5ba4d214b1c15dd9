// One session, 1,000 SSE followers, one message in flight: the next token is sent when all have the last one.
import { kgentsdUnderLoad, startBeast, startNchan } from '../lib/servers.mjs';
import { interleave, load, median, ratioOf } from '../lib/tools.mjs';

export default async function fanout({ rounds, seconds, serverCore, clientCore }, report) {
  const followers = 1000;
  const durable = await kgentsdUnderLoad({ core: serverCore, threads: 1 });
  const memory = await kgentsdUnderLoad({ core: serverCore, threads: 1, env: { KGENTS_STREAM_DURABILITY: 'memory' } });
  const beast = await startBeast({ core: serverCore });
  const nchan = await startNchan({ core: serverCore });
  const measure = (options) => () =>
    load('sse_load', { mode: 'closed', connections: followers, duration: seconds, ...options }, { core: clientCore });
  const results = await interleave(
    {
      durable: measure(durable.loadOptions),
      memory: measure(memory.loadOptions),
      beast: measure({ server: beast.address, path: '/fanout', publish: '/publish', watch: beast.watch }),
      nchan: measure({ server: nchan.address, path: '/sub?id=0', publish: '/pub?id=0', watch: nchan.watch }),
    },
    rounds,
  );
  for (const server of [durable, memory, beast, nchan]) await server.stop();

  const rate = (each) => each.tokens / each.in_flight_seconds;
  const cpu = (each) => (each.cpu.server / each.tokens) * 1e6;
  const show = (list) =>
    `${(median(list.map(rate)) / 1e3).toFixed(0)} k/s, p50 ${(median(list.map((each) => each.latency.p50_us)) / 1e3).toFixed(1)} ms, p99 ` +
    `${(median(list.map((each) => each.latency.p99_us)) / 1e3).toFixed(1)} ms`;
  for (const mode of ['durable', 'memory']) {
    const ours = results[mode];
    const goal = mode === 'durable';
    const work = ratioOf(ours, results.beast, cpu);
    const speed = ratioOf(ours, results.beast, rate);
    const lead = ratioOf(ours, results.nchan, rate);
    report({
      figure: `1 to 1,000 SSE, ${mode}: CPU an event`,
      ours: `${median(ours.map(cpu)).toFixed(2)} µs (PostgreSQL ${median(ours.map((each) => (each.cpu.postgres / each.tokens) * 1e6)).toFixed(2)})`,
      peers: `Beast ${median(results.beast.map(cpu)).toFixed(2)}, nchan ${median(results.nchan.map(cpu)).toFixed(2)}`,
      result: `${work.text} × Beast`,
      ...(goal ? { goal: '≤ 1.1 ×', met: work.ratio <= 1.1 } : {}),
    });
    report({
      figure: `… ${mode}: events a second`,
      ours: show(ours),
      peers: `Beast ${show(results.beast)}`,
      result: `${speed.text} × Beast`,
      ...(goal ? { goal: '≥ 0.9 ×', met: speed.ratio >= 0.9 } : {}),
    });
    report({
      figure: `… ${mode}: against nchan`,
      ours: show(ours),
      peers: `nchan ${show(results.nchan)}`,
      result: `${lead.text} × nchan`,
      ...(goal ? { goal: '≥ 1.3 ×', met: lead.ratio >= 1.3 } : {}),
    });
    const faults = ours.reduce((sum, each) => sum + each.lost + each.out_of_order + each.failed, 0);
    report({ figure: `… ${mode}: lost or out of order`, result: String(faults), goal: '0', met: faults === 0 });
  }
}
