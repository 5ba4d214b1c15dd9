// Connections that wait: how much memory each costs its server.
import { spawn } from 'node:child_process';

import { binary } from './tools.mjs';

/// Opens `count` connections, measures the server with them, closes them. Bytes for each.
export async function idle(server, count, { path, header = [] }) {
  const before = server.pss();
  const args = ['--mode', 'idle', '--server', server.address, '--connections', String(count), '--path', path];
  for (const line of header) args.push('--header', line);
  const child = spawn(binary('sse_load'), args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.on('close', resolve));
  const open = await Promise.race([
    new Promise((resolve) => child.stdout.once('data', () => resolve(true))),
    ended.then(() => false),
  ]);
  if (!open) throw new Error(`could not open ${count} connections`);
  const after = server.pss();
  child.stdin.end();
  await ended;
  return (after - before) / count;
}
