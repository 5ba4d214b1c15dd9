// Memory (Pss) of 10,000 idle SSE connections, idle WebSockets and warm idle sessions.
import { idle } from '../lib/idle.mjs';
import { newSessions, pathsFile, startBeast, startKgentsd, startNchan } from '../lib/servers.mjs';
import { load } from '../lib/tools.mjs';

export default async function memory({ quick }, report) {
  const count = quick ? 2000 : 10000;
  const goal = { sse: 4096, ws: 8192, session: 4096 };

  let kgentsd = await startKgentsd();
  const ids = await newSessions(kgentsd, count + 500);
  kgentsd = await kgentsd.restart(); // so that no session is warm yet
  const sessionPaths = ids.map((id) => `/v1/kgent/sessions/${id}`);
  const get = (paths) =>
    load('http_load', {
      server: kgentsd.address,
      connections: 16,
      once: true,
      paths: pathsFile(paths),
      header: kgentsd.header,
    });
  await get(sessionPaths.slice(count)); // caches and allocator arenas, with sessions that do not count
  await get(sessionPaths.slice(count));
  const before = kgentsd.pss();
  await get(sessionPaths.slice(0, count));
  const warm = (kgentsd.pss() - before) / count;
  report({
    figure: `warm idle session (${count})`,
    ours: kib(warm),
    result: kib(warm),
    goal: '≤ 4 KiB',
    met: warm <= goal.session,
  });
  await kgentsd.stop();

  const beast = await startBeast({ threads: 2 });
  const nchan = await startNchan({});
  const follow = {
    beast: await idle(beast, count, { path: '/fanout' }),
    nchan: await idle(nchan, count, { path: '/sub?id=0' }),
  };
  await beast.stop();
  await nchan.stop();
  for (const [name, path, headers, most] of [
    ['SSE connection', 'stream', [], goal.sse],
    ['WebSocket', 'ws', webSocket, goal.ws],
  ]) {
    const server = await startKgentsd(); // a fresh one each: freed memory would hide what the next needs
    const [id] = await newSessions(server, 1);
    const options = { path: `/v1/kgent/sessions/${id}/${path}`, header: [server.header, ...headers] };
    await idle(server, 50, options);
    const each = await idle(server, count, options);
    await server.stop();
    const peers = path === 'stream' ? `Beast ${kib(follow.beast)}, nchan ${kib(follow.nchan)}` : '';
    report({
      figure: `idle ${name} (${count})`,
      ours: kib(each),
      peers,
      result: kib(each),
      goal: `≤ ${kib(most)}`,
      met: each <= most,
    });
  }
}

const webSocket = [
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  'Sec-WebSocket-Protocol: kgents.v1',
];

const kib = (bytes) => `${(bytes / 1024).toFixed(2)} KiB`;
