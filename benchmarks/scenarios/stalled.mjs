// 100 readers that read nothing among 1,000: what do the others notice?
import { kgentsdUnderLoad, startBeast } from '../lib/servers.mjs';
import { interleave, load, median, ratioOf } from '../lib/tools.mjs';

export default async function stalled({ rounds, seconds, serverCore, clientCore }, report) {
  const kgentsd = await kgentsdUnderLoad({ core: serverCore, threads: 1 });
  const beast = await startBeast({ core: serverCore });
  const open = { mode: 'open', rate: 50, settle: 2, duration: seconds };
  // 900 readers either way: what is compared is the others' lot, not the size of the crowd.
  const measure = (options, stuck) => () =>
    load(
      'sse_load',
      { ...open, connections: 900 + stuck, stalled: stuck || undefined, ...options },
      { core: clientCore },
    );
  const plain = { server: beast.address, path: '/fanout', publish: '/publish', watch: beast.watch };
  const results = await interleave(
    {
      calm: measure(kgentsd.loadOptions, 0),
      stuck: measure(kgentsd.loadOptions, 100),
      beastCalm: measure(plain, 0),
      beastStuck: measure(plain, 100),
    },
    rounds,
  );
  await kgentsd.stop();
  await beast.stop();
  const worse = ratioOf(results.stuck, results.calm, p99);
  const lost = [...results.stuck, ...results.calm].reduce((sum, each) => sum + each.lost + each.out_of_order, 0);
  report({
    figure: '100 stalled among 1,000 readers, 50 tokens/s: p99 of the others',
    ours: `${show(results.calm)} without, ${show(results.stuck)} with; ${lost} lost`,
    peers: `Beast ${show(results.beastCalm)} without, ${show(results.beastStuck)} with`,
    result: `${worse.text} ×`,
    goal: '≤ 1.5 ×, nothing lost',
    met: worse.ratio <= 1.5 && lost === 0,
  });
}

const p99 = (each) => each.latency.p99_us;

function show(list) {
  const half = median(list.map((each) => each.latency.p50_us)) / 1e3;
  return `p50 ${half.toFixed(2)}, p99 ${(median(list.map(p99)) / 1e3).toFixed(2)} ms`;
}
