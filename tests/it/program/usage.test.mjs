// The command line and the settings: what is refused, with which exit status and which words.
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';

import { makeAuthority } from '../../support/certificates.mjs';
import { startRedis } from '../../support/redis.mjs';
import { removeDirectory, run, temporaryDirectory } from '../../support/server.mjs';

const databases = { DATABASE_URL: 'postgresql://kg_app@127.0.0.1:1/x', DATABASE_CONTROL_URL: 'postgresql://kg_control@127.0.0.1:1/x' };
const oneLine = /^kgentsd: [^\n]+\n$/;

test('--help lists the commands and each setting with its default', async () => {
  const { code, output } = await run(['--help']);
  assert.equal(code, 0);
  for (const word of ['dev', 'serve', 'migrate', 'check', 'Exit status'])
    assert.match(output, new RegExp(`\\b${word}\\b`));
  assert.match(output, /API_PORT +.*\[8000\]/);
  assert.match(output, /KGENTS_EMBEDDED_TOKENS_PER_SECOND +.*\[0; dev: 40\]/);
  assert.match(output, /DATABASE_URL +.*\[unset\]/);
});

test('--version says which', async () => {
  const { code, output } = await run(['--version']);
  assert.equal(code, 0);
  assert.match(output, /^kgentsd \d+\.\d+\.\d+/);
});

for (const [what, args] of [
  ['no command', []],
  ['an unknown command', ['fly']],
  ['an unknown option', ['dev', '--colour']],
  ['an option without its value', ['dev', '--port']],
])
  test(`${what} is bad usage`, async () => {
    const { code, log, output } = await run(args);
    assert.equal(code, 64);
    assert.match(log, oneLine);
    assert.equal(output, '');
  });

for (const [what, args, env, words] of [
  ['an unknown setting', ['dev'], { KGENTS_WORKER: '2' }, /KGENTS_WORKER\b.*KGENTS_WORKERS/],
  ['a malformed port', ['dev', '--port', '99999'], {}, /API_PORT=99999.*0 to 65535/],
  ['an empty list of providers', ['dev'], { KGENTS_LLM: '' }, /KGENTS_LLM/],
  ['a provider without its model', ['dev'], { KGENTS_LLM: 'openai' }, /OPENAI_MODEL/],
  ['a certificate without its key', ['dev'], { API_TLS_CERT: '/nowhere.pem' }, /API_TLS_KEY/],
  ['an unknown role', ['dev'], { KGENTS_ROLES: 'cook' }, /KGENTS_ROLES=cook/],
  ['a Redis without a port', ['dev'], { REDIS_URL: 'redis://cache:port' }, /REDIS_URL is malformed/],
  ['two tiers with one price', ['dev'], { STRIPE_PRICE_PRO_MONTHLY: 'p', STRIPE_PRICE_TEAMS_MONTHLY: 'p' }, /STRIPE_PRICE_TEAMS_MONTHLY=p/],
  ['a Stripe key whose webhooks nobody believes', ['serve'], { ...databases, STRIPE_API_KEY: 'sk' }, /STRIPE_API_KEY.*STRIPE_WEBHOOK_SECRET/],
  ['dev in production', ['dev'], { KGENTS_ENV: 'production' }, /KGENTS_ENV=production/],
  ['a malformed cluster name', ['dev'], { KGENTS_CLUSTER_NAME: 'a b' }, /KGENTS_CLUSTER_NAME=a b/],
  ['dev with an address for other nodes', ['dev'], { KGENTS_CLUSTER_HOST: '127.0.0.1' }, /KGENTS_CLUSTER_HOST.*kgentsd dev/],
  ['a gateway without anybody to host sessions', ['dev'], { KGENTS_ROLES: 'gateway' }, /KGENTS_ROLES.*KGENTS_CLUSTER_HOST/],
  [
    'a cluster in production without certificates',
    ['serve'],
    { ...databases, KGENTS_CLUSTER_HOST: '10.0.0.1' },
    /KGENTS_CLUSTER_TLS_CA.*KGENTS_CLUSTER_TLS_CERT.*KGENTS_CLUSTER_TLS_KEY/,
  ],
  [
    'a certificate that is none',
    ['serve'],
    { ...databases, KGENTS_CLUSTER_HOST: '10.0.0.1', ...Object.fromEntries(['CA', 'CERT', 'KEY'].map((x) => [`KGENTS_CLUSTER_TLS_${x}`, '/dev/null'])) },
    /KGENTS_CLUSTER_TLS_.*\/dev\/null/,
  ],
  ['serve without a database', ['serve'], {}, /DATABASE_URL/],
  ['migrate without a database', ['migrate'], {}, /DATABASE_ADMIN_URL/],
  ['a check of malformed settings', ['check'], { LOG_LEVEL: 'loud' }, /LOG_LEVEL=loud/],
])
  test(`${what} stops the start in one line that names it`, async () => {
    const { code, log, output } = await run(args, env);
    assert.equal(code, 64);
    assert.match(log, oneLine);
    assert.match(log, words);
    assert.equal(output, '');
  });

