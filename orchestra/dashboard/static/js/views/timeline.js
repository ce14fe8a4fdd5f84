// <orc-timeline stack service range [compact]>: how well a service was, as bars over time, with outages and their causes.

import { get } from "../api.js";
import { attribute, h, icon, list, say } from "../dom.js";
import { RANGES, bars, keeperOf, levelOf, past } from "../past.js";
import { Painted, colours, sheet } from "../seen.js";
import { store } from "../store.js";
import { hideTip, showTip } from "../tip.js";
import { clock, duration } from "../time.js";

const COMPACT = { width: 190, height: 22 };
const HEIGHT = 44;
const PROBES = 30;
const OUTAGES_SHOWN = 6;
/** Milliseconds for each second of a range's pause. */
const PROBES_AGAIN = 5000;
const WORDS = { good: "well", bad: "not well", pending: "not ready yet", off: "not running", none: "nothing known" };

class Timeline extends Painted {
  build() {
    this.range = this.getAttribute("range") ?? "1h";
    this.compact = this.hasAttribute("compact");
    this.canvas = h("canvas");
    if (this.compact) {
      this.setAttribute("role", "img");
      this.setAttribute("aria-label", `health of ${this.getAttribute("service")} in ${RANGES[this.range].words}`);
      this.append(this.canvas);
      return;
    }
    this.at = null;
    this.ranges = Object.entries(RANGES).map(([range, { label }]) => h("button.chip", { type: "button", onclick: () => this.choose(range), data: { range } }, label));
    this.share = h("span.quiet");
    this.strip = h("div.strip", {
      role: "slider", tabindex: 0, "aria-valuemin": 0, "aria-valuemax": 59, "aria-valuenow": 59, "aria-label": `health of ${this.getAttribute("service")} over time`,
      onkeydown: (event) => this.key(event), onfocus: () => this.move(this.at ?? this.bars?.length - 1, true), onblur: () => this.leave(),
      onpointermove: (event) => this.point(event), onpointerleave: () => { if (document.activeElement !== this.strip) this.leave(); },
    }, this.canvas);
    this.ends = [h("span"), h("span", "now")];
    this.outages = h("ol.outages");
    this.more = h("button.plain-link", { type: "button", hidden: true, onclick: () => { this.whole = true; this.tell(); } });
    this.append(
      h("div.row.timeline-head", h("div.chips", { role: "group", "aria-label": "range" }, this.ranges), this.share),
      this.strip, h("div.axis", { "aria-hidden": "true" }, this.ends), this.outages, this.more);
  }

  come() {
    const { stack, service } = keeperOf(store, this.getAttribute("stack"), this.getAttribute("service"));
    this.whose = { stack, service };
    this.end = past(stack, this.range, (answer) => this.heard(answer));
    if (!this.compact) {
      for (const button of this.ranges) attribute(button, "aria-pressed", String(button.dataset.range === this.range));
      this.askProbes();
    }
  }

  go() {
    this.end?.();
    clearTimeout(this.probing);
  }

  choose(range) {
    this.range = range;
    this.at = null;
    this.probes = null;
    if (!this.inSight) return;
    this.go();
    this.come();
  }

  heard(answer) {
    this.answer = answer;
    this.bars = bars(answer.spans[this.whose.service] ?? [], this.range, answer.now());
    if (this.compact) attribute(this, "aria-label", this.sentence());
    else this.tell();
    this.paintSoon();
  }

  /** Probes are told by the minute, and written down every ten seconds. */
  async askProbes() {
    clearTimeout(this.probing);
    const { range, whose: { stack, service } } = this;
    try {
      const start = Date.now() / 1000 - RANGES[range].seconds;
      const { probes } = await get(`/api/stacks/${encodeURIComponent(stack)}/probes`, { services: [service], start });
      if (range !== this.range) return;
      this.probes = Object.values(probes).flat();
    } catch {
      this.probes ??= [];
    }
    if (!this.inSight) return;
    this.probing = setTimeout(() => this.askProbes(), PROBES_AGAIN * RANGES[range].pause);
    if (this.bars) this.valued();
    this.paintSoon();
  }

  mine() {
    return this.answer.outages.filter(({ service }) => service === this.whose.service).sort((a, b) => b.start - a.start);
  }

