// A PgBouncer of the test's own, with the settings of deploy/pgbouncer, in front of a PostgreSQL of postgres.mjs.
import { spawn } from 'node:child_process';
import { chownSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import pg from 'pg';

import { freePort } from './redis.mjs';
import { endsWithUs, removeDirectory, temporaryDirectory } from './server.mjs';
import { until, within } from './wait.mjs';

const example = fileURLToPath(new URL('../../deploy/pgbouncer/pgbouncer.ini', import.meta.url));

// It refuses to run as root.
function unprivileged() {
  if (process.getuid() !== 0) return {};
  const [, , uid, gid] = /^(postgres):[^:]*:(\d+):(\d+):/m.exec(readFileSync('/etc/passwd', 'utf8')) ?? [0, 0, 65534, 65534];
  return { uid: Number(uid), gid: Number(gid) };
}

/// `{url, connect, show, kill, start, dispose}`; `settings` go over the example's. The database `narrow` is the same one
/// with a single connection a role.
export async function startPgbouncer(database, settings = {}) {
  const port = await freePort();
  const directory = temporaryDirectory('kgents-pgbouncer');
  const who = unprivileged();
  if (who.uid !== undefined) chownSync(directory, who.uid, who.gid);
  const users = ['postgres', 'kg_app', 'kg_control'];
  writeFileSync(join(directory, 'userlist.txt'), users.map((name) => `"${name}" ""\n`).join(''));
  const own = {
    listen_addr: '127.0.0.1',
    listen_port: port,
    unix_socket_dir: '',
    auth_type: 'trust',
    auth_file: join(directory, 'userlist.txt'),
    admin_users: 'postgres',
    ...settings,
  };
  const place = `host=${database.socket} dbname=kgents`;
  const lines = [
    readFileSync(example, 'utf8'),
    ...Object.entries(own).map(([name, value]) => `${name} = ${value}`),
    '[databases]',
    `kgents = ${place}`,
    `narrow = ${place} pool_size=1`,
    '',
  ];
  writeFileSync(join(directory, 'pgbouncer.ini'), lines.join('\n'));

  const bouncer = { port, child: null, log: '' };
  bouncer.url = (user, name = 'kgents') => `postgresql://${user}@127.0.0.1:${port}/${name}`;
  bouncer.connect = async (user, name = 'kgents') => {
    const client = new pg.Client({ host: '127.0.0.1', port, user, database: name });
    client.on('error', () => {});
    await client.connect();
    return client;
  };
  /// What its console shows: `pools`, `clients`, `servers`, `stats`.
  bouncer.show = async (what) => {
    const console = await bouncer.connect('postgres', 'pgbouncer');
    const { rows } = await console.query(`SHOW ${what}`);
    await console.end();
    return rows;
  };
  bouncer.start = async () => {
    const child = spawn('pgbouncer', [join(directory, 'pgbouncer.ini')], { ...who, cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] });
    bouncer.child = child;
    child.stderr.setEncoding('utf8').on('data', (text) => (bouncer.log += text));
    endsWithUs(child);
    bouncer.exited = new Promise((resolve) => child.on('exit', resolve));
    await until(() => {
      if (child.exitCode !== null) throw new Error(`pgbouncer ended: ${bouncer.log}`);
      return bouncer.show('version').catch(() => false);
    }, 'pgbouncer to answer');
  };
  bouncer.kill = async () => {
    bouncer.child.kill('SIGKILL');
    await within(bouncer.exited, 'pgbouncer to end');
  };
  bouncer.dispose = async () => {
    if (bouncer.child.exitCode === null && bouncer.child.signalCode === null) await bouncer.kill();
    removeDirectory(directory);
  };
  await bouncer.start();
  return bouncer;
}
