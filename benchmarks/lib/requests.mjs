// A GET under load, side by side with the bare Beast server.
import { interleave, load, median, ratioOf } from './tools.mjs';

const rate = (each) => each.rate;
const cpu = (each) => (each.cpu.server / each.requests) * 1e6;
const busy = (each) => each.cpu.server / each.cpu.seconds;

/// Reports rate and CPU of `ours.options` against `beast.options` (both options of http_load).
export async function compareRequests({ rounds, seconds, clientCore }, report, { ours, beast, figure, goal }) {
  const measure = ({ server, options }) =>
    load(
      'http_load',
      { server: server.address, connections: 64, duration: seconds, watch: server.watch, ...options },
      { core: clientCore },
    );
  await measure(ours); // caches, allocator
  const results = await interleave({ ours: () => measure(ours), beast: () => measure(beast) }, rounds);
  // A rate says how much a server can do only if it was busy; on a shared machine its CPU time says it better.
  const saturated = [...results.ours, ...results.beast].every((each) => busy(each) >= 0.9);
  const speed = ratioOf(results.ours, results.beast, rate);
  const work = ratioOf(results.beast, results.ours, cpu);
  const ratio = saturated ? speed.ratio : work.ratio;
  report({
    figure,
    ours: show(results.ours),
    peers: `Beast ${show(results.beast)}`,
    result: saturated ? `${speed.text} × the rate` : `${work.text} × by CPU time (rate ${speed.text}, core not busy)`,
    goal: `≥ ${goal} ×`,
    met: ratio >= goal,
  });
  report({
    figure: `${figure}, CPU`,
    ours: `${median(results.ours.map(cpu)).toFixed(1)} µs`,
    peers: `Beast ${median(results.beast.map(cpu)).toFixed(1)} µs`,
    result: `Beast needs ${work.text} of it`,
  });
}

function show(list) {
  const of = (figure, digits = 0) => median(list.map(figure)).toFixed(digits);
  const p50 = of((each) => each.whole.p50_us);
  const p99 = of((each) => each.whole.p99_us);
  const share = of((each) => busy(each) * 100);
  return `${of((each) => rate(each) / 1e3, 1)} k/s, core ${share} %, p50 ${p50} µs, p99 ${p99} µs`;
}
