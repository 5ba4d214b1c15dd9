// A redis-server of the test's own on a free port of loopback, without a file: what it knew is gone with it.
import { spawn } from 'node:child_process';
import net from 'node:net';

import { endsWithUs } from './server.mjs';
import { until, within } from './wait.mjs';

/// A port of loopback that nobody has.
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/// Sends words as one inline command and gives the raw answer.
function ask(port, words) {
  const exchange = new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1', () => socket.write(`${words.join(' ')}\r\n`));
    socket.on('error', reject);
    socket.once('data', (bytes) => {
      resolve(bytes.toString());
      socket.destroy();
    });
  });
  return within(exchange, `redis to answer ${words[0]}`);
}

/// `{url, start, kill, pause, resume, keys, dispose}`; `args` go to redis-server.
export async function startRedis({ args = [] } = {}) {
  const port = await freePort();
  const redis = { port, url: `redis://127.0.0.1:${port}`, child: null };
  redis.start = async () => {
    const options = ['--port', port, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', ...args];
    redis.child = spawn('redis-server', options.map(String), { stdio: 'ignore' });
    redis.exited = new Promise((resolve) => redis.child.on('exit', resolve));
    endsWithUs(redis.child);
    // With a password it answers NOAUTH, which is an answer.
    await until(() => ask(port, ['PING']).catch(() => false), 'redis-server to answer');
  };
  redis.kill = async () => {
    redis.child.kill('SIGKILL');
    await within(redis.exited, 'redis-server to end');
  };
  redis.pause = () => redis.child.kill('SIGSTOP');
  redis.resume = () => redis.child.kill('SIGCONT');
  /// How many keys it holds.
  redis.size = async () => Number((await ask(port, ['DBSIZE'])).slice(1));
  redis.flush = () => ask(port, ['FLUSHALL']);
  redis.dispose = async () => {
    if (redis.child.exitCode === null && redis.child.signalCode === null) await redis.kill();
  };
  await redis.start();
  return redis;
}