  sentence() {
    const share = this.answer.share[this.whose.service];
    const [last] = this.mine();
    const known = share === undefined || share === null ? "nothing is known" : `well for ${percent(share)}`;
    return `${known} of ${RANGES[this.range].words}${last ? `; last outage ${outage(last)}` : ""}`;
  }

  tell() {
    const share = this.answer.share[this.whose.service];
    const all = this.mine();
    say(this.share, share === undefined || share === null ? "" : `${percent(share)} of ${RANGES[this.range].words}${all.length ? `, ${all.length === 1 ? "one outage" : `${all.length} outages`}` : ", no outage"}`);
    say(this.ends[0], clock(this.bars[0].start));
    attribute(this.strip, "aria-valuemax", this.bars.length - 1);
    this.valued();
    const shown = this.whole ? all : all.slice(0, OUTAGES_SHOWN);
    list(this.outages, shown, ({ start }) => start, () => h("li.outage", h("span.when"), h("span.what"), h("span.links")), (item, one) => this.entry(item, one));
    this.more.hidden = shown.length === all.length;
    say(this.more, `show all ${all.length}`);
  }

  entry(item, one) {
    const text = `${one.end} ${one.cause} ${one.restarts} ${one.open}`;
    if (item.shown === text) return;
    item.shown = text;
    item.classList.toggle("open", one.open);
    const [when, what, links] = item.children;
    when.replaceChildren(icon("bad"), ` ${clock(one.start, true)} – ${one.open ? "now" : clock(one.end, true)}`, h("span.quiet", ` ${lasted(one.end - one.start)}`));
    what.replaceChildren(h("b", one.verdict), ` ${one.cause}${restarted(one)}`);
    const { stack, service } = this.whose;
    links.replaceChildren(
      h("a", { href: `/logs?${new URLSearchParams({ stack, service, at: String(Math.round(one.start)) })}` }, "logs"), " ",
      h("a", { href: `/events?${new URLSearchParams({ at: String(one.start) })}` }, "events"));
  }

  // What is under the pointer, or has the focus

  point(event) {
    const box = this.strip.getBoundingClientRect();
    this.move(Math.floor((event.clientX - box.left) / box.width * this.bars.length));
  }

