// Single sign-on (http-api.md 2.7): npm `jose` as the identity provider and as the attacker.
import assert from 'node:assert/strict';
import { createHmac, randomBytes, randomUUID } from 'node:crypto';
import http from 'node:http';
import { after, before, test } from 'node:test';

import { base64url, CompactEncrypt, CompactSign, exportJWK, exportSPKI, SignJWT } from 'jose';

import { call, openStream } from '../support/http.mjs';
import { newKeyPair, startIdentityProvider } from '../support/identity.mjs';
import { openDatabase, run, startDev } from '../support/server.mjs';
import { newTenant } from '../support/tenants.mjs';
import { until, within } from '../support/wait.mjs';
import { openSocket } from '../support/websocket.mjs';

let provider;
let server;
let db;
let tenant;
before(async () => {
  provider = await startIdentityProvider();
  server = await startDev({ env: provider.env({ AUTH_PROVISION: 'true', KGENTS_EMBEDDED_TOKENS_PER_SECOND: 0 }) });
  db = await openDatabase(server.stateDir);
  tenant = await newTenant(db);
});
after(async () => {
  await db?.end();
  await server?.dispose();
  await provider?.stop();
});

const seconds = () => Math.floor(Date.now() / 1000);
const bearer = (token) => ({ Authorization: `Bearer ${token}` });
const somebody = () => `u-${randomUUID()}`;
const get = (token, path = '/v1/kgent/sessions', at = server) => call(at, 'GET', path, { headers: bearer(token) });
const make = (token, at = server) => call(at, 'POST', '/v1/kgent/sessions', { headers: bearer(token), body: {} });
const issue = (more, how) => provider.issue({ tenant_id: tenant.id, ...more }, how);
const row = async (sub) =>
  (await db.query('SELECT * FROM kg.users WHERE external_auth_provider = $1 AND external_auth_id = $2', [provider.issuer, sub])).rows[0];

// From an address of its own each, since an address that is refused often is asked to wait.
let addresses = 0;
function fromElsewhere(token, path = '/v1/kgent/sessions', headers = bearer(token)) {
  const n = ++addresses;
  const from = `127.${1 + (n >> 16)}.${(n >> 8) & 255}.${1 + (n & 127)}`;
  const asked = new Promise((resolve, reject) => {
    const request = http.get({ host: server.host, port: server.port, path, headers, agent: false, localAddress: from }, (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('end', () => resolve({ status: response.statusCode, raw: response.rawHeaders, body: Buffer.concat(parts).toString('latin1') }));
    });
    request.on('error', reject);
  });
  return within(asked, `the answer from ${from}`);
}

const passing = ['x-request-id', 'x-response-time', 'date'];
/// What an answer says, but for what is new in every one.
function said({ status, raw, body }) {
  const headers = [];
  for (let i = 0; i < raw.length; i += 2)
    headers.push(`${raw[i]}: ${passing.includes(raw[i].toLowerCase()) ? '' : raw[i + 1]}`);
  return JSON.stringify([status, headers, body]);
}

const encoded = (x) => base64url.encode(typeof x === 'string' ? x : JSON.stringify(x));
const cut = (token, part, how) => {
  const parts = token.split('.');
  parts[part] = how(parts[part]);
  return parts.join('.');
};

test('a token of either algorithm signs its person in, who is a user from then on', async () => {
  for (const key of provider.keys) {
    const sub = somebody();
    const token = await issue({ sub, email: `${sub}@example.org`, email_verified: true, name: 'Ada' }, { key });
    const made = await make(token);
    assert.equal(made.status, 200, made.text);
    const user = await row(sub);
    assert.deepEqual([user.tenant_id, user.email, user.name, user.role, user.email_verified, user.is_active],
      [tenant.id, `${sub}@example.org`, 'Ada', 'member', true, true]);
    assert.ok(user.last_login_at);
    const { rows } = await db.query('SELECT user_id FROM kg.sessions WHERE id = $1', [made.body.id]);
    assert.equal(rows[0].user_id, user.id);
    // The same person with another token, and no claim of a tenant.
    const again = await get(await issue({ sub, tenant_id: undefined }, { key }), `/v1/kgent/sessions/${made.body.id}`);
    assert.equal(again.status, 200, again.text);
  }
});

