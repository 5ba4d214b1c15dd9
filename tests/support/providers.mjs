// A stand-in for model providers that speaks the real wire formats: OpenAI's chat completions (`/v1/chat/completions`) and
// Anthropic's Messages API (`/v1/messages`), both streaming, with the faults that real ones have.
//
// A test registers a script and puts its token into the message; the stand-in finds the token in the last user message. So
// one server can hold many different conversations with one stand-in at once:
//
//     const script = provider.script({ deltas: ['one ', 'two'], gated: true });
//     bob.say(session, `tell me ${script.token}`);
//     script.release(1);                     // exactly one delta leaves
import http from 'node:http';

import { Inbox } from './wait.mjs';

/// What a script may ask for besides `deltas`:
///   gated          a delta leaves only when `release` allows it; the end needs one more
///   status         answer with this HTTP status and the provider's error body; `headers` go with it
///   hold           send no byte at all
///   holdAfter      send n deltas, then nothing more, the connection stays open
///   cutAfter       send n deltas, half an event, then reset the connection
///   endAfter       send n deltas, then end the body properly but without the protocol's closing words
///   garbageAfter   send n deltas, then an event that is not JSON
///   badUtf8After   send n deltas, then one whose text is not UTF-8
///   errorAfter     send n deltas, then the provider's in-band error event
///   endless        after the deltas go on for ever, as fast as the reader takes them
///   html           answer 200 with a web page (a captive proxy)
///   finish         'stop' (default) or 'length'
///   faultOn        the path that the fault is for; on any other the answer is a good one
class Script {
  requests = [];
  #arrivals = new Inbox();
  #allowed = 0;
  #waiting = [];

  constructor(token, options) {
    this.token = token;
    this.options = { deltas: [], finish: 'stop', ...options };
    this.sent = 0;
    this.bytes = 0;
    this.gone = new Promise((resolve) => (this.leave = resolve));
  }

  get text() {
    return this.options.deltas.join('');
  }

  /// Lets `n` more deltas go; without an argument everything.
  release(n = Infinity) {
    this.#allowed += n;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  async permit(closed) {
    while (this.options.gated && this.#allowed < 1) {
      if (closed.done) return false;
      await new Promise((resolve) => {
        this.#waiting.push(resolve);
        closed.promise.then(resolve);
      });
    }
    this.#allowed -= 1;
    return !closed.done;
  }

  arrive(request) {
    this.requests.push(request);
    this.#arrivals.push(request);
  }

  /// The next call of the model: `{path, headers, body, prefix}`.
  arrived() {
    return this.#arrivals.next('a call of the model provider');
  }
}

export class Provider {
  #scripts = new Map();
  #sockets = new Set();
  #count = 0;
  port = 0;
  /// What a caller did that the real service would not accept.
  violations = [];

