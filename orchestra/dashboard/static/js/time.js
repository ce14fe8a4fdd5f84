// Times as people say them. Whatever grows older is kept up to date here, by one clock for the whole page.

import { h, say } from "./dom.js";

const UNITS = [[86400 * 7, "w"], [86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

/** `12 s`, `4 min`, `3 h`: the largest unit that fits, and the next one while it is small. */
export function duration(seconds) {
  seconds = Math.max(0, Math.floor(seconds));
  for (let at = 0; at < UNITS.length; at += 1) {
    const [size, unit] = UNITS[at];
    if (seconds < size && unit !== "s") continue;
    const whole = Math.floor(seconds / size);
    const next = UNITS[at + 1];
    const rest = next ? Math.floor((seconds % size) / next[0]) : 0;
    return whole < 10 && rest && unit !== "min" ? `${whole} ${unit} ${rest} ${next[1]}` : `${whole} ${unit}`;
  }
  return "0 s";
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const SECONDS = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

/** `14:02`, with the day in front where that is not today. */
export function clock(epoch, seconds = false) {
  const date = new Date(epoch * 1000);
  const time = (seconds ? SECONDS : CLOCK).format(date);
  return date.toDateString() === new Date().toDateString() ? time : `${DAY.format(date)} ${time}`;
}

/** `14:02:11.345` of microseconds. */
export function precise(microseconds) {
  const date = new Date(microseconds / 1000);
  return `${SECONDS.format(date)}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

/** The full time, for tooltips. */
export const full = (epoch) => new Date(epoch * 1000).toLocaleString();

/** `<time>` that says how long ago `epoch` was, and goes on saying so. */
export function age(epoch) {
  return since(h("time.age"), epoch);
}

export function since(element, epoch) {
  if (!epoch) {
    delete element.dataset.since;
    say(element, "");
    return element;
  }
  if (element.dataset.since !== String(epoch)) {
    element.dataset.since = String(epoch);
    element.dateTime = new Date(epoch * 1000).toISOString();
    element.title = full(epoch);
  }
  say(element, duration(Date.now() / 1000 - epoch));
  return element;
}

setInterval(() => {
  if (document.hidden) return;
  const now = Date.now() / 1000;
  for (const element of document.querySelectorAll("time[data-since]")) say(element, duration(now - element.dataset.since));
}, 1000);
