// deploy/local/cluster, as someone who tries it would: three nodes, one killed and started again, Ctrl-C.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { wholeAnswer } from '../support/answers.mjs';
import { caller } from '../support/http.mjs';
import { binary, endsWithUs } from '../support/server.mjs';
import { until, within } from '../support/wait.mjs';

const script = fileURLToPath(new URL('../../deploy/local/cluster', import.meta.url));
// It takes a range of ports: below those that the kernel gives to clients, and another one for each run at once.
const port = 12000 + (process.pid % 60) * 256;

function start(args) {
  const child = spawn(script, args, { env: { ...process.env, KGENTSD: binary() }, stdio: ['pipe', 'pipe', 'pipe'] });
  endsWithUs(child);
  const shell = { child, output: '', exited: new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal }))) };
  for (const pipe of [child.stdout, child.stderr]) pipe.setEncoding('utf8').on('data', (text) => (shell.output += text));
  return shell;
}

const alive = (pid) => existsSync(`/proc/${pid}`);

test('three nodes; kill -9 one, start it again, Ctrl-C', async (t) => {
  const shell = start(['3', '--port', String(port)]);
  t.after(() => shell.child.kill('SIGTERM'));
  const shows = (what, from = 0) =>
    until(() => {
      if (shell.child.exitCode !== null) throw new Error(shell.output);
      return what.exec(shell.output.slice(from));
    }, `${what} in ${shell.output}`, 90000);

  const [, url] = await shows(/^kgents cluster ready (http:\S+) nodes=3$/m);
  assert.equal(url, `http://127.0.0.1:${port}`);
  await shows(/Ctrl-C stops everything/);
  const nodes = [...shell.output.matchAll(/^ {2}(node-\S+) +(http:\S+) +pid (\d+) +log (\S+)$/gm)].map(([, name, , pid, log]) => ({ name, pid: Number(pid), log }));
  assert.deepEqual(nodes.map(({ name }) => name), ['node-a', 'node-b', 'node-c']);
  await shows(/node-a +up +[1-9]\d* +#+\n +node-b +up +[1-9]\d* +#+\n +node-c +up +[1-9]\d* +#+\n/);

  const who = caller({ host: '127.0.0.1', port }, 'kg_dev_bob');
  const { text } = await wholeAnswer(who, await who.session(), 'Please write about 20 words on rivers');
  assert.ok(text.length > 0);

  let from = shell.output.length;
  process.kill(nodes[1].pid, 'SIGKILL');
  await shows(/ended: node-b/, from);
  await shows(/node-a +up +\d+ +#+\n +node-c +up +\d+ +#+\n/, from);
  assert.equal((await wholeAnswer(who, await who.session(), 'Please write about 20 words on rivers')).text, text);

  from = shell.output.length;
  shell.child.stdin.write('\n');
  const [, again] = await shows(/started node-b, pid (\d+)/, from);
  await shows(/node-b +up +[1-9]\d* +#+\n/, from);

  shell.child.kill('SIGINT');
  assert.deepEqual(await within(shell.exited, 'everything to end', 60000), { code: 0, signal: null }, shell.output);
  for (const pid of [nodes[0].pid, nodes[2].pid, Number(again)]) assert.equal(alive(pid), false, `${pid} has ended`);
  assert.equal(existsSync(dirname(nodes[0].log)), false, 'its data went with it');
});

test('what it is not asked for', async () => {
  for (const args of [[], ['0'], ['9'], ['three'], ['2', '3'], ['2', '--port'], ['2', '--port', '0'], ['2', '--port', '70000'], ['2', '--fresh']]) {
    const shell = start(args);
    assert.equal((await within(shell.exited, 'it to end')).code, 64, args.join(' '));
    assert.match(shell.output, /^usage: /);
  }
});
