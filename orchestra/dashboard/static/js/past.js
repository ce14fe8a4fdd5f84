// What supervisors remember of health: asked for once for all elements that show it, and again when something changes.

import { get } from "./api.js";
import { store, watch } from "./store.js";

/** `seconds` back from now, in bars of `step`; `pause` at least between two questions. */
export const RANGES = {
  "1h": { seconds: 3600, step: 60, pause: 2, words: "the last hour", label: "1 h" },
  "24h": { seconds: 86400, step: 900, pause: 15, words: "the last day", label: "24 h" },
  "7d": { seconds: 7 * 86400, step: 7200, pause: 60, words: "the last week", label: "7 d" },
};

/** Verdicts of `wire/history.py` as levels; "none": nothing is known, or there was no container. */
export const LEVEL = {
  healthy: "good", running: "good",
  unhealthy: "bad", dead: "bad", restarting: "bad",
  starting: "pending", waiting: "pending",
  exited: "off", stopped: "off", paused: "off",
  absent: "none", unknown: "none",
};

/** @typedef {{start: number, end: number, verdict: string, text: string, cause: string, open: boolean}} Span */
/** @typedef {{start: number, end: number, good: number, bad: number, pending: number, off: number, none: number, worst: Span | null}} Bar */

/** Milliseconds before a question that was not answered is asked again. */
const FAILED = 1500;
const kept = new Map();

/**
 * The health of a stack's services over a range: `told({spans, outages, share, now()})`, now and after each change.
 * Returns what ends that.
 */
export function past(stack, range, told) {
  const name = `${range} ${stack}`;
  let one = kept.get(name);
  if (!one) {
    one = { stack, range, told: new Set(), answer: null, asked: 0, asking: false, again: false, timer: 0, seen: states(stack) };
    kept.set(name, one);
  }
  one.told.add(told);
  if (one.answer) told(one.answer);
  askSoon(one, 0);
  return () => {
    one.told.delete(told);
    if (one.told.size) return;
    clearTimeout(one.timer);
    if (kept.get(name) === one) kept.delete(name);
  };
}

function askSoon(one, delay) {
  const wait = Math.max(delay, one.asked + RANGES[one.range].pause * 1000 - Date.now());
  const due = Date.now() + wait;
  if (one.timer && one.due <= due) return;
  clearTimeout(one.timer);
  one.due = due;
  one.timer = setTimeout(ask, Math.max(0, wait), one);
}

async function ask(one) {
  one.timer = 0;
  if (document.hidden) {
    document.addEventListener("visibilitychange", () => askSoon(one, 0), { once: true });
    return;
  }
  // One question at a time: an answer that comes late must not hide a newer one.
  if (one.asking) {
    one.again = true;
    return;
  }
  one.asking = true;
  one.asked = Date.now();
  const { seconds, step } = RANGES[one.range];
  let again = step * 1000;
  try {
    // Whole bars, so that they stand still while time goes on.
    const start = (Math.floor(Date.now() / 1000 / step) + 1) * step - seconds;
    const answer = await get(`/api/stacks/${encodeURIComponent(one.stack)}/health`, { start });
    const ahead = answer.until - Date.now() / 1000;
    one.answer = { ...answer, now: () => Date.now() / 1000 + ahead };
  } catch {
    // Its supervisor is away; the next one is on the way.
    one.answer ??= { spans: {}, outages: [], share: {}, now: () => Date.now() / 1000 };
    again = FAILED;
  }
  one.asking = false;
  for (const told of one.told) told(one.answer);
  if (one.told.size) askSoon(one, one.again ? 0 : again);
  one.again = false;
}

/** How all containers of a stack are. */
function states(stack) {
  let text = "";
  for (const row of store.stacks.get(stack)?.rows.values() ?? []) text += `${row.name} ${row.state} ${row.health} ${row.run};`;
  return text;
}

// A container that changes its state changes the past as well.
watch(() => {
  for (const one of kept.values()) {
    const seen = states(one.stack);
    if (one.seen === seen) continue;
    one.seen = seen;
    askSoon(one, 250);
  }
});

/**
 * Spans as bars of equal length, the last one ending at or after `now`.
 * @param {Span[]} spans @param {number} now epoch seconds
 * @returns {Bar[]}
 */
export function bars(spans, range, now) {
  const { seconds, step } = RANGES[range];
  const number = Math.round(seconds / step);
  const first = (Math.floor(now / step) + 1) * step - seconds;
  const found = Array.from({ length: number }, (_, at) => (
    { start: first + at * step, end: first + (at + 1) * step, good: 0, bad: 0, pending: 0, off: 0, none: 0, worst: null }));
  for (const span of spans) {
    const end = span.open ? now : Math.min(span.end, now);
    const level = LEVEL[span.verdict] ?? "none";
    for (let at = Math.max(0, Math.floor((span.start - first) / step)); at < number; at += 1) {
      const bar = found[at];
      const overlap = Math.min(end, bar.end) - Math.max(span.start, bar.start);
      if (overlap <= 0 && bar.start >= end) break;
      if (overlap <= 0) continue;
      bar[level] += overlap;
      if (worse(level, bar.worst && LEVEL[bar.worst.verdict])) bar.worst = span;
    }
  }
  return found;
}

const ORDER = ["bad", "pending", "off", "good", "none"];
const worse = (level, than) => !than || ORDER.indexOf(level) < ORDER.indexOf(than);

/** What a bar is as a whole. */
export const levelOf = (bar) => (bar.bad ? "bad" : ORDER.find((level) => level !== "bad" && bar[level] > 0) === "pending" && bar.pending > bar.good
  ? "pending" : bar.good ? "good" : bar.off ? "off" : bar.pending ? "pending" : "none");

/** Where the past of a service is kept: a shared one's with its owner. */
export function keeperOf(store, stack, service) {
  const use = store.stacks.get(stack)?.uses?.find((one) => one.service === service);
  return use ? { stack: use.owner, service: use.owned } : { stack, service };
}
