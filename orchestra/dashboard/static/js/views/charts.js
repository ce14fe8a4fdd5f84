// <orc-charts stack [service]>: what a service or a stack uses, with limits, restarts and health on one axis of time.
// Each second while somebody looks; further back from what the supervisor has stored.

import { figures, bytes, roundUp } from "../amounts.js";
import { get } from "../api.js";
import { attribute, h, list, say } from "../dom.js";
import { LEVEL, keeperOf } from "../past.js";
import { Samples } from "../samples.js";
import { Painted, colours, sheet } from "../seen.js";
import { follow, store, watch } from "../store.js";
import { clock } from "../time.js";

const RANGES = {
  live: { seconds: 300, label: "5 min", words: "the last 5 minutes", step: 1 },
  "1h": { seconds: 3600, label: "1 h", words: "the last hour", step: 10, again: 10 },
  "24h": { seconds: 86400, label: "24 h", words: "the last day", step: 60, again: 60 },
  "7d": { seconds: 7 * 86400, label: "7 d", words: "the last week", step: 600, again: 300 },
};
const cores = (value) => `${figures(value)} ${value === 1 ? "core" : "cores"}`;
const percent = (value) => `${figures(value)} %`;
const rate = (value) => `${bytes(value)}/s`;
const PANELS = [
  { title: "Processor", unit: cores, limit: "cpu", lines: [["cpu", "used", 0], ["throttled", "held back", null, (value) => percent(value * 100)]] },
  { title: "Memory", unit: bytes, binary: true, limit: "memory", lines: [["working_set", "working set", 0, null, true], ["memory", "all", 3]] },
  { title: "Network", unit: rate, binary: true, least: 1024, lines: [["received", "in", 0], ["sent", "out", 1], ["dropped", "dropped", null, (value) => `${figures(value)}/s`, false, true]] },
  { title: "Disk", unit: rate, binary: true, least: 1024, lines: [["read", "read", 0], ["written", "written", 1]] },
  { title: "Processes", unit: figures, limit: "pids", whole: true, lines: [["pids", "running", 0]] },
  { title: "Pressure", unit: percent, least: 5, lines: [["pressure_cpu", "processor", 0], ["pressure_memory", "memory", 3], ["pressure_io", "disk", 1]] },
];
const HEIGHT = 104;
const STRIP = 9;
const MOST_STRIPS = 12;
const FROM_EVENTS = { start: "start", die: "end", oom: "oom", "health_status: unhealthy": "unhealthy", "health_status: healthy": "healthy" };
const MARKS = { restart: "bad", end: "bad", oom: "bad", unhealthy: "bad", start: "accent", up: "accent", healthy: null };

class Charts extends Painted {
  build() {
    this.range = "live";
    this.samples = new Samples();
    [this.limits, this.marks, this.spans] = [{}, new Map(), {}];
    this.step = null;
    this.at = null;
    this.ranges = Object.entries(RANGES).map(([range, { label }]) => h("button.chip", { type: "button", data: { range }, onclick: () => this.choose(range) }, label));
    this.when = h("span.quiet.when");
    this.strip = h("canvas");
    this.ends = [h("span"), h("span"), h("span")];
    const who = this.getAttribute("service") ?? this.getAttribute("stack");
    this.slider = h("div.time-strip", {
      role: "slider", tabindex: 0, "aria-label": `use of ${who} over time`, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": 100, "aria-valuetext": "now",
      onkeydown: (event) => this.key(event), onfocus: () => this.move(this.at ?? this.to()), onblur: () => this.leave(),
    }, this.strip);
    this.panels = PANELS.map((panel) => {
      const canvas = h("canvas", { "aria-hidden": "true" });
      const values = h("span.values");
      const figure = h("figure.chart", h("figcaption", h("b", panel.title), values), canvas);
      return { ...panel, figure, canvas, values };
    });
    this.grid = h("div.charts", this.panels.map(({ figure }) => figure));
    this.body = h("tbody");
    this.table = h("details.as-table", { ontoggle: () => this.tellTable() }, h("summary", "As a table"),
      h("div.scroll", { tabindex: 0, role: "region", "aria-label": "use as a table" },
        h("table.plain", h("thead", h("tr", ["", "Now", "Mean", "Most", "Limit"].map((text) => h("th", { scope: "col" }, text)))), this.body)));
    for (const part of [this.slider, this.grid]) {
      part.addEventListener("pointermove", (event) => this.point(event));
      part.addEventListener("pointerleave", () => { if (document.activeElement !== this.slider) this.leave(); });
    }
    this.append(h("div.row.timeline-head", h("div.chips", { role: "group", "aria-label": "range" }, this.ranges), this.when),
      this.slider, h("div.axis", { "aria-hidden": "true" }, this.ends), this.grid, this.table);
  }

