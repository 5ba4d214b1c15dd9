// nats-servers of the test's own, on ports that stay when one is started again, and what a consumer finds in the streams.
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { join } from 'node:path';

import { connect } from 'nats';

import { endsWithUs, removeDirectory, temporaryDirectory } from './server.mjs';
import { until, within } from './wait.mjs';

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
export async function stored(servers, stream, subject) {
  const client = await connect({ servers: servers.split(',') });
  try {
    const jetstream = client.jetstream();
    const known = await jetstream.streams.get(stream);
    const consumer = await known.getConsumer({ filterSubjects: subject });
    const { num_pending: count } = await consumer.info();
    const found = [];
    if (count === 0) return found;
    const messages = await consumer.fetch({ max_messages: count, expires: 5000 });
    for await (const m of messages) {
      found.push({ subject: m.subject, seq: m.seq, id: m.headers?.get('Nats-Msg-Id'), data: m.json() });
      if (found.length === count) break;
    }
    return found;
  } finally {
    await client.close();
  }
}