  key(event) {
    const number = this.bars?.length ?? 0;
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -number, End: number };
    if (event.key === "Escape") this.leave();
    if (!(event.key in steps)) return;
    event.preventDefault();
    event.stopPropagation();
    this.move((this.at ?? number - 1) + steps[event.key]);
  }

  move(at) {
    if (!this.bars) return;
    this.at = Math.max(0, Math.min(this.bars.length - 1, at));
    this.valued();
    const box = this.strip.getBoundingClientRect();
    showTip(box.left + (this.at + 0.5) / this.bars.length * box.width, box.top, this.said(this.bars[this.at]));
    this.paintSoon();
  }

  leave() {
    this.at = null;
    hideTip();
    this.paintSoon();
  }

  valued() {
    const at = this.at ?? this.bars.length - 1;
    attribute(this.strip, "aria-valuenow", at);
    attribute(this.strip, "aria-valuetext", this.said(this.bars[at]).filter(Boolean).map((line) => line.textContent ?? line).join(". "));
  }

  said(bar) {
    const level = levelOf(bar);
    const long = RANGES[this.range].step > 60;
    const lines = [h("b", `${clock(bar.start)} – ${clock(bar.end)}`)];
    const parts = Object.keys(WORDS).filter((key) => bar[key] >= 0.5 && key !== "none").map((key) => `${WORDS[key]} ${duration(bar[key])}`);
    lines.push(parts.length > 1 || level === "bad" ? parts.join(", ") : WORDS[level]);
    if (bar.worst && level !== "good" && level !== "none") lines.push(bar.worst.cause || bar.worst.text);
    const probes = this.probesIn(bar);
    if (probes.count) {
      lines.push(`${probes.count} probes${probes.failed ? `, ${probes.failed} failed` : ""}: ${took(probes.mean)}, at most ${took(probes.most)}`);
      if (probes.text && (probes.failed || !long)) lines.push(probes.text);
    }
    return lines;
  }

  probesIn(bar) {
    const sum = { count: 0, failed: 0, mean: 0, most: 0, text: "" };
    for (const one of this.probes ?? []) {
      if (one.time < bar.start || one.time >= bar.end) continue;
      sum.mean = (sum.mean * sum.count + one.mean * one.count) / (sum.count + one.count);
      sum.count += one.count;
      sum.failed += one.failed;
      sum.most = Math.max(sum.most, one.most);
      if (!sum.text || one.failed) sum.text = one.text;
    }
    return sum;
  }

  paint() {
    if (!this.bars) return;
    if (this.compact) {
      const context = sheet(this.canvas, COMPACT.width, COMPACT.height);
      drawBars(context, this.bars, COMPACT.width, COMPACT.height, null);
      return;
    }
    const width = this.strip.clientWidth;
    const probed = this.probes?.length > 0;
    const height = HEIGHT + (probed ? PROBES : 0);
    this.canvas.style.height = `${height}px`;
    const context = sheet(this.canvas, width, height);
    drawBars(context, this.bars, width, HEIGHT, this.at);
    if (probed) this.drawProbes(context, width, HEIGHT);
  }

  /** How long probes took, under the bars and on their axis. */
  drawProbes(context, width, top) {
    const found = this.bars.map((bar) => this.probesIn(bar));
    const most = Math.max(...found.map((one) => one.most));
    const colour = colours();
    const wide = width / found.length;
    const y = (value) => top + PROBES - 1 - Math.sqrt(value / most) * (PROBES - 10);
    found.forEach((one, at) => {
      if (!one.count) return;
      context.fillStyle = one.failed ? colour["bad-strong"] : colour["line-strong"];
      context.fillRect(at * wide + wide / 2 - 1, y(one.most), 2, y(one.mean) - y(one.most) + 2);
    });
    context.fillStyle = colour.quiet;
    context.font = "10.5px sans-serif";
    context.fillText(`probes: up to ${took(most)}`, 1, top + PROBES - 8);
  }
}

customElements.define("orc-timeline", Timeline);

/** Good ones are lower than bad ones, so that colour is not all that tells them apart. */
export function drawBars(context, found, width, height, chosen) {
  const colour = colours();
  const wide = width / found.length;
  const gap = wide > 5 ? 1.5 : wide > 2.5 ? 1 : 0;
  found.forEach((bar, at) => {
    const level = levelOf(bar);
    const [x, w] = [at * wide + gap / 2, Math.max(1, wide - gap)];
    const tall = { good: 0.72, pending: 0.5, off: 0.22, none: 0.12, bad: 1 }[level] * height;
    context.fillStyle = level === "none" ? colour.line : level === "bad" ? colour["good-strong"] : colour[`${level}-strong`];
    if (level !== "bad") context.fillRect(x, height - tall, w, tall);
    else {
      const known = bar.bad + bar.good + bar.pending + bar.off;
      const share = Math.max(0.35, Math.min(1, bar.bad / (known || 1)));
      if (share < 1) context.fillRect(x, height - 0.72 * height, w, 0.72 * height);
      context.fillStyle = colour["bad-strong"];
      context.fillRect(x, 0, w, height * share);
    }
    if (at === chosen) {
      context.strokeStyle = colour.text;
      context.lineWidth = 1.5;
      context.strokeRect(x - 0.75, 0.75, w + 1.5, height - 1.5);
    }
  });
}

export const took = (seconds) => (seconds < 0.0995 ? `${(seconds * 1000).toFixed(seconds < 0.00995 ? 1 : 0)} ms` : seconds < 10 ? `${seconds.toFixed(2)} s` : `${Math.round(seconds)} s`);
const lasted = (seconds) => (seconds < 1 ? "less than 1 s" : duration(seconds));
const percent = (share) => `${share >= 1 ? "100" : (Math.floor(share * 10000) / 100).toFixed(share > 0.99 ? 2 : 1)} %`;
const restarted = ({ restarts }) => (restarts ? `; restarted ${restarts === 1 ? "once" : `${restarts} times`}` : "");
const outage = (one) => `${clock(one.start)} for ${lasted(one.end - one.start)}: ${one.cause}${restarted(one)}`;
