// http-api.md 13.1 and sections 1 and 5: what everybody may ask without a key.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { call } from '../support/http.mjs';
import { startDev } from '../support/server.mjs';

let server;
before(async () => {
  server = await startDev();
});
after(() => server?.dispose());

const get = (path, headers) => call(server, 'GET', path, { headers });

test('13.1/1: GET /health names status, version, has_llm and four components', async () => {
  const { status, body } = await get('/health');
  assert.equal(status, 200);
  assert.equal(body.version, 'v1');
  // Only the embedded provider is configured: design.md 10.
  assert.equal(body.has_llm, false);
  assert.equal(body.status, 'degraded');
  assert.deepEqual(body.components, { soul: 'ok', llm: 'not_configured', auth: 'ok', metering: 'ok' });
});

test('13.1/2: GET / lists the endpoints exactly', async () => {
  const { status, body } = await get('/');
  assert.equal(status, 200);
  assert.equal(body.name, 'kgents SaaS API');
  assert.equal(body.version, 'v1');
  assert.match(body.description, /AGENTESE/);
  assert.equal(body.docs, '/docs');
  assert.equal(body.health, '/health');
  assert.deepEqual(body.endpoints, {
    soul: { governance: '/v1/soul/governance', dialogue: '/v1/soul/dialogue' },
    agentese: {
      invoke: '/v1/agentese/invoke',
      resolve: '/v1/agentese/resolve',
      affordances: '/v1/agentese/affordances',
    },
    aup: {
      manifest: '/api/v1/{context}/{holon}/manifest',
      invoke: '/api/v1/{context}/{holon}/{aspect}',
      affordances: '/api/v1/{context}/{holon}/affordances',
      compose: '/api/v1/compose',
      stream: '/api/v1/{context}/{holon}/{aspect}/stream',
      resolve: '/api/v1/{context}/{holon}/resolve',
      verify_laws: '/api/v1/verify-laws',
    },
    kgent: { sessions: '/v1/kgent/sessions', messages: '/v1/kgent/sessions/{id}/messages' },
    webhooks: { stripe: '/webhooks/stripe', stripe_health: '/webhooks/stripe/health' },
  });
});

test('13.1/3: the documents are there, with title and version', async () => {
  const { status, body, headers } = await get('/openapi.json');
  assert.equal(status, 200);
  assert.match(headers['content-type'], /^application\/json/);
  assert.equal(body.info.title, 'kgents SaaS API');
  assert.equal(body.info.version, 'v1');
  for (const path of ['/docs', '/redoc']) {
    const page = await get(path);
    assert.equal(page.status, 200, path);
    assert.match(page.headers['content-type'], /^text\/html/);
    assert.match(page.text, /<html/i);
  }
});

test('13.1/4: X-Response-Time is whole milliseconds, on errors too', async () => {
  const answers = [await get('/health'), await get('/unknown/path'), await call(server, 'POST', '/'), await get('/v1/kgent/sessions')];
  for (const { headers } of answers) assert.match(headers['x-response-time'], /^\d+ms$/);
});

test('13.1/5: OPTIONS with an Origin carries Access-Control-Allow-Origin', async () => {
  for (const path of ['/health', '/v1/soul/dialogue']) {
    const headers = { Origin: 'https://app.example' };
    const bare = await call(server, 'OPTIONS', path, { headers });
    assert.ok(bare.headers['access-control-allow-origin'], path);
    assert.equal(bare.status, 405, 'without Access-Control-Request-Method it is no pre-flight');

    const preflight = await call(server, 'OPTIONS', path, {
      headers: { ...headers, 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'x-api-key, content-type' },
    });
    assert.equal(preflight.status, 200);
    assert.equal(preflight.text, 'OK');
    assert.match(preflight.headers['content-type'], /^text\/plain/);
    assert.equal(preflight.headers['access-control-max-age'], '600');
    assert.equal(preflight.headers['access-control-allow-headers'], 'x-api-key, content-type');
    for (const method of ['DELETE', 'GET', 'PATCH', 'POST']) assert.ok(preflight.headers['access-control-allow-methods'].includes(method));
  }
});

test('1.4: any origin may read, and none gets credentials', async () => {
  const { headers } = await get('/health', { Origin: 'https://app.example', Cookie: 'a=b' });
  assert.ok(headers['access-control-allow-origin']);
  assert.equal(headers['access-control-allow-credentials'], undefined);
  assert.equal((await get('/health')).headers['access-control-allow-origin'], undefined, 'no Origin, no CORS');
});

test('13.1/7: an unknown route is 404, a wrong method 405 with Allow', async () => {
  const missing = await get('/unknown/path');
  assert.equal(missing.status, 404);
  assert.deepEqual(missing.body, { detail: 'Not Found' });
  const wrong = await call(server, 'POST', '/');
  assert.equal(wrong.status, 405);
  assert.deepEqual(wrong.body, { detail: 'Method Not Allowed' });
  assert.match(wrong.headers.allow, /GET/);
  const sessions = await call(server, 'DELETE', '/v1/kgent/sessions');
  assert.equal(sessions.status, 405);
  assert.deepEqual(sessions.headers.allow.split(/,\s*/).filter((m) => ['GET', 'POST'].includes(m)).sort(), ['GET', 'POST']);
});

