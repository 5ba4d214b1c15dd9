// What the kernel knows about processes, for tests that ask what kgentsd leaves behind.
import { readFileSync, readdirSync } from 'node:fs';

function stat(pid) {
  try {
    const [state, parent, group] = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ');
    return { pid, state, parent: Number(parent), group: Number(group) };
  } catch {
    return null;
  }
}

/// Whether it runs: a zombie does not, it only waits to be reaped by whoever inherited it.
export function alive(pid) {
  const found = stat(pid);
  return found !== null && found.state !== 'Z';
}

/// The direct children of `parent`, with their command and process group.
export function childrenOfProcess(parent) {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => stat(Number(pid)))
    .filter((found) => found?.parent === parent && found.state !== 'Z')
    .map((found) => ({ ...found, name: readFileSync(`/proc/${found.pid}/comm`, 'utf8').trim() }));
}

/// Ids of the process and of everything below it.
export function family(pid) {
  return [pid, ...childrenOfProcess(pid).flatMap((child) => family(child.pid))];
}

/// Effective user id.
export function userOf(pid) {
  return Number(/^Uid:\s+\d+\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);
}
