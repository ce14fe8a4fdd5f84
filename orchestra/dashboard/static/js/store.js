// What is known, kept live by one stream for the whole page. Elements read it and are told once a frame that it changed.

import { get, post, remove, withKey } from "./api.js";

const EVENTS_KEPT = 500;
/** Hidden pages that keep their streams. */
const SLOTS = 3;
/** Milliseconds. */
const REST_AFTER = 30_000;
/** Milliseconds without a word, not even that there is none: a laptop slept, or the network went without goodbye. */
const SILENCE = 40_000;
/** Milliseconds. */
export const CRASH_SHOWN = 1000;

export const store = {
  /** name -> {name, directory, files, networks, notices, reachable, services, rows: Map, causes} */
  stacks: new Map(),
  /** newest last: {stack, time, action, service, container, text, attributes} */
  events: [],
  /** "connecting", "live", "lost" (comes back by itself), "ended" (a new link is needed) */
  connection: "connecting",
  /** a first snapshot has arrived */
  ready: false,
  /** what the server allows: {read_only, exec, home} */
  allowed: { read_only: true, exec: false, home: "" },
  /** "stack/service" -> what a person asked for last, see actions.js */
  deeds: new Map(),
};

const watchers = new Set();
const topics = new Map();
let page = null;
let source = null;
let mark = "";
let due = false;
let lastTopic = 0;
let lastWord = 0;

/** Call `told(store)` after each change, once a frame at most; returns what ends that. */
export function watch(told) {
  watchers.add(told);
  return () => watchers.delete(told);
}

/** Tell the watchers that something in the store has changed. */
export function changed() {
  if (due) return;
  due = true;
  // A hidden page gets no frames, but its title and icon should still be right.
  if (document.hidden) setTimeout(tell, 250);
  else requestAnimationFrame(tell);
}

function tell() {
  due = false;
  for (const told of [...watchers]) told(store);
}

/** An element that shows something of the store: `update(store)` is called when it is shown and at each change. */
export class Live extends HTMLElement {
  connectedCallback() {
    if (!this.built) {
      this.built = true;
      this.build();
    }
    this.unwatch = watch(() => this.update(store));
    this.update(store);
  }

  disconnectedCallback() {
    this.unwatch?.();
  }

  /** Once, before the first update. */
  build() {}

  update() {}
}

/**
 * Something that only this page wants: `follow("logs", {stack, services}, message => …)`; returns what ends it.
 * After a lost connection it begins anew, with `{again: true}` as the first message.
 */
export function follow(kind, wish, heard) {
  lastTopic += 1;
  const number = `t${lastTopic}`;
  topics.set(number, { kind, wish, heard });
  begin(number);
  return () => {
    topics.delete(number);
    if (page) remove(`/api/stream/${page}/${number}`).catch(() => {});
  };
}

async function begin(number) {
  if (!page) return;
  const { kind, wish, heard } = topics.get(number);
  try {
    await post(`/api/stream/${page}/${number}`, { kind, ...wish });
  } catch (error) {
    heard({ error: { what: error.message, hint: error.hint } });
  }
}

/** Open the stream; the browser opens it again when it breaks, and is told what it missed. */
export function connect() {
  source?.close();
  source = new EventSource(withKey("/api/stream", { mark }));
  lastWord = Date.now();
  on("beat", () => {});
  on("hello", ({ page: name, ...allowed }) => {
    const again = page !== null;
    page = name;
    Object.assign(store.allowed, allowed);
    store.connection = "live";
    for (const [number, { heard }] of topics) {
      if (again) heard({ again: true });
      begin(number);
    }
  });
  on("snapshot", ({ stacks, events }) => {
    store.stacks = new Map(Object.values(stacks).map((stack) => [stack.name, known(stack)]));
    store.events = events.sort((a, b) => a.time - b.time);
    store.ready = true;
  });
  on("stack", (about) => {
    store.stacks.set(about.name, { ...(store.stacks.get(about.name) ?? known({})), ...about });
  });
  on("vanished", ({ stack }) => store.stacks.delete(stack));
  on("causes", ({ stack, causes }) => {
    const one = store.stacks.get(stack);
    if (one) one.causes = causes;
  });
  on("rows", ({ stack, rows }) => {
    const one = store.stacks.get(stack);
    if (!one) return;
    for (const row of rows) {
      if (row.gone) one.rows.delete(row.name);
      else one.rows.set(row.name, marked(row, one.rows.get(row.name)));
    }
  });
  on("event", (event) => {
    let at = store.events.length;
    while (at && store.events[at - 1].time > event.time) at -= 1;
    store.events.splice(at, 0, event);
    if (store.events.length > EVENTS_KEPT) store.events.splice(0, store.events.length - EVENTS_KEPT);
  });
  source.addEventListener("topic", ({ data }) => {
    lastWord = Date.now();
    const { topic, ...message } = JSON.parse(data);
    topics.get(topic)?.heard(message);
  });
  source.addEventListener("error", lost);
}

const known = ({ rows = [], causes = {}, ...stack }) => ({
  services: {}, ...stack, causes, rows: new Map(rows.map((row) => [row.name, row])),
});

/** A crash that is over before anybody could see it stays to be seen for a moment. */
function marked(row, before) {
  const crashed = before && row.restarts > before.restarts;
  row.crashed = crashed ? Date.now() : before?.crashed;
  if (crashed) setTimeout(changed, CRASH_SHOWN + 20);
  return row;
}

function on(kind, take) {
  source.addEventListener(kind, ({ data, lastEventId }) => {
    lastWord = Date.now();
    mark = lastEventId || mark;
    take(JSON.parse(data));
    changed();
  });
}

/** Look now and then whether the stream is alive: a connection that nobody has closed may be dead for an hour. */
export function listenForSilence() {
  setInterval(() => {
    if (source.readyState === EventSource.CLOSED || Date.now() - lastWord < SILENCE) return;
    store.connection = "lost";
    changed();
    connect();
  }, SILENCE / 8);
}

/**
 * Browsers open six connections to a host, for all of its pages together: a seventh page would wait for ever. So only
 * a few hidden pages keep their streams; others close them after a while, and ask for what they missed when they are
 * looked at again.
 */
export function giveWay() {
  let resting = 0;
  document.addEventListener("visibilitychange", async () => {
    clearTimeout(resting);
    if (!document.hidden) {
      if (source.readyState === EventSource.CLOSED && store.connection !== "ended") connect();
    } else if (!(await hasSlot())) {
      resting = setTimeout(() => source.close(), REST_AFTER);
    }
  });
}

let slot = false;

async function hasSlot() {
  for (let number = 0; navigator.locks && !slot && number < SLOTS; number += 1) {
    await new Promise((told) => {
      // The lock is held for as long as its promise is open: for the life of the page.
      navigator.locks.request(`orchestra-stream-${number}`, { ifAvailable: true }, (lock) => {
        slot = Boolean(lock);
        told();
        return lock ? new Promise(() => {}) : null;
      });
    });
  }
  return slot;
}

async function lost() {
  store.connection = "lost";
  changed();
  if (source.readyState !== EventSource.CLOSED) return;
  // It was refused rather than cut: find out whether the session is over.
  try {
    await get("/api/state");
  } catch (error) {
    if (error.status === 401 || error.status === 403) {
      store.connection = "ended";
      changed();
      return;
    }
  }
  setTimeout(connect, 1000);
}
