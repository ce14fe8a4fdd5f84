// <orc-graph [stack]>: who needs whom, how each one is, how it was in the last hour, and who holds whom back.
// A shared service is drawn once, in its owner's box beneath the stacks that use it.

import { attribute, h, icon, list, s, say } from "../dom.js";
import { curve, layered } from "../layered.js";
import { bars, past } from "../past.js";
import { place } from "../router.js";
import { Painted, sheet } from "../seen.js";
import { store, watch } from "../store.js";
import { service as summary } from "../summary.js";
import { since } from "../time.js";
import { sentence } from "../elements/why.js";
import { drawBars } from "./timeline.js";

const NODE = { width: 176, height: 84 };
const PORT = { width: 120, height: 24 };
const BAR = { width: 152, height: 10 };
const BOX = { side: 14, top: 36, bottom: 14 };
const GAPS = { across: 20, down: 40 };
const ROOM = 120;
const CONDITIONS = { service_started: "started", service_healthy: "healthy", service_completed_successfully: "completed" };

class Graph extends Painted {
  build() {
    this.lines = s("svg.edges", { "aria-hidden": "true" });
    this.boxes = h("div.boxes");
    this.area = h("div.area", this.lines, this.boxes);
    this.scroll = h("div.scroll", { tabindex: 0, role: "region", "aria-label": "dependency graph" }, this.area);
    this.causes = h("ul.causes");
    this.body = h("tbody");
    this.table = h("details.as-table", { ontoggle: () => this.tell() }, h("summary", "As a table"),
      h("div.scroll", { tabindex: 0, role: "region", "aria-label": "dependencies as a table" }, h("table.plain",
        h("thead", h("tr", ["Service", "State", "Needs", "Needed by", "Held back by"].map((text) => h("th", { scope: "col" }, text)))), this.body)));
    this.legend = h("div.legend", { "aria-hidden": "true" },
      Object.values(CONDITIONS).map((name) => h("span", s("svg", { viewBox: "0 0 34 8" }, s(`path.edge.${name}`, { d: "M1 4H33" })), `until ${name}`)),
      h("span", s("svg", { viewBox: "0 0 34 8" }, s("path.edge.holds", { d: "M1 4H33" })), "holds back"));
    this.append(this.causes, this.scroll, h("div.row.graph-foot", this.legend, this.table));
    this.nodes = new Map();
    this.edges = [];
    this.pasts = new Map();
    this.addEventListener("keydown", (event) => this.key(event));
    for (const kind of ["pointerover", "focusin"]) this.addEventListener(kind, (event) => this.light(event.target.closest?.(".node")?.dataset.id ?? null));
    for (const kind of ["pointerleave", "focusout"]) this.addEventListener(kind, () => this.light(null));
  }

  come() {
    this.unwatch = watch(() => this.update());
    this.update();
  }

  go() {
    this.unwatch();
    for (const one of this.pasts.values()) one.end();
    this.pasts.clear();
  }

  update() {
    const wish = wanted(store, this.getAttribute("stack"));
    const shape = JSON.stringify([wish, this.room()]);
    if (shape !== this.shape) {
      this.shape = shape;
      this.wish = wish;
      this.arrange();
    }
    this.tell();
  }

  /** In steps, so that dragging the window's edge arranges things anew only now and then. */
  room() {
    return Math.floor(this.clientWidth / ROOM) * ROOM;
  }

