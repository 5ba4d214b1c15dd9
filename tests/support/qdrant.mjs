// A stand-in for Qdrant (1.7's REST interface, as much of it as we use), with the faults that a real one has. Like the real
// one it takes only unsigned integers and UUIDs as ids, and only vectors of the collection's size.
//
//     const qdrant = await startQdrant();
//     qdrant.fault = ({ method, path }) => path.endsWith('/batch') && { status: 500 };
//
// A fault is {status}, {hang: true} (no answer), {cut: true} (the connection ends), or one of the last two with
// `after: true`: what was asked is done before.
import http from 'node:http';

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const isId = (id) => (Number.isSafeInteger(id) && id >= 0) || (typeof id === 'string' && uuid.test(id));

class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const cosine = (a, b) => {
  const dot = (x, y) => x.reduce((sum, v, i) => sum + v * y[i], 0);
  return dot(a, b) / (Math.sqrt(dot(a, a) * dot(b, b)) || 1);
};

class Collection {
  points = new Map();
  indexes = new Map();

  constructor({ size, distance }) {
    if (!Number.isInteger(size) || size < 1 || !['Cosine', 'Dot', 'Euclid'].includes(distance)) throw new Refused(400, 'Format error in JSON body');
    Object.assign(this, { size, distance });
  }

  checkIds(ids) {
    if (!Array.isArray(ids)) throw new Refused(400, 'Format error in JSON body: points');
    for (const id of ids) if (!isId(id)) throw new Refused(400, `Format error in JSON body: value ${id} is not a valid point ID`);
  }

  check(name, body) {
    if (name === 'upsert') {
      if (!Array.isArray(body.points)) throw new Refused(400, 'Format error in JSON body: missing field `points`');
      this.checkIds(body.points.map((point) => point.id));
      for (const { vector } of body.points)
        if (!Array.isArray(vector) || vector.length !== this.size || !vector.every(Number.isFinite))
          throw new Refused(400, `Wrong input: Vector dimension error: expected dim: ${this.size}, got ${vector?.length}`);
    } else if (name === 'delete' || name === 'overwrite_payload') {
      this.checkIds(body.points);
    } else {
      throw new Refused(400, `Format error in JSON body: unknown operation ${name}`);
    }
  }

  apply(name, body) {
    if (name === 'upsert') for (const { id, vector, payload } of body.points) this.points.set(id, { id, vector, payload: payload ?? {} });
    if (name === 'delete') for (const id of body.points) this.points.delete(id);
    if (name === 'overwrite_payload')
      for (const id of body.points) if (this.points.has(id)) this.points.get(id).payload = body.payload;
  }

  show({ id, vector, payload }, { with_payload = true, with_vector = false }) {
    const shown = Array.isArray(with_payload) ? Object.fromEntries(Object.entries(payload).filter(([key]) => with_payload.includes(key))) : payload;
    return { id, payload: with_payload ? shown : null, ...(with_vector ? { vector } : {}) };
  }

  matching(filter) {
    const must = filter?.must ?? [];
    return [...this.points.values()].filter(({ payload }) => must.every(({ key, match }) => payload[key] === match.value));
  }

  scroll({ limit = 10, offset, filter, ...how }) {
    const all = this.matching(filter).sort((a, b) => (String(a.id) < String(b.id) ? -1 : 1));
    const from = offset === undefined || offset === null ? 0 : all.findIndex((point) => String(point.id) >= String(offset));
    const page = from < 0 ? [] : all.slice(from, from + limit);
    return { points: page.map((point) => this.show(point, how)), next_page_offset: from >= 0 ? (all[from + limit]?.id ?? null) : null };
  }

  search({ vector, limit, filter, ...how }) {
    if (vector?.length !== this.size) throw new Refused(400, 'Wrong input: Vector dimension error');
    return this.matching(filter)
      .map((point) => ({ ...this.show(point, how), score: cosine(vector, point.vector), version: 0 }))
      .sort((a, b) => b.score - a.score)
      .slice(0, limit);
  }
}

