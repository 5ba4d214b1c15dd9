// kill -9 of the node where sessions live, with their answers running: how long readers on other nodes hear nothing.
import { begin, follow, longestGap, machine, now, owners, pause, quantile, spread, sessionsAt, startNodes } from '../lib/cluster.mjs';

const count = 50;
const rate = 50;

export default async function crash({ quick }, report) {
  const kills = quick ? 2 : 12;
  const cluster = await startNodes({ model: { rate, tokens: 10_000_000 } });
  try {
    const [victim, ...others] = [2, 0, 1].map((i) => cluster.nodes[i]);
    const sessions = await sessionsAt(cluster, others[0], count);
    const trace = await follow(
      cluster,
      others,
      sessions.flatMap(({ id }) => others.map((node) => ({ node, session: id }))),
    );
    for (const [i, { id }] of sessions.entries()) await begin(cluster, others[i % 2], id);
    await pause(2000);
    const deaths = [];
    for (let i = 0; i < kills; ++i) {
      const before = await owners(cluster);
      const from = now();
      await victim.kill();
      await cluster.settled('the others to take over', 60_000);
      const owned = now() - from;
      await pause(3000);
      deaths.push({ from, to: now(), owned, before });
      await victim.start();
      await cluster.settled('the node to be back', 60_000);
      await pause(1500); // the turns whose model's answer went through it are continued by now
    }
    const { counts, of } = await trace.end();

    const silences = [];
    const unhurt = [];
    for (const { from, to, before } of deaths)
      for (const [s, { shard }] of sessions.entries())
        for (const r of [0, 1])
          (before.get(shard) === victim.name ? silences : unhurt).push(longestGap(of[2 * s + r], from, to));
    report({
      figure: `kill -9 of the owner to the next chunk, ${deaths.length} kills`,
      ours: `${silences.length} silences; ${machine}`,
      peers: `answers of the nodes that live ${spread(unhurt)}; every shard owned after ${spread(deaths.map((each) => each.owned))}`,
      result: spread(silences),
      goal: 'p99 ≤ 3 s',
      met: quantile(silences, 0.99) <= 3000,
    });
    report({
      figure: '… what was lost, doubled or reordered',
      ours: `${counts.chunks} chunks read`,
      result: `${counts.out_of_order} indices out of order, ${counts.failed} answers failed, ${counts.reconnects} reconnects`,
      goal: 'none',
      met: counts.out_of_order === 0 && counts.failed === 0 && counts.reconnects === 0,
    });
  } finally {
    await cluster.dispose();
  }
}