test('a malformed secret is named and not shown', async () => {
  const { code, log } = await run(['serve'], { DATABASE_URL: 'mysql://kg_app:hunter2@db/x' });
  assert.equal(code, 64);
  assert.match(log, /DATABASE_URL/);
  assert.doesNotMatch(log, /hunter2/);
});

test('variables that Kubernetes injects for a service are no settings', async () => {
  const { log } = await run(['serve'], { KGENTS_PORT: 'tcp://10.0.0.1:8000', API_SERVICE_HOST: '10.0.0.1' });
  assert.match(log, /DATABASE_URL is not set/);
});

test('a database out of reach is 69 for migrate, serve and check, and its password is not shown', async () => {
  const url = (user) => `postgresql://${user}:hunter2@127.0.0.1:1/kgents`;
  const env = { DATABASE_URL: url('kg_app'), DATABASE_CONTROL_URL: url('kg_control'), DATABASE_ADMIN_URL: url('kg_migrator') };
  for (const command of ['migrate', 'serve', 'check']) {
    const { code, log, output } = await run([command], env);
    assert.equal(code, 69, `${command}: ${log}${output}`);
    assert.match(log + output, /127\.0\.0\.1/);
    assert.doesNotMatch(log + output, /hunter2/);
  }
});

test('check has a line for each dependency', async () => {
  const { code, output } = await run(['check'], { KGENTS_LLM: 'embedded', REDIS_URL: 'redis://127.0.0.1:1' });
  assert.equal(code, 69);
  assert.match(output, /^ok +settings:/m);
  assert.match(output, /^FAILED +DATABASE_URL:/m);
  assert.match(output, /^ok +model provider embedded:/m);
  assert.match(output, /^degraded +REDIS_URL: 127\.0\.0\.1:1: Connection refused$/m);
  assert.match(output, /^- +KGENTS_CLUSTER_HOST: not set; a cluster of one$/m);
  assert.match(output, /^limits +/m);
});