export async function startQdrant({ port = 0, apiKey } = {}) {
  const qdrant = { collections: new Map(), requests: [], fault: () => undefined };

  function answer(method, path, body) {
    if (path === '/collections' && method === 'GET') return { collections: [...qdrant.collections.keys()].map((name) => ({ name })) };
    const [, name, rest = ''] = /^\/collections\/([^/]+)(\/.*)?$/.exec(path) ?? [];
    if (name === undefined) throw new Refused(404, 'Not found');
    const there = qdrant.collections.get(name);
    if (method === 'PUT' && rest === '') {
      if (there) throw new Refused(400, `Wrong input: Collection \`${name}\` already exists!`);
      qdrant.collections.set(name, new Collection(body.vectors ?? {}));
      return true;
    }
    if (!there) throw new Refused(404, `Not found: Collection \`${name}\` doesn't exist!`);
    if (method === 'GET' && rest === '') return { status: 'green', config: { params: { vectors: { size: there.size, distance: there.distance } } } };
    if (method === 'PUT' && rest === '/index') return there.indexes.set(body.field_name, body.field_schema) && { status: 'completed' };
    if (method !== 'POST') throw new Refused(404, 'Not found');
    if (rest === '/points') {
      there.checkIds(body.ids);
      return body.ids.filter((id) => there.points.has(id)).map((id) => there.show(there.points.get(id), body));
    }
    if (rest === '/points/batch') {
      const operations = body.operations.flatMap((operation) => Object.entries(operation));
      for (const [kind, what] of operations) there.check(kind, what);
      for (const [kind, what] of operations) there.apply(kind, what);
      return operations.map((_, i) => ({ operation_id: i, status: 'completed' }));
    }
    if (rest === '/points/scroll') return there.scroll(body);
    if (rest === '/points/search') return there.search(body);
    throw new Refused(404, 'Not found');
  }

  const server = http.createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    const text = Buffer.concat(parts).toString('utf8');
    const url = new URL(request.url, 'http://qdrant');
    const seen = { method: request.method, path: url.pathname, query: url.searchParams, body: text ? JSON.parse(text) : undefined };
    qdrant.requests.push(seen);
    const fault = qdrant.fault(seen) || {};
    const reply = (status, body) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    const refuse = (status, message) => reply(status, { status: { error: message }, time: 0.001 });
    if (!fault.after && fault.hang) return;
    if (!fault.after && fault.cut) return void request.socket.destroy();
    if (fault.status) return refuse(fault.status, 'as the test wants it');
    if (apiKey !== undefined && request.headers['api-key'] !== apiKey) return refuse(403, 'Invalid api-key');
    let result;
    try {
      result = answer(seen.method, seen.path, seen.body);
    } catch (error) {
      return refuse(error.status ?? 500, error.message);
    } finally {
      seen.done = true;
    }
    if (fault.hang) return;
    if (fault.cut) return void request.socket.destroy();
    reply(200, { result, status: 'ok', time: 0.001 });
  });
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  qdrant.port = server.address().port;
  qdrant.url = `http://127.0.0.1:${qdrant.port}`;
  qdrant.points = (name) => [...(qdrant.collections.get(name)?.points.values() ?? [])];
  qdrant.close = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return qdrant;
}

/// A stand-in for POST /embeddings: the vector of a text is made of its length and first letters, and differs with them.
export async function startEmbeddings({ dimension }) {
  const embeddings = { requests: [], fault: () => undefined };
  const vectorOf = (text) => Array.from({ length: dimension }, (_, i) => ((text.length * 31 + (text.charCodeAt(i % text.length) || 0)) % 1000) / 1000 + 0.001 * (i + 1));
  const server = http.createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    const body = JSON.parse(Buffer.concat(parts).toString('utf8'));
    const seen = { path: request.url, key: request.headers.authorization, ...body };
    embeddings.requests.push(seen);
    const fault = embeddings.fault(seen) || {};
    if (fault.status) return void response.writeHead(fault.status, { 'content-type': 'application/json' }).end('{"error":{}}');
    const data = body.input.map((text, index) => ({ object: 'embedding', index, embedding: vectorOf(text) })).reverse();
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ object: 'list', data, model: body.model }));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  embeddings.url = `http://127.0.0.1:${server.address().port}/v1`;
  embeddings.vectorOf = vectorOf;
  embeddings.close = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return embeddings;
}