test('twenty requests with the first token of somebody make one user and one key', async () => {
  const sub = somebody();
  const tokens = await Promise.all([...Array(20)].map((_, i) => issue({ sub, jti: String(i) })));
  const answers = await Promise.all(tokens.map((token) => get(token)));
  assert.deepEqual(answers.map((x) => x.status), Array(20).fill(200));
  const { rows } = await db.query(
    `SELECT k.kind, k.key_prefix, k.scopes FROM kg.api_keys k JOIN kg.users u ON u.id = k.user_id WHERE u.external_auth_id = $1`, [sub]);
  assert.deepEqual(rows, [{ kind: 'sign_in', key_prefix: 'kg_token', scopes: [] }]);
});

test('every bad token is 401 with the same bytes and the same headers', async () => {
  const [rsa, ec] = provider.keys;
  const eve = await newKeyPair('RS256', 'r1');
  const eveEc = await newKeyPair('ES256', 'e1');
  const sub = somebody();
  const good = await issue({ sub });
  const goodEc = await issue({ sub }, { key: ec });
  assert.equal((await get(good)).status, 200);
  assert.equal((await get(goodEc)).status, 200);
  const claims = provider.claims({ sub, tenant_id: tenant.id });
  const hmac = (secret, header) => {
    const text = `${encoded({ alg: 'HS256', typ: 'JWT', ...header })}.${encoded(claims)}`;
    return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
  };
  const compact = (payload, header, key = rsa) =>
    new CompactSign(new TextEncoder().encode(payload)).setProtectedHeader({ alg: key.alg, kid: key.kid, ...header }).sign(key.privateKey);
  // A real signature of whatever text there is: jose itself would refuse to make these.
  const sign = async (header, payload, key = rsa) => {
    const text = `${encoded(header)}.${encoded(payload)}`;
    const algorithm = key.alg === 'RS256' ? 'RSASSA-PKCS1-v1_5' : { name: 'ECDSA', hash: 'SHA-256' };
    const bytes = await crypto.subtle.sign(algorithm, key.privateKey, new TextEncoder().encode(text));
    return `${text}.${base64url.encode(new Uint8Array(bytes))}`;
  };
  assert.equal((await get(await sign({ alg: 'RS256', kid: 'r1' }, claims))).status, 200, 'the attacker signs as the provider does');
  const spki = await exportSPKI(rsa.publicKey);
  const der = Buffer.from(spki.replace(/-----[A-Z ]+-----|\s/g, ''), 'base64');
  const evil = await exportJWK(eve.publicKey);
  const p384 = await newKeyPair('ES384', 'e1');
  const encrypted = (text) =>
    new CompactEncrypt(new TextEncoder().encode(text)).setProtectedHeader({ alg: 'RSA-OAEP', enc: 'A128GCM', kid: 'r1' });
  const oaep = await crypto.subtle.importKey('spki', der, { name: 'RSA-OAEP', hash: 'SHA-1' }, true, ['encrypt']);
  const signature = Buffer.from(goodEc.split('.')[2], 'base64url');
  const withSignature = (bytes) => cut(goodEc, 2, () => bytes.toString('base64url'));
  const asDer = Buffer.concat([Buffer.from([0x30, 0x46, 0x02, 0x21, 0]), signature.subarray(0, 32), Buffer.from([0x02, 0x21, 0]), signature.subarray(32)]);
  const n = BigInt('0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551');
  const tooBig = Buffer.from((BigInt(`0x${signature.subarray(0, 32).toString('hex')}`) + n).toString(16).padStart(66, '0').slice(-66), 'hex');

  const bad = {
    'alg none': `${encoded({ alg: 'none' })}.${encoded(claims)}.`,
    'alg none with a signature': cut(good, 0, () => encoded({ alg: 'none', kid: 'r1' })),
    'alg NoNe': `${encoded({ alg: 'NoNe', kid: 'r1' })}.${encoded(claims)}.`,
    'no alg': await sign({ kid: 'r1' }, claims),
    'alg that is no text': await sign({ alg: ['RS256'], kid: 'r1' }, claims),
    'HS256 with the PEM': hmac(spki, { kid: 'r1' }),
    'HS256 with the PEM on one line': hmac(spki.trim().replaceAll('\n', ''), { kid: 'r1' }),
    'HS256 with the DER': hmac(der, { kid: 'r1' }),
    'HS256 with the modulus': hmac(Buffer.from(rsa.jwk.n, 'base64url'), { kid: 'r1' }),
    'HS256 with the modulus as text': hmac(rsa.jwk.n, { kid: 'r1' }),
    'HS256 with the JWK': hmac(JSON.stringify(rsa.jwk), { kid: 'r1' }),
    'HS256 with nothing': hmac('', { kid: 'r1' }),
    'HS256 with the x of an EC key': hmac(Buffer.from(ec.jwk.x, 'base64url'), { kid: 'e1' }),
    'an RSA signature under ES256': await sign({ alg: 'ES256', kid: 'r1' }, claims),
    'the EC key under RS256': await sign({ alg: 'RS256', kid: 'e1' }, claims, ec),
    'PS256': await issue({ sub }, { key: { ...(await newKeyPair('PS256', 'r1')) } }),
    'EdDSA': await issue({ sub }, { key: await newKeyPair('EdDSA', 'e1') }),
    'an unknown kid': await issue({ sub }, { header: { kid: 'nobody' } }),
    'a kid that is a path': await issue({ sub }, { header: { kid: '../../../dev/null' } }),
    'a kid that is SQL': await issue({ sub }, { header: { kid: "' OR 1=1 --" } }),
    'the kid of another key': await issue({ sub }, { header: { kid: 'e1' } }),
    'no kid': await issue({ sub }, { key: { ...rsa, kid: undefined } }),
    'a kid that is no text': await sign({ alg: 'RS256', kid: 1 }, claims),
    'signed by somebody else': await issue({ sub }, { key: eve }),
    'signed by somebody else with ES256': await issue({ sub }, { key: eveEc }),
    'another curve': await sign({ alg: 'ES256', kid: 'e1' }, claims, { ...p384, alg: 'ES384' }),
    'expired': await issue({ sub, exp: seconds() - 61 }),
    'expired long ago': await issue({ sub, exp: 1 }),
    'exp below zero': await issue({ sub, exp: -1 }),
    'no exp': await issue({ sub, exp: undefined }),
    'exp that is text': await compact(JSON.stringify({ ...claims, exp: String(seconds() + 300) })),
    'exp that is null': await compact(JSON.stringify({ ...claims, exp: null })),
    'not yet': await issue({ sub, nbf: seconds() + 120 }),
    'issued in the future': await issue({ sub, iat: seconds() + 3600 }),
    'another issuer': await issue({ sub, iss: 'https://evil.example' }),
    'almost the issuer': await issue({ sub, iss: `${provider.issuer}/` }),
    'no issuer': await issue({ sub, iss: undefined }),
    'another audience': await issue({ sub, aud: 'somebody-else' }),
    'other audiences': await issue({ sub, aud: ['a', 'b'] }),
    'an audience that is longer': await issue({ sub, aud: `${provider.audience}x` }),
    'no audience': await issue({ sub, aud: undefined }),
    'no subject': await issue({ sub: undefined }),
    'an empty subject': await issue({ sub: '' }),
    'a subject with a NUL': await issue({ sub: 'a\0b' }),
    'a long subject': await issue({ sub: 'x'.repeat(256) }),
    'a subject that is a number': await compact(JSON.stringify({ ...claims, sub: 1 })),
    'a tenant that is no uuid': await issue({ sub, tenant_id: 'x' }),
    'another tenant than its user': await issue({ sub, tenant_id: (await newTenant(db)).id }),
    'a tenant that is nobody': await issue({ sub: somebody(), tenant_id: randomUUID() }),
    'a new person of no tenant': await issue({ sub: somebody(), tenant_id: undefined }),
    'a huge one': await issue({ sub, filler: 'x'.repeat(8192) }),
    'a claim twice': await compact(JSON.stringify(claims).replace('{', '{"sub":"eve",')),
    'exp twice': await compact(JSON.stringify(claims).replace(/}$/, `,"exp":${seconds() + 300}}`)),
    'a claim twice, once escaped': await compact(JSON.stringify(claims).replace('{', '{"\\u0073ub":"eve",')),
    'a header twice': await sign('{"alg":"RS256","kid":"r1","alg":"RS256"}', claims),
    'a kid twice': await sign('{"alg":"RS256","kid":"e1","kid":"r1"}', claims),
    'an unknown critical header': await sign({ alg: 'RS256', kid: 'r1', crit: ['x'], x: 1 }, claims),
    'a known critical header': await sign({ alg: 'RS256', kid: 'r1', crit: ['exp'], exp: 1 }, claims),
    'an empty crit': await sign({ alg: 'RS256', kid: 'r1', crit: [] }, claims),
    'b64 false': await sign({ alg: 'RS256', kid: 'r1', b64: false, crit: ['b64'] }, claims),
    'b64 false, not critical': await sign({ alg: 'RS256', kid: 'r1', b64: false }, claims),
    'a jwk header': await issue({ sub }, { key: eve, header: { jwk: evil } }),
    'a jwk header with a new kid': await issue({ sub }, { key: eve, header: { jwk: { ...evil, kid: 'mine' }, kid: 'mine' } }),
    'a jku header': await issue({ sub }, { key: eve, header: { jku: `${provider.url}/evil` } }),
    'an x5u header': await issue({ sub }, { key: eve, header: { x5u: `${provider.url}/evil` } }),
    'an x5c header': await issue({ sub }, { key: eve, header: { x5c: [der.toString('base64')] } }),
    'a token of a logout': await issue({ sub }, { header: { typ: 'logout+jwt' } }),
    'a nested one': await compact(good, { cty: 'JWT' }),
    'a nested one that hides it': await compact(good, {}),
    'encrypted': await encrypted(JSON.stringify(claims)).encrypt(oaep),
    'encrypted and nested': await encrypted(good).encrypt(oaep),
    'no signature': cut(good, 2, () => ''),
    'half a signature': cut(good, 2, (x) => x.slice(0, x.length / 2)),
    'a longer signature': cut(good, 2, (x) => `${x}AAAA`),
    'a padded signature': cut(good, 2, (x) => `${x}==`),
    'half a payload': cut(good, 1, (x) => x.slice(0, x.length / 2)),
    'no payload': cut(good, 1, () => ''),
    'half a header': cut(good, 0, (x) => x.slice(0, x.length / 2)),
    'no header': cut(good, 0, () => ''),
    'two parts': good.split('.').slice(0, 2).join('.'),
    'one part': good.split('.')[0],
    'four parts': `${good}.`,
    'dots': '..',
    'noise': randomBytes(200).toString('base64url'),
    'a payload of somebody else': cut(good, 1, () => encoded({ ...claims, sub: 'eve' })),
    'a payload that is a list': await compact('[]'),
    'a payload that is no JSON': await compact('x'),
    'a payload with a tail': await compact(`${JSON.stringify(claims)} x`),
    'a deep payload': await compact(`${'{"a":'.repeat(500)}1${'}'.repeat(500)}`),
    'ES256 of 63 bytes': withSignature(signature.subarray(1)),
    'ES256 of 65 bytes': withSignature(Buffer.concat([signature, Buffer.alloc(1)])),
    'ES256 with a zero before': withSignature(Buffer.concat([Buffer.alloc(1), signature])),
    'ES256 in DER': withSignature(asDer),
    'ES256 of zeros': withSignature(Buffer.alloc(64)),
    'ES256 with r + n': withSignature(Buffer.concat([tooBig, signature.subarray(32)])),
    'base64 of the other alphabet': cut(good, 2, (x) => `${x.replaceAll('-', '+').replaceAll('_', '/')}=`),
  };
  const expected = JSON.stringify({ detail: 'Invalid token' });
  let first;
  for (const [name, token] of Object.entries(bad)) {
    const answer = await fromElsewhere(token);
    assert.equal(answer.status, 401, `${name}: ${answer.body}`);
    assert.equal(answer.body, expected, name);
    first ??= said(answer);
    assert.equal(said(answer), first, name);
  }
  // Again, from the cache of refusals where there is one, and as a stream's.
  for (const [name, token] of Object.entries(bad)) {
    assert.equal(said(await fromElsewhere(token)), first, `${name}, again`);
    const stream = await fromElsewhere(token, `/v1/kgent/sessions/${randomUUID()}/stream?api_key=${encodeURIComponent(token)}`, {});
    assert.equal(stream.body, expected, `${name}, for a stream`);
  }
  assert.ok(first.includes('WWW-Authenticate: Bearer'));
  assert.equal((await get(good)).status, 200, 'and the good one is still good');
});