test('check asks each service beside the server, and none of them fails it', async () => {
  const says = async (text, ask) => {
    const server = createServer((socket) => {
      socket.on('error', () => {}); // who asks hangs up when it has seen enough
      if (ask) socket.once('data', () => socket.write(text));
      else socket.write(text);
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    return Object.assign(server, { at: `127.0.0.1:${server.address().port}` });
  };
  const nats = await says('INFO {"version":"2.9.0","jetstream":true}\r\n');
  const old = await says('INFO {"version":"2.9.0"}\r\n');
  const stranger = await says('HTTP/1.1 400 Bad Request\r\n\r\n', true);
  const redis = await startRedis({ args: ['--requirepass', 'hunter2'] });
  const common = { KGENTS_LLM: 'embedded' };
  try {
    const plain = await run(['check'], common);
    for (const name of ['NATS_ENABLED', 'REDIS_URL', 'OPENMETER_ENABLED', 'STRIPE_API_KEY', 'STRIPE_WEBHOOK_SECRET', 'QDRANT_URL'])
      assert.match(plain.output, new RegExp(`^- +${name}: `, 'm'));
    const good = await run(['check'], {
      ...common,
      NATS_ENABLED: 'on',
      NATS_SERVERS: `nats://${nats.at},nats://${old.at},nats://${stranger.at},nats://127.0.0.1:1`,
      REDIS_URL: `redis://:hunter2@127.0.0.1:${redis.port}/1`,
      OPENMETER_ENABLED: 'on',
      OPENMETER_API_KEY: 'om_1',
      OPENMETER_BASE_URL: `http://${nats.at}`,
      STRIPE_API_KEY: 'sk_1',
      STRIPE_API_BASE: `http://${nats.at}`,
      STRIPE_WEBHOOK_SECRET: 'whsec_1',
      STRIPE_PRICE_PRO_MONTHLY: 'price_1',
      QDRANT_URL: 'http://127.0.0.1:1',
    });
    assert.match(good.output, /^ok +NATS_SERVERS: .*JetStream$/m);
    assert.match(good.output, /^degraded +NATS_SERVERS: .*has no JetStream/m);
    assert.match(good.output, /^degraded +NATS_SERVERS: .*does not answer as a nats-server$/m);
    assert.match(good.output, /^degraded +NATS_SERVERS: .*refused$/m);
    assert.match(good.output, /^ok +REDIS_URL: answers$/m);
    for (const name of ['OPENMETER_BASE_URL', 'STRIPE_API_BASE', 'STRIPE_WEBHOOK_SECRET'])
      assert.match(good.output, new RegExp(`^ok +${name}: `, 'm'));
    assert.match(good.output, /^degraded +QDRANT_URL: .*refused$/m);
    assert.doesNotMatch(good.output, /hunter2|om_1|sk_1|whsec_1/);
    const wrong = await run(['check'], { ...common, REDIS_URL: `redis://:guess@127.0.0.1:${redis.port}` });
    assert.match(wrong.output, /^degraded +REDIS_URL: refuses: WRONGPASS/m);
    assert.doesNotMatch(wrong.output, /guess/);
    const mute = await run(['check'], { ...common, REDIS_URL: `redis://${stranger.at}` });
    assert.match(mute.output, /^degraded +REDIS_URL: does not answer as a Redis$/m);
  } finally {
    for (const server of [nats, old, stranger]) server.close();
    await redis.dispose();
  }
});

test('check says how a node would be linked to others', async () => {
  const cluster = { KGENTS_ENV: 'dev', KGENTS_CLUSTER_HOST: '10.0.0.1', KGENTS_NODE_NAME: 'one', KGENTS_CLUSTER_NAME: 'blue' };
  const plain = await run(['check'], cluster);
  assert.match(plain.output, /^degraded +cluster: node one of blue at 10\.0\.0\.1 port 4710; no KGENTS_CLUSTER_TLS_/m);
  const directory = temporaryDirectory();
  try {
    const authority = makeAuthority(directory);
    const own = authority.issue('one', '10.0.0.1');
    const files = (tls) => ({ KGENTS_CLUSTER_TLS_CA: authority.ca, KGENTS_CLUSTER_TLS_CERT: tls.cert, KGENTS_CLUSTER_TLS_KEY: tls.key });
    const good = await run(['check'], { ...cluster, ...files(own) });
    assert.match(good.output, /^ok +cluster: node one of blue/m);
    assert.match(good.output, /^ok +KGENTS_CLUSTER_TLS_\*:/m);
    const foreign = makeAuthority(directory, 'stranger').issue('one', '10.0.0.1');
    const bad = await run(['check'], { ...cluster, ...files(foreign) });
    assert.match(bad.output, /^FAILED +KGENTS_CLUSTER_TLS_\*:/m);
    assert.equal(bad.code, 69);
  } finally {
    removeDirectory(directory);
  }
});

test('check --live is 1 when nobody listens, when the answer is no 200, and when there is none', async () => {
  const answers = ['HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n', ''];
  for (const answer of answers) {
    const server = createServer((socket) => socket.on('error', () => {}).end(answer)).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { code, output } = await run(['check', '--live'], { API_PORT: server.address().port });
    server.close();
    assert.equal(code, 1);
    assert.match(output, answer ? /not live: HTTP\/1\.1 503/ : /not live: no answer/);
  }
  const { code, output } = await run(['check', '--live'], { API_PORT: '1' });
  assert.equal(code, 1);
  assert.match(output, /not live: .*refused/);
});