  /** Only where stacks, services or what they need have changed. */
  arrange() {
    const { wish } = this;
    const drawing = draw(wish, this.clientWidth - 2);
    this.area.style.width = `${drawing.width}px`;
    this.area.style.height = `${drawing.height}px`;
    attribute(this.lines, "viewBox", `0 0 ${drawing.width} ${drawing.height}`);
    this.nodes.clear();
    this.boxes.replaceChildren(...drawing.boxes.map((box) => {
      const parts = box.nodes.map(({ node, x, y, width, height }) => {
        const element = node.port ? portOf(node) : nodeOf(node);
        move(element, x, y, width, height);
        if (!node.port) this.nodes.set(node.id, element);
        return element;
      });
      const element = h("section.box", { "aria-label": `stack ${box.stack}` }, h("h3", h("a", { href: place(box.stack), title: box.stack }, box.stack)), parts);
      move(element, box.x, box.y, box.width, box.height);
      return element;
    }));
    this.edges = drawing.edges.map(({ edge, way }) => {
      const end = way.at(-1);
      const path = s(`g.edge.${CONDITIONS[edge.condition] ?? "uses"}`, s("path", { d: curve(way) }),
        !edge.open && s("path.tip-of", { d: `M${end.x} ${end.y}l-4-7h8z` }), s("title", edge.words));
      return { ...edge, path };
    });
    this.lines.replaceChildren(...this.edges.map(({ path }) => path));
    this.hidden = !drawing.boxes.length;
    this.legend.hidden = !this.edges.some(({ condition }) => condition);
    for (const { stack } of wish) this.follow(stack);
    for (const [stack, one] of this.pasts) {
      if (wish.some((box) => box.stack === stack)) continue;
      one.end();
      this.pasts.delete(stack);
    }
  }

  follow(stack) {
    if (this.pasts.has(stack)) return;
    const one = { answer: null, end: null };
    this.pasts.set(stack, one);
    one.end = past(stack, "1h", (answer) => {
      one.answer = answer;
      this.paintSoon();
    });
  }

  tell() {
    const found = new Map();
    for (const id of this.nodes.keys()) found.set(id, stateOf(id));
    for (const [id, element] of this.nodes) element.update(found.get(id), found);
    for (const edge of this.edges) {
      const holds = edge.path.classList.contains("holds");
      const now = Boolean(found.get(edge.whose)?.waits.includes(edge.name));
      if (holds !== now) edge.path.classList.toggle("holds", now);
    }
    // The page of a stack has them in its table already.
    if (!this.hasAttribute("stack")) this.tellCauses();
    if (this.table.open) this.tellTable(found);
  }

  tellCauses() {
    const told = this.wish.flatMap(({ stack }) => Object.entries(store.stacks.get(stack)?.causes ?? {})
      .map(([service, cause]) => ({ stack, service, cause })));
    list(this.causes, told, ({ stack, service }) => `${stack}/${service}`, () => h("li"), (item, { stack, cause }) => {
      const text = JSON.stringify(cause);
      if (item.shown === text) return;
      item.shown = text;
      item.replaceChildren(h("span.quiet", `${stack} `), sentence(stack, cause));
    });
  }

  tellTable(found) {
    const rows = [...this.nodes.keys()].map((id) => ({ id, one: found.get(id) }));
    list(this.body, rows, ({ id }) => id, ({ id }) => h("tr", h("th", { scope: "row" }, id), h("td"), h("td"), h("td"), h("td")), (line, { id, one }) => {
      const needs = this.edges.filter(({ whose, condition }) => whose === id && condition).map(({ name, condition }) => `${name} (${CONDITIONS[condition]})`);
      const needed = this.edges.filter(({ target }) => target === id).map(({ whose }) => whose);
      const texts = [one.word, needs.join(", "), [...new Set(needed)].join(", "), one.waits.join(", ")];
      texts.forEach((text, at) => say(line.children[at + 1], text));
    });
  }

  paint() {
    if (this.shape && !this.shape.endsWith(`,${this.room()}]`)) this.update();
    for (const [id, { canvas }] of this.nodes) {
      const [stack, service] = split(id);
      const answer = this.pasts.get(stack)?.answer;
      if (!answer) continue;
      const context = sheet(canvas, BAR.width, BAR.height);
      drawBars(context, bars(answer.spans[service] ?? [], "1h", answer.now()), BAR.width, BAR.height, null);
    }
  }

  /** What a node needs, and what needs it, stand out while it is looked at. */
  light(id) {
    if (id === this.lit) return;
    this.lit = id;
    this.classList.toggle("lit", id !== null);
    for (const edge of this.edges) edge.path.classList.toggle("near", edge.whose === id || edge.target === id);
  }