test('a key wins over a token, and X-API-Key takes no token', async () => {
  const token = await issue({ sub: somebody() });
  assert.equal((await call(server, 'GET', '/v1/kgent/sessions', { key: tenant.key, headers: bearer('x.y.z') })).status, 200);
  const both = await call(server, 'GET', '/v1/kgent/sessions', { key: 'kg_wrong_key', headers: bearer(token) });
  assert.equal(both.body.detail, 'Invalid API key. Please check your credentials.');
  const asKey = await call(server, 'GET', '/v1/kgent/sessions', { key: token });
  assert.equal(asKey.body.detail, "Invalid API key format. Keys must start with 'kg_'");
  assert.equal((await get(tenant.key)).status, 200, 'a key as a bearer');
  assert.equal((await call(server, 'GET', '/v1/kgent/sessions', { headers: { Authorization: `bEaReR ${token}` } })).status, 200);
});

test('roles and permissions narrow what the user may do and never widen it', async () => {
  const can = async (sub, more) => {
    const token = await issue({ sub, jti: randomUUID(), ...more });
    const reads = (await get(token)).status === 200;
    const writes = (await make(token)).status === 200;
    return `${reads ? 'r' : '-'}${writes ? 'w' : '-'}`;
  };
  const made = async (roles) => {
    const sub = somebody();
    assert.equal((await get(await issue({ sub, roles }))).status, 200);
    return { sub, role: (await row(sub)).role };
  };
  // Users that are made: either vocabulary; nobody becomes an owner.
  for (const [roles, role] of [[['owner'], 'admin'], [['super_admin'], 'admin'], [['admin'], 'admin'], [['developer'], 'member'],
    [['member'], 'member'], [['viewer'], 'readonly'], [['readonly'], 'readonly'], [['king'], 'readonly'], [[], 'readonly'],
    [['viewer', 'developer'], 'member'], [undefined, 'member']])
    assert.equal((await made(roles)).role, role, String(roles));

  const { sub: reader } = await made(['viewer']);
  assert.equal(await can(reader, {}), 'r-');
  assert.equal(await can(reader, { roles: ['admin'] }), 'r-', 'the row is the ceiling');
  assert.equal(await can(reader, { permissions: ['kgent:create', 'kgent:read'] }), 'r-');
  const { sub: member } = await made(['member']);
  assert.equal(await can(member, {}), 'rw');
  assert.equal(await can(member, { roles: ['viewer'] }), 'r-');
  assert.equal(await can(member, { roles: ['nonsense'] }), 'r-');
  assert.equal(await can(member, { permissions: ['agentese:read'] }), 'r-');
  assert.equal(await can(member, { permissions: ['agentese:invoke'] }), '-w');
  assert.equal(await can(member, { permissions: ['kgent:create', '*:read'] }), 'rw');
  assert.equal(await can(member, { permissions: [] }), '--');
  await db.query(`UPDATE kg.users SET role = 'readonly' WHERE external_auth_id = $1`, [member]);
  assert.equal(await can(member, { roles: ['member'] }), 'r-', 'after the user has lost the role');
});

