// <orc-waterfall stack>: the last start, a lane for each container, and the way that it could not have been shorter than.

import { get } from "../api.js";
import { attribute, h, list, say } from "../dom.js";
import { Painted } from "../seen.js";
import { store, watch } from "../store.js";
import { clock } from "../time.js";
import { took } from "./timeline.js";

const WORDS = { waiting: "waiting", making: "making", starting: "starting", checking: "until healthy", ready: "ready" };
const TICKS = 5;
/** While something is under way: milliseconds at least, and this part of the time that it has taken. */
const AGAIN = 20_000;
const SELDOM = 20;
/** Milliseconds between a change and the question about it. */
const PAUSE = 600;

class Waterfall extends Painted {
  build() {
    this.said = h("p.path-of");
    this.axis = h("div.fall-axis", { "aria-hidden": "true" });
    this.lanes = h("ol.lanes", { "aria-label": "containers in the order of their start" });
    this.legend = h("div.legend", { "aria-hidden": "true" },
      ["waiting", "making", "starting", "checking"].map((kind) => h("span", h(`i.key.${kind}`), WORDS[kind])), h("span", h("i.key.probe"), "first probe"), h("span", h("i.key.longest"), "critical path"));
    // Empty until there is something to show: the section stays away until then.
    this.parts = [this.said, h("div.fall", this.axis, this.lanes), this.legend];
  }

  connectedCallback() {
    super.connectedCallback();
    this.ask();
  }

  come() {
    this.unwatch = watch(() => this.look());
  }

  go() {
    this.unwatch();
    clearTimeout(this.timer);
  }

  /** A start is under way, or over, when containers begin a run. */
  look() {
    const rows = [...store.stacks.get(this.getAttribute("stack"))?.rows.values() ?? []];
    const runs = rows.map((row) => `${row.name} ${row.run} ${row.health === "healthy"}`).join();
    if (runs === this.runs) return;
    const first = this.runs === undefined;
    this.runs = runs;
    if (!first) this.askIn(PAUSE);
  }

  askIn(delay) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(), delay);
  }

  async ask() {
    const stack = this.getAttribute("stack");
    try {
      this.answer = await get(`/api/stacks/${encodeURIComponent(stack)}/startup`);
    } catch {
      return;
    }
    if (!this.isConnected || !this.answer.lanes.length) return;
    if (!this.firstElementChild) this.append(...this.parts);
    this.tell();
    // What may never be ready is asked for ever more seldom.
    if (this.answer.until === null) this.askIn(Math.max(AGAIN, Date.now() - this.answer.from * 1000) / SELDOM);
  }

  tell() {
    const { from, until, lanes, critical } = this.answer;
    const end = until ?? Math.max(Date.now() / 1000, ...lanes.flatMap(({ segments }) => segments.map((one) => one.end)));
    const whole = Math.max(end - from, 0.001);
    const failed = lanes.filter((lane) => !lane.ready && lane.ended);
    const path = critical.map((name) => lanes.find(({ container }) => container === name)).filter(Boolean);
    this.said.replaceChildren(
      h("b", !until ? "Not all are ready yet" : failed.length ? `${failed.length} of ${lanes.length} did not become ready` : `Ready after ${took(until - from)}`), ` (${clock(from, true)}). `,
      ...(path.length ? ["Critical path: ", ...path.flatMap((lane, at) => [at ? " → " : "", h("b", lane.service), ` ${took(own(lane))}`])] : []));
    const step = tick(whole / TICKS);
    const ticks = Array.from({ length: Math.floor(whole / step) + 1 }, (_, at) => at * step);
    list(this.axis, ticks, (value) => value, (value) => h("span", value ? took(value) : "0"), (mark, value) => { mark.style.left = `${value / whole * 100}%`; });
    list(this.lanes, lanes, ({ container }) => container, lane, (element, one) => element.update(one, from, whole));
  }
}

customElements.define("orc-waterfall", Waterfall);

/** What a lane itself added: without its waiting for others. */
const own = ({ segments }) => segments.filter((one) => one.kind !== "ready" && !one.on).reduce((sum, { start, end }) => sum + end - start, 0);

const tick = (about) => {
  const power = 10 ** Math.floor(Math.log10(about));
  return [1, 2, 5, 10].find((factor) => factor * power >= about) * power;
};

function lane({ container, service }) {
  const name = h("span.lane-name", { title: container }, service);
  const line = h("span.lane-line");
  const after = h("span.lane-after");
  const element = h("li.lane", name, line, after);
  element.update = (one, from, whole) => {
    element.classList.toggle("critical", one.critical);
    const at = (time) => `${Math.max(0, (time - from) / whole) * 100}%`;
    const parts = one.segments.filter(({ kind }) => kind !== "ready");
    list(line, [...parts, ...(one.first_probe ? [{ kind: "probe", start: one.first_probe }] : [])], ({ kind, start, on }) => `${kind} ${start} ${on}`,
      ({ kind }) => h(`i.segment.${kind}`), (part, segment) => {
        part.style.left = at(segment.start);
        if (segment.kind === "probe") {
          attribute(part, "title", `first probe after ${took(segment.start - from)}`);
          return;
        }
        part.style.width = `max(1px, ${(segment.end - segment.start) / whole * 100}%)`;
        attribute(part, "title", `${words(segment)}: ${took(segment.end - segment.start)}${segment.text && !segment.on ? ` (${segment.text})` : ""}`);
      });
    const failed = !one.ready && one.ended;
    element.classList.toggle("failed", Boolean(failed));
    say(after, one.ready ? took(one.ready - from) : failed ? "✕ failed" : "…");
    attribute(after, "title", failed ? one.how : null);
    attribute(element, "aria-label", `${one.container}: ${parts.map((segment) => `${words(segment)} ${took(segment.end - segment.start)}`).join(", ")}${
      one.ready ? `; ready after ${took(one.ready - from)}` : failed ? `; failed: ${one.how}` : "; not ready yet"}${one.critical ? "; on the critical path" : ""}`);
  };
  return element;
}

const words = ({ kind, on }) => (on ? `waiting for ${on}` : WORDS[kind]);
