// <orc-log [stack] [service…]>: merged logs, live and stored. Only the lines that can be seen are in the document, they
// are written once a frame, and a page keeps a bounded number of them: a flood costs no more than a trickle.

import { get, withKey } from "../api.js";
import { h, icon, say } from "../dom.js";
import { announce } from "../deeds.js";
import { follow, store } from "../store.js";
import { precise } from "../time.js";

const HEIGHT = 19;
const CAP = 50_000;
const DROP = 5_000;
const FOUND = 1000;
const AROUND = 300;
const LEVELS = [["", "all levels"], ["error", "errors"], ["warn", "warnings and errors"], ["info", "info and above"]];
const AT_LEAST = { error: ["error"], warn: ["error", "warn"], info: ["error", "warn", "info"] };

class Log extends HTMLElement {
  connectedCallback() {
    if (!this.built) this.build();
    this.live();
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.view);
  }

  disconnectedCallback() {
    this.stop?.();
    this.observer.disconnect();
    this.asking?.abort();
  }

  build() {
    this.built = true;
    const at = this.getAttribute("at");
    this.at = at ? Number(at) : null;
    this.reset();
    this.words = h("input", { type: "search", placeholder: "search in stored and new lines", "aria-label": "search in logs", value: this.getAttribute("q") ?? "" });
    this.words.className = "find";
    this.regex = h("input", { type: "checkbox", checked: this.hasAttribute("regex") });
    this.level = h("select", { "aria-label": "level" }, LEVELS.map(([value, text]) => h("option", { value, selected: value === this.getAttribute("level") }, text)));
    this.time = h("input", { type: "datetime-local", step: 1 });
    this.now = h("button", { type: "button", onclick: () => this.back() }, "Live");
    this.save = h("a.button", { download: "", title: "download what is stored" }, "Download");
    this.status = h("span.quiet.log-status", { role: "status" });
    this.spacer = h("div.log-space");
    this.rows = h("div.log-rows");
    this.view = h("div.log-view", { tabindex: 0, role: "log", "aria-live": "off", "aria-label": "log lines" }, this.spacer, this.rows);
    this.detail = h("div.log-detail", { hidden: true });
    this.append(
      h("div.log-tools", this.words, h("label", this.regex, "regex"), this.level, h("label.quiet.log-jump", "jump to ", this.time), this.now, this.save, this.status),
      this.view, this.detail);
    let wait = 0;
    const again = () => {
      clearTimeout(wait);
      wait = setTimeout(() => this.look(), 200);
    };
    this.words.addEventListener("input", again);
    this.regex.addEventListener("change", again);
    this.level.addEventListener("change", again);
    this.time.addEventListener("change", () => { if (this.time.value) this.jump(new Date(this.time.value).getTime() * 1000); });
    this.view.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.view.addEventListener("keydown", (event) => this.key(event));
  }

  /** Services as a list; none: all of the stack. */
  get services() {
    return this.getAttribute("service")?.split(",").filter(Boolean) ?? [];
  }

  get scope() {
    return { stack: this.getAttribute("stack") ?? "", service: this.services };
  }

  get filters() {
    return { q: this.words.value, regex: this.regex.checked ? 1 : "", level: AT_LEAST[this.level.value] ?? [] };
  }

  get isFiltered() {
    return Boolean(this.words.value || this.level.value);
  }

  reset() {
    this.lines = [];
    this.sources = [];
    this.skipped = 0;
    this.stick = true;
    this.top = 0;
  }

  /** Follow from the end, and look in what is stored if something is looked for. */
  live() {
    this.stop?.();
    this.reset();
    this.live_ = [];
    this.last = {}; // the newest line of each source and stream: it may go on
    const filtered = this.isFiltered;
    this.stop = follow("logs", { stack: this.scope.stack, services: this.services, tail: filtered || this.at ? 0 : 500 }, (message) => this.hear(message));
    if (this.at) this.jump(this.at);
    else if (filtered) this.look();
    this.tell();
  }

  back() {
    this.at = null;
    this.time.value = "";
    this.live();
  }

  hear(message) {
    if (message.again) {
      this.live_ = [];
      this.lines = [];
      this.sources = [];
    }
    if (message.error) this.warn(message.error);
    if (message.sources) {
      for (const source of message.sources) this.live_.push(source);
      this.widen(this.live_);
    }
    if (message.skipped) this.skipped += message.skipped;
    if (message.lines && !this.paused) this.take(message.lines);
    this.draw();
  }

  /** New lines: filtered as what was searched for, and the oldest go when there are too many. */
  take(lines) {
    const fits = this.isFiltered ? this.test() : null;
    for (const [time, source, kind, level, text, whole] of lines) {
      const key = `${source} ${kind}`;
      const before = this.last[key];
      this.last[key] = null;
      if (this.since && time <= this.since) continue;
      if (fits && !fits(text, level)) continue;
      const line = { time, kind, level, text, from: this.live_[source] };
      const at = whole ? this.lines.lastIndexOf(before) : -1;
      if (at < 0) this.lines.push(line);
      else this.lines[at] = line;
      this.last[key] = line;
    }
    if (this.lines.length > CAP) {
      const gone = this.lines.length - CAP + DROP;
      this.lines.splice(0, gone);
      if (!this.stick) this.view.scrollTop = Math.max(0, this.view.scrollTop - gone * HEIGHT);
    }
  }

  test() {
    const { q, level } = this.filters;
    const levels = new Set(level);
    let pattern = null;
    if (q) {
      try {
        pattern = new RegExp(this.regex.checked ? q : q.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "i");
      } catch {
        return () => false;
      }
    }
    return (text, its) => (!levels.size || levels.has(its)) && (!pattern || pattern.test(text));
  }

  /** Search in what is stored; lines that come meanwhile and later are put behind. */
  async look() {
    this.dispatchEvent(new CustomEvent("orc-log", { bubbles: true }));
    if (!this.isFiltered) return this.back();
    const until = Date.now() / 1000;
    const found = await this.fetch({ ...this.filters, until, limit: FOUND });
    if (!found) return;
    this.since = until * 1e6;
    this.put(found);
    this.stick = true;
    say(this.status, `${found.lines.length}${found.more ? "+" : ""} stored lines${found.partly ? ", not everything was looked through" : ""}`);
    announce(this.status.textContent);
    this.draw();
  }

  /** The lines around a time, in microseconds; what comes new is not shown until one goes back. */
  async jump(time) {
    this.at = time;
    this.paused = true;
    this.dispatchEvent(new CustomEvent("orc-log", { bubbles: true }));
    const [before, after] = await Promise.all([
      this.fetch({ ...this.filters, until: (time - 1) / 1e6, limit: AROUND }),
      this.fetch({ ...this.filters, since: time / 1e6, limit: AROUND, order: "oldest" }),
    ]);
    if (!before || !after) return;
    this.put(before, after);
    this.stick = false;
    const at = this.lines.findIndex((line) => line.time >= time);
    this.draw();
    this.view.scrollTop = Math.max(0, (at < 0 ? this.lines.length : at) * HEIGHT - this.view.clientHeight / 2);
    this.tell();
    this.draw();
  }

  put(...founds) {
    this.widen(founds.flatMap((found) => found.sources));
    this.lines = founds.flatMap((found) => found.lines.map(([time, source, kind, level, text]) => ({ time, kind, level, text, from: found.sources[source] })));
  }

  /** Names stand in a column as wide as the longest. */
  widen(sources) {
    const widest = Math.max(...sources.map((source) => label(source).length), 0);
    this.style.setProperty("--from", `${Math.min(widest, 28)}ch`);
  }

  async fetch(parameters) {
    const asking = new AbortController();
    this.busy(true);
    try {
      return await get("/api/logs", { ...this.scope, ...parameters }, asking.signal);
    } catch (error) {
      if (error.name !== "AbortError") this.warn({ what: error.message, hint: error.hint });
      return null;
    } finally {
      this.busy(false);
    }
  }

  busy(on) {
    this.view.setAttribute("aria-busy", String(on));
  }

  warn({ what, hint }) {
    say(this.status, hint ? `${what} (${hint})` : what);
  }

  tell() {
    this.paused = this.at !== null;
    if (!this.at) this.since = 0;
    this.now.hidden = !this.paused && this.stick;
    say(this.status, this.paused ? `around ${precise(this.at)}` : "");
    this.save.href = withKey("/api/logs/download", this.scope);
  }

  scrolled() {
    this.stick = this.view.scrollTop + this.view.clientHeight >= this.spacer.clientHeight - HEIGHT;
    this.draw();
  }

  key(event) {
    if (event.key === "End") {
      this.stick = true;
      this.draw();
    } else if (event.key === "Home") this.view.scrollTop = 0;
    else return;
    event.preventDefault();
  }

  draw() {
    if (this.drawing) return;
    this.drawing = true;
    requestAnimationFrame(() => {
      this.drawing = false;
      if (this.isConnected) this.paint();
    });
  }

  paint() {
    const height = this.lines.length * HEIGHT;
    this.spacer.style.height = `${height}px`;
    if (this.stick) this.view.scrollTop = height;
    const first = Math.max(0, Math.floor(this.view.scrollTop / HEIGHT) - 5);
    const count = Math.ceil(this.view.clientHeight / HEIGHT) + 10;
    const shown = this.lines.slice(first, first + count);
    this.rows.style.transform = `translateY(${first * HEIGHT}px)`;
    while (this.rows.children.length > shown.length) this.rows.lastElementChild.remove();
    const several = this.services.length !== 1;
    shown.forEach((line, at) => {
      let row = this.rows.children[at];
      if (!row) {
        row = empty();
        row.addEventListener("click", () => this.unfold(row.line));
        this.rows.append(row);
      }
      if (row.line !== line) write(row, line, several, line.time === this.at);
    });
    this.now.hidden = !this.paused && this.stick;
    if (!this.paused && !this.isFiltered) say(this.status, `${this.lines.length === 1 ? "one line" : `${this.lines.length} lines`}${this.skipped ? `, ${Math.round(this.skipped / 1024)} KiB left out: too much at once` : ""}`);
  }

  /** All of one line: JSON taken apart, its time, and an address that leads here. */
  unfold(line) {
    if (String(getSelection())) return;
    const link = new URL("/logs", location);
    if (line.from) {
      link.searchParams.set("stack", line.from.stack);
      link.searchParams.set("service", line.from.service);
    }
    link.searchParams.set("at", line.time);
    const parts = unfolded(line.text);
    this.detail.hidden = false;
    this.detail.replaceChildren(
      h("div.row",
        h("b", line.from?.container ?? ""), h("span.quiet", new Date(line.time / 1000).toISOString()),
        h("a", { href: link.pathname + link.search }, "link to this line"),
        h("button.plain", { "aria-label": "close", onclick: () => { this.detail.hidden = true; } }, icon("bad"))),
      parts ? h("dl.fields", Object.entries(parts).map(([key, value]) => h("div", h("dt", key), h("dd", typeof value === "string" ? value : JSON.stringify(value))))) : h("pre", line.text));
  }
}