test('a deactivated user is out, and in again when that is taken back', async () => {
  const sub = somebody();
  const token = await issue({ sub });
  assert.equal((await get(token)).status, 200);
  await db.query('UPDATE kg.users SET is_active = false WHERE external_auth_id = $1', [sub]);
  await until(async () => (await get(token)).status === 401, 'the token to be refused');
  assert.equal((await get(await issue({ sub, jti: 'another' }))).body.detail, 'Invalid token');
  await db.query('UPDATE kg.users SET is_active = true WHERE external_auth_id = $1', [sub]);
  assert.equal((await get(await issue({ sub, jti: 'a third' }))).status, 200);
  await db.query('UPDATE kg.users SET deleted_at = now() WHERE external_auth_id = $1', [sub]);
  await until(async () => (await get(await issue({ sub, jti: randomUUID() }))).status === 401, 'the deleted user to be refused');
});

test('streams and sockets take a token, and end with their user or their token', async () => {
  const sub = somebody();
  const token = await issue({ sub });
  const session = (await make(token)).body.id;
  const stream = await openStream(server, `/v1/kgent/sessions/${session}/stream?api_key=${token}`);
  assert.equal(stream.status, 200);
  const socket = await openSocket(server, session, { query: `?api_key=${token}` });
  const asked = await openStream(server, `/v1/kgent/sessions/${session}/messages`, {
    method: 'POST', headers: bearer(token), body: { message: 'hello', stream: true },
  });
  await asked.turnEvents();
  await stream.turnEvents();
  await socket.turn();
  const elsewhere = await call(server, 'GET', `/v1/kgent/sessions?api_key=${token}`);
  assert.match(elsewhere.body.detail, /^API key required/, 'not where no stream is');

  // Good for three more seconds: it ended 57 s ago, and a minute is given.
  const short = await openStream(server, `/v1/kgent/sessions/${session}/stream`, {
    headers: bearer(await issue({ sub, exp: seconds() - 57 })),
  });
  const words = (await short.rest()).at(-1);
  assert.equal(words.event, 'error');
  assert.equal(words.data.type, 'token_expired');

  await db.query('UPDATE kg.users SET is_active = false WHERE external_auth_id = $1', [sub]);
  assert.equal((await stream.rest()).at(-1).data.type, 'user_deactivated');
  assert.deepEqual(await within(socket.closed, 'the socket to be closed'), { code: 4401, reason: 'user_deactivated' });
});

