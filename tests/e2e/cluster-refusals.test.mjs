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
  cluster = await startCluster({ nodes: 2, environment: 'production', tls: true, balanced: false });
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
function hello({ protocol = 1, from = 99n, to = 1n, name = 'by-hand' } = {}) {
  const head = Buffer.alloc(22);
  head.write('KGPL');
  head.writeUInt16BE(protocol, 4);
  head.writeBigUInt64BE(from, 6);
  head.writeBigUInt64BE(to, 14);
  return Buffer.concat([head, text('kgents'), text(name)]);
}

// Everything the other side says until it hangs up.
function heard(socket) {
  const parts = [];
  socket.on('data', (part) => parts.push(part));
  socket.on('error', () => {});
  return within(new Promise((resolve) => socket.on('close', () => resolve(Buffer.concat(parts).toString('latin1')))), 'the link to be closed');
}

const dial = (options) => tls.connect({ host: a.address, port: 4710, rejectUnauthorized: false, minVersion: 'TLSv1.3', ...options });
const own = () => ({ cert: readFileSync(intruder.tls.cert), key: readFileSync(intruder.tls.key) });

test('an older protocol, spoken by hand with a good certificate', async () => {
  const socket = dial(own());
  socket.write(frame(hello({ protocol: 0 })));
  assert.match(await heard(socket), /KGNO.*protocol 0, this node speaks 1/);
  await logged(a, /refused a peer[^\n]*protocol 0, this node speaks 1/, 'the refusal');
});

test('a node that is not a member', async () => {
  const socket = dial(own());
  const { node } = (await cluster.lives(a)).at(-1);
  socket.write(frame(hello({ from: 4000000n, to: BigInt(node) })));
  assert.match(await heard(socket), /KGNO.*4000000 is not among the members/);
  await logged(a, /refused a peer[^\n]*4000000/, 'the refusal');
});

test('a certificate of another authority', async () => {
  const forged = makeAuthority(cluster.directory, 'forger').issue(intruder.name, intruder.address);
  const socket = dial({ cert: readFileSync(forged.cert), key: readFileSync(forged.key) });
  socket.write(frame(hello()));
  assert.doesNotMatch(await heard(socket), /KGPL/);
  await logged(a, /refused a peer[^\n]*certificate/, 'the refusal');
});

test('TLS without a client certificate', async () => {
  const socket = dial({});
  socket.write(frame(hello()));
  assert.doesNotMatch(await heard(socket), /KGPL/);
  await logged(a, /refused a peer[^\n]*did not return a certificate/, 'the refusal');
});

test('an older TLS', async () => {
  const socket = dial({ ...own(), minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' });
  assert.equal(await heard(socket), '');
  await logged(a, /refused a peer[^\n]*(version|protocol)/, 'the refusal');
});

test('noise, HTTP, and strangers who say nothing', async () => {
  for (const noise of ['GET / HTTP/1.1\r\nHost: x\r\n\r\n', '\0\0\0\0'.repeat(50), '\xff'.repeat(10000)]) {
    const socket = connect(4710, a.address, () => socket.write(noise, 'latin1'));
    await heard(socket);
  }
  // A hundred that hold their connection open and never say hello: all are hung up on.
  const silent = Array.from({ length: 100 }, () => connect(4710, a.address));
  await Promise.all(silent.map(heard));
});