test('13.1/8 and 9: /health/saas with nothing configured says so', async () => {
  const { status, body } = await get('/health/saas');
  assert.equal(status, 200);
  assert.ok(['not_started', 'not_configured', 'ok'].includes(body.status), body.status);
  if (body.status === 'not_configured') return;
  assert.equal(body.started, body.status === 'ok');
  for (const name of ['openmeter', 'nats']) {
    const { configured, status: state } = body[name];
    assert.ok(configured ? ['not_started', 'healthy'].includes(state) : state === 'disabled', `${name}: ${JSON.stringify(body[name])}`);
  }
});

test('5.4: /metrics is a Prometheus exposition whose request counter moves by route template', async () => {
  const count = (text) => {
    const lines = text.split('\n').filter((l) => l.startsWith('kgents_api_requests_total{') && l.includes('"/health"') && l.includes('"200"'));
    return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  };
  await get('/health');
  const first = await get('/metrics');
  assert.equal(first.status, 200);
  assert.match(first.headers['content-type'], /^text\/plain/);
  await get('/health');
  const second = await get('/metrics');
  assert.ok(count(second.text) > count(first.text), 'kgents_api_requests_total moves');
  for (const name of [
    'kgents_nats_circuit_state',
    'kgents_nats_messages_published_total',
    'kgents_nats_publish_errors_total',
    'kgents_nats_fallback_queue_depth',
    'kgents_openmeter_events_buffered',
    'kgents_openmeter_events_sent_total',
    'kgents_openmeter_flush_errors_total',
    'kgents_openmeter_flush_latency_seconds',
    'kgents_stripe_webhooks_received_total',
    'kgents_stripe_webhooks_processed_total',
    'kgents_stripe_webhooks_errors_total',
    'kgents_api_requests_total',
    'kgents_api_request_latency_seconds',
  ])
    assert.ok(second.text.includes(`# TYPE ${name} `), name);
});

test('5.4: /live and /ready answer ok', async () => {
  for (const path of ['/live', '/ready']) {
    const { status, body } = await get(path);
    assert.equal(status, 200, path);
    assert.equal(body.status, 'ok');
  }
});

test('1.3: fixed headers everywhere; X-Request-ID is echoed when it may be, else made', async () => {
  for (const path of ['/health', '/nowhere', '/v1/kgent/sessions']) {
    const { headers } = await get(path, { 'X-Request-ID': 'abc-123.~!' });
    assert.equal(headers['x-request-id'], 'abc-123.~!', path);
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.equal(headers['x-frame-options'], 'DENY');
    assert.equal(headers['x-xss-protection'], '1; mode=block');
  }
  const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
  for (const bad of [undefined, 'x'.repeat(129), 'two words', 'caf\xe9'])
    assert.match((await get('/health', bad === undefined ? {} : { 'X-Request-ID': bad })).headers['x-request-id'], uuid);
  assert.equal((await get('/health', { 'X-Request-ID': 'x'.repeat(128) })).headers['x-request-id'], 'x'.repeat(128));
});

test('HEAD answers like GET without a body', async () => {
  const { status, headers, text } = await call(server, 'HEAD', '/health');
  assert.equal(status, 200);
  assert.equal(text, '');
  const whole = await get('/health');
  assert.equal(headers['content-length'], String(Buffer.byteLength(whole.text)));
});

test('13.1/6: with CORS turned off /health is 200 without CORS headers; listed origins get credentials', async () => {
  const { stateDir } = server;
  await server.stop();
  server = await startDev({ stateDir, env: { CORS_ORIGINS: 'none' } });
  const off = await get('/health', { Origin: 'https://app.example' });
  assert.equal(off.status, 200);
  assert.deepEqual(Object.keys(off.headers).filter((name) => name.startsWith('access-control')), []);

  await server.stop();
  server = await startDev({ stateDir, env: { CORS_ORIGINS: 'https://app.example,https://b.example' } });
  const listed = await get('/health', { Origin: 'https://app.example' });
  assert.equal(listed.headers['access-control-allow-origin'], 'https://app.example');
  assert.equal(listed.headers['access-control-allow-credentials'], 'true');
  assert.match(listed.headers.vary, /Origin/i);
  const stranger = await get('/health', { Origin: 'https://evil.example' });
  assert.equal(stranger.status, 200);
  assert.equal(stranger.headers['access-control-allow-origin'], undefined);
  const preflight = await call(server, 'OPTIONS', '/health', {
    headers: { Origin: 'https://evil.example', 'Access-Control-Request-Method': 'GET' },
  });
  assert.equal(preflight.status, 400);
  assert.match(preflight.text, /Disallowed CORS origin/);
});
