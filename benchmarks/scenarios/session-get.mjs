// An authenticated GET of a warm session (key cached, one actor hop) against a bare Beast server.
import { compareRequests } from '../lib/requests.mjs';
import { newSessions, pathsFile, startBeast, startKgentsd } from '../lib/servers.mjs';

export default async function sessionGet(context, report) {
  const beast = await startBeast({ core: context.serverCore });
  const kgentsd = await startKgentsd({ core: context.serverCore, threads: 1 });
  const sessions = await newSessions(kgentsd, 256);
  await compareRequests(context, report, {
    figure: 'GET a warm session, 64 connections',
    goal: 0.4,
    ours: {
      server: kgentsd,
      options: { paths: pathsFile(sessions.map((id) => `/v1/kgent/sessions/${id}`)), header: kgentsd.header },
    },
    beast: { server: beast, options: { path: '/session' } },
  });
  await kgentsd.stop();
  await beast.stop();
}