test('keys are rotated without anybody noticing', async () => {
  const [old, ec] = provider.keys;
  const fresh = await newKeyPair('RS256', 'r2');
  const sub = somebody();
  const one = (key) => issue({ sub, jti: randomUUID() }, { key });
  const before = await one(old);
  assert.equal((await get(before)).status, 200);
  provider.keys = [fresh, old, ec];
  // The first token of the new key has it read, as soon as the last reading is ten seconds old.
  await until(async () => (await fromElsewhere(await one(fresh))).status === 200, 'the new key');
  assert.equal((await get(await one(old))).status, 200, 'the old key beside it');
  provider.keys = [fresh, ec];
  await until(async () => {
    await fromElsewhere(await issue({}, { header: { kid: randomUUID() } }));
    return (await fromElsewhere(await one(old))).status === 401;
  }, 'the old key to be gone');
  assert.equal((await fromElsewhere(before)).status, 401, 'with the tokens that were known');
  assert.equal((await get(await one(fresh))).status, 200);
});

test('a flood of unknown keys makes the provider little work', async () => {
  const from = provider.fetches;
  const began = Date.now();
  const tokens = await Promise.all([...Array(300)].map(() => issue({}, { key: provider.keys[1], header: { kid: randomUUID() } })));
  const answers = await Promise.all(tokens.map((token) => fromElsewhere(token)));
  assert.deepEqual([...new Set(answers.map((x) => x.status))], [401]);
  const allowed = 2 + Math.floor((Date.now() - began) / 10000);
  assert.ok(provider.fetches - from <= allowed, `${provider.fetches - from} fetches, ${allowed} allowed`);
});

