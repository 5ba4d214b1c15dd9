// What readers notice of a hand-off: a fourth node joins and leaves again and again under 50 streams at 50 tokens a second.
import { begin, follow, longestGap, machine, now, owners, pause, spread, sessionsAt, startNodes } from '../lib/cluster.mjs';

const count = 50;
const rate = 50;

export default async function handoff({ quick }, report) {
  const cycles = quick ? 3 : 20;
  const cluster = await startNodes({ model: { rate, tokens: 10_000_000 } });
  try {
    const stay = cluster.nodes.slice(0, 3);
    const sessions = await sessionsAt(cluster, stay[0], count);
    const readers = sessions.flatMap(({ id }) => stay.map((node) => ({ node, session: id })));
    const trace = await follow(cluster, stay, readers);
    for (const [i, { id }] of sessions.entries()) await begin(cluster, stay[i % 3], id);
    await pause(2000);

    // A change is what happened between two settled states; who moved in it is known from the leases before and after.
    const changes = [];
    const change = async (kind, how) => {
      const before = await owners(cluster);
      const from = now();
      await how();
      await cluster.settled(kind, 60_000);
      await pause(300); // what was held back for a moment longer counts as well
      changes.push({ kind, from, to: now(), before, after: await owners(cluster) });
    };
    for (let i = 0; i < cycles; ++i) {
      let fourth;
      await change('join', async () => (fourth = await cluster.add()));
      await pause(1000);
      await change('drain', () => fourth.stop());
      await pause(1000);
    }
    const calmFrom = now();
    await pause(quick ? 2000 : 5000);
    const calmTo = now();
    const { counts, of } = await trace.end();

    const pauses = { joins: [], drains: [], 'same node': [], 'old owner': [], 'third node': [], all: [] };
    const unmoved = [];
    let moves = 0;
    for (const { kind, from, to, before, after } of changes)
      for (const [s, { shard }] of sessions.entries()) {
        const [was, is] = [before.get(shard), after.get(shard)];
        if (was !== is) ++moves;
        for (const [r, node] of stay.entries()) {
          const excess = Math.max(0, longestGap(of[3 * s + r], from, to) - 1000 / rate);
          if (was === is) {
            unmoved.push(excess);
            continue;
          }
          pauses.all.push(excess);
          pauses[kind === 'join' ? 'joins' : 'drains'].push(excess);
          pauses[node.name === is ? 'same node' : node.name === was ? 'old owner' : 'third node'].push(excess);
        }
      }
    const calm = of.map((events) => Math.max(0, longestGap(events, calmFrom, calmTo) - 1000 / rate));
    const p = (share) => pauses.all.sort((a, b) => a - b)[Math.floor(share * pauses.all.length)];
    report({
      figure: `hand-off: longest gap less the pace, ${moves} moves with answers running`,
      ours: Object.entries(pauses)
        .filter(([name, list]) => name !== 'all' && list.length)
        .map(([name, list]) => `${name} ${spread(list)}`)
        .join('; '),
      peers: `sessions that stayed, same moments ${spread(unmoved)}; nothing going on ${spread(calm)}`,
      result: spread(pauses.all),
      goal: '≤ 100 ms, p99 ≤ 500 ms',
      met: p(0.5) <= 100 && p(0.99) <= 500,
    });
    report({
      figure: '… what was lost, doubled or reordered',
      ours: `${counts.chunks} chunks read, ${machine}`,
      result: `${counts.out_of_order} indices out of order, ${counts.failed} answers failed, ${counts.reconnects} reconnects`,
      goal: 'none',
      met: counts.out_of_order === 0 && counts.failed === 0 && counts.reconnects === 0,
    });
  } finally {
    await cluster.dispose();
  }
}
