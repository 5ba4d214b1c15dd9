// AGENTESE over HTTP: a warm manifest, resolve and a composition of two stages against a bare Beast server, one
// context's actor alone, and what 10,000 idle subscriptions take.
import { idle } from '../lib/idle.mjs';
import { compareRequests } from '../lib/requests.mjs';
import { pathsFile, startBeast, startKgentsd } from '../lib/servers.mjs';
import { load } from '../lib/tools.mjs';

const houses = Array.from({ length: 256 }, (_, i) => `house_${i}`);

export default async function agentese(context, report) {
  const beast = await startBeast({ core: context.serverCore });
  const server = await startKgentsd({ core: context.serverCore, threads: 1 });
  const peer = { server: beast, options: { path: '/session' } };
  const json = [server.header, 'Content-Type: application/json'];
  await compareRequests(context, report, {
    figure: 'a warm manifest, 64 connections',
    goal: 0.35,
    ours: {
      server,
      options: { paths: pathsFile(houses.map((x) => `/api/v1/world/${x}/manifest`)), header: server.header },
    },
    beast: peer,
  });
  await compareRequests(context, report, {
    figure: 'resolve, 64 connections',
    goal: 0.35,
    ours: {
      server,
      options: {
        paths: pathsFile(houses.map((x) => `/v1/agentese/resolve?path=world.${x}`)),
        header: server.header,
      },
    },
    beast: peer,
  });
  await compareRequests(context, report, {
    figure: 'a composition of two stages, 64 connections',
    goal: 0.2,
    ours: {
      server,
      options: {
        method: 'POST',
        path: '/api/v1/compose',
        header: json,
        body: '{"paths":["world.house.manifest","concept.home.manifest"]}',
      },
    },
    beast: peer,
  });
  await oneContext(context, report, server, json);
  await server.stop();
  await beast.stop();
  await subscriptions(context, report);
}

// Everything of `void` of one tenant is done by one actor: what it reads and what it writes, each write committed.
async function oneContext({ seconds, clientCore }, report, server, header) {
  for (const [what, path, body] of [
    ['reads', '/agentese/void/entropy/status', '{}'],
    ['writes, each committed', '/agentese/void/gratitude/tithe', '{}'],
  ]) {
    const run = await load(
      'http_load',
      { server: server.address, connections: 64, duration: seconds, method: 'POST', path, body, header },
      { core: clientCore },
    );
    report({
      figure: `one context's actor, ${what}`,
      ours: `${Math.round(run.rate)}/s, p50 ${run.whole.p50_us} µs, p99 ${run.whole.p99_us} µs`,
    });
  }
}

async function subscriptions({ quick }, report) {
  const count = quick ? 2000 : 10000;
  const server = await startKgentsd();
  const options = { path: '/agentese/subscribe?pattern=world.**', header: [server.header] };
  await idle(server, 50, options);
  const each = await idle(server, count, options);
  await server.stop();
  report({
    figure: `idle subscription (${count})`,
    ours: `${(each / 1024).toFixed(2)} KiB`,
    result: `${((each * 10000) / 1e6).toFixed(1)} MB for 10,000`,
    goal: '≤ 40 MB',
    met: each * 10000 <= 40e6,
  });
}
