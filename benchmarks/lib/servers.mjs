// The servers that are measured: kgentsd, the bare Beast server, nginx with nchan, and the model's stand-in.
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { binary, childrenOf, freePort, library, load, pss, scratch, start, stop } from './tools.mjs';

/// `kgentsd dev` with a tenant of its own whose limits do not get in the way. `threads`: CAF workers and I/O threads.
/// `counted`: counts the writes that carry events (see load/write_counter.cpp). `stateDir`: that of an earlier run.
export async function startKgentsd({ core, threads, env = {}, stateDir, key, counted = false } = {}) {
  const state = stateDir ?? mkdtempSync(join(scratch, 'state-'));
  chmodSync(state, 0o711);
  const counter = join(scratch, `writes-${randomUUID()}`);
  if (counted) writeFileSync(counter, Buffer.alloc(16));
  const settings = {
    LOG_LEVEL: 'WARN',
    KGENTS_EMBEDDED_TOKENS_PER_SECOND: 0,
    ...(threads ? { KGENTS_WORKERS: threads, KGENTS_IO_THREADS: threads } : {}),
    ...(counted ? { LD_PRELOAD: library('write_counter'), WRITE_COUNTER: counter } : {}),
    ...env,
  };
  const child = await start(binary('kgentsd'), ['dev', '--host', '127.0.0.1', '--port', '0', '--state-dir', state], {
    core,
    env: Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, String(value)])),
    ready: /^kgentsd ready http:\/\/(\S+) node=/m,
  });
  const [postmaster, , , port, socket] = readFileSync(join(state, 'postgres', 'postmaster.pid'), 'utf8').split('\n');
  const server = {
    name: 'kgentsd',
    address: child.match[1],
    pid: child.pid,
    stateDir: state,
    key: key ?? newTenant(socket, port),
    watch: [`server=${child.pid}`, `postgres=${postmaster}+`],
    pss: () => pss(child.pid),
    stop: (signal) => stop(child, signal),
    log: () => child.log,
  };
  server.header = `X-API-Key: ${server.key}`;
  /// One more tenant without limits; its key.
  server.addTenant = (name) => newTenant(socket, port, name);
  server.restart = async () => {
    await server.stop();
    return startKgentsd({ core, threads, env, stateDir: state, key: server.key, counted });
  };
  /// {writes, events} so far.
  server.written = () => {
    const bytes = readFileSync(counter);
    return { writes: Number(bytes.readBigUInt64LE(0)), events: Number(bytes.readBigUInt64LE(8)) };
  };
  return server;
}

// The state directory belongs to this run, so its superuser may make a tenant as an operator's provisioning would.
function newTenant(socket, port, name = 'benchmark') {
  const secret = randomBytes(32).toString('base64url');
  const key = `kg_bench_${secret}`;
  const hash = createHash('sha256').update(key, 'utf8').digest('hex');
  const sql = `
    WITH tenant AS (
      INSERT INTO kg.tenants (name, slug, subscription_tier, tokens_limit_month, rate_limit_custom, rate_limit_rpm,
                              rate_limit_rph, rate_burst, requests_per_day)
      VALUES ('${name}', '${name}', 'enterprise', 0, true, 2000000000, 2000000000, 2000000000, 2000000000)
      RETURNING id)
    INSERT INTO kg.api_keys (tenant_id, key_prefix, key_hash, name, scopes)
    SELECT id, 'kg_bench', '${hash}', 'benchmark', '{read,write}' FROM tenant`;
  const psql = (database, ...args) =>
    execFileSync(
      'psql',
      [
        '-X',
        '-q',
        '-A',
        '-t',
        '-v',
        'ON_ERROR_STOP=1',
        '-h',
        socket,
        '-p',
        port,
        '-U',
        'postgres',
        '-d',
        database,
        ...args,
      ],
      {
        encoding: 'utf8',
      },
    );
  const databases = psql('postgres', '-c', 'SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate')
    .trim()
    .split('\n');
  const ours = databases.find(
    (name) => psql(name, '-c', `SELECT to_regclass('kg.tenants') IS NOT NULL`).trim() === 't',
  );
  if (!ours) throw new Error('no migrated database in the state directory');
  psql(ours, '-c', sql);
  return key;
}

