// A stand-in for OpenMeter: takes batches of events as the real one does, counts each (source, id) once, and has its
// faults. What is an event is decided by the schema of its own client library.
import http from 'node:http';

import { IngestEventsBody } from '@openmeter/sdk/zod';

import { until } from './wait.mjs';

const problem = (status, detail) => ({ type: 'about:blank', title: http.STATUS_CODES[status], status, detail });

/// `faults` are taken one a request to /api/v1/events, in order; each is one of
///   {status, headers}   this answer, and nothing is taken
///   {hold: true}        no answer at all
///   {cut: 'before'}     the connection is reset before anything is taken
///   {cut: 'after'}      … after everything was taken: a lost answer
/// `refuse(event)` returns why an event is no good (undefined: it is); then its whole batch gets 400.
class OpenMeter {
  key = 'om_test_key';
  faults = [];
  requests = []; // of events: {headers, events, status}
  events = new Map(); // `source id` -> event
  refuse = () => undefined;
  queries = [];
  scale = 1; // of what the meters tell

  env(more = {}) {
    return {
      OPENMETER_ENABLED: 'true',
      OPENMETER_API_KEY: this.key,
      OPENMETER_BASE_URL: this.url,
      OPENMETER_FLUSH_INTERVAL: '0.05',
      ...more,
    };
  }

  get all() {
    return [...this.events.values()];
  }

  ofType(type) {
    return this.all.filter((event) => event.type === type);
  }

  /// Tokens that were metered, of one tenant or all.
  tokens(subject) {
    return this.ofType('llm.tokens')
      .filter((event) => subject === undefined || event.subject === subject)
      .reduce((sum, event) => sum + event.data.tokens_total, 0);
  }

  async received(probe, what) {
    return until(() => probe(this), what);
  }

  answer(request, response, body) {
    const url = new URL(request.url, this.url);
    const send = (status, value, headers = {}) => {
      response.writeHead(status, { 'Content-Type': status < 400 ? 'application/json' : 'application/problem+json', ...headers });
      response.end(value === undefined ? undefined : JSON.stringify(value));
    };
    const allowed = request.headers.authorization === `Bearer ${this.key}`;
    if (request.method === 'GET') {
      if (!allowed) return send(401, problem(401, 'invalid token'));
      if (url.pathname === '/api/v1/meters') return send(200, [{ slug: 'llm_tokens_total' }]);
      const meter = /^\/api\/v1\/meters\/([a-z_]+)\/query$/.exec(url.pathname);
      if (meter?.[1] !== 'llm_tokens_total') return send(404, problem(404, 'no such meter'));
      return send(200, this.query(url.searchParams));
    }
    if (request.method !== 'POST' || url.pathname !== '/api/v1/events') return send(404, problem(404, 'no such route'));
    const record = { headers: request.headers, events: undefined, status: undefined };
    this.requests.push(record);
    const done = (status, value, headers) => {
      record.status = status;
      if (status === 204) response.writeHead(204).end();
      else send(status, value, headers);
    };
    const fault = this.faults.shift();
    record.fault = fault;
    if (fault?.hold) return undefined;
    if (fault?.cut === 'before') return request.socket.resetAndDestroy();
    if (fault?.status && fault.status !== 400) {
      record.events = JSON.parse(body);
      return done(fault.status, problem(fault.status, 'as the test asked'), fault.headers);
    }
    if (!allowed) return done(401, problem(401, 'invalid token'));
    if (request.headers['content-type'] !== 'application/cloudevents-batch+json')
      return done(415, problem(415, 'a batch of CloudEvents, please'));
    try {
      record.events = JSON.parse(body);
    } catch {
      return done(400, problem(400, 'not JSON'));
    }
    const wrong = record.events.map((event) => this.wrong(event)).find(Boolean);
    if (wrong) return done(400, problem(400, wrong));
    for (const event of record.events) {
      const name = `${event.source} ${event.id}`;
      if (!this.events.has(name)) this.events.set(name, event);
    }
    if (fault?.cut === 'after') return request.socket.resetAndDestroy();
    return done(204);
  }

  wrong(event) {
    const checked = IngestEventsBody.safeParse(event);
    if (!checked.success) return checked.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ');
    if (event.specversion !== '1.0') return 'specversion: must be 1.0';
    return this.refuse(event);
  }

  /// As the meter does: of whole minutes, one row without a window size.
  query(params) {
    this.queries.push(Object.fromEntries(params));
    const [from, to] = [new Date(params.get('from')), new Date(params.get('to'))];
    const value = this.ofType('llm.tokens')
      .filter((event) => event.subject === params.get('subject') && new Date(event.time) >= from && new Date(event.time) < to)
      .reduce((sum, event) => sum + event.data.tokens_total, 0);
    const data = value === 0 ? [] : [{ value: value * this.scale, windowStart: from, windowEnd: to, subject: params.get('subject') }];
    return { from, to, data };
  }
}

export async function startOpenMeter() {
  const meter = new OpenMeter();
  const server = http.createServer((request, response) => {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => meter.answer(request, response, Buffer.concat(parts).toString('utf8')));
    request.on('error', () => {});
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  meter.url = `http://127.0.0.1:${server.address().port}`;
  meter.close = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return meter;
}
