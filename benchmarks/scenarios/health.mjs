// GET /health against a bare Beast server of the same thread count.
import { compareRequests } from '../lib/requests.mjs';
import { startBeast, startKgentsd } from '../lib/servers.mjs';

export default async function health(context, report) {
  const beast = await startBeast({ core: context.serverCore });
  const kgentsd = await startKgentsd({ core: context.serverCore, threads: 1 });
  await compareRequests(context, report, {
    figure: 'GET /health, 64 connections',
    goal: 0.85,
    ours: { server: kgentsd, options: { path: '/health' } },
    beast: { server: beast, options: { path: '/health' } },
  });
  await kgentsd.stop();
  await beast.stop();
}
