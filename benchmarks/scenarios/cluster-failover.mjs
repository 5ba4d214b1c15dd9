// kill -9 of a node with 10,000 idle sessions, each followed by a reader on one of the nodes that go on.
import { begin, follow, machine, ms, now, pause, quantile, sessionsOn, spread, startNodes, until } from '../lib/cluster.mjs';

export default async function failover({ quick, rounds: most }, report) {
  const count = quick ? 2000 : 10_000;
  const probes = 100;
  const rounds = Math.min(most, 3);
  const owned = [];
  const answered = [];
  const heard = [];
  const later = [];
  let deaf = 0;
  let refused = 0;
  for (let round = 0; round < rounds; ++round) {
    const cluster = await startNodes();
    try {
      const [victim, ...others] = [2, 0, 1].map((i) => cluster.nodes[i]);
      const sessions = await sessionsOn(cluster, victim, count, others[0]);
      const trace = await follow(
        cluster,
        others,
        sessions.map(({ id }, i) => ({ node: others[i % 2], session: id })),
      );
      await pause(2000);
      const dead = (await cluster.lives(victim)).at(-1).node;
      const picked = [...sessions.keys()].sort(() => Math.random() - 0.5).slice(0, 2 * probes);
      const say = async (i, since) => {
        for (;;)
          try {
            await begin(cluster, others[(i + 1) % 2], sessions[i].id, 'hello'); // not where its reader is
            return now() - since;
          } catch {
            ++refused;
            await pause(50);
          }
      };

      const from = now();
      const gone = victim.kill();
      const probing = Promise.all(picked.slice(0, probes).map((i) => say(i, from)));
      await gone;
      await until(
        async () => {
          const { rows } = await cluster.db.query('SELECT count(*)::int AS n FROM kg.shard_leases WHERE owner = $1', [dead]);
          return rows[0].n === 0;
        },
        'every shard to have an owner',
        60_000,
      );
      owned.push(now() - from);
      answered.push(...(await probing));
      await pause(3000);
      const afterwards = now();
      for (const i of picked.slice(probes)) later.push(await say(i, now()));
      await pause(2000);
      const { of } = await trace.end();
      for (const [k, i] of picked.entries()) {
        const since = k < probes ? from : afterwards;
        const first = of[i].find(({ at }) => at >= since);
        if (!first) ++deaf;
        else if (k < probes) heard.push(first.at - from);
      }
    } finally {
      await cluster.dispose();
    }
  }
  report({
    figure: `kill -9 of the node of ${count} followed idle sessions: every shard owned`,
    ours: owned.map((each) => `${ms(each)} ms`).join(', '),
    peers: machine,
    result: `${ms(Math.max(...owned))} ms`,
  });
  report({
    figure: `… ${probes} of them are written to at that moment: accepted`,
    ours: `${refused} refusals on the way`,
    peers: `3 s later ${spread(later)}`,
    result: spread(answered),
  });
  report({
    figure: '… their readers hear of it',
    ours: `${heard.length} readers`,
    result: `${spread(heard)}; ${deaf} of ${2 * probes * rounds} heard nothing`,
    goal: 'p99 ≤ 3 s, all hear',
    met: deaf === 0 && quantile(heard, 0.99) <= 3000,
  });
}