  /** Arrows go to the nearest node in their direction. */
  key(event) {
    const from = event.target.closest?.(".node");
    const way = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[event.key];
    if (!from || !way) return;
    const here = from.getBoundingClientRect();
    let [best, least] = [null, Infinity];
    for (const element of this.nodes.values()) {
      const box = element.getBoundingClientRect();
      const [x, y] = [box.x - here.x, box.y - here.y];
      const ahead = x * way[0] + y * way[1];
      const aside = Math.abs(x * way[1]) + Math.abs(y * way[0]);
      if (ahead <= 4 || ahead + aside * 2 >= least) continue;
      [best, least] = [element, ahead + aside * 2];
    }
    if (!best) return;
    event.preventDefault();
    best.focus();
  }
}

customElements.define("orc-graph", Graph);

const split = (id) => {
  const at = id.indexOf("/");
  return [id.slice(0, at), id.slice(at + 1)];
};

/**
 * What is to be drawn: of all stacks, or of one with what it uses and with who uses it.
 * `[{stack, services: [{name, needs: [{service, condition}]}], uses: [{name, owner, owned}]}]`
 */
function wanted({ stacks }, only) {
  const boxes = new Map();
  const box = (stack) => {
    if (!boxes.has(stack)) boxes.set(stack, { stack, services: new Map(), uses: [] });
    return boxes.get(stack);
  };
  for (const stack of [...stacks.values()].sort((a, b) => a.name.localeCompare(b.name))) {
    if (only && stack.name !== only) continue;
    const mine = box(stack.name);
    for (const [name, about] of Object.entries(stack.services)) {
      mine.services.set(name, { name, needs: about.depends_on.map(({ service, condition }) => ({ service, condition })) });
    }
    for (const use of stack.uses ?? []) {
      mine.uses.push({ name: use.service, owner: use.owner, owned: use.owned });
      const owner = box(use.owner);
      if (!owner.services.has(use.owned)) owner.services.set(use.owned, { name: use.owned, needs: [] });
    }
    for (const user of only ? stack.used_by ?? [] : []) {
      const theirs = box(user.stack);
      if (!theirs.uses.some(({ name }) => name === user.name)) theirs.uses.push({ name: user.name, owner: stack.name, owned: user.service });
    }
  }
  return [...boxes.values()].map(({ services, ...rest }) => ({ ...rest, services: [...services.values()] }));
}

/** Where everything goes: each stack by itself, then the stacks among each other. */
function draw(wish, room) {
  const boxes = wish.map(({ stack, services, uses }) => {
    const nodes = [
      ...services.map(({ name }) => ({ id: `${stack}/${name}`, name, ...NODE })),
      ...uses.map((use) => ({ id: `${stack}/${use.name}`, name: use.name, port: use, last: true, ...PORT })),
    ];
    const known = new Set(nodes.map(({ id }) => id));
    const edges = services.flatMap(({ name, needs }) => needs
      .map(({ service, condition }) => ({ from: `${stack}/${name}`, to: `${stack}/${service}`, name: service, condition }))
      .filter(({ to }) => known.has(to)));
    const inner = layered(nodes, edges, { ...GAPS, most: Math.max(NODE.width, Math.min(room - 2 * BOX.side, 4 * NODE.width)) });
    return { id: stack, stack, nodes, edges, inner, uses, width: Math.max(160, inner.width + 2 * BOX.side), height: inner.height + BOX.top + BOX.bottom };
  });
  const names = new Set(boxes.map(({ id }) => id));
  const joins = boxes.flatMap((box) => [...new Set(box.uses.map(({ owner }) => owner))].filter((owner) => names.has(owner) && owner !== box.stack)
    .map((owner) => ({ from: box.stack, to: owner })));
  const outer = layered(boxes, joins, { across: 28, down: 56, most: room });
  const spots = new Map();
  for (const box of boxes) {
    Object.assign(box, outer.at.get(box.id));
    const indent = (box.width - box.inner.width) / 2;
    box.nodes = box.nodes.map((one) => {
      const { x, y } = box.inner.at.get(one.id);
      const spot = { node: one, x: x + indent, y: y + BOX.top, width: one.width, height: one.height };
      spots.set(one.id, { x: box.x + spot.x, y: box.y + spot.y, width: one.width, height: one.height });
      return spot;
    });
  }
  const edges = boxes.flatMap((box) => {
    const indent = (box.width - box.inner.width) / 2;
    const moved = ({ x, y }) => ({ x: x + box.x + indent, y: y + box.y + BOX.top });
    const within = box.edges.map((edge, at) => {
      const use = box.uses.find(({ name }) => name === edge.name);
      return {
        edge: {
          whose: edge.from, name: edge.name, condition: edge.condition, target: use ? `${use.owner}/${use.owned}` : edge.to,
          words: `${split(edge.from)[1]} needs ${edge.name} (${CONDITIONS[edge.condition] ?? edge.condition})`,
        },
        way: box.inner.ways[at].map(moved),
      };
    });
    const across = box.uses.filter(({ owner, owned }) => spots.has(`${owner}/${owned}`)).map(({ name, owner, owned }) => {
      const [from, to] = [spots.get(`${box.stack}/${name}`), spots.get(`${owner}/${owned}`)];
      const way = [{ x: from.x + from.width / 2, y: from.y + from.height }, { x: to.x + to.width / 2, y: to.y }];
      return { edge: { whose: `${box.stack}/${name}`, name: owned, condition: null, target: `${owner}/${owned}`, words: `${box.stack} uses ${owned} of ${owner}` }, way };
    });
    return [...within, ...across];
  });
  return { width: Math.ceil(outer.width), height: Math.ceil(outer.height), boxes, edges };
}

