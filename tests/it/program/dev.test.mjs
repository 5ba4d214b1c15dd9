// kgentsd dev: its children, its state directory, and that it ends without leaving anything behind.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';

import { binary, openDatabase, removeDirectory, run, startDev, temporaryDirectory } from '../../support/server.mjs';
import { until, within } from '../../support/wait.mjs';
import { alive, childrenOfProcess, family, userOf } from './processes.mjs';

const made = [];
function directory() {
  const path = temporaryDirectory('kgents-program');
  made.push(path);
  return path;
}
after(() => made.forEach(removeDirectory));

const gone = (pids, what) => until(() => pids.every((pid) => !alive(pid)), `${what} to leave no process`);

async function mark(stateDir) {
  const database = await openDatabase(stateDir);
  await database.query('CREATE TABLE public.mark (x int)');
  await database.end();
}

async function marked(stateDir) {
  const database = await openDatabase(stateDir);
  const { rows } = await database.query(`SELECT to_regclass('public.mark') IS NOT NULL AS here`);
  await database.end();
  return rows[0].here;
}

describe('a running dev', () => {
  let server;
  test('starts from nothing and says where it listens in its first line', async () => {
    server = await startDev({ stateDir: directory(), env: { PGHOST: 'nowhere', PGPORT: '1', PGDATA: '/nowhere' } });
    assert.match(server.output, /^kgentsd ready http:\/\/127\.0\.0\.1:\d+ node=\S+\n/);
    assert.equal((await fetch(`${server.url}/live`)).status, 200);
  });

  test('is found live by check --live', async () => {
    const { code, output } = await run(['check', '--live'], { API_PORT: server.port });
    assert.equal(code, 0, output);
  });

  test('keeps an ordinary data directory', () => {
    assert.match(readFileSync(join(server.stateDir, 'postgres', 'PG_VERSION'), 'utf8'), /^\d+\n$/);
  });

  test('runs its children out of reach of Ctrl-C, and PostgreSQL not as root', () => {
    const children = childrenOfProcess(server.pid);
    assert.deepEqual(children.map((child) => child.name).sort(), ['nats-server', 'postgres']);
    for (const child of children) {
      assert.equal(child.group, child.pid);
      assert.notEqual(userOf(child.pid), 0);
    }
  });

  test('has a JetStream on loopback that asks for a token', async () => {
    const nats = join(server.stateDir, 'nats');
    const ports = readdirSync(nats).filter((name) => name.endsWith('.ports'));
    assert.equal(ports.length, 1);
    const { nats: urls } = JSON.parse(readFileSync(join(nats, ports[0]), 'utf8'));
    const { hostname, port } = new URL(urls[0]);
    assert.equal(hostname, '127.0.0.1');
    const socket = connect(Number(port), hostname);
    const hello = await within(new Promise((resolve) => socket.once('data', (bytes) => resolve(String(bytes)))), 'INFO');
    socket.destroy();
    const info = JSON.parse(hello.replace(/^INFO /, ''));
    assert.equal(info.jetstream, true);
    assert.equal(info.auth_required, true);
  });

  test('writes JSON only to standard error, and no row into a file', async () => {
    const database = await openDatabase(server.stateDir);
    await assert.rejects(database.query(`INSERT INTO kg.tenants (id) VALUES ('a secret text')`));
    await database.end();
    for (const line of server.log.split('\n').filter(Boolean)) assert.ok(JSON.parse(line).time, line);
    assert.doesNotMatch(readFileSync(join(server.stateDir, 'postgres.log'), 'utf8'), /INSERT INTO/);
  });

  test('has its state directory to itself', async () => {
    const { code, log } = await run(['dev', '--port', '0', '--state-dir', server.stateDir]);
    assert.equal(code, 69);
    assert.match(log, new RegExp(`another kgentsd dev \\(process ${server.pid}\\).*--state-dir`));
    assert.equal((await fetch(`${server.url}/live`)).status, 200);
  });

  test('does not disturb another with a directory of its own', async () => {
    const other = await startDev({ stateDir: directory() });
    assert.notEqual(other.port, server.port);
    assert.equal((await other.stop()).code, 0);
    assert.equal((await fetch(`${server.url}/live`)).status, 200);
  });

  test('ends with 0 on SIGTERM and leaves no process', async () => {
    const pids = family(server.pid);
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    await gone(pids, 'SIGTERM');
  });
});

test('two SIGINT end it at once and leave no process', async () => {
  const server = await startDev({ stateDir: directory() });
  const pids = family(server.pid);
  server.child.kill('SIGINT');
  server.child.kill('SIGINT');
  await within(server.exited, 'the end');
  await gone(pids, 'SIGINT');
});

test('kill -9 leaves no process, and the next start has everything that was committed', async () => {
  const stateDir = directory();
  let server = await startDev({ stateDir });
  await mark(stateDir);
  for (let round = 0; round < 3; ++round) {
    const pids = family(server.pid);
    await server.kill();
    server = await startDev({ stateDir }); // at once: while the old servers are still ending
    await gone(pids, 'SIGKILL');
    assert.ok(await marked(stateDir));
  }
  await server.stop();
});

