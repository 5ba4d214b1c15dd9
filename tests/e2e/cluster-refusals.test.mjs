// Who is not let into a cluster: another authority's certificate, none, another cluster's name, an older protocol, noise. Each
// is told why where it can be told, each leaves a clear line in the log, and the cluster goes on.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { after, afterEach, before, test } from 'node:test';
import tls from 'node:tls';

import { makeAuthority } from '../support/certificates.mjs';
import { logged, startCluster } from '../support/cluster.mjs';
import { caller } from '../support/http.mjs';
import { newTenant } from '../support/tenants.mjs';
import { until, within } from '../support/wait.mjs';

let cluster;
let a;
let b;
let intruder;
before(async () => {
  // On loopback a stranger can come from an address of its own: a node logs one line for an address and reason in ten seconds.
  cluster = await startCluster({ nodes: 2, network: 'loopback', environment: 'production', tls: true, balanced: false });
  [a, b] = cluster.nodes;
  intruder = cluster.node(2);
});
after(() => cluster?.dispose());
afterEach(async () => {
  if (intruder.running) await intruder.kill();
  // What was tried changed nothing for those who belong together.
  await until(async () => {
    const view = await a.view();
    return view.nodes.filter((node) => node.state === 'up').map((node) => node.name).sort().join() === `${a.name},${b.name}`;
  }, 'the two to be up');
  const who = caller(a, (await newTenant(cluster.db)).key);
  for (let i = 0; i < 4; i++) {
    const answer = await who.post(`/v1/kgent/sessions/${await who.session()}/messages`, { message: 'hello', stream: false });
    assert.equal(answer.status, 200, answer.text);
  }
});

// It runs, its peers say in their logs why they want no link with it, and it takes no part.
async function staysOut(more, told, tells = told) {
  intruder.begin(more);
  // The last of the two to join dials, so one of the others refuses it or it gives up on them.
  await logged(intruder, /cannot reach a peer/, 'the newcomer to say that it is alone');
  await logged(intruder, tells, 'the newcomer to say why');
  await until(() => [a, b].every((node) => told.test(node.log)), 'the others to say why');
  const { rows } = await cluster.db.query(`SELECT state FROM kg.cluster_nodes WHERE name = $1 ORDER BY node DESC LIMIT 1`, [intruder.name]);
  assert.equal(rows[0].state, 'joining');
  const ready = await intruder.call('GET', '/ready').catch(() => ({ status: 'not listening' }));
  assert.notEqual(ready.status, 200, 'it takes no traffic');
  const { rows: leases } = await cluster.db.query(
    'SELECT count(*)::int AS n FROM kg.shard_leases l JOIN kg.cluster_nodes n ON n.node = l.owner WHERE n.name = $1',
    [intruder.name],
  );
  assert.equal(leases[0].n, 0, 'and holds no shard');
}

test('a certificate that its own authority did not sign: the node does not start', async () => {
  const forged = makeAuthority(cluster.directory, 'stranger').issue(intruder.name, intruder.address);
  const settings = { KGENTS_CLUSTER_TLS_CERT: forged.cert, KGENTS_CLUSTER_TLS_KEY: forged.key };
  const { code } = await within(intruder.begin(settings).exited, 'it to end');
  assert.equal(code, 64, intruder.log);
  assert.match(intruder.log, /peers would refuse the certificate/);
});

test('another authority altogether', async () => {
  const other = makeAuthority(cluster.directory, 'elsewhere').issue(intruder.name, intruder.address);
  await staysOut(
    { KGENTS_CLUSTER_TLS_CA: other.ca, KGENTS_CLUSTER_TLS_CERT: other.cert, KGENTS_CLUSTER_TLS_KEY: other.key },
    /refused a peer[^\n]*(certificate|alert)/,
    /cannot reach a peer[^\n]*certificate/,
  );
});

test('no certificate: production does not start', async () => {
  const none = { KGENTS_CLUSTER_TLS_CA: undefined, KGENTS_CLUSTER_TLS_CERT: undefined, KGENTS_CLUSTER_TLS_KEY: undefined };
  const { code } = await within(intruder.begin(none).exited, 'it to end');
  assert.equal(code, 64, intruder.log);
  assert.match(intruder.log, /KGENTS_CLUSTER_TLS/);
});

test('no certificate: a development node is refused', async () => {
  const none = { KGENTS_CLUSTER_TLS_CA: undefined, KGENTS_CLUSTER_TLS_CERT: undefined, KGENTS_CLUSTER_TLS_KEY: undefined };
  await staysOut({ ...none, KGENTS_ENV: 'dev' }, /refused a peer[^\n]*TLS/i, /cannot reach a peer/);
});

test('another cluster\'s name', () =>
  staysOut({ KGENTS_CLUSTER_NAME: 'elsewhere' }, /refused a peer[^\n]*elsewhere[^\n]*kgents/, /cannot reach a peer[^\n]*elsewhere/));

