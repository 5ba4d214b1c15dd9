// The live panel. One follower reads the session's stream, whoever asks; a message is only posted. So a reload, a restart
// of the server and a second tab are all the same case: follow again from the id of the last event.
(function chat() {
  const storeKey = 'kgents.chat';
  const local = ['127.0.0.1', 'localhost', '[::1]'].includes(location.hostname);
  const blank = () => ({ key: local ? 'kg_dev_bob' : '', session: null, last: null, entries: [] });
  let state = blank();
  try {
    state = { ...state, ...JSON.parse(sessionStorage.getItem(storeKey) ?? '{}') };
  } catch {
    // No storage, or not ours: a conversation then lasts as long as the page.
  }
  const shown = new Map();  // entry -> its element
  const log = byId('log');
  let follower = null;

  function save() {
    state.entries = state.entries.slice(-100);
    try {
      sessionStorage.setItem(storeKey, JSON.stringify(state));
    } catch {
      // Full or forbidden; see above.
    }
  }

  const status = (text) => (byId('state').textContent = text);
  const running = () => state.entries.some((entry) => entry.role === 'agent' && !entry.end);

  function draw(entry) {
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    let element = shown.get(entry);
    if (!element) {
      element = make('div', {}, document.createTextNode(''));
      shown.set(entry, element);
      log.append(element);
    }
    element.className = `entry ${entry.role}` + (entry.role === 'agent' && !entry.end ? ' running' : '') +
      (entry.failed ? ' failed' : '');
    element.firstChild.data = entry.text;
    if (entry.end && element.childNodes.length === 1) element.append(make('span', { cls: 'foot', text: entry.end }));
    if (atEnd) log.scrollTop = log.scrollHeight;
    byId('cancel').disabled = !running();
  }

  function add(entry) {
    state.entries.push(entry);
    draw(entry);
    save();
    return entry;
  }

  const note = (text) => add({ role: 'note', text });

  async function ask(method, path, body, signal) {
    const headers = { 'X-API-Key': state.key };
    if (body) headers['Content-Type'] = 'application/json';
    const answer = await fetch(path, { method, headers, signal, cache: 'no-store', body: body && JSON.stringify(body) });
    if (answer.ok) return answer;
    let detail = '';
    try {
      detail = (await answer.json()).detail;
    } catch {
      // A proxy's page, not an answer of ours.
    }
    const error = new Error(`${answer.status} ${typeof detail === 'string' ? detail : JSON.stringify(detail)}`);
    error.final = answer.status < 500 && answer.status !== 429;
    throw error;
  }

  // The fields of one event-stream frame (WHATWG HTML 9.2.6); comments and fields we do not use fall away.
  function parse(frame) {
    const event = { event: 'message', id: null, data: '' };
    for (const line of frame.split('\n')) {
      const [, name, value] = /^(\w+): ?(.*)$/.exec(line) ?? [];
      if (name === 'data') event.data += (event.data && '\n') + value;
      else if (name === 'event' || name === 'id') event[name] = value;
    }
    return event;
  }

  async function* events(answer) {
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const frames = (rest + value).split('\n\n');
      rest = frames.pop();
      for (const frame of frames) {
        const event = parse(frame);
        if (event.data) yield event;
      }
    }
  }

  function apply({ event, id, data }) {
    const it = JSON.parse(data);
    const turn = it.turn_id ?? id?.split(':')[0];
    let answer = state.entries.find((entry) => entry.role === 'agent' && entry.turn === turn);
    if (event === 'turn' || (!answer && event === 'chunk')) {
      const question = state.entries.find((entry) => entry.role === 'user' && (entry.turn === turn || !entry.turn));
      if (question) question.turn = turn;
      else note('A message from another client:');
      answer ??= { role: 'agent', turn, text: '', mode: it.mode };
      if (!shown.has(answer)) state.entries.push(answer);
    }
    if (event === 'chunk') answer.text += it.text;
    if (event === 'complete' && answer)
      answer.end = `${it.finish_reason}, ${it.chunks} chunks, ${it.tokens_used} tokens`;
    if (event === 'error' && answer) Object.assign(answer, { failed: true, end: `${it.type}: ${it.error}` });
    if (event === 'gap') note('Some events are no longer known.');
    if (id) state.last = id;
    if (answer) draw(answer);
    save();
  }

  // Reads until it is told to stop, and comes back by itself from wherever it was.
  async function follow() {
    follower?.abort();
    const mine = (follower = new AbortController());
    let wait = 500;
    while (!mine.signal.aborted) {
      try {
        const after = state.last ? `?after=${encodeURIComponent(state.last)}` : '';
        const answer = await ask('GET', `/v1/kgent/sessions/${state.session}/stream${after}`, null, mine.signal);
        status(`session ${state.session}`);
        mine.opened?.();
        wait = 500;
        for await (const event of events(answer)) apply(event);
      } catch (error) {
        if (mine.signal.aborted) return;
        if (error.final) {
          state.session = null;
          for (const entry of state.entries)
            if (entry.role === 'agent' && !entry.end) draw(Object.assign(entry, { failed: true, end: 'lost' }));
          status(error.message);
          save();
          return;
        }
      }
      status('connection lost, trying again\u2026');
      await new Promise((resolve) => setTimeout(resolve, wait));
      wait = Math.min(2 * wait, 8000);
    }
  }

  function startFollowing() {
    const done = follow();
    const opened = new Promise((resolve) => (follower.opened = resolve));
    return Promise.race([opened, done]);
  }

  async function open() {
    const answer = await ask('POST', '/v1/kgent/sessions', { mode: byId('mode').value });
    state.session = (await answer.json()).id;
    state.last = null;
    save();
    await startFollowing();
  }

  function forget() {
    follower?.abort();
    state = { ...blank(), key: state.key };
    shown.clear();
    log.replaceChildren();
    byId('cancel').disabled = true;
    status('no session');
    save();
  }

  // Where it listens is settled before the message goes out, so no event can come too early to be heard.
  async function send(text) {
    if (!state.session) await open();
    if (!state.session) return;  // refused, and said so
    const question = add({ role: 'user', text });
    try {
      const answer = await ask('POST', `/v1/kgent/sessions/${state.session}/messages`,
        { message: text, mode: byId('mode').value, stream: true });
      question.turn = answer.headers.get('X-Turn-Id') ?? question.turn;
      save();
      await answer.body.cancel();  // the follower hears it all; the turn does not mind
    } catch (error) {
      question.turn ??= 'refused';
      note(error.message);
    }
  }

  const guarded = (action) => action().catch((error) => note(error.message));

  byId('form').addEventListener('submit', (event) => {
    event.preventDefault();
    const text = byId('message').value.trim() || byId('message').placeholder;
    byId('message').value = '';
    guarded(() => send(text));
  });
  byId('message').addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    byId('form').requestSubmit();
  });
  byId('cancel').addEventListener('click', () =>
    guarded(() => ask('POST', `/v1/kgent/sessions/${state.session}/cancel`)));
  byId('fresh').addEventListener('click', () => {
    forget();
    guarded(open);
  });
  byId('key').addEventListener('change', (event) => {
    state.key = event.target.value.trim();
    forget();
  });

  byId('key').value = state.key;
  for (const entry of state.entries) draw(entry);
  if (state.session) startFollowing();
})();
