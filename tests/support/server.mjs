// Starts and stops the real kgentsd: `dev` with its private PostgreSQL, or `serve` against a PostgreSQL of the test's own.
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import pg from 'pg';

import { patience, until, within } from './wait.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/// The program under test: $KGENTSD, else the debug build, else the release build.
export function binary() {
  const found = [process.env.KGENTSD, join(root, 'build/debug/bin/kgentsd'), join(root, 'build/release/bin/kgentsd')]
    .filter(Boolean)
    .find((path) => existsSync(path));
  if (!found) throw new Error('no kgentsd: build it, or name it in KGENTSD');
  return found;
}

/// A directory that PostgreSQL's unprivileged user may pass through; removed by `removeDirectory`.
export function temporaryDirectory(name = 'kgents') {
  const path = mkdtempSync(join(tmpdir(), `${name}-`));
  chmodSync(path, 0o711);
  return path;
}

export function removeDirectory(path) {
  rmSync(path, { recursive: true, force: true, maxRetries: 5 });
}

// The server refuses unknown settings, and a developer's own settings must not leak into a test.
function cleanEnvironment(extra) {
  const kept = ['PATH', 'HOME', 'TMPDIR', 'LANG', 'USER', 'ASAN_OPTIONS', 'UBSAN_OPTIONS', 'TSAN_OPTIONS', 'LD_LIBRARY_PATH'];
  const env = {};
  for (const name of kept) if (process.env[name] !== undefined) env[name] = process.env[name];
  for (const [name, value] of Object.entries(extra)) if (value !== undefined) env[name] = String(value);
  return env;
}

const running = new Set();

/// Ends `child` with this process, however that ends short of a kill -9: a run that is cut short leaves no server behind.
export function endsWithUs(child) {
  running.add(child);
  child.on('exit', () => running.delete(child));
}

process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')));
for (const [signal, number] of [['SIGINT', 2], ['SIGTERM', 15]]) process.once(signal, () => process.exit(128 + number));

/// A running kgentsd. `log` is its standard error so far; `exited` resolves to `{code, signal}`; `pid` is kgentsd's own,
/// whatever command started it.
class Server {
  log = '';
  output = '';

  constructor(child) {
    this.child = child;
    this.pid = child.pid;
    endsWithUs(child);
    child.stderr.setEncoding('utf8');
    child.stdout.setEncoding('utf8');
    child.stderr.on('data', (text) => {
      this.log += text;
      if (process.env.KGENTS_TEST_LOG) process.stderr.write(text);
    });
    this.exited = new Promise((resolve) => child.on('exit', (code, signal) => resolve({ code, signal })));
    this.ready = new Promise((resolve, reject) => {
      child.on('error', reject);
      child.stdout.on('data', (text) => {
        this.output += text;
        const line = /^kgentsd ready (https?:\/\/(\S+):(\d+)) node=(\S+)$/m.exec(this.output);
        if (line) resolve(line);
      });
      this.exited.then((how) =>
        reject(new Error(`kgentsd ended before it was ready: ${JSON.stringify(how)}\n${this.log.slice(-3000)}`)),
      );
    });
    this.ready.catch(() => {});
  }

  /// SIGTERM and wait: the drain. Returns the exit status.
  async stop() {
    return this.end('SIGTERM');
  }

  /// kill -9 and wait until the process is gone.
  async kill() {
    return this.end('SIGKILL');
  }

