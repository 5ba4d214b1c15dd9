// nats-servers of the test's own, on ports that stay when one is started again, and what a consumer finds in the streams.
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { join } from 'node:path';

import { connect, consumerOpts } from 'nats';

import { endsWithUs, removeDirectory, temporaryDirectory } from './server.mjs';
import { patience, until, within } from './wait.mjs';

async function freePorts(count) {
  const probes = [];
  for (let i = 0; i < count; i++) probes.push(createServer().listen(0, '127.0.0.1'));
  await Promise.all(probes.map((probe) => new Promise((resolve) => probe.once('listening', resolve))));
  const ports = probes.map((probe) => probe.address().port);
  await Promise.all(probes.map((probe) => new Promise((resolve) => probe.close(resolve))));
  return ports;
}

class NatsServer {
  #child;

  constructor(name, port, directory, args) {
    Object.assign(this, { name, port, directory, args });
    this.url = `nats://127.0.0.1:${port}`;
  }

  async start() {
    const args = ['-a', '127.0.0.1', '-p', String(this.port), '-n', this.name, '-js', '-sd', join(this.directory, this.name)];
    this.#child = spawn('nats-server', [...args, ...this.args], { stdio: ['ignore', 'ignore', 'ignore'] });
    endsWithUs(this.#child);
    this.gone = new Promise((resolve) => this.#child.once('exit', resolve));
    await until(async () => {
      const client = await connect({ servers: this.url, reconnect: false, timeout: 1000 }).catch(() => null);
      await client?.close();
      return client;
    }, `nats-server ${this.name} to listen`);
    return this;
  }

  signal(name) {
    if (this.#child?.exitCode === null && this.#child.signalCode === null) this.#child.kill(name);
  }

  async kill(signal = 'SIGKILL') {
    this.signal('SIGCONT');
    this.signal(signal);
    await within(this.gone, `nats-server ${this.name} to end`);
  }
}

/// One server: `url`, `signal('SIGSTOP')`, `kill()`, `start()` again with what it had stored, `dispose()`.
export async function startNats() {
  const directory = temporaryDirectory('kgents-nats');
  const [port] = await freePorts(1);
  const server = await new NatsServer('alone', port, directory, []).start();
  server.dispose = async () => {
    await server.kill();
    removeDirectory(directory);
  };
  return server;
}

/// A cluster of `count`: `{servers, url, dispose}`; `url` lists them all.
export async function startNatsCluster(count = 3) {
  const directory = temporaryDirectory('kgents-nats');
  const ports = await freePorts(2 * count);
  const routes = ports.slice(count).map((port) => `nats://127.0.0.1:${port}`);
  const servers = ports.slice(0, count).map((port, i) => {
    const args = ['--cluster_name', 'kgents', '--cluster', routes[i], '--routes', routes.join(',')];
    return new NatsServer(`n${i}`, port, directory, args);
  });
  await Promise.all(servers.map((server) => server.start()));
  const dispose = async () => {
    await Promise.all(servers.map((server) => server.kill()));
    removeDirectory(directory);
  };
  return { servers, url: servers.map((server) => server.url).join(','), dispose };
}

/// Everything that the subject holds now, read by npm `nats` with a consumer of its own: `[{subject, seq, id, data}]`.
/// Brokers that have just lost one of them take a while to agree on who answers.
export const stored = (servers, stream, subject) =>
  until(() => read(servers, stream, subject).catch(() => null), `${subject} of ${stream} to be read`, 3 * patience.ms);

async function read(servers, stream, subject) {
  const client = await connect({ servers: servers.split(',') });
  try {
    const manager = await client.jetstreamManager();
    const { state } = await manager.streams.info(stream, { subjects_filter: subject });
    const count = Object.values(state.subjects ?? {}).reduce((sum, n) => sum + n, 0);
    const found = [];
    if (count === 0) return found;
    const heard = await client.jetstream().subscribe(subject, consumerOpts().orderedConsumer().bindStream(stream));
    const all = async () => {
      for await (const m of heard) {
        found.push({ subject: m.subject, seq: m.seq, id: m.headers?.get('Nats-Msg-Id'), data: m.json() });
        if (found.length === count) return found;
      }
      return found;
    };
    return await within(all(), `${count} messages of ${subject}`, patience.ms / 3);
  } finally {
    await client.close();
  }
}
