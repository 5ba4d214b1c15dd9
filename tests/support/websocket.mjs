// A WebSocket client of the session protocol on npm `ws`.
import WebSocket from 'ws';

import { Inbox, patience, within } from './wait.mjs';

export class Socket {
  #inbox = new Inbox();
  pings = 0;

  constructor(ws) {
    this.ws = ws;
    ws.on('message', (data, binary) => this.#inbox.push(binary ? { binary: data } : JSON.parse(data.toString('utf8'))));
    ws.on('ping', () => this.pings++);
    ws.on('open', () => ws._socket.unref());
    ws.on('error', () => {});
    this.closed = new Promise((resolve) =>
      ws.on('close', (code, reason) => {
        this.#inbox.end();
        resolve({ code, reason: reason.toString('utf8') });
      }),
    );
  }

  get seen() {
    return this.#inbox.seen;
  }

  send(message) {
    this.ws.send(typeof message === 'string' || Buffer.isBuffer(message) ? message : JSON.stringify(message));
  }

  next(what = 'a message', ms = patience.ms) {
    return this.#inbox.next(`${what} (${this.seen.length} so far)`, ms);
  }

  /// Takes messages until `stop(message)`, the last one included.
  async take(stop, what = 'a message') {
    const taken = [];
    for (;;) {
      const message = await this.next(what);
      if (message === null) throw new Error(`closed before ${what}: ${JSON.stringify(await this.closed)}`);
      taken.push(message);
      if (stop(message)) return taken;
    }
  }

  async of(type) {
    return (await this.take((m) => m.type === type, type)).at(-1);
  }

  /// Everything up to the final message of a turn.
  async turn(id) {
    return this.take((m) => (m.type === 'complete' || m.type === 'error') && (!id || m.turn_id === id), 'the final message');
  }

  async close(code = 1000) {
    this.ws.close(code);
    return within(this.closed, 'the close handshake');
  }
}

/// Opens `…/ws`. A refused upgrade comes back as `{status, headers, body}`.
export async function openSocket(server, session, { key, query = '', protocols = ['kgents.v1'], headers = {} } = {}) {
  const sent = { ...headers };
  if (key !== undefined) sent['X-API-Key'] = key;
  const url = `ws://${server.host}:${server.port}/v1/kgent/sessions/${session}/ws${query}`;
  const ws = new WebSocket(url, protocols, { headers: sent, perMessageDeflate: false });
  const socket = new Socket(ws);
  const outcome = new Promise((resolve, reject) => {
    ws.on('open', () => resolve(socket));
    ws.on('unexpected-response', (request, response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('end', () => {
        const text = Buffer.concat(parts).toString('utf8');
        resolve({ status: response.statusCode, headers: response.headers, text, body: text ? JSON.parse(text) : undefined });
        ws.terminate();
      });
    });
    ws.on('error', reject);
  });
  return within(outcome, `the upgrade of ${url}`);
}