  come() {
    const [stack, service] = [this.getAttribute("stack"), this.getAttribute("service")];
    this.whose = service ? keeperOf(store, stack, service) : { stack, service: null };
    for (const button of this.ranges) attribute(button, "aria-pressed", String(button.dataset.range === this.range));
    this.ask();
    this.unwatch = watch(() => this.noteEvents());
    if (this.range !== "live") return;
    const wish = { stack: this.whose.stack, services: this.whose.service ? [this.whose.service] : null, interval: 1 };
    this.unfollow = follow("usage", wish, ({ usage }) => {
      if (!usage) return;
      this.samples.heard(usage, Date.now() / 1000 - RANGES.live.seconds - 10);
      this.tell();
    });
  }

  go() {
    this.unfollow?.();
    this.unfollow = null;
    this.unwatch?.();
    clearTimeout(this.timer);
  }

  choose(range) {
    if (range === this.range) return;
    this.range = range;
    this.samples = new Samples();
    this.step = null;
    this.marks.clear();
    this.leave();
    if (!this.inSight) return;
    this.go();
    this.come();
  }

  async ask() {
    const { range, whose: { stack, service } } = this;
    const { seconds, step, again } = RANGES[range];
    const start = Date.now() / 1000 - seconds;
    const services = service ? [service] : undefined;
    try {
      const base = `/api/stacks/${encodeURIComponent(stack)}`;
      const [series, health] = await Promise.all([get(`${base}/series`, { service, start, step }), get(`${base}/health`, { services, start })]);
      if (range !== this.range || !this.inSight) return;
      this.samples.stored(series);
      this.step = series.step;
      this.limits = series.limits;
      for (const mark of series.marks) this.marks.set(mark.id, mark);
      this.spans = health.spans;
    } catch (error) {
      say(this.when, error.message);
    }
    this.tell();
    clearTimeout(this.timer);
    // Live ones come by themselves; how long each state lasted is asked for now and then.
    this.timer = setTimeout(() => this.again(), (again ?? 15) * 1000);
  }

  async again() {
    if (this.range !== "live") {
      await this.ask();
      return;
    }
    const { stack, service } = this.whose;
    const start = Date.now() / 1000 - RANGES.live.seconds;
    try {
      this.spans = (await get(`/api/stacks/${encodeURIComponent(stack)}/health`, { services: service ? [service] : undefined, start })).spans;
    } catch {
      return;
    } finally {
      if (this.inSight) this.timer = setTimeout(() => this.again(), 15_000);
    }
  }