customElements.define("orc-log", Log);

function empty() {
  return h("div.log-row", h("span.log-time"), h("span.log-from"), h("span.log-text"));
}

function write(row, line, several, marked) {
  row.line = line;
  row.className = `log-row ${line.kind} level-${line.level || "none"}${marked ? " marked" : ""}`;
  const [time, from, text] = row.children;
  time.textContent = precise(line.time);
  from.textContent = several && line.from ? label(line.from) : "";
  from.className = several && line.from ? `log-from hue-${hue(line.from.service)}` : "log-from";
  text.textContent = line.kind === "mark" ? `── ${line.from?.container ?? ""} ${line.text} ──` : line.text;
}

const label = (from) => {
  const short = from.container.startsWith(`${from.stack}-`) ? from.container.slice(from.stack.length + 1) : from.container;
  return store.stacks.size > 1 ? `${from.stack}/${short}` : short;
};

/** A colour that a name keeps, whatever else there is. */
function hue(name) {
  let sum = 0;
  for (const letter of name) sum = (sum * 31 + letter.codePointAt(0)) % 8191;
  return sum % 8;
}

/** The fields of a line that is, or ends with, an object in JSON; null for any other. */
function unfolded(text) {
  const at = text.indexOf("{");
  if (at < 0) return null;
  try {
    const found = JSON.parse(text.slice(at));
    return at ? { "": text.slice(0, at).trim(), ...found } : found;
  } catch {
    return null;
  }
}