function stateOf(id) {
  const [name, service] = split(id);
  const stack = store.stacks.get(name);
  if (!stack) return { level: "off", word: "its stack does not run", waits: [], since: null, ready: 0, total: 0 };
  const one = summary(stack, service);
  const waits = [...new Set(one.rows.flatMap((row) => row.waits_for ?? []))];
  const worst = one.rows.find((row) => row.level === one.level) ?? one.rows[0];
  const began = !worst ? null : worst.health_since ?? (worst.state === "running" ? worst.started : worst.ended);
  return { level: one.level, word: one.word, waits, since: began, ready: one.ready, total: one.total, stack };
}

function nodeOf({ id, name }) {
  const [stack] = split(id);
  const mark = h("span.mark-of");
  const count = h("span.quiet");
  const line = h("span.node-state");
  const canvas = h("canvas.history");
  const element = h("a.node", { href: place(stack, name), data: { id } }, h("span.node-name", mark, h("b", name), count), line, canvas);
  element.canvas = canvas;
  element.update = (one, all) => {
    if (element.level !== one.level) {
      element.level = one.level;
      element.className = `node ${one.level}`;
      mark.replaceChildren(icon(one.level));
    }
    say(count, one.total > 1 ? `${one.ready}/${one.total}` : "");
    const blocker = one.waits[0];
    const other = blocker && (all.get(`${stack}/${blocker}`) ?? all.get(owners(one.stack, blocker)));
    const shown = blocker ? `${blocker} ${other?.word} ${other?.since}` : `${one.word} ${one.since}`;
    if (element.told === shown) return;
    element.told = shown;
    const time = (from) => (from ? [" ", since(h("time"), from)] : []);
    line.replaceChildren(...(blocker
      ? ["blocked by ", h("b", blocker), ...(other ? [" (", other.word, ...time(other.level === "good" ? null : other.since), ")"] : [])]
      : [one.word, ...time(one.since)]));
    attribute(element, "title", line.textContent);
    attribute(element, "aria-label", `${name}: ${blocker ? `blocked by ${one.waits.join(" and ")}${other ? `, which is ${other.word}` : ""}` : one.word}`);
  };
  return element;
}

const owners = (stack, name) => {
  const use = stack?.uses?.find(({ service }) => service === name);
  return use && `${use.owner}/${use.owned}`;
};

const portOf = ({ name, port }) => h("span.port", { title: `${name} is ${port.owned} of stack ${port.owner}` }, icon("link"), name);

function move(element, x, y, width, height) {
  Object.assign(element.style, { left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height}px` });
}
