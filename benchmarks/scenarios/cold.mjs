// Time to the first byte of a session that is in PostgreSQL only: read, and written to.
import { newSessions, pathsFile, startKgentsd } from '../lib/servers.mjs';
import { load } from '../lib/tools.mjs';

export default async function cold({ quick }, report) {
  const count = quick ? 100 : 500;
  let kgentsd = await startKgentsd();
  const ids = await newSessions(kgentsd, count + 50);
  const paths = ids.map((id) => `/v1/kgent/sessions/${id}`);
  const run = (list, options) =>
    load('http_load', {
      server: kgentsd.address,
      connections: 1,
      once: true,
      paths: pathsFile(list),
      header: kgentsd.header,
      ...options,
    });
  const say = (body) => ({ method: 'POST', body: JSON.stringify(body) });
  const messages = paths.map((path) => `${path}/messages`);
  await run(messages, say({ message: 'hello', stream: false })); // a history to load
  for (const [name, list, options, figure] of [
    ['GET session', paths, {}, 'first_byte'],
    ['POST message, first event', messages, say({ message: 'hello' }), 'first_body_byte'],
  ]) {
    kgentsd = await kgentsd.restart();
    await run(list.slice(count), options); // the key's and the connections' first use is not the session's
    const result = (await run(list.slice(0, count), options))[figure];
    const p50 = result.p50_us / 1e3;
    const p99 = result.p99_us / 1e3;
    report({
      figure: `cold session, ${name}`,
      ours: `${count} sessions, worst ${(result.max_us / 1e3).toFixed(1)} ms`,
      result: `p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(1)} ms`,
      goal: '≤ 5 ms, ≤ 20 ms',
      met: p50 <= 5 && p99 <= 20,
    });
  }
  await kgentsd.stop();
}