test('a pid file whose number belongs to a living process does not stop the start', async () => {
  const stateDir = directory();
  const first = await startDev({ stateDir });
  await first.stop();
  const pid = String(process.pid);
  writeFileSync(join(stateDir, 'postgres', 'postmaster.pid'), `${pid}\n${stateDir}/postgres\n1\n5432\n/tmp\n\n0 0\nready\n`);
  writeFileSync(join(stateDir, 'socket', '.s.PGSQL.5432.lock'), `${pid}\n${stateDir}/postgres\n1\n5432\n/tmp\n`);
  const second = await startDev({ stateDir });
  assert.equal((await second.stop()).code, 0);
});

test('--fresh begins with empty databases', async () => {
  const stateDir = directory();
  const first = await startDev({ stateDir });
  await mark(stateDir);
  await first.stop();
  const second = await startDev({ stateDir, args: ['--fresh'] });
  assert.equal(await marked(stateDir), false);
  await second.stop();
});

test('--fresh does not remove what it has not made', async () => {
  const stateDir = directory();
  mkdirSync(join(stateDir, 'postgres'));
  writeFileSync(join(stateDir, 'postgres', 'precious'), '');
  const { code, log } = await run(['dev', '--fresh', '--port', '0', '--state-dir', stateDir]);
  assert.equal(code, 64);
  assert.match(log, /--fresh: .* is not a state directory/);
  assert.ok(existsSync(join(stateDir, 'postgres', 'precious')));
});

for (const [what, name] of [
  ['longer than a socket path may be', 'x'.repeat(120)],
  ['with characters that shells and URLs treat specially', `it's, "a" 100% \\ ?&=#é dir`],
])
  test(`a state directory ${what} works`, async () => {
    const server = await startDev({ stateDir: join(directory(), name) });
    assert.equal((await fetch(`${server.url}/live`)).status, 200);
    assert.equal((await server.stop()).code, 0);
  });

test('a state directory that only root may enter works', { skip: process.getuid() !== 0 }, async () => {
  const closed = directory();
  chmodSync(closed, 0o700);
  const stateDir = join(closed, 'state');
  let server = await startDev({ stateDir });
  for (const child of childrenOfProcess(server.pid)) assert.notEqual(userOf(child.pid), 0);
  await mark(stateDir);
  const pids = family(server.pid);
  await server.kill();
  server = await startDev({ stateDir });
  await gone(pids, 'SIGKILL');
  assert.ok(await marked(stateDir));
  await server.stop();
});

for (const [what, path] of [
  ['cannot be made', () => '/proc/kgents/state'],
  [
    'is a file',
    () => {
      const file = join(directory(), 'file');
      writeFileSync(file, '');
      return file;
    },
  ],
])
  test(`a state directory that ${what} is 69 and named`, async () => {
    const where = path();
    const { code, log } = await run(['dev', '--port', '0', '--state-dir', where]);
    assert.equal(code, 69);
    assert.ok(log.includes(where) && log.includes('--state-dir'), log);
  });

test('a start that fails leaves no process', async () => {
  const stateDir = directory();
  const taken = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => taken.once('listening', resolve));
  const { port } = taken.address();
  const { code, log } = await run(['dev', '--port', String(port), '--state-dir', stateDir]);
  taken.close();
  assert.equal(code, 69, log);
  assert.ok(log.includes(String(port)), log);
  await until(() => !existsSync(join(stateDir, 'postgres', 'postmaster.pid')), 'PostgreSQL to end in order');
});

test('SIGTERM in the middle of the first start ends it in order', async () => {
  const stateDir = directory();
  const child = spawn(binary(), ['dev', '--port', '0', '--state-dir', stateDir], { stdio: 'ignore', env: { PATH: process.env.PATH } });
  const exited = new Promise((resolve) => child.on('exit', (code, signal) => resolve({ code, signal })));
  await until(() => existsSync(join(stateDir, 'postgres.new', 'PG_VERSION')), 'initdb to be at work');
  const pids = family(child.pid);
  child.kill('SIGTERM');
  assert.deepEqual(await within(exited, 'the end'), { code: 0, signal: null });
  await gone(pids, 'SIGTERM');
  const server = await startDev({ stateDir });
  assert.equal((await server.stop()).code, 0);
});

for (const name of ['postgres', 'nats-server'])
  test(`when ${name} dies, dev says so and ends with 70`, async () => {
    const server = await startDev({ stateDir: directory() });
    const pids = family(server.pid);
    process.kill(childrenOfProcess(server.pid).find((child) => child.name === name).pid, 'SIGKILL');
    assert.deepEqual(await within(server.exited, 'the end'), { code: 70, signal: null });
    const last = server.log.split('\n').filter(Boolean).map((line) => JSON.parse(line));
    assert.ok(last.some((line) => line.level === 'error' && line.child === name));
    await gone(pids, `the death of ${name}`);
  });
