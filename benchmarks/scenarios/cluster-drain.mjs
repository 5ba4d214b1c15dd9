// SIGTERM to a node on which 100 answers of minutes are running: how long until it has ended, and whether all go on.
import { begin, follow, longestGap, machine, ms, now, pause, quantile, sessionsOn, spread, startNodes, until } from '../lib/cluster.mjs';

const count = 100;
const rate = 20;

export default async function drain({ quick, rounds: most }, report) {
  const rounds = Math.min(most, 3);
  const tokens = rate * (quick ? 60 : 120);
  const times = [];
  const silences = { stayed: [], moved: [] };
  const wrong = { order: 0, text: 0, unfinished: 0, failed: 0, exits: 0 };
  for (let round = 0; round < rounds; ++round) {
    const cluster = await startNodes({ model: { rate, tokens } });
    try {
      const [leaving, ...others] = cluster.nodes;
      const sessions = await sessionsOn(cluster, leaving, count);
      // One reader on the node that goes, which is sent elsewhere, and one on a node that stays.
      const readers = sessions.flatMap(({ id }, i) => [leaving, others[i % 2]].map((node) => ({ node, session: id })));
      const trace = await follow(cluster, [leaving, ...others], readers);
      const turns = [];
      for (const { id } of sessions) turns.push(await begin(cluster, leaving, id));
      await pause(5000);
      const from = now();
      const how = await leaving.server.stop();
      const to = now();
      times.push(to - from);
      if (how.code !== 0) ++wrong.exits;
      const ask = async (i) => {
        const path = `/v1/kgent/sessions/${sessions[i].id}/turns/${turns[i]}`;
        const { body } = await others[i % 2].call('GET', path, { key: cluster.tenant.key });
        return body;
      };
      await until(
        async () => (await Promise.all(turns.map((_, i) => ask(i)))).every(({ status }) => status !== 'running') || undefined,
        'the answers to end',
        (tokens / rate) * 1000 + 60_000,
      ).catch(() => {});
      for (let i = 0; i < count; ++i) {
        const { status, text } = await ask(i);
        if (status !== 'completed') ++wrong.unfinished;
        const said = [...(text ?? '').matchAll(/ @(\d+):\d+;/g)];
        const whole = said.map(([each]) => each).join('') === text;
        if (!whole || said.length !== tokens || said.some(([, n], k) => Number(n) !== k)) ++wrong.text;
      }
      await pause(500);
      const { counts, of } = await trace.end();
      wrong.order += counts.out_of_order;
      wrong.failed += counts.failed + (2 * count - counts.completed);
      of.forEach((events, i) => silences[i % 2 ? 'stayed' : 'moved'].push(longestGap(events, from, to + 2000)));
    } finally {
      await cluster.dispose();
    }
  }
  report({
    figure: `SIGTERM to exit with ${count} answers of ${tokens / rate} s running`,
    ours: `${times.map((each) => `${(each / 1000).toFixed(1)} s`).join(', ')}; ${machine}`,
    peers: `longest silence of readers elsewhere ${spread(silences.stayed)}; of those sent away ${spread(silences.moved)}`,
    result: `${ms(quantile(times, 1))} ms`,
    goal: '≤ 20 s',
    met: quantile(times, 1) <= 20_000 && wrong.exits === 0,
  });
  report({
    figure: '… the answers afterwards',
    ours: `${rounds * count} answers of ${tokens} tokens, ${2 * rounds * count} readers`,
    result:
      `${wrong.unfinished} unfinished, ${wrong.text} not equal to what the model said, ` +
      `${wrong.order} indices out of order, ${wrong.failed} readers without the end`,
    goal: 'none',
    met: Object.values(wrong).every((each) => each === 0),
  });
}
