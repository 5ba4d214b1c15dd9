// Readers nobody here wrote, npm `eventsource` and `ws`, as a careful application uses them: they come back by
// themselves when their connection ends or falls silent, from where they were.
import { EventSource } from 'eventsource';
import WebSocket from 'ws';

import { Hearing, ResumingHearing } from './hearing.mjs';

/// Idle streams carry a comment every 15 s and sockets a ping, so more silence than this is a dead connection.
const silenceMs = 25000;
const retryMs = () => 150 + Math.random() * 200;

class Reader {
  /// How often it had to connect again, and how often because of silence.
  reconnects = 0;
  silences = 0;
  closed = false;
  #heard = performance.now();
  #watch;

  /// `from`: a cursor; without one it hears what begins from now on.
  constructor(name, at, session, key, from) {
    this.hearing = new Hearing(name, { from });
    this.at = at;
    this.session = session;
    this.key = key;
    this.#watch = setInterval(() => {
      if (performance.now() - this.#heard < silenceMs) return;
      this.silences++;
      this.heardSomething();
      this.again();
    }, 1000);
    this.#watch.unref();
    this.opened = new Promise((resolve) => (this.onOpen = resolve));
  }

  heardSomething() {
    this.#heard = performance.now();
  }

  /// The connection is gone: the next one, soon.
  again() {
    this.drop();
    if (this.closed) return;
    this.reconnects++;
    setTimeout(() => this.closed || this.open(), retryMs()).unref();
  }

  toString() {
    const { name, last, problem } = this.hearing;
    const silent = Math.round(performance.now() - this.#heard);
    return `${name} behind ${last}, without a byte for ${silent} ms, ${this.reconnects} reconnects, ${this.silences} silences, ${problem ?? 'no problem'}`;
  }

  close() {
    this.closed = true;
    this.hearing.abandon(`${this.hearing.name} was closed`);
    clearInterval(this.#watch);
    this.drop();
  }
}

export class EventSourceReader extends Reader {
  constructor(at, session, key, from) {
    super(`eventsource ${session}`, at, session, key, from);
    this.open();
  }

  open() {
    const { hearing, key } = this;
    let tries = 0;
    const source = new EventSource(`${this.at.url}/v1/kgent/sessions/${this.session}/stream`, {
      fetch: async (input, init) => {
        if (tries++ > 0) this.reconnects++;
        const cursor = hearing.last === null ? {} : { 'Last-Event-ID': hearing.last };
        const { status, headers, redirected, body } = await fetch(input, { ...init, headers: { ...init.headers, ...cursor, 'X-API-Key': key } });
        return { status, headers, redirected, body: body?.pipeThrough(this.#ear()) };
      },
    });
    this.source = source;
    source.addEventListener('open', () => this.onOpen());
    for (const name of ['turn', 'chunk', 'complete', 'gap'])
      source.addEventListener(name, (e) => this.source === source && hearing.take(name, e.lastEventId, JSON.parse(e.data)));
    source.addEventListener('error', (e) => {
      if (this.source !== source || this.closed) return;
      if (e.data !== undefined) hearing.take('error', e.lastEventId, JSON.parse(e.data));
      // It comes back by itself, except after an answer that is not a stream: 503 while no node is there.
      else if (source.readyState === EventSource.CLOSED) this.again();
    });
  }

  // Comments are no events: only the bytes tell that the connection lives.
  #ear() {
    return new TransformStream({
      transform: (part, out) => {
        this.heardSomething();
        out.enqueue(part);
      },
    });
  }

  drop() {
    this.source?.close();
    this.source = null;
  }
}

export class SocketReader extends Reader {
  constructor(at, session, key, from) {
    super(`ws ${session}`, at, session, key, from);
    this.open();
  }

  open() {
    const { hearing } = this;
    const url = `${this.at.url.replace('http', 'ws')}/v1/kgent/sessions/${this.session}/ws`;
    const ws = new WebSocket(url, 'kgents.v1', { headers: { 'X-API-Key': this.key }, perMessageDeflate: false, handshakeTimeout: 5000 });
    this.ws = ws;
    const from = hearing.last;
    const connection = new ResumingHearing(hearing);
    const resume = () => {
      if (ws.readyState !== WebSocket.OPEN) return;
      connection.resumes();
      ws.send(JSON.stringify({ type: 'resume', after: from }));
    };
    ws.on('open', () => {
      ws._socket.unref();
      this.heardSomething();
      if (from !== null) resume();
      this.onOpen();
    });
    ws.on('ping', () => this.heardSomething());
    ws.on('message', (text) => {
      if (this.ws !== ws) return;
      this.heardSomething();
      const { type, id, ...data } = JSON.parse(text);
      if (id !== undefined || type === 'gap') connection.take(type, id, data);
      else if (type === 'error' && (data.status === 503 || data.status === 429)) setTimeout(resume, retryMs()).unref();
      else if (type === 'error') hearing.fail(`refused: ${text}`);
    });
    ws.on('unexpected-response', () => ws.terminate());
    ws.on('error', () => {});
    ws.on('close', () => this.ws === ws && this.again());
  }

  drop() {
    const { ws } = this;
    this.ws = null;
    ws?.terminate();
  }
}
