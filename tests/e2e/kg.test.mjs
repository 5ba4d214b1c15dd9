// kg as scripts and people use it: every command, its exit statuses, what it keeps, and its completion.
import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';

import { makeAuthority } from '../support/certificates.mjs';
import { caller } from '../support/http.mjs';
import { Terminal, inShell, newUser, objectsOf, runKg } from '../support/kg.mjs';
import { openDatabase, removeDirectory, startDev, temporaryDirectory } from '../support/server.mjs';
import { newTenant } from '../support/tenants.mjs';

const platformKey = 'the-operators-own-secret';
let directory;
let server;
let db;
before(async () => {
  directory = temporaryDirectory('kg');
  server = await startDev({ env: { KGENTS_PLATFORM_KEY: platformKey, KGENTS_EMBEDDED_TOKENS_PER_SECOND: 0 } });
  db = await openDatabase(server.stateDir);
});
after(async () => {
  await db?.end();
  await server?.dispose();
  removeDirectory(directory);
});

let count = 0;
const stranger = (env) => newUser(directory, `user${++count}`, env);

/// Somebody who has a tenant and a key, by the environment.
async function someone(options) {
  const made = await newTenant(db, options);
  return { ...stranger({ KGENTS_URL: server.url, KGENTS_API_KEY: made.key }), ...made };
}

/// Runs it and expects `code`; no key may be seen in what it prints.
async function expect(code, user, args, options = {}) {
  const out = await runKg(user, args, options);
  assert.equal(out.code, code, `kg ${args.join(' ')}: ${out.output}${out.log}`);
  for (const key of [user.key, options.input?.trim()])
    if (key?.startsWith('kg_')) assert.ok(!(out.output + out.log).includes(key), 'a key was printed');
  return out;
}

test('login tries the key, keeps it for its owner alone, and logout forgets it', async () => {
  const user = stranger();
  const { key } = await newTenant(db);
  const refused = await expect(1, user, ['login', '--server', server.url], { input: 'kg_wrong_key\n' });
  assert.match(refused.log, /^kg: Invalid API key.*\n\n {4}Try: kg login/);
  assert.throws(() => statSync(user.config), { code: 'ENOENT' });

  const said = await expect(0, user, ['login', '--server', `${server.url}/`], { input: `${key}\n` });
  assert.ok(said.output.includes(user.config));
  assert.equal(statSync(user.config).mode & 0o777, 0o600);
  assert.equal(statSync(dirname(user.config)).mode & 0o777, 0o700);
  assert.deepEqual(JSON.parse(readFileSync(user.config, 'utf8')), { server: server.url, key });
  await expect(0, { ...user, key }, ['sessions']);

  // The key was stored for one server; another does not get it.
  const other = await expect(64, { ...user, key }, ['sessions', '--server', 'http://127.0.0.1:9']);
  assert.match(other.log, /no key for http:\/\/127\.0\.0\.1:9/);

  await expect(0, user, ['logout']);
  assert.throws(() => statSync(user.config), { code: 'ENOENT' });
  await expect(0, user, ['logout']);
});

test('login at a terminal does not show what is typed', async () => {
  const user = stranger();
  const { key } = await newTenant(db);
  const at = new Terminal(user, `kg login --server ${server.url}`);
  await at.shows(/Key: /);
  at.type(`${key}\n`);
  await at.shows(/Logged in/);
  assert.equal(await at.end(), 0);
  assert.ok(!at.output.includes(key));
  assert.equal(JSON.parse(readFileSync(user.config, 'utf8')).key, key);
});

test('a login of before is replaced, and a broken one is told', async () => {
  const user = stranger();
  await expect(0, user, ['login', '--server', server.url], { input: `${(await newTenant(db)).key}\n` });
  writeFileSync(user.config, '{"server":');
  const broken = await expect(64, user, ['sessions']);
  assert.match(broken.log, /config\.json is no JSON object; kg login writes it anew/);
  await expect(0, user, ['login', '--server', server.url], { input: `${(await newTenant(db)).key}\n` });
  await expect(0, user, ['sessions']);
});

