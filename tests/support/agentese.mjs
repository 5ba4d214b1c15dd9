// AGENTESE as an observer of one tenant speaks it, in each of its three dialects.
import assert from 'node:assert/strict';

import { call, openStream } from './http.mjs';

export const contexts = ['world', 'self', 'concept', 'void', 'time'];

/// What every node affords whoever asks (agentese.md 4.1).
export const baseAspects = ['manifest', 'witness', 'affordances', 'help', 'alternatives', 'polynomial'];

/// `self.memory.recall` as the places of a URL.
export const slashed = (path) => path.split('.').map(encodeURIComponent).join('/');

/// One who asks: a key and an archetype.
export class Observer {
  constructor(server, key, archetype = 'developer', { id, capabilities = [], capability } = {}) {
    Object.assign(this, { server, key, archetype, id, capabilities, capability });
  }

  /// The same credential under another archetype.
  as(archetype, more = {}) {
    return new Observer(this.server, this.key, archetype, { id: this.id, capabilities: this.capabilities, capability: this.capability, ...more });
  }

  get headers() {
    return {
      'X-Observer-Archetype': this.archetype,
      ...(this.id ? { 'X-Observer-Id': this.id } : {}),
      ...(this.capabilities.length ? { 'X-Observer-Capabilities': this.capabilities.join(',') } : {}),
      ...(this.capability ? { 'X-Agentese-Capability': this.capability } : {}),
    };
  }

  get #named() {
    return { name: this.id ?? 'tester', archetype: this.archetype, capabilities: this.capabilities };
  }

  #call(method, path, body) {
    return call(this.server, method, path, { key: this.key, body, headers: this.headers });
  }

  get(path) {
    return this.#call('GET', path);
  }

  post(path, body) {
    return this.#call('POST', path, body);
  }

  put(path, body) {
    return this.#call('PUT', path, body);
  }

  delete(path) {
    return this.#call('DELETE', path);
  }

  /// POST /agentese/{node}/{aspect}: the answer as it came.
  invoke(path, kwargs = {}) {
    return this.post(`/agentese/${slashed(path)}`, kwargs);
  }

  /// The same, which has to succeed: the result.
  async ok(path, kwargs) {
    const { status, text, body } = await this.invoke(path, kwargs);
    assert.equal(status, 200, `${path} as ${this.archetype}: ${text}`);
    return body.result;
  }

  /// The same, which has to be refused so: the detail.
  async refused(path, kwargs, status, code) {
    const answer = await this.invoke(path, kwargs);
    assert.equal(answer.status, status, `${path} as ${this.archetype}: ${answer.text}`);
    if (code) assert.equal(answer.body.detail.code, code, answer.text);
    return answer.body.detail;
  }

  /// POST /v1/agentese/invoke.
  v1(path, kwargs = {}, more = {}) {
    const capability = this.capability ? { capability: this.capability } : {};
    return this.post('/v1/agentese/invoke', { path, kwargs, observer: this.#named, ...capability, ...more });
  }

  /// Its result; also of what /agentese does not know because nobody has defined it.
  async loose(path, kwargs, more) {
    const { status, text, body } = await this.v1(path, kwargs, more);
    assert.equal(status, 200, `${path} as ${this.archetype}: ${text}`);
    return body.result;
  }

  /// POST /api/v1/{context}/{holon}/{aspect}.
  universal(path, kwargs = {}, more = {}) {
    return this.post(`/api/v1/${slashed(path)}`, { kwargs, ...more });
  }

  compose(paths, more = {}) {
    return this.post('/api/v1/compose', { paths, ...more });
  }

  async composed(paths, more) {
    const { status, text, body } = await this.compose(paths, more);
    assert.equal(status, 200, `${paths.join(' >> ')}: ${text}`);
    return body;
  }

  verifyLaws(paths, more = {}) {
    return this.post('/api/v1/verify-laws', { paths, ...more });
  }

  /// GET …/stream in the universal dialect, or `dialect` 'agentese'.
  stream(path, kwargs = {}, { dialect = 'api/v1', headers = {} } = {}) {
    const query = new URLSearchParams(kwargs);
    return openStream(this.server, `/${dialect}/${slashed(path)}/stream?${query}`, { key: this.key, headers: { ...this.headers, ...headers } });
  }
}

/// A value without what differs between two equal answers.
export function withoutTimes(value) {
  if (Array.isArray(value)) return value.map(withoutTimes);
  if (value === null || typeof value !== 'object') return value;
  const kept = Object.entries(value).filter(([name]) => !['timestamp', 'span_id', 'created_at', 'updated_at', 'duration_ms'].includes(name));
  return Object.fromEntries(kept.map(([name, member]) => [name, withoutTimes(member)]));
}