const frame = (payload) => Buffer.concat([Buffer.from([0, 0, 0, payload.length]), payload]);
const text = (value) => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);
const protocolHeader = readFileSync(new URL('../../runtime/cluster/transport.hpp', import.meta.url), 'utf8');
const current = Number(/protocol_version = (\d+)/.exec(protocolHeader)[1]);
function hello({ protocol = current, from = 99n, to = 1n, name = 'by-hand' } = {}) {
  const head = Buffer.alloc(22);
  head.write('KGPL');
  head.writeUInt16BE(protocol, 4);
  head.writeBigUInt64BE(from, 6);
  head.writeBigUInt64BE(to, 14);
  return Buffer.concat([head, text('kgents'), text(name)]);
}

let strangers = 200;
const address = () => a.address.replace(/\d+$/, String(strangers++));

// A stranger and what becomes of it: `{from, said, alert}`, what it is told until the other side hangs up.
async function meet({ speaks, ...options }) {
  const from = address();
  const socket = tls.connect({ host: a.address, port: 4710, localAddress: from, rejectUnauthorized: false, minVersion: 'TLSv1.3', ...options });
  let said = '';
  let alert;
  socket.setEncoding('latin1').on('data', (part) => (said += part));
  socket.on('error', (error) => (alert ??= error.code));
  if (speaks) socket.write(speaks);
  await within(new Promise((resolve) => socket.on('close', resolve)), 'the link to be closed');
  return { from, said, alert };
}

const refusalOf = ({ from }, why) => logged(a, new RegExp(`refused a peer.*"address":"${from}".*${why}`), `the refusal of ${from}: ${why}`);
const pair = ({ cert, key }) => ({ cert: readFileSync(cert), key: readFileSync(key) });

test('an older protocol, spoken by hand with a good certificate', async () => {
  const stranger = await meet({ ...pair(intruder.tls), speaks: frame(hello({ protocol: current - 1 })) });
  const why = `protocol ${current - 1}, this node speaks ${current}`;
  assert.match(stranger.said, new RegExp(`KGNO.*${why}`));
  await refusalOf(stranger, why);
});

test('a node that is not a member', async () => {
  const { node } = (await cluster.lives(a)).at(-1);
  const stranger = await meet({ ...pair(intruder.tls), speaks: frame(hello({ from: 4000000n, to: BigInt(node) })) });
  assert.match(stranger.said, /KGNO.*4000000 is not among the members/);
  await refusalOf(stranger, '4000000 is not among the members');
});

test('a certificate of another authority', async () => {
  const forged = makeAuthority(cluster.directory, 'forger').issue(intruder.name, intruder.address);
  const stranger = await meet({ ...pair(forged), speaks: frame(hello()) });
  assert.equal(stranger.said, '');
  assert.match(stranger.alert, /ALERT_UNKNOWN_CA/);
  await refusalOf(stranger, 'certificate');
});

test('TLS without a client certificate', async () => {
  const stranger = await meet({ speaks: frame(hello()) });
  assert.equal(stranger.said, '');
  assert.match(stranger.alert, /CERTIFICATE_REQUIRED/);
  await refusalOf(stranger, 'certificate');
});

test('an older TLS', async () => {
  const stranger = await meet({ ...pair(intruder.tls), minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' });
  assert.match(stranger.alert, /PROTOCOL_VERSION/);
  await refusalOf(stranger, 'protocol');
});

test('a new certificate is used from SIGHUP on, and links stay', async () => {
  const shown = async () => {
    const socket = tls.connect({ host: a.address, port: 4710, rejectUnauthorized: false, ...pair(intruder.tls) });
    socket.on('error', () => {});
    await within(new Promise((resolve) => socket.on('secureConnect', resolve)), 'the handshake');
    const { serialNumber } = socket.getPeerCertificate();
    socket.destroy();
    return serialNumber;
  };
  const before = await shown();
  const { node } = (await cluster.lives(a)).at(-1);
  cluster.authority.issue(a.name, a.address);
  a.server.signal('SIGHUP');
  await until(async () => (await shown()) !== before, 'the new certificate');
  assert.deepEqual((await cluster.lives(a)).at(-1), { node, state: 'up', why: null });
  await b.stop();
  await b.start();
  await cluster.settled('both to be linked with the new certificate');
});

test('noise, HTTP, and strangers who say nothing', async () => {
  const end = (socket) => {
    socket.on('error', () => {}).resume();
    return within(new Promise((resolve) => socket.on('close', resolve)), 'the connection to be closed');
  };
  for (const noise of ['GET / HTTP/1.1\r\nHost: x\r\n\r\n', '\0\0\0\0'.repeat(50), '\xff'.repeat(10000)]) {
    const from = address();
    const socket = connect({ host: a.address, port: 4710, localAddress: from }, () => socket.write(noise, 'latin1'));
    await end(socket);
    await refusalOf({ from }, '');
  }
  // A hundred that hold their connection open and never say hello: all are hung up on.
  await Promise.all(Array.from({ length: 100 }, () => end(connect(4710, a.address))));
});