test('exit statuses: 64 bad usage, 69 out of reach, 1 refused, 130 interrupted', async () => {
  const user = await someone();
  for (const args of [
    [],
    ['frobnicate'],
    ['self.soul.manifest', 'stray'],
    ['self.soul.manifest', '--kwargs', '[1]'],
    ['sessions', '--limit', 'many'],
    ['keys', 'create'],
    ['keys', 'create', 'x', '--expires', 'soon'],
    ['alias', 'only-a-name'],
    ['completion', 'fish'],
    ['?self.*', '--depth', '3'],
    ['--server', 'ftp://x', 'sessions'],
    ['--patience', '0', 'sessions'],
    ['cluster'],
  ]) {
    const { output, log } = await expect(64, user, args);
    assert.equal(output, '');
    assert.match(log, /^kg: /);
  }
  for (const args of [['sessions'], ['self.soul.manifest'], ['self.soul.why', '--topic', 'x'], ['subscribe', 'self.*'], ['chat'], ['login', '--key', 'kg_x']]) {
    const { log } = await expect(69, user, [...args, '--server', 'http://127.0.0.1:9'], { input: 'hello\n' });
    assert.match(log, /^kg: no server answers at http:\/\/127\.0\.0\.1:9\n\n {4}Try: /);
  }
  assert.match((await expect(69, user, ['sessions', '--server', 'http://no-such-host.invalid'])).log, /host of .* is not known/);
  for (const args of [['sessions', 'not-a-uuid'], ['nowhere.at.all'], ['world.house.demolish', '--archetype', 'poet'], ['subscribe', 'x..y'], ['self..x'], ['alias', 'self', 'world.house'], ['?('], ['self.soul.manifest', '--key', 'kg_other_key']])
    assert.match((await expect(1, user, args)).log, /^kg: .+/);
  const reader = await someone({ scopes: ['read'] });
  assert.match((await expect(1, reader, ['chat'], { input: 'hello\n' })).log, /'write' scope[\s\S]*Try: a key that has the scope/);

  const at = new Terminal(user, `kg subscribe 'world.**' --since 1h`);
  await expect(0, user, ['world.house.manifest']);
  await at.shows(/invoked {2}world\.house {2}manifest/);
  at.type('\x03');
  assert.equal(await at.end(), 130);
});

test('with --json an error is one object too', async () => {
  const user = await someone();
  const [refused] = objectsOf((await expect(1, user, ['nowhere.at.all', '--json'])).log);
  assert.equal(refused.status, 404);
  assert.match(refused.error, /Unknown context/);
  const [gone] = objectsOf((await expect(69, user, ['sessions', '--json', '--server', 'http://127.0.0.1:9'])).log);
  assert.equal(gone.status, null);
});

