// Plain requests and SSE streams over node:http, one connection each, so that a test sees exactly what was sent.
import http from 'node:http';

import { createParser } from 'eventsource-parser';

import { Inbox, patience, within } from './wait.mjs';

function open(server, method, path, { key, headers = {}, body } = {}) {
  const sent = { ...headers };
  if (key !== undefined) sent['X-API-Key'] = key;
  let payload;
  if (body !== undefined) {
    payload = typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
    sent['Content-Type'] ??= 'application/json';
    sent['Content-Length'] = Buffer.byteLength(payload);
  }
  return new Promise((resolve, reject) => {
    const request = http.request(
      { host: server.host, port: server.port, method, path, headers: sent, agent: false },
      (response) => resolve({ request, response }),
    );
    request.on('error', reject);
    request.end(payload);
  });
}

async function textOf(response) {
  const parts = [];
  for await (const part of response) parts.push(part);
  return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(parts));
}

/// One request: `{status, headers, text, body}`; `body` is the parsed JSON, if it is JSON.
export async function call(server, method, path, options) {
  const exchange = async () => {
    const { response } = await open(server, method, path, options);
    const text = await textOf(response);
    const json = (response.headers['content-type'] ?? '').startsWith('application/json') && text !== '';
    return { status: response.statusCode, headers: response.headers, text, body: json ? JSON.parse(text) : undefined };
  };
  return within(exchange(), `${method} ${path}`);
}

/// Shorthands with one key: `const bob = caller(server, key)`, `await bob.post('/v1/…', {…})`.
export function caller(server, key) {
  const go = (method) => (path, body, headers) => call(server, method, path, { key, body, headers });
  return {
    key,
    get: (path, headers) => call(server, 'GET', path, { key, headers }),
    head: (path, headers) => call(server, 'HEAD', path, { key, headers }),
    post: go('POST'),
    patch: go('PATCH'),
    delete: go('DELETE'),
    options: go('OPTIONS'),
    stream: (path, headers) => openStream(server, path, { key, headers }),
    /// POST …/messages with `stream: true`.
    say: (session, message, more = {}, headers) =>
      openStream(server, `/v1/kgent/sessions/${session}/messages`, {
        key,
        method: 'POST',
        body: { message, stream: true, ...more },
        headers,
      }),
    session: async (body = {}) => {
      const made = await call(server, 'POST', '/v1/kgent/sessions', { key, body });
      if (made.status !== 200) throw new Error(`no session: ${made.status} ${made.text}`);
      return made.body.id;
    },
  };
}

/// One SSE connection. Events are `{event, id, data}` with `data` parsed; a comment is `{comment}` and kept apart.
export class Stream {
  #inbox = new Inbox();
  comments = [];
  bytes = 0;
  failure = null;

  constructor(request, response) {
    this.request = request;
    this.response = response;
    this.status = response.statusCode;
    this.headers = response.headers;
    this.turn = response.headers['x-turn-id'];
    this.finished = new Promise((resolve) => (this.#finish = resolve));
  }

  #finish;

  listen() {
    // A test that failed leaves its streams behind; they must not keep the process. Every wait holds a timer of its own.
    this.response.socket.unref();
    const decoder = new TextDecoder('utf-8', { fatal: true });
    const parser = createParser({
      onEvent: ({ event, id, data }) => this.#inbox.push({ event, id, data: JSON.parse(data) }),
      onComment: (text) => this.comments.push(text),
    });
    this.response.on('data', (part) => {
      this.bytes += part.length;
      try {
        parser.feed(decoder.decode(part, { stream: true }));
      } catch (error) {
        this.failure = error;
        this.close();
      }
    });
    this.response.on('error', () => {});
    this.response.on('close', () => {
      this.#inbox.end();
      this.#finish();
    });
    return this;
  }

  get seen() {
    return this.#inbox.seen;
  }

  /// The next event, null at the end of the stream.
  async next(what = 'an event', ms = patience.ms) {
    const event = await this.#inbox.next(`${what} (${this.seen.length} events so far)`, ms);
    if (this.failure) throw this.failure;
    return event;
  }

  /// Takes events until `stop(event)`; returns them, the last one included. A stream that ends first is an error.
  async take(stop, what = 'an event') {
    const taken = [];
    for (;;) {
      const event = await this.next(what);
      if (event === null) throw new Error(`the stream ended before ${what}; got ${JSON.stringify(taken.slice(-3))}`);
      taken.push(event);
      if (stop(event)) return taken;
    }
  }

  /// `n` chunks, whatever else comes between.
  async chunks(n) {
    let count = 0;
    const taken = await this.take((e) => e.event === 'chunk' && ++count === n, `chunk ${n}`);
    return taken.filter((e) => e.event === 'chunk');
  }

  /// Everything up to the final event of a turn.
  turnEvents(turn) {
    const last = (e) => isFinal(e) && (turn === undefined || e.id.startsWith(turn));
    return this.take(last, 'the final event');
  }

  /// Everything until the server ends the stream or the connection is gone.
  async rest() {
    const taken = [];
    for (let event; (event = await this.next('the end of the stream')) !== null; ) taken.push(event);
    return taken;
  }

  close() {
    this.request.destroy();
    this.response.destroy();
  }
}

export const isFinal = (e) => e.event === 'complete' || e.event === 'error';

/// Opens an event stream. An answer that is not one comes back as `{status, headers, body}`, like `call`.
export async function openStream(server, path, { method = 'GET', ...options } = {}) {
  const { request, response } = await within(open(server, method, path, options), `${method} ${path}`);
  if ((response.headers['content-type'] ?? '').startsWith('text/event-stream')) return new Stream(request, response).listen();
  const text = await within(textOf(response), `the body of ${method} ${path}`);
  const json = text && (response.headers['content-type'] ?? '').startsWith('application/json');
  return { status: response.statusCode, headers: response.headers, text, body: json ? JSON.parse(text) : undefined, close() {} };
}
