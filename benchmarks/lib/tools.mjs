// What every scenario needs: the built tools, free ports, scratch files, processes that end with the run, and medians.
import { execFile, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/// The build directory: build/release, or $KGENTS_BENCH_BUILD.
export const build = process.env.KGENTS_BENCH_BUILD ?? join(root, 'build', 'release');
export const binary = (name) => join(build, 'bin', name);

/// A built shared library, wherever the generator put it.
export function library(name) {
  const found = [join(build, 'benchmarks', `lib${name}.so`), join(build, 'bin', `lib${name}.so`)].find((p) =>
    existsSync(p),
  );
  if (!found) throw new Error(`no lib${name}.so under ${build}`);
  return found;
}

// PostgreSQL's unprivileged user must be able to pass through.
export const scratch = mkdtempSync(join(tmpdir(), 'kgents-bench-'));
chmodSync(scratch, 0o711);

const children = new Set();

/// Ends everything that was started, newest first, and removes the scratch directory.
export async function cleanUp() {
  for (const child of [...children].reverse()) await stop(child).catch(() => {});
  rmSync(scratch, { recursive: true, force: true, maxRetries: 5 });
}

/// Starts a program, pinned to `core` unless that is undefined, and waits for a line on its standard output that `ready`
/// matches. Returns the child with `match`.
export async function start(program, args, { core, env = {}, ready }) {
  const pinned = core === undefined ? [program, args] : ['taskset', ['-c', String(core), program, ...args]];
  const child = spawn(pinned[0], pinned[1], {
    env: { ...cleanEnvironment(), ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  children.add(child);
  child.output = '';
  child.log = '';
  child.stderr.on('data', (text) => (child.log = (child.log + text).slice(-20_000)));
  child.gone = new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal })));
  child.match = await new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`${program} is not ready after 60 s\n${child.log}`)), 60_000);
    const settle = (how, value) => (clearTimeout(late), how(value));
    child.on('error', (error) => settle(reject, error));
    child.gone.then(({ code }) => settle(reject, new Error(`${program} ended with ${code}\n${child.log}`)));
    child.stdout.on('data', (text) => {
      child.output += text;
      const found = ready.exec(child.output);
      if (found) settle(resolve, found);
    });
  });
  return child;
}

export async function stop(child, signal = 'SIGTERM') {
  children.delete(child);
  if (child.exitCode === null && child.signalCode === null) child.kill(signal);
  const late = setTimeout(() => child.kill('SIGKILL'), 40_000);
  await child.gone;
  clearTimeout(late);
}

// kgentsd refuses settings it does not know, and a developer's own must not change a measurement.
function cleanEnvironment() {
  const kept = ['PATH', 'HOME', 'TMPDIR', 'LANG', 'USER'];
  return Object.fromEntries(kept.filter((name) => name in process.env).map((name) => [name, process.env[name]]));
}

/// Runs a load tool and returns the JSON it prints. `options`: {name: value, true for a switch, array to repeat}.
export async function load(tool, options, { core } = {}) {
  const args = [];
  for (const [name, value] of Object.entries(options))
    for (const each of Array.isArray(value) ? value : [value])
      if (each !== undefined && each !== false) args.push(`--${name}`, ...(each === true ? [] : [String(each)]));
  const command = core === undefined ? [binary(tool), args] : ['taskset', ['-c', String(core), binary(tool), ...args]];
  const { error, output, log } = await new Promise((resolve) =>
    execFile(command[0], command[1], { maxBuffer: 1 << 26 }, (error, output, log) => resolve({ error, output, log })),
  );
  if (error) throw new Error(`${tool}: ${log || error.message}`);
  return JSON.parse(output.trim().split('\n').at(-1));
}

export async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/// Proportional set size of a process in bytes: its private pages and its share of the shared ones.
export const pss = (pid) =>
  Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))[1]) * 1024;

/// Direct children of a process.
export function childrenOf(parent) {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return (
          Number(
            readFileSync(`/proc/${pid}/stat`, 'utf8')
              .replace(/^.*\) /, '')
              .split(' ')[1],
          ) === parent
        );
      } catch {
        return false; // it ended meanwhile
      }
    })
    .map(Number);
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/// Measures every peer in each round, in reversed order on alternate rounds, so that a drift of the machine's speed hits all
/// of them. `peers`: {name: async () => figures}. Returns {name: [figures of round 1, …]}.
export async function interleave(peers, rounds) {
  const names = Object.keys(peers);
  const results = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; ++round)
    for (const name of round % 2 ? [...names].reverse() : names) results[name].push(await peers[name]());
  return results;
}

/// Median of figure(a)/figure(b) over the rounds, with its range: {ratio, text}.
export function ratioOf(a, b, figure) {
  const ratios = a.map((each, i) => figure(each) / figure(b[i]));
  const ratio = median(ratios);
  return { ratio, text: `${ratio.toFixed(2)} (${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)})` };
}
