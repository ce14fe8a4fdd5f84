// <orc-events [stack] [service] [limit]>: what happened, with its cause; newest first.

import { h, list } from "../dom.js";
import { place } from "../router.js";
import { Live, store } from "../store.js";
import { clock, full } from "../time.js";

const LEVELS = [
  [/^(oom|kill|trouble|alert)$|unhealthy/, "bad"],
  [/^(start|create|ready)$|: healthy/, "good"],
];

class Events extends Live {
  build() {
    this.extra = [];
    this.limit = Number(this.getAttribute("limit") ?? 300);
    this.items = h("ol.events");
    this.none = h("p.quiet", "Nothing happened lately.");
    this.append(this.items, this.none);
  }

  /** What a page filters by: a function from an event to whether it is shown. */
  set filter(filter) {
    this.chosen = filter;
  }

  /** Events that the page was not told of by itself; returns how many are new. */
  add(events) {
    const known = new Set([...this.extra, ...store.events].map(key));
    const fresh = events.filter((event) => !known.has(key(event)));
    this.extra = [...this.extra, ...fresh].sort((a, b) => a.time - b.time);
    this.limit += fresh.length;
    this.update(store);
    return fresh.length;
  }

  /** The time of the oldest one that is known. */
  get oldest() {
    return [...this.extra, ...store.events].reduce((least, event) => Math.min(least, event.time), Date.now() / 1000);
  }

  update(store) {
    const [stack, service] = [this.getAttribute("stack"), this.getAttribute("service")];
    const shown = [...this.extra, ...store.events].sort((a, b) => a.time - b.time)
      .filter((event) => (!stack || event.stack === stack) && (!service || event.service === service) && (!this.chosen || this.chosen(event)))
      .slice(-this.limit).reverse();
    this.none.hidden = shown.length > 0;
    list(this.items, shown, key, entry, () => {});
  }
}

customElements.define("orc-events", Events);

export const levelOf = (event) => event.action === "die" ? (Number(event.attributes.exitCode ?? 1) ? "bad" : "off") : LEVELS.find(([pattern]) => pattern.test(event.action))?.[1] ?? "off";

const key = (event) => `${event.stack} ${event.id}`;

function entry(event) {
  return h(`li.event.${levelOf(event)}`,
    h("a", { href: `/events?at=${event.time}`, title: full(event.time) }, h("time", { datetime: new Date(event.time * 1000).toISOString() }, clock(event.time, true))),
    h("a", { href: place(event.stack, event.service) }, event.service ? `${event.stack}/${event.service}` : event.stack),
    h("b", event.action.replace("health_status: ", "")),
    h("span", event.text));
}