  get running() {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  signal(name) {
    if (!this.running) return;
    try {
      process.kill(this.pid, name);
    } catch (gone) {
      if (gone.code !== 'ESRCH') throw gone;
    }
  }

  async end(signal) {
    this.signal(signal);
    try {
      return await within(this.exited, `kgentsd to end on ${signal}`);
    } catch (late) {
      this.signal('SIGKILL');
      this.child.kill('SIGKILL');
      await this.exited;
      throw late;
    }
  }

  /// Resident memory in bytes.
  rss() {
    return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'))[1]) * 1024;
  }
}

// What `prefix` started may stand between us and kgentsd: unshare does, ip and setpriv become what they run.
function innermost(pid) {
  for (let at = pid; ; ) {
    const [child] = readFileSync(`/proc/${at}/task/${at}/children`, 'utf8').trim().split(' ');
    if (!child || readFileSync(`/proc/${at}/comm`, 'utf8').trim() === 'kgentsd') return at;
    at = Number(child);
  }
}

/// Starts `kgentsd ARGS` without waiting. `prefix` is a command that runs it: in a namespace, for instance.
export function begin(args, env, prefix = []) {
  const [command, ...rest] = [...prefix, binary(), ...args];
  return new Server(spawn(command, rest, { env: cleanEnvironment(env), stdio: ['ignore', 'pipe', 'pipe'] }));
}

/// The same, and waits for its ready line.
export async function launch(args, env, { prefix = [], ms = 3 * patience.ms } = {}) {
  const server = begin(args, env, prefix);
  try {
    const [, url, host, port, node] = await within(server.ready, 'the ready line', ms);
    Object.assign(server, { url, host, port: Number(port), node, pid: innermost(server.pid) });
  } catch (cause) {
    server.child.kill('SIGKILL');
    throw new Error(`${cause.message}\n${server.log.slice(-3000)}`);
  }
  return server;
}

/// `kgentsd dev` on a free port with a state directory of its own, or with the one of an earlier run (`stateDir`, `port`).
export async function startDev({ env = {}, stateDir, port = 0, args = [] } = {}) {
  const own = stateDir ?? temporaryDirectory();
  const server = await launch(['dev', '--host', '127.0.0.1', '--port', String(port), '--state-dir', own, ...args], env);
  server.stateDir = own;
  server.restart = async () => startDev({ env, stateDir: own, port: server.port, args });
  server.dispose = async () => {
    await server.end('SIGTERM').catch(() => {});
    await until(() => childrenOf(own).length === 0, 'the children of kgentsd dev to end').catch(() => {});
    removeDirectory(own);
  };
  return server;
}

/// `kgentsd serve` against `database` (see postgres.mjs), migrated and seeded already.
export async function startServe(database, { env = {}, port = 0 } = {}) {
  const settings = {
    API_HOST: '127.0.0.1',
    API_PORT: port,
    KGENTS_ENV: 'dev',
    KGENTS_NODE_NAME: 'one',
    DATABASE_URL: database.url('kg_app'),
    DATABASE_CONTROL_URL: database.url('kg_control'),
    ...env,
  };
  const server = await launch(['serve'], settings);
  server.restart = async () => startServe(database, { env, port: server.port });
  server.dispose = async () => void (await server.end('SIGTERM').catch(() => {}));
  return server;
}

/// Runs `kgentsd ARGS` to its end: `{code, signal, output, log}`.
export async function run(args, env = {}) {
  const child = spawn(binary(), args, { env: cleanEnvironment(env), stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let log = '';
  child.stdout.on('data', (text) => (output += text));
  child.stderr.on('data', (text) => (log += text));
  const how = await within(
    new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code, signal) => resolve({ code, signal }));
    }),
    `kgentsd ${args.join(' ')}`,
    2 * patience.ms,
  );
  return { ...how, output, log };
}

/// Process ids whose command line or working directory names `stateDir`.
export function childrenOf(stateDir) {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(stateDir);
      } catch {
        return false;
      }
    })
    .map(Number);
}

/// A superuser's connection to dev's private PostgreSQL. postmaster.pid names its port and socket directory, so nothing
/// here depends on where `dev` puts the socket.
export async function openDatabase(stateDir) {
  const [, , , port, socketDir] = readFileSync(join(stateDir, 'postgres', 'postmaster.pid'), 'utf8').split('\n');
  let refusal;
  for (const user of ['postgres', 'kgents', process.env.USER ?? 'root'])
    try {
      const names = await databasesAt(socketDir, Number(port), user);
      for (const database of names) {
        const client = new pg.Client({ host: socketDir, port: Number(port), user, database });
        client.on('error', () => {});  // dev's PostgreSQL ends with the server, also while a test still holds this
        await client.connect();
        const { rows } = await client.query(`SELECT to_regclass('kg.tenants') IS NOT NULL AS here`);
        if (rows[0].here) return client;
        await client.end();
      }
    } catch (error) {
      refusal = error;
    }
  throw new Error(`no database with kg.tenants under ${stateDir}: ${refusal?.message ?? 'not migrated'}`);
}

async function databasesAt(host, port, user) {
  const client = new pg.Client({ host, port, user, database: 'postgres' });
  await client.connect();
  try {
    const { rows } = await client.query('SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate');
    return rows.map((row) => row.datname);
  } finally {
    await client.end();
  }
}
