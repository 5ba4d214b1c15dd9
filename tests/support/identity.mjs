// An identity provider on npm `jose`: it publishes its keys over HTTP and issues tokens, good ones and any others.
import http from 'node:http';

import { exportJWK, generateKeyPair, SignJWT } from 'jose';

const now = () => Math.floor(Date.now() / 1000);

/// A key pair with its name: `{kid, alg, publicKey, privateKey, jwk}`.
export async function newKeyPair(alg, kid, options = {}) {
  const pair = await generateKeyPair(alg, { extractable: true, ...options });
  const jwk = await exportJWK(pair.publicKey);
  return { kid, alg, ...pair, jwk: { ...jwk, ...(kid === undefined ? {} : { kid }), alg, use: 'sig' } };
}

class IdentityProvider {
  issuer = 'https://id.test.example';
  audience = 'kgents-test';
  keys = []; // what it publishes: pairs of newKeyPair
  answer = undefined; // what it answers instead: {status, headers, body}
  fetches = 0;
  #server;

  env(more = {}) {
    return { AUTH_JWKS_URL: `${this.url}/keys`, AUTH_ISSUER: this.issuer, AUTH_AUDIENCE: this.audience, ...more };
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  claims(more = {}) {
    const all = { iss: this.issuer, aud: this.audience, sub: 'somebody', iat: now(), exp: now() + 300, ...more };
    return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
  }

  /// A token of the first key, or of `key`; a claim that is undefined is left out.
  issue(more = {}, { key = this.keys[0], header = {} } = {}) {
    const named = key.kid === undefined ? {} : { kid: key.kid };
    return new SignJWT(this.claims(more)).setProtectedHeader({ alg: key.alg, ...named, ...header }).sign(key.privateKey);
  }

  async start() {
    this.#server = http.createServer((request, response) => {
      this.fetches++;
      const { status = 200, headers = {}, body = JSON.stringify({ keys: this.keys.map((key) => key.jwk) }) } = this.answer ?? {};
      response.writeHead(status, { 'Content-Type': 'application/jwk-set+json', ...headers }).end(body);
    });
    await new Promise((resolve) => this.#server.listen(this.port ?? 0, '127.0.0.1', resolve));
    this.#server.unref();
    this.port = this.#server.address().port;
    return this;
  }

  async stop() {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/// A provider that runs, with the keys `r1` (RS256) and `e1` (ES256).
export async function startIdentityProvider() {
  const provider = new IdentityProvider();
  provider.keys = [await newKeyPair('RS256', 'r1'), await newKeyPair('ES256', 'e1')];
  return provider.start();
}
