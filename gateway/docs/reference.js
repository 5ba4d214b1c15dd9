'use strict';

// Makes an element. Texts come from the document and from answers, so they only ever become text nodes.
function make(tag, { cls, text, ...attributes } = {}, ...children) {
  const element = document.createElement(tag);
  if (cls) element.className = cls;
  if (text !== undefined) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const byId = (id) => document.getElementById(id);

(function reference() {
  const sayings = {
    message: 'What should I think about first?', prompt: 'What should I think about first?', title: 'Monday',
    action: 'delete temp files', context: { reason: 'The disk is full', severity: 0.3 }, status: 'archived',
    id: '7d0b3f1e-6a0c-4a6e-9d57-0f6a3c2b1e11', after: '7d0b3f1e-6a0c-4a6e-9d57-0f6a3c2b1e11:1:4',
  };

  function resolve(spec, schema) {
    if (!schema?.$ref) return schema ?? {};
    return schema.$ref.slice(2).split('/').reduce((at, name) => at?.[name], spec) ?? {};
  }

  const typeOf = (schema) => [schema.type ?? 'any'].flat().join(' or ') + (schema.format ? ` (${schema.format})` : '');

  function exampleOf(spec, schema, name) {
    const s = resolve(spec, schema);
    if (name in sayings) return sayings[name];
    if (s.default !== undefined && s.default !== null) return s.default;
    if (s.examples?.length) return s.examples[0];
    const type = [s.type].flat()[0];
    if (type === 'object') {
      const out = {};
      for (const [key, value] of Object.entries(s.properties ?? {})) out[key] = exampleOf(spec, value, key);
      return out;
    }
    return { array: [], integer: s.minimum ?? 0, number: s.minimum ?? 0, boolean: true }[type] ?? '\u2026';
  }

  // What a caller would really send: what is required, and otherwise what differs from leaving it away.
  function requestExample(spec, schema) {
    const s = resolve(spec, schema);
    const out = {};
    for (const [name, value] of Object.entries(s.properties ?? {}))
      if (s.required?.includes(name) || (name in sayings && !s.required?.length)) out[name] = exampleOf(spec, value, name);
    return out;
  }

  function remarks(s) {
    const out = [];
    if (s.description) out.push(s.description);
    if (s.enum ?? s.examples) out.push(`One of ${(s.enum ?? s.examples).join(', ')}.`);
    if (s.default !== undefined && s.default !== null) out.push(`Default: ${JSON.stringify(s.default)}.`);
    if (s.minimum !== undefined) out.push(`At least ${s.minimum}.`);
    if (s.maximum !== undefined) out.push(`At most ${s.maximum}.`);
    if (s.maxLength !== undefined) out.push(`At most ${s.maxLength} bytes.`);
    return out.join(' ');
  }

  function line(name, required, schema, text, where) {
    const term = make('dt', { text: name });
    if (required) term.append(make('span', { cls: 'must', text: 'required' }));
    return make('div', {}, term,
      make('dd', {}, make('span', { cls: 'type', text: [where, typeOf(schema)].filter(Boolean).join(', ') }),
        text ? ` \u2013 ${text}` : ''));
  }

  function fields(spec, schema, ask) {
    const s = resolve(spec, schema);
    return make('dl', {}, ...Object.entries(s.properties ?? {}).map(([name, value]) =>
      line(name, ask && s.required?.includes(name), value, remarks(value))));
  }

  // The clipboard needs a secure context; elsewhere the text is selected, ready for the keyboard.
  async function copy(pre, button) {
    try {
      await navigator.clipboard.writeText(pre.textContent);
      button.textContent = 'Copied';
    } catch {
      getSelection().selectAllChildren(pre);
      button.textContent = 'Selected';
    }
    setTimeout(() => (button.textContent = 'Copy'), 1500);
  }

  function code(text) {
    const pre = make('pre', { text, tabindex: '0' });
    const button = make('button', { cls: 'quiet', type: 'button', text: 'Copy' });
    button.addEventListener('click', () => copy(pre, button));
    return make('div', { cls: 'code' }, pre, button);
  }

  function curl(method, path, operation, body) {
    const socket = '101' in operation.responses;
    const url = location.origin + path.replace(/\{(\w+)\}/g, '$$$1');
    const quoted = /[$]/.test(url) ? `"${url}"` : url;
    const parts = [`curl ${socket ? '-i --http1.1 ' : ''}${streams(operation) ? '-N ' : ''}${quoted}`];
    if (method !== 'get' && !(method === 'post' && body)) parts[0] = parts[0].replace('curl ', `curl -X ${method.toUpperCase()} `);
    if (operation.security?.some((choice) => choice.platformKey)) parts.push(`-H "X-API-Key: $KGENTS_PLATFORM_KEY"`);
    else if (operation.security?.length !== 0) parts.push(`-H 'X-API-Key: kg_dev_bob'`);
    if (socket)
      parts.push(`-H 'Connection: Upgrade'`, `-H 'Upgrade: websocket'`, `-H 'Sec-WebSocket-Version: 13'`,
        `-H 'Sec-WebSocket-Key: c2FtcGxlIG5vbmNlIDEyMw=='`, `-H 'Sec-WebSocket-Protocol: kgents.v1'`);
    if (body) parts.push(`-H 'Content-Type: application/json'`, `-d '${JSON.stringify(body).replaceAll("'", "'\\''")}'`);
    return parts.join(' \\\n  ');
  }

  const streams = (operation) => Object.values(operation.responses).some((r) => 'text/event-stream' in (r.content ?? {}));

  const frames = 'event: chunk\nid: 7d0b3f1e-\u2026:1:0\ndata: {"text":"Against ","index":0}\n\n' +
    'event: complete\nid: 7d0b3f1e-\u2026:1:1\ndata: {"text":"Against \u2026","chunks":1,"tokens_used":42,"finish_reason":"stop"}';

  function responses(spec, operation) {
    const out = [];
    const refusals = [];
    for (const [status, answer] of Object.entries(operation.responses)) {
      const good = Number(status) < 400;
      const types = Object.keys(answer.content ?? {});
      const entry = make('div', {}, make('dt', {}, make('span', { cls: `status-code ${good ? 'good' : 'bad'}`, text: status })),
        make('dd', { text: [answer.description, good && types.join(' or ')].filter(Boolean).join(' \u2013 ') }));
      if (!good) {
        refusals.push([status, entry]);
        continue;
      }
      out.push(make('dl', {}, entry));
      if ('text/event-stream' in (answer.content ?? {})) out.push(code(frames));
      const schema = answer.content?.['application/json']?.schema;
      if (schema?.$ref)
        out.push(make('details', {}, make('summary', { text: schema.$ref.split('/').at(-1) }), fields(spec, schema, false),
          code(JSON.stringify(exampleOf(spec, schema), null, 2))));
    }
    refusals.sort(([a], [b]) => a - b);
    if (refusals.length)
      out.push(make('details', {}, make('summary', { text: `Refusals: ${refusals.map(([status]) => status).join(', ')}` }),
        make('dl', {}, ...refusals.map(([, entry]) => entry))));
    return out;
  }

  function card(spec, method, path, operation) {
    const heading = make('h3', {}, make('span', { cls: `method ${method}`, text: method }), make('span', { text: path }));
    if (operation.security?.length === 0) heading.append(make('span', { cls: 'open', text: 'no key needed' }));
    const out = make('section', { cls: 'operation', id: operation.operationId }, heading,
      make('p', { cls: 'summary', text: operation.summary }));
    if (operation.parameters?.length)
      out.append(make('h4', { text: 'Parameters' }), make('dl', {}, ...operation.parameters.map((p) =>
        line(p.name, p.required, p.schema, [p.description, remarks({ ...p.schema, description: '' })].filter(Boolean).join(' '), p.in))));
    const schema = operation.requestBody?.content?.['application/json']?.schema;
    const body = schema && requestExample(spec, schema);
    if (schema) out.append(make('h4', { text: 'Body' }), fields(spec, schema, true), code(JSON.stringify(body, null, 2)));
    out.append(make('h4', { text: 'Answers' }), ...responses(spec, operation));
    out.append(make('h4', { text: 'curl' }), code(curl(method, path, operation, body)));
    return out;
  }

  // Long paths break before a slash, not in the middle of a word.
  const breakable = (path) =>
    make('span', {}, ...path.split(/(?=\/)/).flatMap((part) => [make('wbr'), part]));

  function show(spec) {
    byId('version').textContent = spec.info.version;
    byId('lead').textContent = spec.info.description;
    const tags = new Map((spec.tags ?? []).map((tag) => [tag.name, []]));
    for (const [path, methods] of Object.entries(spec.paths))
      for (const [method, operation] of Object.entries(methods)) {
        const tag = operation.tags?.[0] ?? 'other';
        if (!tags.has(tag)) tags.set(tag, []);
        tags.get(tag).push({ method, path, operation });
      }
    // What the service is for comes first; its probes last.
    const order = [...tags.keys()].sort((a, b) => (a === 'system') - (b === 'system'));
    const listed = [];
    for (const tag of order) {
      const list = make('ul');
      const title = make('h3', { text: tag });
      byId('menu').append(title, list);
      byId('operations').append(make('h2', { cls: 'tag', text: tag }));
      for (const { method, path, operation } of tags.get(tag)) {
        const link = make('a', { href: `#${operation.operationId}`, title: operation.summary },
          make('span', { cls: `method ${method}`, text: method }), breakable(path.replace('/v1/kgent', '')));
        const item = make('li', {}, link);
        list.append(item);
        byId('operations').append(card(spec, method, path, operation));
        listed.push({ item, title, list, words: `${method} ${path} ${operation.summary}`.toLowerCase() });
      }
    }
    byId('filter').addEventListener('input', (event) => {
      const wanted = event.target.value.toLowerCase().split(/\s+/);
      for (const { item, words } of listed) item.hidden = !wanted.every((word) => words.includes(word));
      for (const { title, list } of listed) title.hidden = ![...list.children].some((item) => !item.hidden);
    });
    byId('operations').setAttribute('aria-busy', 'false');
    byId(location.hash.slice(1))?.scrollIntoView();
  }

  fetch('/openapi.json').then((answer) => {
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    return answer.json();
  }).then(show).catch((error) => {
    byId('trouble').textContent = `The document /openapi.json could not be read: ${error.message}`;
    byId('trouble').hidden = false;
  });
})();
