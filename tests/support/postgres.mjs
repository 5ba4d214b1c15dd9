// A PostgreSQL of the test's own, for what `kgentsd dev` cannot show: the database stopping while the server goes on.
import { execFileSync, spawn } from 'node:child_process';
import { appendFileSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import pg from 'pg';

import { endsWithUs, removeDirectory, run, temporaryDirectory } from './server.mjs';
import { until, within } from './wait.mjs';

function binDirectory() {
  const versions = existsSync('/usr/lib/postgresql') ? readdirSync('/usr/lib/postgresql') : [];
  const newest = versions.map(Number).filter(Boolean).sort((a, b) => b - a)[0];
  if (!newest) throw new Error('no PostgreSQL under /usr/lib/postgresql');
  return `/usr/lib/postgresql/${newest}/bin`;
}

// PostgreSQL refuses to run as root.
function unprivileged() {
  if (process.getuid() !== 0) return {};
  const [, , uid, gid] = /^(postgres):[^:]*:(\d+):(\d+):/m.exec(readFileSync('/etc/passwd', 'utf8')) ?? [0, 0, 65534, 65534];
  return { uid: Number(uid), gid: Number(gid) };
}

/// A private server on a Unix socket. `fsync` stays on, as a kill must find what was committed. `tcp: {address, subnet}`
/// opens it on that address as well, for whoever is in the subnet: what uses the socket cannot be cut off by the network.
export async function startPostgres({ tcp, connections = 150 } = {}) {
  const directory = temporaryDirectory('kgents-pg');
  const who = unprivileged();
  const bin = binDirectory();
  const data = join(directory, 'data');
  const socket = join(directory, 'socket');
  for (const path of [data, socket]) {
    mkdirSync(path, { mode: 0o700 });
    if (who.uid !== undefined) chownSync(path, who.uid, who.gid);
  }
  const options = { ...who, cwd: directory, stdio: 'ignore' };
  execFileSync(join(bin, 'initdb'), ['-D', data, '-A', 'trust', '-U', 'postgres', '-E', 'UTF8', '--no-locale', '--no-sync'], options);
  if (tcp) appendFileSync(join(data, 'pg_hba.conf'), `host all all ${tcp.subnet} trust\n`);

  const database = { directory, socket, child: null };
  database.url = (user, name = 'kgents') => `postgresql:///${name}?host=${encodeURIComponent(socket)}&user=${user}`;
  database.tcpUrl = (user, name = 'kgents') => `postgresql://${user}@${tcp.address}:5432/${name}`;
  database.connect = async (name = 'kgents') => {
    const client = new pg.Client({ host: socket, user: 'postgres', database: name });
    client.on('error', () => {});
    await client.connect();
    return client;
  };
  database.start = async () => {
    const settings = [`listen_addresses=${tcp?.address ?? ''}`, 'shared_buffers=64MB', `max_connections=${connections}`];
    const args = ['-D', data, '-k', socket, ...settings.flatMap((setting) => ['-c', setting])];
    const child = spawn(join(bin, 'postgres'), args, options);
    database.child = child;
    endsWithUs(child);
    database.exited = new Promise((resolve) => child.on('exit', resolve));
    await until(
      () =>
        database
          .connect('postgres')
          .then((client) => client.end().then(() => true))
          .catch(() => false),
      'PostgreSQL to accept connections',
    );
  };
  database.stop = async (signal = 'SIGQUIT') => {
    if (database.child?.exitCode === null && database.child.signalCode === null) database.child.kill(signal);
    await within(database.exited, `PostgreSQL to end on ${signal}`);
  };
  /// SIGSTOP or SIGCONT to the server and all its backends: connections stay open and nobody answers.
  database.signalAll = (signal) => {
    const pids = [database.child.pid, ...backendsOf(database.child.pid)];
    for (const pid of pids) process.kill(pid, signal);
  };
  database.dispose = async () => {
    try {
      database.signalAll('SIGCONT');
    } catch {
      // already gone
    }
    await database.stop().catch(() => {});
    removeDirectory(directory);
  };

  await database.start();
  const admin = await database.connect('postgres');
  await admin.query('CREATE DATABASE kgents');
  await admin.end();
  return database;
}

function backendsOf(parent) {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return Number(readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ')[1]) === parent;
      } catch {
        return false;
      }
    })
    .map(Number);
}

/// The same, with the schema and, unless `environment` is another than dev, the development keys.
export async function startMigratedPostgres({ environment = 'dev', ...options } = {}) {
  const database = await startPostgres(options);
  const settings = { DATABASE_ADMIN_URL: database.url('postgres'), KGENTS_ENV: environment };
  if (environment === 'dev') settings.KGENTS_SEED_DEV = 'true';
  const { code, output, log } = await run(['migrate'], settings);
  if (code !== 0) {
    await database.dispose();
    throw new Error(`kgentsd migrate ended with ${code}: ${output}${log}`);
  }
  return database;
}
