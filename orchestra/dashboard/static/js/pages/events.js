// The feed of all events: to filter, to go back in, and to link to.

import { get } from "../api.js";
import { h } from "../dom.js";
import { note } from "../router.js";
import { changed, store } from "../store.js";
import "../elements/events.js";

const AROUND = 120;
const AT_A_TIME = 100;

export function eventsPage(_, query) {
  const [stack, service] = [query.get("stack"), query.get("service")];
  const at = Number(query.get("at")) || null;
  const words = h("input", { type: "search", placeholder: "filter: service, action, words", "aria-label": "filter events", value: query.get("q") ?? "" });
  const feed = h("orc-events", { stack, service });
  const earlier = h("button", { type: "button", onclick: () => back() }, "Earlier");
  const status = h("span.quiet", { role: "status" });
  feed.filter = (event) => {
    if (at && Math.abs(event.time - at) > AROUND) return false;
    const text = `${event.stack}/${event.service} ${event.container} ${event.action} ${event.text}`.toLowerCase();
    return words.value.toLowerCase().split(/\s+/).every((word) => text.includes(word));
  };
  words.addEventListener("input", () => {
    note({ q: words.value, stack, service });
    changed();
  });

  /** Stored ones of every stack that is shown, put before those that are known. */
  async function back(parameters = { until: feed.oldest, limit: AT_A_TIME }) {
    const names = stack ? [stack] : [...store.stacks.keys()];
    const answers = await Promise.allSettled(names.map((name) => get("/api/events", { stack: name, service, q: words.value, ...parameters })));
    const found = answers.flatMap((answer) => answer.value?.events ?? []);
    const fresh = feed.add(found);
    status.textContent = fresh ? "" : "There is nothing earlier.";
  }

  if (at) {
    // A link may lead to what the page was never told of.
    const wait = () => (store.ready ? back({ since: at - AROUND, until: at + AROUND }) : setTimeout(wait, 50));
    wait();
  }
  return h("div.page",
    h("header.object", h("h1", "Events"), words, at && h("a", { href: "/events" }, "show all")),
    feed,
    h("div.row", !at && earlier, status));
}