  async listen() {
    this.server = http.createServer((request, response) => this.#answer(request, response));
    this.server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    await new Promise((resolve) => this.server.listen(this.port, '127.0.0.1', resolve));
    this.port = this.server.address().port;
    return this;
  }

  /// Stops listening and resets what is open: from now on connections are refused, until `listen` is called again.
  async close() {
    const closed = new Promise((resolve) => this.server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  get origin() {
    return `http://127.0.0.1:${this.port}`;
  }

  openai(extra = {}) {
    return { KGENTS_LLM: 'openai', OPENAI_BASE_URL: `${this.origin}/v1`, OPENAI_API_KEY: 'sk-stand-in', OPENAI_MODEL: 'stand-in', ...extra };
  }

  anthropic(extra = {}) {
    return { KGENTS_LLM: 'anthropic', ANTHROPIC_BASE_URL: this.origin, ANTHROPIC_API_KEY: 'sk-ant-stand-in', ANTHROPIC_MODEL: 'stand-in', ...extra };
  }

  script(options) {
    const script = new Script(`[[script ${++this.#count}]]`, options);
    this.#scripts.set(script.token, script);
    return script;
  }

  async #answer(request, response) {
    const parts = [];
    for await (const part of request) parts.push(part);
    const wire = request.url === '/v1/chat/completions' ? openaiWire : request.url === '/v1/messages' ? anthropicWire : null;
    const refuse = (status, text) => {
      this.violations.push(`${request.method} ${request.url}: ${text}`);
      response.writeHead(status, { 'Content-Type': 'application/json' }).end(wire ? wire.failure(status, text) : '{}');
    };
    if (!wire || request.method !== 'POST') return refuse(404, 'no such route');
    let body;
    try {
      body = JSON.parse(Buffer.concat(parts).toString('utf8'));
    } catch {
      return refuse(400, 'the body is not JSON');
    }
    const wrong = wire.check(request, body);
    if (wrong) return refuse(400, wrong);

    // The answer so far is the assistant's message behind the scripted one: at the end (a prefill), or with a request to go
    // on behind it, since OpenAI's models do not continue a message of their own.
    const tokenOf = (m) => (m.role === 'user' ? /\[\[script \d+\]\]/.exec(textOf(m.content))?.[0] : undefined);
    const asked = body.messages.findLastIndex(tokenOf);
    const script = this.#scripts.get(asked < 0 ? '' : tokenOf(body.messages[asked])) ?? new Script('', { deltas: ['An ', 'unscripted ', 'answer.'] });
    const said = asked < 0 ? undefined : body.messages[asked + 1];
    const prefix = said ? textOf(said.content) : '';
    script.arrive({ path: request.url, headers: request.headers, body, prefix });
    if (!script.text.startsWith(prefix)) return refuse(400, `this prefix is not the answer's: ${prefix.slice(-40)}`);
    const { deltas, finish, gated, faultOn } = script.options;
    const play = faultOn && faultOn !== request.url ? { deltas, finish, gated } : script.options;
    await perform(script, play, wire, body, prefix, response).catch(() => response.destroy());
  }
}

export const startProvider = () => new Provider().listen();

const textOf = (content) => (typeof content === 'string' ? content : content.map((part) => part.text ?? '').join(''));

// The deltas that follow `prefix`, which may end inside one.
function remaining(deltas, prefix) {
  let skip = prefix.length;
  const rest = [];
  for (const delta of deltas) {
    if (skip < delta.length) rest.push(delta.slice(skip));
    skip = Math.max(0, skip - delta.length);
  }
  return rest;
}

async function perform(script, o, wire, body, prefix, response) {
  const closed = { done: false };
  closed.promise = new Promise((resolve) =>
    response.on('close', () => {
      closed.done = true;
      script.leave();
      resolve();
    }),
  );
  if (o.hold) return;
  if (o.status) {
    response.writeHead(o.status, { 'Content-Type': 'application/json', ...o.headers });
    return void response.end(wire.failure(o.status, 'as scripted'));
  }
  if (o.html) return void response.writeHead(200, { 'Content-Type': 'text/html' }).end('<html>Please log in</html>');

  const write = async (data) => {
    script.bytes += data.length;
    if (!response.write(data)) await Promise.race([new Promise((resolve) => response.once('drain', resolve)), closed.promise]);
    return !closed.done;
  };
  response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
  await write(wire.opening(body));
  const deltas = remaining(o.deltas, prefix);
  const limit = Math.min(...[o.holdAfter, o.cutAfter, o.endAfter, o.garbageAfter, o.badUtf8After, o.errorAfter].filter((n) => n !== undefined), Infinity);
  for (const delta of deltas.slice(0, limit)) {
    if (!(await script.permit(closed))) return;
    script.sent += 1;
    if (!(await write(wire.delta(delta)))) return;
  }
  if (limit !== Infinity) return fault(o, wire, response, write, closed);
  while (o.endless) if (!(await write(wire.delta('and so on '.repeat(20))))) return;
  if (!(await script.permit(closed))) return;
  await write(wire.closing(o.finish, deltas.length, body));
  response.end();
}

async function fault(o, wire, response, write, closed) {
  if (o.holdAfter !== undefined) return closed.promise;
  if (o.endAfter !== undefined) return void response.end();
  if (o.cutAfter !== undefined) {
    const event = Buffer.from(wire.delta('never seen'));
    await write(event.subarray(0, event.length >> 1));
    // The half event must leave before the reset does, or the reader would see a clean end of what came before.
    return void setImmediate(() => response.socket?.resetAndDestroy?.() ?? response.destroy());
  }
  if (o.garbageAfter !== undefined) await write(wire.frame('{"choices":[{"delta":{"content":'));
  if (o.badUtf8After !== undefined) {
    const event = Buffer.from(wire.delta('bad QQ bytes'));
    event.set([0xc3, 0x28], event.indexOf('QQ'));
    await write(event);
  }
  if (o.errorAfter !== undefined) await write(wire.inband());
  return closed.promise;
}

const openaiWire = {
  check(request, body) {
    if (request.headers.authorization !== 'Bearer sk-stand-in') return 'no bearer key';
    if (!body.model) return 'model is required';
    if (!Array.isArray(body.messages) || body.messages.length === 0) return 'messages are required';
    if (!body.messages.some((m) => m.role === 'user')) return 'no user message';
    return body.stream === true ? null : 'the runtime streams';
  },
  frame: (json) => `data: ${json}\n\n`,
  opening: () => chunk({ role: 'assistant', content: '' }),
  delta: (text) => chunk({ content: text }),
  closing(finish, tokens, body) {
    const usage = { prompt_tokens: 11, completion_tokens: tokens, total_tokens: 11 + tokens };
    const report = body.stream_options?.include_usage ? `data: ${JSON.stringify({ ...head, choices: [], usage })}\n\n` : '';
    return `${chunk({}, finish)}${report}data: [DONE]\n\n`;
  },
  inband: () => `data: ${JSON.stringify({ error: { message: 'as scripted', type: 'server_error' } })}\n\n`,
  failure: (status, text) => JSON.stringify({ error: { message: text, type: status === 401 ? 'invalid_request_error' : 'server_error', code: null } }),
};

const head = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1700000000, model: 'stand-in' };
const chunk = (delta, finish = null) => `data: ${JSON.stringify({ ...head, choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;

const anthropicWire = {
  check(request, body) {
    if (request.headers['x-api-key'] !== 'sk-ant-stand-in') return 'no x-api-key';
    if (!request.headers['anthropic-version']) return 'anthropic-version is required';
    if (!body.model || !Number.isInteger(body.max_tokens) || body.max_tokens < 1) return 'model and max_tokens are required';
    if (!Array.isArray(body.messages) || body.messages.length === 0) return 'messages are required';
    if (body.messages.some((m) => m.role !== 'user' && m.role !== 'assistant')) return 'roles are user and assistant';
    if (body.messages[0].role !== 'user') return 'the first message is the user\'s';
    const last = body.messages.at(-1);
    if (last.role === 'assistant' && /\s$/.test(textOf(last.content))) return 'final assistant content cannot end with trailing whitespace';
    return body.stream === true ? null : 'the runtime streams';
  },
  frame: (json) => `event: content_block_delta\ndata: ${json}\n\n`,
  opening: () =>
    event('message_start', {
      message: { id: 'msg_1', type: 'message', role: 'assistant', content: [], model: 'stand-in', stop_reason: null, stop_sequence: null, usage: { input_tokens: 11, output_tokens: 1 } },
    }) +
    event('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }) +
    event('ping', {}),
  delta: (text) => event('content_block_delta', { index: 0, delta: { type: 'text_delta', text } }),
  closing: (finish, tokens) =>
    event('content_block_stop', { index: 0 }) +
    event('message_delta', { delta: { stop_reason: finish === 'length' ? 'max_tokens' : 'end_turn', stop_sequence: null }, usage: { output_tokens: tokens } }) +
    event('message_stop', {}),
  inband: () => event('error', { error: { type: 'overloaded_error', message: 'as scripted' } }),
  failure: (status, text) =>
    JSON.stringify({ type: 'error', error: { type: status === 401 ? 'authentication_error' : status === 429 ? 'rate_limit_error' : 'api_error', message: text } }),
};

const event = (type, data) => `event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`;

/// `n` distinct words, each with its space: deltas whose order and completeness show at a glance.
export const words = (n) => Array.from({ length: n }, (_, i) => `word${i} `);
