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

  for (const mode of ['durable', 'memory']) compare(mode, results[mode], results, report);
}

const rate = (each) => each.tokens / each.in_flight_seconds;
const cpu = (each) => (each.cpu.server / each.tokens) * 1e6;

function show(list) {
  const of = (figure, digits) => median(list.map(figure)).toFixed(digits);
  const busy = of((each) => (each.cpu.server / each.cpu.seconds) * 100, 0);
  const p50 = of((each) => each.latency.p50_us / 1e3, 1);
  const p99 = of((each) => each.latency.p99_us / 1e3, 1);
  return `${of((each) => rate(each) / 1e3, 0)} k/s, core ${busy} %, p50 ${p50} ms, p99 ${p99} ms`;
}

function compare(mode, ours, { beast, nchan }, report) {
  const work = ratioOf(ours, beast, cpu);
  const speed = ratioOf(ours, beast, rate);
  const lead = ratioOf(ours, nchan, rate);
  // The goals speak of the durable way; memory mode shows what durability costs.
  const goal = (text, met) => (mode === 'durable' ? { goal: text, met } : {});
  const of = (list, figure) => median(list.map(figure)).toFixed(2);
  const postgres = of(ours, (each) => (each.cpu.postgres / each.tokens) * 1e6);
  report({
    figure: `1 to 1,000 SSE, ${mode}: CPU an event`,
    ours: `${of(ours, cpu)} µs (PostgreSQL ${postgres})`,
    peers: `Beast ${of(beast, cpu)}, nchan ${of(nchan, cpu)}`,
    result: `${work.text} × Beast`,
    ...goal('≤ 1.1 ×', work.ratio <= 1.1),
  });
  report({
    figure: `… ${mode}: events a second`,
    ours: show(ours),
    peers: `Beast ${show(beast)}`,
    result: `${speed.text} × Beast`,
    ...goal('≥ 0.9 ×', speed.ratio >= 0.9),
  });
  report({
    figure: `… ${mode}: against nchan`,
    ours: show(ours),
    peers: `nchan ${show(nchan)}`,
    result: `${lead.text} × nchan`,
    ...goal('≥ 1.3 ×', lead.ratio >= 1.3),
  });
  const faults = ours.reduce((sum, each) => sum + each.lost + each.out_of_order + each.failed, 0);
  report({ figure: `… ${mode}: lost or out of order`, result: String(faults), goal: '0', met: faults === 0 });
}
