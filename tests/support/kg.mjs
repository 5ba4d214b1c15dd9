// The real kg, as a script runs it and as somebody at a terminal does.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

import { binary, endsWithUs } from './server.mjs';
import { patience, within } from './wait.mjs';

/// kg stands beside kgentsd.
export function kgBinary() {
  const path = resolve(dirname(binary()), 'kg');
  if (!existsSync(path)) throw new Error(`no kg beside ${binary()}: build it`);
  return path;
}

/// Somebody with a home of their own: `{env, config}`. Nothing of the developer's own settings leaks in.
export function newUser(directory, name, env = {}) {
  const home = resolve(directory, name);
  mkdirSync(home, { recursive: true });
  const own = { HOME: home, XDG_CONFIG_HOME: resolve(home, 'config'), LANG: 'C.UTF-8', PATH: `${dirname(kgBinary())}:${process.env.PATH}` };
  return { env: { ...own, ...env }, config: resolve(home, 'config', 'kgents', 'config.json') };
}

function collect(child) {
  const out = { output: '', log: '' };
  child.stdout.setEncoding('utf8').on('data', (text) => (out.output += text));
  child.stderr?.setEncoding('utf8').on('data', (text) => (out.log += text));
  out.ended = new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal }));
  });
  return out;
}

/// Starts `kg ARGS`; `input` is its standard input (none: an empty one).
export function beginKg(user, args, { input = '', env = {} } = {}) {
  const child = spawn(kgBinary(), args, { env: { ...user.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
  endsWithUs(child);
  child.stdin.on('error', () => {});
  if (input !== null) child.stdin.end(input);
  const seen = collect(child);
  return { child, seen, finish: async () => ({ ...(await within(seen.ended, `kg ${args.join(' ')}`, 3 * patience.ms)), output: seen.output, log: seen.log }) };
}

/// Runs it to its end: `{code, signal, output, log}`.
export const runKg = (user, args, options) => beginKg(user, args, options).finish();

/// The same in a shell, for pipes and redirections.
export async function inShell(user, line) {
  const child = spawn('bash', ['-c', line], { env: user.env, stdio: ['ignore', 'pipe', 'pipe'] });
  endsWithUs(child);
  const seen = collect(child);
  return { ...(await within(seen.ended, line, 3 * patience.ms)), output: seen.output, log: seen.log };
}

/// `command` on a pseudo-terminal: `type` writes keys, `shows` waits for what appears behind `mark`. script(1) makes it.
export class Terminal {
  output = '';
  #wake = () => {};

  constructor(user, command) {
    const args = ['-qefc', command, '/dev/null'];
    this.child = spawn('script', args, { env: { ...user.env, TERM: 'dumb', SHELL: '/bin/bash' }, stdio: ['pipe', 'pipe', 'inherit'] });
    endsWithUs(this.child);
    this.child.stdin.on('error', () => {});
    this.child.stdout.setEncoding('utf8').on('data', (text) => {
      this.output += text.replaceAll('\r\n', '\n');
      this.#wake();
    });
    this.ended = new Promise((resolve) => this.child.on('close', (code) => resolve(code)));
    this.ended.then(() => this.#wake());
  }

  type(keys) {
    this.child.stdin.write(keys);
    return this;
  }

  /// What was printed since `from`, once it matches.
  async shows(pattern, from = 0) {
    const seen = async () => {
      for (;;) {
        const found = pattern.exec(this.output.slice(from));
        if (found) return found;
        if (this.child.exitCode !== null) throw new Error(`the program ended before it showed ${pattern}:\n${this.output.slice(from)}`);
        await new Promise((wake) => (this.#wake = wake));
      }
    };
    return within(seen(), String(pattern), 3 * patience.ms).catch((error) => {
      throw new Error(`${error.message}; the terminal shows\n${this.output.slice(from)}`);
    });
  }

  /// Its exit status.
  async end() {
    return within(this.ended, 'the program to end', patience.ms).catch((late) => {
      this.child.kill('SIGKILL');
      throw new Error(`${late.message}; the terminal shows\n${this.output}`);
    });
  }
}

/// The lines of a text that are JSON; throws when one is no object.
export const objectsOf = (text) =>
  text.trimEnd().split('\n').filter(Boolean).map((line) => {
    const value = JSON.parse(line);
    if (value === null || typeof value !== 'object' || Array.isArray(value)) throw new Error(`no object: ${line}`);
    return value;
  });