test('a provider that is away, redirects or talks nonsense changes nothing for known keys', async () => {
  const known = async (why) => assert.equal((await get(await issue({ sub: somebody() }))).status, 200, why);
  const failures = async () => Number(/kgents_jwks_fetches_total\{outcome="failed"\} (\d+)/.exec((await call(server, 'GET', '/metrics')).text)[1]);
  const afterFailure = async (why) => {
    const before = await failures();
    await until(async () => {
      await fromElsewhere(await issue({}, { header: { kid: randomUUID() } }));
      return (await failures()) > before;
    }, `a failed reading: ${why}`);
    await known(why);
  };
  const lure = await newKeyPair('RS256', 'lure');
  let lured = 0;
  const elsewhere = http.createServer((_, response) => {
    lured++;
    response.end(JSON.stringify({ keys: [lure.jwk] }));
  });
  await new Promise((resolve) => elsewhere.listen(0, '127.0.0.1', resolve));
  provider.answer = { status: 302, headers: { Location: `http://127.0.0.1:${elsewhere.address().port}/` }, body: '' };
  await afterFailure('a redirect');
  assert.equal(lured, 0);
  await new Promise((resolve) => elsewhere.close(resolve));
  provider.answer = { body: `{"keys":[],"x":"${'x'.repeat(512 * 1024)}"}` };
  await afterFailure('a huge answer');
  provider.answer = undefined;
  await provider.stop();
  await afterFailure('nobody there');
  await provider.start();
  await known('back again');
});