test('every command answers people and, one object a line, programs', async () => {
  const user = await someone({ scopes: ['read', 'write', 'admin'] });
  const talk = objectsOf((await expect(0, user, ['chat', '--json', '--title', 'Monday'], { input: 'What now?\n' })).output);
  assert.equal(talk[0].event, 'session');
  assert.equal(talk.at(-1).event, 'complete');
  assert.equal(talk.filter((x) => x.event === 'chunk').map((x) => x.text).join(''), talk.at(-1).text);
  const session = talk[0].id;

  const [listed] = objectsOf((await expect(0, user, ['sessions', '--json'])).output);
  assert.equal(listed.id, session);
  assert.equal(listed.title, 'Monday');
  assert.match((await expect(0, user, ['sessions'])).output, /^ID +CREATED[^\n]+\n[0-9a-f-]{36} .* Monday\n$/);
  const said = objectsOf((await expect(0, user, ['sessions', session, '--json'])).output);
  assert.deepEqual(said.map((x) => x.role), ['user', 'assistant']);
  assert.equal(said[1].content, talk.at(-1).text);

  const [manifest] = objectsOf((await expect(0, user, ['self.soul.manifest', '--json'])).output);
  assert.equal(manifest.path, 'self.soul.manifest');
  assert.equal(manifest.result.eigenvectors.joy, 0.75);
  assert.match((await expect(0, user, ['self.soul.manifest'])).output, /^ {2}joy: 0\.75$/m);

  const [house] = objectsOf((await expect(0, user, ['world.house.renovate', '--archetype', 'architect', '--changes', '{"roof":"slate"}', '--json'])).output);
  assert.deepEqual(house.result.changes, { roof: 'slate' });

  const composed = await expect(0, user, ['world.house.manifest >> concept.summary.refine', '--json', '--trace']);
  assert.deepEqual(objectsOf(composed.output)[0].pipeline_trace.map((x) => x.path), ['world.house.manifest', 'concept.summary.refine']);
  assert.match(composed.log, /^kg: world\.house\.manifest +\d+ ms +-> .*\nkg: concept\.summary\.refine +\d+ ms/);
  const loose = await expect(0, user, ['world.house.manifest', '>>', 'concept.summary.refine', '--json']);
  assert.equal(objectsOf(loose.output)[0].pipeline_trace.length, 2);
  const [effects] = objectsOf((await expect(0, user, ['world.house.renovate', '--dry-run', '--json'])).output);
  assert.ok(effects.writes.length > 0);

  const found = objectsOf((await expect(0, user, ['?self.*', '--json'])).output);
  assert.ok(found.length > 5 && found.every((x) => x.path.startsWith('self.')));
  assert.match((await expect(0, user, ['?self.*', '--limit', '2'])).log, /--limit N shows more/);
  assert.equal(typeof objectsOf((await expect(0, user, ['?self.*', '--dry-run', '--json'])).output)[0].cost_estimate, 'number');

  await expect(0, user, ['alias', 'home', 'world.house']);
  const aliases = objectsOf((await expect(0, user, ['alias', '--json'])).output);
  assert.ok(aliases.some((x) => x.name === 'home' && x.target === 'world.house'));
  assert.equal(objectsOf((await expect(0, user, ['home.manifest', '--json'])).output)[0].path, 'home.manifest');
  await expect(0, user, ['alias', '--remove', 'home']);
  await expect(1, user, ['alias', '--remove', 'home']);

  const heard = objectsOf((await expect(0, user, ['subscribe', 'world.**', '--since', '1h', '--count', '2', '--json'])).output);
  assert.equal(heard.length, 2);
  assert.ok(heard.every((x) => x.path === 'world.house'));

  const [used] = objectsOf((await expect(0, user, ['usage', '--period', 'day', '--json'])).output);
  assert.equal(used.period, 'day');
  assert.match((await expect(0, user, ['usage'])).output, /^tokens_limit: /m);

  const operator = { ...user, env: { ...user.env, KGENTS_PLATFORM_KEY: platformKey } };
  const [cluster] = objectsOf((await expect(0, operator, ['cluster', '--json'])).output);
  assert.equal(cluster.nodes.length, 1);
  assert.match((await expect(0, operator, ['cluster'])).output, /^NAME +STATE/);
  await expect(1, { ...user, env: { ...user.env, KGENTS_PLATFORM_KEY: user.key } }, ['cluster']);
});

test('keys are made, shown once, listed, rotated and revoked', async () => {
  const user = await someone({ scopes: ['read', 'write', 'admin'] });
  const made = await expect(0, user, ['keys', 'create', 'nightly', '--scopes', 'read', '--expires', '30d']);
  const key = made.output.trim();
  assert.match(key, /^kg_[a-z0-9]{5}_[\w-]{43}$/);
  assert.match(made.log, /not shown again/);
  const night = { ...user, key, env: { ...user.env, KGENTS_API_KEY: key } };
  await expect(0, night, ['self.soul.manifest']);
  const [who] = objectsOf((await expect(0, night, ['whoami', '--json'])).output);
  assert.equal(who.tenant.id, user.id);
  assert.deepEqual(who.key.scopes, ['read']);
  assert.match((await expect(0, night, ['whoami'])).output, /^scopes: read$/m);

  const all = objectsOf((await expect(0, user, ['keys', '--json'])).output);
  const { id, expires_at: ends } = all.find((x) => x.name === 'nightly');
  assert.ok(Math.abs(new Date(ends) - Date.now() - 30 * 86_400_000) < 3_600_000);
  const next = (await expect(0, user, ['keys', 'rotate', id])).output.trim();
  assert.notEqual(next, key);
  await expect(1, night, ['self.soul.manifest']);
  const rotated = { ...user, key: next, env: { ...user.env, KGENTS_API_KEY: next } };
  await expect(0, rotated, ['self.soul.manifest']);
  const living = objectsOf((await expect(0, user, ['keys', 'list', '--json'])).output).find((x) => x.name === 'nightly' && x.is_active);
  await expect(0, user, ['keys', 'revoke', living.id]);
  await expect(1, rotated, ['self.soul.manifest']);
  assert.match((await expect(0, user, ['keys'])).output, /^ID +KEY +NAME/);

  objectsOf((await expect(0, user, ['users', '--json'])).output);
  assert.match((await expect(0, user, ['users'])).output, /^ID +EMAIL/);
  const acts = objectsOf((await expect(0, user, ['audit', '--json'])).output);
  assert.ok(acts.length >= 3);
  assert.match((await expect(0, user, ['audit'])).output, /^WHEN +WHO/);
});

