// A TCP load balancer that nobody here wrote: haproxy, which asks each node for /ready and leaves open streams alone.
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';

import { endsWithUs } from './server.mjs';
import { until, within } from './wait.mjs';

const configuration = ({ address, port, servers, socket }) => `
global
  maxconn 8192
  stats socket ${socket} mode 600 level admin
defaults
  mode tcp
  maxconn 8192
  option redispatch
  retries 3
  timeout connect 1s
  timeout client 1h
  timeout server 1h
  timeout check 1s
frontend clients
  bind ${address}:${port}
  default_backend nodes
backend nodes
  balance roundrobin
  option httpchk
  http-check send meth GET uri /ready
  http-check expect status 200
  default-server inter 250ms fall 1 rise 1
${servers.map(({ name, address: at, port: on }) => `  server ${name} ${at}:${on} check`).join('\n')}
`;

/// Listens on `address:port` before `servers` (`{name, address, port}`), present or not: `{host, port, url, up, dispose}`.
export async function startBalancer({ address, port, servers, directory }) {
  const file = join(directory, 'haproxy.cfg');
  const socket = join(directory, 'haproxy.sock');
  writeFileSync(file, configuration({ address, port, servers, socket }));
  // Debian puts it where only root's PATH looks.
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };
  const child = spawn('haproxy', ['-db', '-f', file], { cwd: directory, env, stdio: ['ignore', 'ignore', 'pipe'] });
  endsWithUs(child);
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text) => (log += text));
  const exited = new Promise((resolve) => child.on('exit', resolve));
  child.on('error', (error) => (log += error.message));

  const balancer = { host: address, port, url: `http://${address}:${port}`, child };
  /// Names of the servers that take new connections.
  balancer.up = async () =>
    (await ask(socket, 'show stat nodes 4 -1'))
      .split('\n')
      .map((line) => line.split(','))
      .filter((fields) => fields[0] === 'nodes' && fields[17]?.startsWith('UP'))
      .map((fields) => fields[1]);
  balancer.dispose = async () => {
    child.kill('SIGKILL');
    await within(exited, 'haproxy to end');
  };
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`haproxy: ${log}`);
    return ask(socket, 'show info').catch(() => false);
  }, 'haproxy to start');
  return balancer;
}

function ask(socket, command) {
  return within(
    new Promise((resolve, reject) => {
      let text = '';
      const connection = connect(socket, () => connection.end(`${command}\n`));
      connection.setEncoding('utf8').on('data', (part) => (text += part));
      connection.on('end', () => resolve(text));
      connection.on('error', reject);
    }),
    `haproxy to answer ${command}`,
  );
}
