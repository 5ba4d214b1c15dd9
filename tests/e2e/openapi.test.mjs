// /openapi.json is valid OpenAPI 3.1, and every operation in it answers.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';

import SwaggerParser from '@apidevtools/swagger-parser';

import { call, openStream } from '../support/http.mjs';
import { openDatabase, startDev } from '../support/server.mjs';
import { newTenant } from '../support/tenants.mjs';

const platformKey = 'the-operators-own-secret';
// Without them billing answers 503, as a server that sells nothing should.
const stripe = { STRIPE_API_KEY: 'sk_test_x', STRIPE_WEBHOOK_SECRET: 'whsec_x', STRIPE_PRICE_PRO_MONTHLY: 'price_x' };
let server;
let db;
let key;
let document;
before(async () => {
  server = await startDev({ env: { KGENTS_PLATFORM_KEY: platformKey, ...stripe } });
  db = await openDatabase(server.stateDir);
  key = (await newTenant(db, { scopes: ['read', 'write', 'admin', 'billing'] })).key;
  document = (await call(server, 'GET', '/openapi.json')).body;
});
after(async () => {
  await db?.end();
  await server?.dispose();
});

const methods = ['get', 'put', 'post', 'delete', 'patch'];
const operations = () => Object.entries(document.paths).flatMap(([path, item]) => methods.filter((m) => item[m]).map((m) => [m.toUpperCase(), path, item[m]]));

// The operator's routes do not exist for anybody else.
const isOperators = (operation) => operation.security?.some((choice) => choice.platformKey) ?? false;

test('the document is valid OpenAPI 3.1', async () => {
  assert.match(document.openapi, /^3\.1\.\d+$/);
  assert.equal(document.info.title, 'kgents SaaS API');
  assert.equal(document.info.version, 'v1');
  await SwaggerParser.validate(structuredClone(document));
});

test('it lists what http-api.md 1.1 asks for, each operation under its tag', () => {
  const tags = { '/health': 'system', '/': 'system', '/v1/soul/governance': 'soul', '/v1/soul/dialogue': 'soul', '/v1/agentese/invoke': 'agentese', '/v1/kgent/sessions': 'kgent' };
  for (const [path, tag] of Object.entries(tags)) {
    assert.ok(document.paths[path], path);
    for (const method of methods) if (document.paths[path][method]) assert.deepEqual(document.paths[path][method].tags, [tag], `${method} ${path}`);
  }
  for (const [method, path] of [
    ['get', '/v1/kgent/sessions/{id}'],
    ['patch', '/v1/kgent/sessions/{id}'],
    ['delete', '/v1/kgent/sessions/{id}'],
    ['post', '/v1/kgent/sessions/{id}/messages'],
    ['get', '/v1/kgent/sessions/{id}/messages'],
    ['get', '/v1/kgent/sessions/{id}/stream'],
    ['get', '/v1/kgent/sessions/{id}/ws'],
    ['post', '/v1/kgent/sessions/{id}/cancel'],
    ['get', '/v1/kgent/sessions/{id}/turns/{turn_id}'],
  ])
    assert.ok(document.paths[path]?.[method], `${method} ${path}`);
});

test('path parameters are declared, operation ids are unique, every operation says what it answers', () => {
  const ids = [];
  for (const [method, path, operation] of operations()) {
    const named = [...path.matchAll(/\{(\w+)\}/g)].map((m) => m[1]);
    const declared = [...(document.paths[path].parameters ?? []), ...(operation.parameters ?? [])].filter((p) => p.in === 'path').map((p) => p.name);
    assert.deepEqual(declared.sort(), named.sort(), `${method} ${path}`);
    assert.ok(Object.keys(operation.responses).length > 0, `${method} ${path}`);
    if (operation.operationId) ids.push(operation.operationId);
  }
  assert.equal(new Set(ids).size, ids.length);
});

test('every operation in it answers, and is neither unknown nor broken', async () => {
  assert.ok(operations().length >= 15);
  for (const [method, path, operation] of operations()) {
    const target = path.replace(/\{\w+\}/g, () => randomUUID());
    const answer = await openStream(server, target, { method, key: isOperators(operation) ? platformKey : key, ...(method === 'GET' || method === 'DELETE' ? {} : { body: {} }) });
    answer.close();
    assert.ok(answer.status < 500 && answer.status !== 405, `${method} ${path}: ${answer.status}`);
    if (answer.status === 404) assert.notEqual(answer.body?.detail, 'Not Found', `${method} ${path} has no route`);
  }
});

test('operations that need a key refuse without one, and say so in the document', async () => {
  for (const [method, path, operation] of operations()) {
    const security = operation.security ?? document.security ?? [];
    const target = path.replace(/\{\w+\}/g, () => randomUUID());
    const answer = await openStream(server, target, { method, ...(method === 'GET' || method === 'DELETE' ? {} : { body: {} }) });
    answer.close();
    if (isOperators(operation)) {
      assert.equal(answer.status, 404, `${method} ${path}`);
      continue;
    }
    const open = security.length === 0 || security.some((choice) => Object.keys(choice).length === 0);
    assert.equal(answer.status === 401, !open, `${method} ${path}: ${answer.status}`);
  }
});