test('what speaks is shown as it is made: the aspects that the server streams', async () => {
  const user = await someone();
  const { body } = await caller(server, user.key).get('/agentese/discover?include_metadata=true');
  const aspects = body.metadata['self.soul'].aspectMetadata;
  const names = Object.keys(aspects).filter((name) => aspects[name].streaming);
  assert.ok(names.length > 3);
  for (const name of names) {
    const events = objectsOf((await expect(0, user, [`self.soul.${name}`, '--message', 'I cannot decide', '--topic', 'boats', '--json'])).output);
    assert.ok(events.length > 2, name);
    assert.equal(events.at(-1).event, 'done');
    assert.equal(events.slice(0, -1).map((x) => x.content).join(''), events.at(-1).result);
  }
  const by = await expect(0, user, ['me.challenge', '--message', 'I cannot decide']);
  assert.ok(by.output.length > 20 && by.output.endsWith('\n'));
});

test('the examples of the help work as they are printed', async () => {
  const user = stranger();
  const { output: help } = await expect(0, user, ['--help']);
  const lines = help.split(/^Examples:\n/m)[1].split('\n\n')[0].split('\n').map((line) => line.trim());
  assert.ok(lines.length > 10);
  assert.ok(lines.every((line) => !/--key/.test(line)), 'no key on a command line');
  for (const line of lines) {
    const { code, output, log } = await inShell(user, line.replaceAll(':8000', `:${server.port}`));
    assert.equal(code, 0, `${line}\n${output}${log}`);
    assert.ok(!(output + log).includes('kg_dev_bob'), line);
  }
  for (const name of (await expect(0, user, ['words', ''])).output.split('\n').filter((x) => /^[a-z]+$/.test(x))) {
    assert.match(help, new RegExp(`\\b${name}\\b`));
    assert.match((await expect(0, user, [name, '--help'])).output, new RegExp(`kg ${name}|^kg: talk`));
  }
  assert.match((await expect(0, user, ['--version'])).output, /^kg \d+\.\d+\.\d+\n$/);
});

test('bash completes commands, options, contexts, paths and aliases', async () => {
  const user = await someone();
  await expect(0, user, ['alias', 'homestead', 'world.house']);
  const complete = async (...typed) => {
    const line = `source <(kg completion bash); compopt() { :; }; COMP_WORDS=(kg ${typed.map((x) => `'${x}'`).join(' ')}); COMP_CWORD=${typed.length}; _kg; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return (await inShell(user, line)).output.split('\n').filter(Boolean);
  };
  assert.deepEqual(await complete('sess'), ['sessions']);
  assert.deepEqual(await complete('wor'), ['world.']);
  assert.deepEqual(await complete('homes'), ['homestead.']);
  assert.deepEqual(await complete('self.sou'), ['self.soul.']);
  assert.ok((await complete('self.soul.')).includes('self.soul.manifest'));
  assert.deepEqual(await complete('chat', '--mo'), ['--mode']);
  assert.deepEqual(await complete('chat', '--mode', 'ch'), ['challenge']);
  assert.deepEqual(await complete('keys', 'ro'), ['rotate']);
  assert.deepEqual(await complete('--js'), ['--json']);
  assert.ok((await complete('')).length > 15);

  const at = new Terminal(user, 'bash --norc --noprofile -i');
  at.type('source <(kg completion bash); echo rea""dy\n');
  await at.shows(/ready/);
  at.type('kg self.sou\tmanif\t--js\t\n');
  await at.shows(/"path":"self\.soul\.manifest"/);
  at.type('exit\n');
  assert.equal(await at.end(), 0);
});

test('https: the certificate must be of a known authority and for that host', async () => {
  const authority = makeAuthority(directory);
  const { cert, key, ca } = authority.issue('one', '127.0.0.1');
  const tls = await startDev({ env: { API_TLS_CERT: cert, API_TLS_KEY: key } });
  try {
    const user = stranger({ KGENTS_URL: tls.url, KGENTS_API_KEY: 'kg_dev_bob' });
    assert.match((await expect(69, user, ['sessions'])).log, /no TLS with https[\s\S]*SSL_CERT_FILE/);
    const trusting = { ...user, env: { ...user.env, SSL_CERT_FILE: ca } };
    await expect(0, trusting, ['self.soul.manifest']);
    assert.ok((await expect(0, trusting, ['chat'], { input: 'hello\n' })).output.length > 5);
    assert.match((await expect(69, trusting, ['sessions', '--server', tls.url.replace('127.0.0.1', 'localhost')])).log, /no TLS with/);
  } finally {
    await tls.dispose();
  }
});

test('a token of an identity provider goes as one, an API key as one', async () => {
  const heard = [];
  const stub = http.createServer((request, response) => {
    heard.push(request.headers);
    response.setHeader('Content-Type', 'application/json').end('{"sessions":[],"total":0}');
  });
  await new Promise((resolve) => stub.listen(0, '127.0.0.1', resolve));
  try {
    const user = stranger({ KGENTS_URL: `http://127.0.0.1:${stub.address().port}/` });
    await expect(0, user, ['sessions', '--key', 'eyJhbGciOiJFUzI1NiJ9.e30.c2ln']);
    await expect(0, user, ['sessions', '--key', 'kg_abc12_x']);
    assert.equal(heard[0].authorization, 'Bearer eyJhbGciOiJFUzI1NiJ9.e30.c2ln');
    assert.equal(heard[0]['x-api-key'], undefined);
    assert.equal(heard[1]['x-api-key'], 'kg_abc12_x');
    assert.equal(heard[1].authorization, undefined);
  } finally {
    stub.closeAllConnections();
    stub.close();
  }
});

