// A person of a tenant with a database of its own signs in with a token (http-api.md 2.7, data.md section 12).
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';

import { SignJWT } from 'jose';

import { call } from '../support/http.mjs';
import { startMigratedPostgres, startPostgres } from '../support/postgres.mjs';
import { removeDirectory, startServe, temporaryDirectory } from '../support/server.mjs';
import { activeSilo, platformKey, requestSilo, writeSecret } from '../support/silos.mjs';
import { newTenant } from '../support/tenants.mjs';

const secret = randomBytes(32).toString('hex');
const identity = { AUTH_JWT_SECRET: secret, AUTH_ISSUER: 'https://id.test.example', AUTH_AUDIENCE: 'kgents-test', AUTH_PROVISION: 'true' };

let shared;
let own;
let db;
let server;
let secrets;
before(async () => {
  secrets = temporaryDirectory('kgents-secrets');
  shared = await startMigratedPostgres();
  own = await startPostgres();
  db = await shared.connect();
  writeSecret(secrets, 'acme', own);
  server = await startServe(shared, {
    env: {
      ...identity,
      KGENTS_PLATFORM_KEY: platformKey,
      KGENTS_SILO_SECRETS: secrets,
      KGENTS_EMBEDDED_TOKENS_PER_SECOND: 0,
      DATABASE_ADMIN_URL: shared.url('postgres'),
    },
  });
});
after(async () => {
  await server?.dispose();
  await db?.end();
  await own?.dispose();
  await shared?.dispose();
  removeDirectory(secrets);
});

test('who is seen for the first time after the move can work, and what is made is in the silo', async () => {
  const acme = await newTenant(db);
  const asked = await requestSilo(server, acme.id, { dsn_ref: 'acme' });
  assert.equal(asked.status, 202, asked.text);
  await activeSilo(server, acme.id);
  const token = await new SignJWT({ tenant_id: acme.id })
    .setProtectedHeader({ alg: 'HS256' })
    .setIssuer(identity.AUTH_ISSUER).setAudience(identity.AUTH_AUDIENCE).setSubject('ada').setExpirationTime('5m')
    .sign(new TextEncoder().encode(secret));
  const headers = { Authorization: `Bearer ${token}` };
  const made = await call(server, 'POST', '/v1/kgent/sessions', { headers, body: {} });
  assert.equal(made.status, 200, made.text);
  const said = await call(server, 'POST', `/v1/kgent/sessions/${made.body.id}/messages`, { headers, body: { message: 'hello' } });
  assert.equal(said.status, 200, said.text);
  const { rows } = await db.query('SELECT count(*)::int AS n FROM kg.sessions WHERE tenant_id = $1', [acme.id]);
  assert.equal(rows[0].n, 0);
});
