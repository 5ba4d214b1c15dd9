// What the hop costs: the same requests at the node where the sessions live, at another one, and at one node alone.
import { addressOf, machine, sessionsOn, startNodes } from '../lib/cluster.mjs';
import { pathsFile } from '../lib/servers.mjs';
import { interleave, load, median, ratioOf } from '../lib/tools.mjs';

export default async function hop({ rounds, seconds }, report) {
  const alone = await startNodes({ nodes: 1 });
  const cluster = await startNodes();
  try {
    const [owner, other] = cluster.nodes;
    const [only] = alone.nodes;
    const inCluster = await sessionsOn(cluster, owner, 256);
    const inAlone = await sessionsOn(alone, only, 256);
    for (const what of [
      {
        figure: 'GET a warm session, 32 connections',
        options: { connections: 32 },
        path: (id) => `/v1/kgent/sessions/${id}`,
        latency: 'whole',
      },
      {
        figure: 'GET a warm session, one connection',
        options: { connections: 1 },
        path: (id) => `/v1/kgent/sessions/${id}`,
        latency: 'whole',
      },
      {
        figure: 'POST a message to its first event, 16 connections',
        options: { connections: 16, method: 'POST', body: '{"message":"hello","stream":true}' },
        path: (id) => `/v1/kgent/sessions/${id}/messages`,
        latency: 'first_body_byte',
      },
      {
        figure: 'POST a message to its first event, one connection',
        options: { connections: 1, method: 'POST', body: '{"message":"hello","stream":true}' },
        path: (id) => `/v1/kgent/sessions/${id}/messages`,
        latency: 'first_body_byte',
      },
    ]) {
      const measure = (where, node, sessions) => async () =>
        load('http_load', {
          server: addressOf(node),
          header: where.header,
          duration: seconds,
          paths: pathsFile(sessions.map(({ id }) => what.path(id))),
          watch: where.watch(),
          ...what.options,
        });
      const peers = {
        owner: measure(cluster, owner, inCluster),
        other: measure(cluster, other, inCluster),
        alone: measure(alone, only, inAlone),
      };
      for (const each of Object.values(peers)) await each(); // caches, connections
      const results = await interleave(peers, rounds);
      const nodes = (each) => Object.entries(each.cpu).filter(([name]) => name.startsWith('node-'));
      const cpu = (each) => (nodes(each).reduce((sum, [, used]) => sum + used, 0) / each.requests) * 1e6;
      const rate = (each) => each.rate;
      const show = (list) => {
        const of = (figure, digits = 0) => median(list.map(figure)).toFixed(digits);
        const p50 = of((each) => each[what.latency].p50_us);
        const p99 = of((each) => each[what.latency].p99_us);
        return `${of(rate)}/s, p50 ${p50} µs, p99 ${p99} µs, CPU ${of(cpu)} µs`;
      };
      report({
        figure: what.figure,
        ours: `at the owner ${show(results.owner)}; at another node ${show(results.other)}`,
        peers: `one node alone ${show(results.alone)}`,
        result:
          `another node: ${ratioOf(results.other, results.owner, cpu).text} × the CPU, ` +
          `${ratioOf(results.other, results.owner, rate).text} × the rate of the owner; owner: ` +
          `${ratioOf(results.owner, results.alone, cpu).text} × the CPU of one node alone; ${machine}`,
      });
    }
  } finally {
    await cluster.dispose();
    await alone.dispose();
  }
}
