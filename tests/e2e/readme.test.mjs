// The README's shell lines, typed into terminals as printed; only the port is another.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, test } from 'node:test';

import { kgBinary } from '../support/kg.mjs';
import { startDev } from '../support/server.mjs';
import { patience, within } from '../support/wait.mjs';

const root = fileURLToPath(new URL('../../', import.meta.url));
const text = readFileSync(join(root, 'README.md'), 'utf8');
const polyfill = fileURLToPath(new URL('../support/websocket-global.mjs', import.meta.url));

/// The blocks of "Talk to it" by their headings.
const blocks = new Map(
  [...text.matchAll(/^### (.+)\n([\s\S]*?)(?=^##)/gm)].map(([, heading, body]) => [heading, [...body.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, lines]) => lines).join('')]),
);
const typed = new Set();

/// A bash that gets lines on its standard input, as a user's would.
class Terminal {
  output = '';
  #changed = () => {};
  #marks = 0;

  constructor(folder) {
    const env = { PATH: `${dirname(kgBinary())}:${process.env.PATH}`, HOME: folder };
    if (!globalThis.WebSocket) env.NODE_OPTIONS = `--import=${polyfill}`;
    // A group of its own, so that closing the terminal ends what still runs in it.
    this.child = spawn('bash', ['-s'], { cwd: folder, env, detached: true, stdio: ['pipe', 'pipe', 'pipe'] });
    for (const pipe of [this.child.stdout, this.child.stderr])
      pipe.setEncoding('utf8').on('data', (more) => {
        this.output += more;
        this.#changed();
      });
    this.exited = new Promise((done) => this.child.on('close', done));
  }

  /// Waits until what was printed since `from` matches, and returns it.
  async shows(pattern, from = 0) {
    const seen = async () => {
      while (!pattern.test(this.output.slice(from))) await new Promise((wake) => (this.#changed = wake));
      return this.output.slice(from);
    };
    return within(seen(), String(pattern), patience.ms).catch((error) => {
      throw new Error(`${error.message}; the terminal shows\n${this.output.slice(from)}`);
    });
  }

  /// Types a block; with `until`, it runs on and that is waited for, otherwise its end is.
  async type(heading, { until } = {}) {
    const block = blocks.get(heading);
    assert.ok(block, `README has shell lines under "${heading}"`);
    typed.add(heading);
    const from = this.output.length;
    const mark = `[${++this.#marks} done]`;
    this.child.stdin.write(block.replaceAll(':8000', `:${server.port}`) + (until ? '' : `echo '${mark}'\n`));
    if (until) return this.shows(until, from);
    return (await this.shows(new RegExp(`\\[${this.#marks} done\\]`), from)).replace(mark, '');
  }

  async close() {
    process.kill(-this.child.pid, 'SIGKILL');
    await this.exited;
  }
}

let server;
let folder;
before(async () => {
  server = await startDev({ env: { KGENTS_PLATFORM_KEY: 'the-operators-own-secret' } });
  folder = mkdtempSync(join(tmpdir(), 'readme-'));
});
after(async () => {
  await server?.dispose();
  if (folder) rmSync(folder, { recursive: true });
});

async function terminal(body) {
  const it = new Terminal(folder);
  try {
    await body(it);
  } finally {
    await it.close();
  }
}

/// Events of an SSE text: `{event, id, data}`.
const eventsOf = (sse) =>
  [...sse.matchAll(/^event: (\w+)\nid: (\S+)\ndata: (.*)$/gm)].map(([, event, id, data]) => ({ event, id, data: JSON.parse(data) }));

const indices = (events) => events.filter((e) => e.event === 'chunk').map((e) => e.data.index);
const ending = /event: complete\nid: .*\ndata: .*\n\n/;

test('a session, an answer that streams, and a follower that hears the same', async () => {
  await terminal(async (first) => {
    const made = JSON.parse(await first.type('Open a session'));
    assert.equal(made.title, 'Monday');
    const answer = eventsOf(await first.type('Say something and watch the answer stream'));
    assert.equal(answer.at(-1).event, 'complete');
    assert.deepEqual(indices(answer), answer.slice(0, -1).map((_, i) => i));
    assert.ok(answer.length > 10, 'many tokens');
    await terminal(async (second) => {
      const heading = 'Follow the session from another terminal';
      typed.add(heading);
      // A follower prints nothing until somebody speaks, so -v (on standard error) tells when it listens.
      second.child.stdin.write(blocks.get(heading).replaceAll(':8000', `:${server.port}`).replace('curl -sN', 'curl -v -sN'));
      await second.shows(/< HTTP\/1\.1 200[\s\S]*text\/event-stream/);
      const again = eventsOf(await first.type('Say something and watch the answer stream'));
      const heard = eventsOf(await second.shows(ending));
      assert.equal(heard[0].event, 'turn');
      assert.deepEqual(heard.slice(1), again, 'the same events with the same ids');
    });
  });
});

test('what was missed comes again, and nothing else', async () => {
  await terminal(async (it) => {
    await it.type('Open a session');
    const rest = eventsOf(await it.type('Lose the connection and resume', { until: ending }));
    const had = eventsOf(readFileSync(join(folder, 'answer.txt'), 'utf8'));
    assert.ok(had.length > 1 && had.every((e) => e.event === 'chunk'), 'the first one was cut in mid-answer');
    const all = [...indices(had), ...indices(rest)];
    assert.deepEqual(all, all.map((_, i) => i), 'no gap, no double');
    const said = [...had, ...rest].filter((e) => e.event === 'chunk').map((e) => e.data.text).join('');
    assert.equal(rest.at(-1).data.text, said);
  });
});

test('cancel ends the answer with what it has', async () => {
  await terminal(async (it) => {
    await it.type('Open a session');
    const shown = await it.type('Cancel an answer');
    assert.match(shown, /"status":"canceled"\}/);
    assert.match(shown, /data: .*"finish_reason":"canceled"/);
  });
});

test('the WebSocket lines print the conversation and end', async () => {
  await terminal(async (it) => {
    await it.type('Open a session');
    const shown = await it.type('The same over a WebSocket');
    const messages = [...shown.matchAll(/^\{.*\}$/gm)].map(([line]) => JSON.parse(line));
    assert.equal(messages[0].type, 'accepted', shown);
    assert.equal(messages[0].ref, '1');
    assert.equal(messages.at(-1).type, 'complete');
    assert.ok(messages.filter((m) => m.type === 'chunk').length > 10);
  });
});

test('kg logs in, talks, composes and lists', async () => {
  await terminal(async (it) => {
    const shown = await it.type('Talk to it from a shell');
    assert.match(shown, /^Logged in to http:\S+; kept in /m);
    const [composed] = objectsOf(shown);
    assert.equal(composed.pipeline_trace.length, 2);
    assert.match(shown, /^[0-9a-f-]{36} .* What should I think about first\?$/m);
    assert.ok(!shown.includes('kg_dev_bob'));
  });
});

test('what is sent twice under one key is done once', async () => {
  await terminal(async (it) => {
    await it.type('Open a session');
    const [first, again] = objectsOf(await it.type('Send it twice, have it done once'));
    assert.equal(first.title, 'Tuesday');
    assert.deepEqual(again, first);
  });
});

/// The lines that are JSON objects.
const objectsOf = (shown) => [...shown.matchAll(/^\{.*\}$/gm)].map(([line]) => JSON.parse(line));

test('a house is what its observer sees, can be changed, composed, and watched', async () => {
  await terminal(async (it) => {
    const [blueprint, poem, afforded] = objectsOf(await it.type('Ask what a house is'));
    assert.equal(blueprint.result.type, 'blueprint');
    assert.equal(poem.result.type, 'poetic');
    assert.ok(afforded.affordances.includes('metaphorize') && !afforded.affordances.includes('renovate'));
    await terminal(async (second) => {
      const heading = 'Watch what happens';
      typed.add(heading);
      second.child.stdin.write(blocks.get(heading).replaceAll(':8000', `:${server.port}`));
      await second.shows(/event: subscribed\n/);
      const [changed, composed, found] = objectsOf(await it.type('Change it and compose'));
      assert.deepEqual(changed.result.changes, { roof: 'slate' });
      assert.equal(composed.pipeline_trace.length, 3);
      assert.equal(composed.result.status, 'engrammed');
      assert.equal(found.matches.length, 3);
      await second.shows(/event: changed\n[\s\S]*event: invoked\n/);
    });
    const [deferred, list] = objectsOf(await it.type('Do it later'));
    assert.equal(deferred.result.status, 'scheduled');
    assert.equal(list.result.actions.find(({ id }) => id === deferred.result.id).status, 'executed');
  });
});

test('a tenant, a person, a key that is rotated and revoked, and what the log says of it', async () => {
  await terminal(async (it) => {
    const [made] = objectsOf(await it.type('Make a tenant'));
    assert.equal(made.tenant.slug, 'acme');
    const [user, key] = objectsOf(await it.type('Invite somebody and make a key'));
    assert.deepEqual([user.role, key.user_id], ['member', user.id]);
    const [rotated, deleted, log] = objectsOf(await it.type('Rotate it, revoke it, read the log'));
    assert.notEqual(rotated.key, key.key);
    assert.equal(deleted.deleted, 204);
    assert.deepEqual(log.items.map((x) => x.action), ['api_key.revoke', 'api_key.rotate', 'api_key.create', 'user.create', 'tenant.create']);
  });
});

test('no shell line of the README is left untried', () => {
  assert.equal(typed.size, text.match(/^```sh$/gm).length);
  assert.deepEqual([...typed].sort(), [...blocks.keys()].sort());
});

test('every link of the READMEs leads somewhere', () => {
  const seen = new Set();
  const look = (file) => {
    if (seen.has(file)) return;
    seen.add(file);
    for (const [, target] of readFileSync(file, 'utf8').matchAll(/\]\((?!https?:)([^)#\s]+)/g)) {
      const path = resolve(dirname(file), target);
      assert.ok(existsSync(path), `${file} links to ${target}`);
      if (path.endsWith('README.md')) look(path);
    }
  };
  look(join(root, 'README.md'));
  assert.ok(seen.size > 5);
});
