// WebSocket frames by hand (RFC 6455 section 5), for what no library agrees to send.
import { createHash, randomBytes } from 'node:crypto';

import { connectRaw } from './raw.mjs';
import { patience } from './wait.mjs';

export const opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };

/// One frame. `length` lies about the payload's length; `reserved` sets the three reserved bits.
export function frame(op, payload = '', { final = true, masked = true, reserved = 0, length } = {}) {
  const body = Buffer.from(payload);
  const size = length ?? body.length;
  const first = Buffer.from([(final ? 0x80 : 0) | (reserved << 4) | op]);
  let extent;
  if (size < 126) extent = Buffer.from([size]);
  else if (size < 65536) (extent = Buffer.alloc(3)).writeUInt16BE(size, 1), (extent[0] = 126);
  else (extent = Buffer.alloc(9)).writeBigUInt64BE(BigInt(size), 1), (extent[0] = 127);
  if (!masked) return Buffer.concat([first, extent, body]);
  extent[0] |= 0x80;
  const mask = randomBytes(4);
  return Buffer.concat([first, extent, mask, body.map((byte, i) => byte ^ mask[i % 4])]);
}

export const closeFrame = (code, reason = '') => {
  const body = Buffer.alloc(2 + Buffer.byteLength(reason));
  body.writeUInt16BE(code);
  body.write(reason, 2);
  return frame(opcode.close, body);
};

export function handshake(path, key, { nonce = randomBytes(16).toString('base64'), version = '13', method = 'GET', http = '1.1', upgrade = 'websocket', connection = 'Upgrade' } = {}) {
  const lines = [`${method} ${path} HTTP/${http}`, 'Host: x', `X-API-Key: ${key}`];
  if (upgrade) lines.push(`Upgrade: ${upgrade}`);
  if (connection) lines.push(`Connection: ${connection}`);
  if (nonce !== null) lines.push(`Sec-WebSocket-Key: ${nonce}`);
  if (version !== null) lines.push(`Sec-WebSocket-Version: ${version}`);
  return `${lines.join('\r\n')}\r\nSec-WebSocket-Protocol: kgents.v1\r\n\r\n`;
}

/// A connection after its 101; `next` gives the server's frames as `{op, final, payload}`.
export class RawSocket {
  constructor(connection) {
    this.connection = connection;
  }

  send(...frames) {
    this.connection.send(Buffer.concat(frames));
    return this;
  }

  async next(ms = patience.ms) {
    for (;;) {
      const taken = this.#take();
      if (taken) return taken;
      if (this.connection.ended) return null;
      await this.connection.change(ms);
    }
  }

  #take() {
    const b = this.connection.received;
    if (b.length < 2) return null;
    let size = b[1] & 0x7f;
    let at = 2;
    if (size === 126) (size = b.length >= 4 ? b.readUInt16BE(2) : NaN), (at = 4);
    else if (size === 127) (size = b.length >= 10 ? Number(b.readBigUInt64BE(2)) : NaN), (at = 10);
    if (!(b.length >= at + size)) return null;
    this.connection.received = b.subarray(at + size);
    return { op: b[0] & 0x0f, final: (b[0] & 0x80) !== 0, masked: (b[1] & 0x80) !== 0, payload: Buffer.from(b.subarray(at, at + size)) };
  }

  /// Reads on to the close frame: its code; null when the connection ended without one.
  async closeCode() {
    for (let f; (f = await this.next()); ) if (f.op === opcode.close) return f.payload.length >= 2 ? f.payload.readUInt16BE(0) : 1005;
    return null;
  }

  destroy() {
    this.connection.destroy();
  }
}

export async function openRawSocket(server, path, key) {
  const connection = await connectRaw(server);
  const nonce = randomBytes(16).toString('base64');
  const answer = await connection.send(handshake(path, key, { nonce })).response();
  const accept = createHash('sha1').update(`${nonce}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  if (answer?.status !== 101 || answer.headers['sec-websocket-accept'] !== accept)
    throw new Error(`no upgrade: ${JSON.stringify(answer)}`);
  return new RawSocket(connection);
}
