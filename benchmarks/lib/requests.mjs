// A GET under load, side by side with the bare Beast server.
import { interleave, load, median, ratioOf } from './tools.mjs';

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
  const rate = ratioOf(results.ours, results.beast, (each) => each.rate);
  const cpu = (each) => (each.cpu.server / each.requests) * 1e6;
  const work = ratioOf(results.beast, results.ours, cpu);
  const busy = (list) => median(list.map((each) => (each.cpu.server / each.cpu.seconds) * 100)).toFixed(0);
  const show = (list) =>
    `${(median(list.map((each) => each.rate)) / 1e3).toFixed(1)} k/s, core ${busy(list)} %, p50 ${median(list.map((each) => each.whole.p50_us)).toFixed(0)} µs, ` +
    `p99 ${median(list.map((each) => each.whole.p99_us)).toFixed(0)} µs`;
  report({
    figure,
    ours: show(results.ours),
    peers: `Beast ${show(results.beast)}`,
    result: `${rate.text} ×`,
    goal: `≥ ${goal} ×`,
    met: rate.ratio >= goal,
  });
  report({
    figure: `${figure}, CPU`,
    ours: `${median(results.ours.map(cpu)).toFixed(1)} µs`,
    peers: `Beast ${median(results.beast.map(cpu)).toFixed(1)} µs`,
    result: `Beast needs ${work.text} of it`,
  });
}
