// Bytes over a bare socket, for requests that no HTTP library agrees to send.
import net from 'node:net';

import { patience, within } from './wait.mjs';

export class RawConnection {
  received = Buffer.alloc(0);
  ended = false;
  #wake = new Set();

  constructor(socket) {
    this.socket = socket.unref();
    const stir = () => {
      for (const wake of this.#wake) wake();
      this.#wake.clear();
    };
    socket.on('data', (part) => {
      this.received = Buffer.concat([this.received, part]);
      stir();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.ended = true;
      stir();
    });
  }

  send(data) {
    if (!this.socket.destroyed) this.socket.write(data);
    return this;
  }

  async change(ms) {
    await within(new Promise((resolve) => this.#wake.add(resolve)), `bytes after ${JSON.stringify(this.received.toString('latin1').slice(-200))}`, ms);
  }

  /// The next complete response, taken off the buffer: `{status, headers, body}`; null when the peer closed without one.
  async response(ms = patience.ms, { head = false } = {}) {
    for (;;) {
      const parsed = parseResponse(this.received, this.ended, head);
      if (parsed) {
        this.received = this.received.subarray(parsed.length);
        return parsed;
      }
      if (this.ended) return null;
      await this.change(ms);
    }
  }

  /// Waits until the peer has closed; returns what came before.
  async closed(ms = patience.ms) {
    while (!this.ended) await this.change(ms);
    return this.received;
  }

  destroy() {
    this.socket.destroy();
  }
}

export async function connectRaw(server) {
  const socket = net.connect({ host: server.host, port: server.port, noDelay: true, allowHalfOpen: false });
  await within(new Promise((resolve, reject) => socket.on('connect', resolve).on('error', reject)), 'a connection');
  return new RawConnection(socket);
}

/// Sends `data`, returns the first response, closes.
export async function exchange(server, data, ms) {
  const connection = await connectRaw(server);
  try {
    return await connection.send(data).response(ms);
  } finally {
    connection.destroy();
  }
}

function parseResponse(buffer, ended, noBody) {
  const headEnd = buffer.indexOf('\r\n\r\n');
  if (headEnd < 0) return null;
  const [statusLine, ...lines] = buffer.subarray(0, headEnd).toString('latin1').split('\r\n');
  const status = Number(statusLine.split(' ')[1]);
  const headers = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  const start = headEnd + 4;
  const done = (body, length) => ({ status, headers, body: body.toString('utf8'), length });
  if (status < 200 || status === 204 || status === 304 || noBody) return done(Buffer.alloc(0), start);
  if (headers['content-length'] !== undefined) {
    const end = start + Number(headers['content-length']);
    return buffer.length >= end ? done(buffer.subarray(start, end), end) : null;
  }
  if (headers['transfer-encoding'] === 'chunked') return parseChunked(buffer, start, done);
  return ended ? done(buffer.subarray(start), buffer.length) : null;
}

function parseChunked(buffer, start, done) {
  const parts = [];
  for (let at = start; ; ) {
    const line = buffer.indexOf('\r\n', at);
    if (line < 0) return null;
    const size = parseInt(buffer.subarray(at, line).toString('latin1'), 16);
    if (buffer.length < line + 2 + size + 2) return null;
    if (size === 0) return done(Buffer.concat(parts), line + 4);
    parts.push(buffer.subarray(line + 2, line + 2 + size));
    at = line + 2 + size + 2;
  }
}
