// /docs in a real browser: the reference lists what the document has, and the panel streams, cancels and resumes.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { chromium } from 'playwright-core';

import { call } from '../support/http.mjs';
import { startDev } from '../support/server.mjs';
import { patience, until } from '../support/wait.mjs';

const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

let server;
let browser;
before(async () => {
  server = await startDev();
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: flags });
});
after(async () => {
  await browser?.close();
  await server?.dispose();
});

/// A fresh page on /docs: `{page, trouble, strangers, close}`; trouble is what the console complains about.
async function openDocs(options = {}) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(patience.ms);
  const trouble = [];
  const strangers = [];
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && trouble.push(message.text()));
  page.on('pageerror', (error) => trouble.push(String(error)));
  page.on('request', (request) => {
    if (!request.url().startsWith(`${server.url}/`) && !request.url().startsWith('data:')) strangers.push(request.url());
  });
  await page.goto(`${server.url}/docs`);
  await page.locator('#operations[aria-busy=false]').waitFor();
  return { page, trouble, strangers, close: () => context.close() };
}

const answer = (page) => page.locator('.entry.agent');
const textOf = (page) => answer(page).last().evaluate((element) => element.firstChild.data);
const about = 'Please write about 60 words on rivers and their deltas';

async function say(page, text) {
  await page.locator('#message').fill(text);
  await page.locator('#send').click();
}

