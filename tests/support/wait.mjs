// Waiting with a deadline. Every wait of the suites goes through here, so that a server that never answers fails a test
// with a sentence instead of hanging the run.

/// Generous on purpose: the suites share two cores with a compiler, PostgreSQL and the server under sanitizers.
export const patience = { ms: 30 * 1000 * Number(process.env.KGENTS_TEST_PATIENCE ?? 1) };

/// The promise's outcome, or an error that says what was awaited.
export async function within(promise, what, ms = patience.ms) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms} ms for ${what}`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/// Asks again until `probe` returns something truthy: for states that nobody announces (a row, a process list).
export async function until(probe, what, ms = patience.ms) {
  const deadline = Date.now() + ms;
  for (;;) {
    const value = await probe();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`waited ${ms} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
}

/// A queue between a callback API and `await`: one producer, one consumer, an end.
export class Inbox {
  items = [];
  seen = [];
  ended = false;
  #wake = null;

  push(item) {
    this.items.push(item);
    this.seen.push(item);
    this.#wake?.();
  }

  end() {
    this.ended = true;
    this.#wake?.();
  }

  /// The next item; null once the producer has ended and everything was taken.
  async next(what = 'the next item', ms = patience.ms) {
    while (this.items.length === 0) {
      if (this.ended) return null;
      await within(new Promise((resolve) => (this.#wake = resolve)), what, ms);
      this.#wake = null;
    }
    return this.items.shift();
  }
}
