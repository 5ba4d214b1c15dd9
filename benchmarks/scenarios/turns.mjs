// Turns started and finished a second: short template answers, server, PostgreSQL and client on all cores.
import { newSessions, pathsFile, startKgentsd } from '../lib/servers.mjs';
import { load, median } from '../lib/tools.mjs';

export default async function turns({ rounds, seconds }, report) {
  const kgentsd = await startKgentsd();
  const sessions = await newSessions(kgentsd, 640);
  const measure = () =>
    load('http_load', {
      server: kgentsd.address,
      connections: 64,
      duration: seconds,
      method: 'POST',
      paths: pathsFile(sessions.map((id) => `/v1/kgent/sessions/${id}/messages`)),
      header: kgentsd.header,
      body: '{"message":"hello","stream":false}',
      watch: kgentsd.watch,
    });
  await measure();
  const results = [];
  for (let i = 0; i < rounds; ++i) results.push(await measure());
  await kgentsd.stop();
  const of = (figure) => median(results.map(figure));
  const p50 = of((each) => each.whole.p50_us / 1e3).toFixed(1);
  const p99 = of((each) => each.whole.p99_us / 1e3).toFixed(1);
  const cpu = (who) => of((each) => (each.cpu[who] / each.requests) * 1e6).toFixed(0);
  const rate = of((each) => each.rate);
  report({
    figure: 'turns a second, 64 in flight, 640 sessions',
    ours: `p50 ${p50} ms, p99 ${p99} ms; CPU a turn ${cpu('server')} µs, PostgreSQL ${cpu('postgres')} µs`,
    result: rate.toFixed(0),
    goal: '≥ 1000',
    met: rate >= 1000,
  });
}