  /** Restarts and the like show at once. */
  noteEvents() {
    const last = store.events.at(-1);
    if (!last || last.id === this.lastEvent) return;
    const { stack, service } = this.whose;
    let changed = false;
    for (let at = store.events.length - 1; at >= 0 && store.events[at].id !== this.lastEvent; at -= 1) {
      const event = store.events[at];
      const kind = FROM_EVENTS[event.action];
      if (!kind || event.stack !== stack || (service && event.service !== service) || this.marks.has(event.id) || event.time < this.from()) continue;
      this.marks.set(event.id, { ...event, kind });
      changed ||= Boolean(this.lastEvent);
    }
    this.lastEvent = last.id;
    if (!changed) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.again(), 400);
    this.paintSoon();
  }

  to() {
    return this.samples.until || Date.now() / 1000;
  }

  from() {
    return this.to() - RANGES[this.range].seconds;
  }

  reach() {
    return Math.max((this.step ?? RANGES[this.range].step) * 2, 12);
  }

  // The place that is looked at

  point(event) {
    const canvas = event.target.closest("canvas");
    if (!canvas) return;
    const box = canvas.getBoundingClientRect();
    this.move(this.from() + (event.clientX - box.left) / box.width * RANGES[this.range].seconds);
  }

  key(event) {
    const { seconds } = RANGES[this.range];
    const step = Math.max(RANGES[this.range].step, seconds / 300);
    const steps = { ArrowLeft: -step, ArrowRight: step, PageUp: -seconds / 10, PageDown: seconds / 10, Home: -seconds, End: seconds };
    if (event.key === "Escape") this.leave();
    if (!(event.key in steps)) return;
    event.preventDefault();
    event.stopPropagation();
    this.move((this.at ?? this.to()) + steps[event.key]);
  }

  move(time) {
    this.at = Math.max(this.from(), Math.min(this.to(), time));
    this.tell();
    const { seconds } = RANGES[this.range];
    attribute(this.slider, "aria-valuenow", Math.round((this.at - this.from()) / seconds * 100));
    attribute(this.slider, "aria-valuetext", `${clock(this.at, true)}: ${this.panels.map((panel) => `${panel.title} ${this.read(panel, this.at).map(([name, value]) => `${name} ${value}`).join(", ")}`).join("; ")}${this.near().map(({ text }) => `; ${text}`).join("")}`);
  }

  leave() {
    this.at = null;
    attribute(this.slider, "aria-valuenow", 100);
    attribute(this.slider, "aria-valuetext", "now");
    this.tell();
  }

  near() {
    return [...this.marks.values()].filter(({ time }) => Math.abs(time - this.at) < RANGES[this.range].seconds / 150);
  }

  /** The values of a panel at a time: `[["used", "0.2 cores"], …]`. */
  read(panel, time) {
    const limit = panel.limit && this.limits[panel.limit];
    return panel.lines.flatMap(([metric, name, , unit, , seldom], at) => {
      const point = this.samples.at(metric, time, this.reach());
      if (!point || (seldom && !point[2])) return [];
      const shown = (unit ?? panel.unit)(panel.whole ? Math.round(point[2]) : point[2]);
      return [[name, limit && at === 0 ? `${shown} of ${panel.unit(limit)}` : shown]];
    });
  }

  tell() {
    const time = this.at ?? this.to();
    say(this.when, this.at === null ? "" : [clock(this.at, true), ...this.near().map(({ text }) => text)].join(" · "));
    for (const panel of this.panels) {
      const known = panel.lines.some(([metric]) => this.samples.series[metric]?.length);
      panel.figure.hidden = !known;
      if (!known) continue;
      list(panel.values, this.read(panel, time), ([name]) => name, ([name]) => h("span", h(`i.swatch${swatch(panel, name)}`), name, " ", h("b")), (part, [, value]) => say(part.lastChild, value));
    }
    say(this.ends[0], clock(this.from(), this.range === "live"));
    say(this.ends[1], this.samples.until ? "" : "waiting for the first values …");
    say(this.ends[2], "now");
    if (this.table.open) this.tellTable();
    this.paintSoon();
  }

  tellTable() {
    if (!this.table.open) return;
    const rows = this.panels.flatMap((panel) => panel.lines.filter(([metric]) => this.samples.series[metric]?.length).map(([metric, name, , unit], at) => {
      const points = this.samples.series[metric];
      const shown = (value) => (unit ?? panel.unit)(panel.whole ? Math.round(value) : value);
      const limit = at === 0 && panel.limit && this.limits[panel.limit];
      return { metric, texts: [shown(points.at(-1)[2]), shown(points.reduce((sum, point) => sum + point[2], 0) / points.length), shown(Math.max(...points.map((point) => point[3]))), limit ? panel.unit(limit) : ""], title: `${panel.title}, ${name}` };
    }));
    list(this.body, rows, ({ metric }) => metric, ({ title }) => h("tr", h("th", { scope: "row" }, title), Array.from({ length: 4 }, () => h("td.number"))), (row, { texts }) => {
      texts.forEach((text, at) => say(row.children[at + 1], text));
    });
  }

  // Drawing

  paint() {
    // All sizes are read before anything is drawn: one layout for a frame.
    const widths = this.panels.map(({ canvas, figure }) => (figure.hidden ? 0 : canvas.clientWidth));
    this.paintStrip(this.slider.clientWidth);
    this.panels.forEach((panel, at) => { if (widths[at]) this.paintPanel(panel, widths[at]); });
  }

  paintStrip(width) {
    const colour = colours();
    const names = Object.keys(this.spans).sort().slice(0, MOST_STRIPS);
    const high = names.length > 1 ? STRIP : 14;
    const height = Math.max(1, names.length) * (high + 1) + 12;
    this.strip.style.height = `${height}px`;
    const context = sheet(this.strip, width, height);
    const [from, seconds] = [this.from(), RANGES[this.range].seconds];
    const x = (time) => Math.max(0, Math.min(width, (time - from) / seconds * width));
    names.forEach((name, row) => {
      for (const span of this.spans[name]) {
        const level = LEVEL[span.verdict] ?? "none";
        const [a, b] = [x(span.start), x(span.open ? this.to() : span.end)];
        if (b <= a) continue;
        context.fillStyle = level === "none" ? colour.line : colour[`${level}-strong`];
        const tall = level === "bad" ? high : high - 3;
        context.fillRect(a, 12 + row * (high + 1) + high - tall, Math.max(b - a, level === "bad" ? 2 : 0.5), tall);
      }
    });
    context.font = "10.5px sans-serif";
    let free = 0;
    for (const mark of this.sorted()) {
      const at = x(mark.time);
      const word = { restart: "restart", end: "ended", oom: "out of memory", start: "start", up: "up", unhealthy: "unhealthy" }[mark.kind];
      if (!word || at < free || at <= 0) continue;
      const wide = context.measureText(word).width;
      context.fillStyle = MARKS[mark.kind] === "bad" ? colour.bad : colour.quiet;
      context.fillText(word, Math.min(at + 3, width - wide), 9);
      free = at + wide + 12;
    }
    this.paintMarks(context, width, height, 12);  // below the words
  }

  sorted() {
    return [...this.marks.values()].filter(({ time }) => time >= this.from()).sort((a, b) => a.time - b.time);
  }

  paintMarks(context, width, height, top = 0) {
    const colour = colours();
    const [from, seconds] = [this.from(), RANGES[this.range].seconds];
    context.lineWidth = 1;
    for (const mark of this.sorted()) {
      const kind = MARKS[mark.kind];
      if (!kind) continue;
      context.strokeStyle = colour[kind];
      context.globalAlpha = 0.55;
      context.setLineDash(mark.kind === "start" || mark.kind === "up" ? [2, 3] : []);
      vertical(context, (mark.time - from) / seconds * width, height, top);
    }
    context.setLineDash([]);
    context.globalAlpha = 1;
    if (this.at === null) return;
    context.strokeStyle = colour.text;
    vertical(context, (this.at - from) / seconds * width, height);
  }

  paintPanel(panel, width) {
    const colour = colours();
    const context = sheet(panel.canvas, width, HEIGHT);
    const { series } = this.samples;
    const own = panel.lines.filter(([, , hue]) => hue !== null);
    const most = Math.max(panel.least ?? 0, ...own.flatMap(([metric]) => (series[metric] ?? []).map((point) => point[3])));
    const limit = panel.limit && this.limits[panel.limit];
    const near = limit && most > limit * 0.3;
    const end = roundUp(Math.max(most * 1.05, near ? limit * 1.05 : 0), panel.binary);
    const y = (value) => HEIGHT - 1 - value / end * (HEIGHT - 12);
    context.strokeStyle = colour.line;
    context.lineWidth = 1;
    for (const value of [0, end / 2, end]) horizontal(context, y(value), width);
    for (const [metric, , hue, , filled] of [...panel.lines].reverse()) {
      const points = series[metric] ?? [];
      if (hue === null) {
        if (metric === "throttled") this.paintLine(context, points, width, (value) => HEIGHT - 1 - Math.min(1, value) * (HEIGHT - 12), colour["pending-strong"], true, true);
      } else this.paintLine(context, points, width, y, colour[`hue-${hue}`], filled, false);
    }
    if (limit && near) {
      context.strokeStyle = colour["bad-strong"];
      context.setLineDash([5, 3]);
      horizontal(context, y(limit), width);
      context.setLineDash([]);
    }
    this.paintMarks(context, width, HEIGHT);
    context.font = "10.5px sans-serif";
    context.fillStyle = colour.quiet;
    context.fillText(panel.unit(end), 1, y(end) - 3);
  }

  paintLine(context, points, width, y, stroke, filled, faint) {
    const [from, seconds] = [this.from(), RANGES[this.range].seconds];
    const gap = this.reach() * 1.5;
    const x = (time) => (time - from) / seconds * width;
    const runs = [];
    for (const point of points) {
      if (runs.length && point[0] - runs.at(-1).at(-1)[0] <= gap) runs.at(-1).push(point);
      else runs.push([point]);
    }
    for (const run of runs) {
      const spread = run.some(([, least, , most]) => most - least > 1e-9);
      if (spread || filled) {
        context.fillStyle = stroke;
        context.globalAlpha = faint ? 0.3 : 0.14;
        context.beginPath();
        run.forEach(([time, , mean, most]) => context.lineTo(x(time), y(spread ? most : mean)));
        if (filled) {
          context.lineTo(x(run.at(-1)[0]), y(0));
          context.lineTo(x(run[0][0]), y(0));
        } else for (let at = run.length - 1; at >= 0; at -= 1) context.lineTo(x(run[at][0]), y(run[at][1]));
        context.fill();
        context.globalAlpha = 1;
      }
      if (faint) continue;
      context.strokeStyle = stroke;
      context.lineWidth = 1.5;
      context.lineJoin = "round";
      context.beginPath();
      run.forEach(([time, , mean]) => context.lineTo(x(time), y(mean)));
      if (run.length === 1) context.lineTo(x(run[0][0]) + 1.5, y(run[0][2]));
      context.stroke();
    }
  }
}

customElements.define("orc-charts", Charts);

const swatch = (panel, name) => {
  const hue = panel.lines.find((line) => line[1] === name)[2];
  return hue === null ? ".held" : `.hue-${hue}`;
};

function vertical(context, x, height, top = 0) {
  context.beginPath();
  context.moveTo(Math.round(x) + 0.5, top);
  context.lineTo(Math.round(x) + 0.5, height);
  context.stroke();
}

function horizontal(context, y, width) {
  context.beginPath();
  context.moveTo(0, Math.round(y) - 0.5);
  context.lineTo(width, Math.round(y) - 0.5);
  context.stroke();
}
