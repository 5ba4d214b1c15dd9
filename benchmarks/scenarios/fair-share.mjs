// What a tenant with few requests notices of one that sends fifty times its share.
import { newSessions, pathsFile, startKgentsd } from '../lib/servers.mjs';
import { load, median } from '../lib/tools.mjs';

/// Half of the 64 requests under way from which a node is shared out (runtime/limits.hpp), for each of two equal tenants.
const share = 32;
const quietConnections = 4;

export default async function fairShare({ rounds, seconds, serverCore, clientCore }, report) {
  const server = await startKgentsd({ core: serverCore, threads: 1 });
  const noisy = server.addTenant('noisy');
  const paths = pathsFile(Array.from({ length: 64 }, (_, i) => `/v1/kgent/sessions?limit=20&offset=${i % 4}`));
  for (const key of [server.key, noisy]) await newSessions({ ...server, header: `X-API-Key: ${key}` }, 64);
  const run = (key, connections, duration, more = {}) =>
    load('http_load', { server: server.address, connections, duration, paths, header: `X-API-Key: ${key}`, ...more }, { core: clientCore });
  await run(server.key, quietConnections, 1); // caches
  const idle = [];
  const pressed = [];
  const others = [];
  for (let i = 0; i < rounds; i++) {
    idle.push(await run(server.key, quietConnections, seconds));
    const flood = run(noisy, 50 * share, seconds + 2, { tolerate: true, settle: 0 });
    pressed.push(await run(server.key, quietConnections, seconds, { settle: 1 }));
    others.push(await flood);
  }
  const p99 = (list) => median(list.map((x) => x.whole.p99_us));
  const rate = (list) => median(list.map((x) => x.rate));
  const refused = median(others.map((x) => x.unexpected / x.requests));
  report({
    figure: `p99 of a tenant beside another with ${50 * share} connections`,
    ours: `${p99(pressed).toFixed(0)} µs (p50 ${median(pressed.map((x) => x.whole.p50_us)).toFixed(0)}), ${rate(pressed).toFixed(0)}/s`,
    peers: `alone ${p99(idle).toFixed(0)} µs (p50 ${median(idle.map((x) => x.whole.p50_us)).toFixed(0)}), ${rate(idle).toFixed(0)}/s`,
    result: `${(p99(pressed) / p99(idle)).toFixed(2)} ×; of the other's ${rate(others).toFixed(0)}/s ${(refused * 100).toFixed(0)} % refused`,
    goal: '≤ 2 ×',
    met: p99(pressed) <= 2 * p99(idle),
  });
  await server.stop();
}