/// Makes `count` sessions and returns their ids.
export async function newSessions(server, count) {
  const bodies = join(scratch, `sessions-${randomUUID()}`);
  await load('http_load', {
    server: server.address,
    connections: Math.min(count, 8),
    count,
    once: true,
    method: 'POST',
    path: '/v1/kgent/sessions',
    header: server.header,
    body: '{"title":"benchmark"}',
    bodies,
  });
  return readFileSync(bodies, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).id);
}

/// A file with one path a line, for the tools' --paths.
export function pathsFile(paths) {
  const name = join(scratch, `paths-${randomUUID()}`);
  writeFileSync(name, paths.join('\n') + '\n');
  return name;
}

export async function startBeast({ core, threads = 1 } = {}) {
  const port = await freePort();
  const child = await start(binary('beast_server'), [String(port), String(threads)], { core, ready: /^beast ready/m });
  return {
    name: 'Beast',
    address: `127.0.0.1:${port}`,
    pid: child.pid,
    watch: [`server=${child.pid}`],
    pss: () => pss(child.pid),
    stop: () => stop(child),
  };
}

/// nginx with nchan: POST /pub?id=N publishes to channel N, GET /sub?id=N follows it. One worker.
export async function startNchan({ core } = {}) {
  const port = await freePort();
  const home = join(scratch, `nginx-${port}`);
  mkdirSync(home);
  chmodSync(home, 0o755);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${home}/${name};`,
  );
  writeFileSync(
    join(home, 'nginx.conf'),
    `load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid ${home}/pid;
error_log stderr warn;
events { worker_connections 16000; }
http {
  access_log off;
  keepalive_requests 1000000000;
  nchan_max_reserved_memory 256m;
  ${temporary.join('\n  ')}
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location = /pub {
      nchan_publisher;
      nchan_channel_id $arg_id;
      nchan_message_buffer_length 1000;
      nchan_message_timeout 60s;
    }
    location = /sub {
      nchan_subscriber eventsource;
      nchan_channel_id $arg_id;
      nchan_subscriber_first_message newest;
    }
    location / { default_type text/plain; return 200 "ready"; }
  }
}
`,
  );
  // nginx prints nothing when it is ready, so the first answer tells.
  const shell = `nginx -c ${home}/nginx.conf -p ${home} & master=$!
    trap 'kill -TERM $master; wait $master; exit 0' TERM
    until curl -sf -o ${home}/answer http://127.0.0.1:${port}/; do kill -0 $master || exit 1; done
    echo "nginx ready $master"; wait $master`;
  const child = await start('bash', ['-c', shell], { core, ready: /^nginx ready (\d+)/m });
  const master = Number(child.match[1]);
  const [worker] = childrenOf(master);
  return {
    name: 'nchan',
    address: `127.0.0.1:${port}`,
    pid: worker,
    watch: [`server=${worker}`],
    pss: () => pss(worker),
    stop: () => stop(child),
  };
}

/// The model's stand-in: `tokens` tokens to every answer, `rate` a second; `goesOn`: it completes answers that were cut off.
/// `stop` returns its totals.
export async function startProvider({ core, rate, tokens, goesOn = false }) {
  const args = ['--rate', String(rate), '--tokens', String(tokens), ...(goesOn ? ['--goes-on'] : [])];
  const child = await start(binary('provider'), args, { core, ready: /^provider ready (\S+)/m });
  return {
    url: child.match[1],
    pid: child.pid,
    stop: async () => {
      await stop(child);
      return JSON.parse(child.output.trim().split('\n').at(-1));
    },
  };
}

/// Environment that makes kgentsd ask the stand-in at `url`.
export const modelAt = (url) => ({
  KGENTS_LLM: 'openai',
  OPENAI_BASE_URL: url,
  OPENAI_API_KEY: 'none',
  OPENAI_MODEL: 'stand-in',
});

/// A message that no template answers.
export const question = 'Please explain in depth how the tides work and why they differ between neighbouring coasts';

/// kgentsd whose model is the load tool itself, and the tool's options that make it so.
export async function kgentsdUnderLoad(options) {
  const port = await freePort();
  const server = await startKgentsd({ ...options, env: { ...modelAt(`http://127.0.0.1:${port}/v1`), ...options.env } });
  const [id] = await newSessions(server, 1);
  server.session = id;
  server.loadOptions = {
    server: server.address,
    header: server.header,
    path: `/v1/kgent/sessions/${id}/stream`,
    publish: `/v1/kgent/sessions/${id}/messages`,
    'turn-body': JSON.stringify({ message: question, stream: false }),
    'model-port': port,
    watch: server.watch,
  };
  return server;
}