test('what may have been done is not asked for again', async () => {
  const heard = [];
  let events = '';
  const stub = http.createServer((request, response) => {
    heard.push(`${request.method} ${request.url}`);
    if (request.url.includes('/stream')) {
      response.setHeader('Content-Type', 'text/event-stream').end(events);
    } else if (heard.length === 1) {
      response.writeHead(503, { 'Content-Type': 'application/json', 'Retry-After': '1' }).end('{"detail":"too slow"}');
    } else {
      response.setHeader('Content-Type', 'application/json').end('{"items":[],"total":0}');
    }
  });
  await new Promise((resolve) => stub.listen(0, '127.0.0.1', resolve));
  try {
    const user = stranger({ KGENTS_URL: `http://127.0.0.1:${stub.address().port}`, KGENTS_API_KEY: 'kg_abc12_x' });
    await expect(0, user, ['keys']);
    assert.equal(heard.length, 2, 'reading is repeated');
    heard.length = 0;
    assert.match((await expect(1, user, ['keys', 'rotate', 'one'])).log, /too slow/);
    assert.deepEqual(heard, ['POST /v1/api-keys/one/rotate']);
    heard.length = 0;
    const speak = ['self.soul.challenge', '--message', 'x', '--patience', '1'];
    assert.match((await expect(69, user, speak)).log, /before the answer began/);
    assert.equal(heard.length, 1, 'an answer without a beginning');
    events = 'event: reconnect\ndata: {}\n\n';
    await expect(69, user, speak);
    assert.ok(heard.length > 2, 'sent back, but not for ever');
  } finally {
    stub.closeAllConnections();
    stub.close();
  }
});

test('a reader that goes away ends it quietly', async () => {
  const user = await someone();
  const { output, log } = await inShell(user, `kg words '' | head -1; echo "\${PIPESTATUS[0]}" > /dev/null; kg '?*' --json | true`);
  assert.notEqual(output, '');
  assert.equal(log, '');
});

test('what a server sends cannot steer the terminal', async () => {
  const user = await someone();
  const session = await caller(server, user.key).session({ title: 'red \u001b[31m and \u009b2J\nno\trow' });
  const at = new Terminal(user, 'kg sessions');
  await at.shows(new RegExp(session));
  assert.equal(await at.end(), 0);
  assert.ok(!/[\u001b\u009b]/.test(at.output), JSON.stringify(at.output));
  const { output } = await expect(0, user, ['sessions']);
  assert.match(output, /\u001b\[31m/, 'a file gets what is there');
  assert.match(output, /^ID[^\n]+\n[^\n]+ no row\n$/, 'but one row a session');
});