test('the page lists every operation of the document, with parameters, bodies and a curl line', async () => {
  const { body: document } = await call(server, 'GET', '/openapi.json');
  const { page, trouble, strangers, close } = await openDocs();
  assert.equal(await page.title(), 'kgents SaaS API v1');
  const shown = await page.locator('.operation > h3').evaluateAll((all) => all.map((h) => [...h.children].slice(0, 2).map((x) => x.textContent).join(' ')));
  const operations = Object.entries(document.paths).flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method} ${path}`));
  assert.deepEqual(shown.sort(), operations.sort());
  const links = await page.locator('nav a').evaluateAll((all) => all.map((a) => document.getElementById(a.hash.slice(1)) !== null));
  assert.equal(links.length, operations.length);
  assert.ok(links.every(Boolean), 'every link of the menu leads to its operation');
  const send = page.locator('#post_v1_kgent_sessions_id_messages');
  const words = await send.innerText();
  for (const part of ['Idempotency-Key', 'if_busy', 'Default: "queue"', 'text/event-stream', 'curl']) assert.ok(words.includes(part), part);
  assert.ok(words.includes(`${server.url}/v1/kgent/sessions/$id/messages`), 'curl names this server');
  await page.locator('#filter').fill('cancel');
  const found = Object.entries(document.paths).flatMap(([path, methods]) => Object.entries(methods).filter(([method, o]) => `${method} ${path} ${o.summary}`.toLowerCase().includes('cancel')));
  assert.ok(found.length > 0 && found.length < operations.length);
  assert.equal(await page.locator('nav li:visible').count(), found.length);
  assert.deepEqual(trouble, []);
  assert.deepEqual(strangers, []);
  await close();
});

test('a chat streams to its end, in steps, and shows what the server stored', async () => {
  const { page, trouble, strangers, close } = await openDocs();
  await say(page, about);
  await answer(page).waitFor();
  const lengths = new Set();
  await until(async () => {
    lengths.add((await textOf(page)).length);
    return (await page.locator('.entry.running').count()) === 0;
  }, 'the answer to end');
  assert.ok(lengths.size > 3, `it grew in ${lengths.size} steps`);
  assert.match(await page.locator('.foot').innerText(), /^stop, \d+ chunks, \d+ tokens$/);
  const session = (await page.locator('#state').innerText()).replace('session ', '');
  const { body } = await call(server, 'GET', `/v1/kgent/sessions/${session}/messages`, { key: 'kg_dev_bob' });
  assert.deepEqual(body.messages.map((m) => m.content), [about, await textOf(page)]);
  assert.equal(await page.locator('#cancel').isDisabled(), true);
  assert.deepEqual(trouble, []);
  assert.deepEqual(strangers, []);
  await close();
});

test('a reload in mid-answer goes on where it was, and the text is the whole one', async () => {
  const { page, trouble, close } = await openDocs();
  await say(page, about);
  await until(async () => (await answer(page).count()) > 0 && (await textOf(page)).length > 40, 'some of the answer');
  await page.reload();
  assert.ok((await textOf(page)).length > 40, 'what was there is there at once');
  await page.locator('.foot').waitFor();
  const session = (await page.locator('#state').innerText()).replace('session ', '');
  const { body } = await call(server, 'GET', `/v1/kgent/sessions/${session}/messages`, { key: 'kg_dev_bob' });
  assert.equal(await textOf(page), body.messages[1].content);
  assert.equal(await answer(page).count(), 1);
  assert.deepEqual(trouble, []);
  await close();
});

test('cancel ends the answer, and what was said of it stays', async () => {
  const { page, trouble, close } = await openDocs();
  await say(page, 'Please write about 3000 words on rivers and their deltas');
  await until(async () => (await answer(page).count()) > 0 && (await textOf(page)).length > 20, 'some of the answer');
  await page.locator('#cancel').click();
  assert.match(await page.locator('.foot').innerText(), /^canceled, /);
  assert.ok((await textOf(page)).length > 20);
  assert.deepEqual(trouble, []);
  await close();
});

test('what others say in the session is heard as well', async () => {
  const { page, close } = await openDocs();
  await say(page, about);
  await page.locator('.foot').waitFor();
  const session = (await page.locator('#state').innerText()).replace('session ', '');
  const other = await call(server, 'POST', `/v1/kgent/sessions/${session}/messages`, { key: 'kg_dev_bob', body: { message: about, stream: false } });
  await page.locator('.foot').nth(1).waitFor();
  assert.equal(await textOf(page), other.body.content);
  await close();
});

test('a message is text, not markup, and a wrong key is told', async () => {
  const { page, strangers, close } = await openDocs();
  await say(page, '<img src=x onerror="document.title=1"><b>bold</b>');
  await page.locator('.foot').waitFor();
  assert.equal(await page.locator('#log img, #log b').count(), 0);
  assert.equal(await page.title(), 'kgents SaaS API v1');
  await page.locator('#key').fill('kg_nobody_has_this');
  await page.locator('#key').blur();
  await say(page, 'hello');
  await page.locator('.entry.note').waitFor();
  assert.match(await page.locator('.entry.note').innerText(), /^401 /);
  assert.deepEqual(strangers, []);
  await close();
});

test('the page fits a phone, in light and dark', async () => {
  for (const colorScheme of ['light', 'dark']) {
    const { page, trouble, close } = await openDocs({ viewport: { width: 360, height: 740 }, colorScheme });
    const { width, background } = await page.evaluate(() => ({ width: document.documentElement.scrollWidth, background: getComputedStyle(document.body).backgroundColor }));
    assert.ok(width <= 360, `nothing is wider than the screen: ${width}`);
    const [red] = background.match(/\d+/g).map(Number);
    assert.equal(red < 128, colorScheme === 'dark');
    assert.deepEqual(trouble, []);
    await close();
  }
});

test('the policy lets nothing in but the page itself', async () => {
  for (const path of ['/docs', '/redoc']) {
    const { headers, text } = await call(server, 'GET', path);
    const policy = headers['content-security-policy'];
    assert.match(policy, /^default-src 'none'; script-src 'sha256-[A-Za-z0-9+/]{43}='; style-src 'sha256-[A-Za-z0-9+/]{43}='; connect-src 'self';/);
    assert.doesNotMatch(policy, /unsafe/);
    assert.doesNotMatch(text, /(src|href)="(https?:)?\/\//, 'nothing is loaded from elsewhere');
    assert.match(text, /<noscript>.*href="\/openapi\.json"/s);
  }
});