test('with a secret: HS256 only, and nobody new unless that is allowed', async () => {
  const secret = randomBytes(32).toString('hex');
  const env = { AUTH_JWT_SECRET: secret, AUTH_ISSUER: provider.issuer, AUTH_AUDIENCE: provider.audience };
  const own = await startDev({ env });
  const base = await openDatabase(own.stateDir);
  try {
    const { id } = await newTenant(base);
    const key = { alg: 'HS256', privateKey: new TextEncoder().encode(secret) };
    const token = (more) => provider.issue({ tenant_id: id, jti: randomUUID(), ...more }, { key });
    const status = async (more) => (await get(await token(more), undefined, own)).status;
    const invite = (email, more = {}) => {
      const all = { tenant_id: id, email, role: 'member', ...more };
      const names = Object.keys(all);
      return base.query(`INSERT INTO kg.users (${names}) VALUES (${names.map((_, i) => `$${i + 1}`)})`, Object.values(all));
    };
    assert.equal(await status({ sub: 'stranger', email: 's@example.org', email_verified: true }), 401);
    await invite('Invited@example.org', { role: 'readonly' });
    assert.equal(await status({ sub: 'i', email: 'invited@example.org' }), 401, 'nobody has verified the address');
    assert.equal(await status({ sub: 'i', email: 'invited@example.org', email_verified: true }), 200);
    assert.equal(await status({ sub: 'i' }), 200, 'linked by now');
    assert.equal(await status({ sub: 'j', email: 'invited@example.org', email_verified: true }), 401, 'and to nobody else');
    assert.equal((await make(await token({ sub: 'i', roles: ['admin'] }), own)).status, 403);
    await invite('inactive@example.org', { is_active: false });
    assert.equal(await status({ sub: 'k', email: 'inactive@example.org', email_verified: true }), 401);
    const rsa = await get(await provider.issue({ sub: 'i', tenant_id: id }), undefined, own);
    assert.equal(rsa.status, 401);
    assert.equal(rsa.body.detail, 'Invalid token');
    const wrong = await new SignJWT(provider.claims({ sub: 'i' })).setProtectedHeader({ alg: 'HS256' }).sign(new TextEncoder().encode(`${secret}0`));
    assert.equal((await get(wrong, undefined, own)).status, 401);
    assert.ok(!own.log.includes(wrong.split('.')[2]), 'no token in the log');
  } finally {
    await base.end();
    await own.dispose();
  }
});

test('provisioning stops where the tier has no more members', async () => {
  const { id } = await newTenant(db, { tier: 'pro' }); // 5 members
  const answers = [];
  for (let i = 0; i < 7; i++) answers.push((await get(await issue({ sub: somebody(), tenant_id: id }))).status);
  assert.deepEqual(answers, [200, 200, 200, 200, 200, 401, 401]);
});

test('kgentsd check reads the keys and the document tells of the token', async () => {
  const { output } = await run(['check'], provider.env({ KGENTS_ENV: 'dev' }));
  assert.match(output, /AUTH_JWKS_URL.*2 usable keys/);
  const gone = await run(['check'], provider.env({ KGENTS_ENV: 'dev', AUTH_JWKS_URL: 'http://127.0.0.1:1/keys' }));
  assert.match(gone.output, /degraded.*AUTH_JWKS_URL/);
  const { body } = await call(server, 'GET', '/openapi.json');
  assert.equal(body.components.securitySchemes.bearer.bearerFormat, 'JWT');
});
