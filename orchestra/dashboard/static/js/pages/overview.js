// <orc-overview>: all stacks in one screen; who should be looked at first, and why, without a click.

import { h, icon, list, say } from "../dom.js";
import { deed, line } from "../deeds.js";
import { place } from "../router.js";
import { Live } from "../store.js";
import { endpoint, isWell, services, stacks } from "../summary.js";
import { since } from "../time.js";
import { state } from "../elements/state.js";
import { why } from "../elements/why.js";
import "../elements/actions.js";

class Overview extends Live {
  build() {
    this.empty = h("div.empty",
      h("p", "No stack is running."),
      h("p", h("code", "orchestra up -d store.yml"), " starts one; it shows up here by itself."));
    this.cards = h("div.cards");
    this.append(h("h1.unseen", "Overview"), this.empty, this.cards);
  }

  update(store) {
    this.empty.hidden = !store.ready || store.stacks.size > 0;
    list(this.cards, stacks(store), ({ stack }) => stack.name, ({ stack }) => card(stack.name), (one, { stack, level }) => one.update(stack, level));
  }
}

customElements.define("orc-overview", Overview);

/** A stack: its name and state, and a table of its services. */
export function card(name) {
  const badge = state("off", "");
  const where = h("span.quiet.where");
  const result = h("div.result");
  const body = h("tbody");
  const table = h("table.services",
    h("caption.unseen", `Services of ${name}`),
    h("thead", h("tr", [
      ["c-state", "State"], ["c-name", "Service"], ["c-ready", "Ready"], ["c-hour", "Last hour"], ["c-up", "Up"],
      ["c-restarts", "Restarts"], ["c-changed", "Changed"], ["c-ports", "Open"], ["c-do", "Actions"],
    ].map(([kind, text]) => h(`th.${kind}`, { scope: "col" }, text)))),
    body);
  const element = h("section.card", { "aria-label": `stack ${name}` },
    h("header", badge, h("h2", h("a", { href: place(name) }, name)), where, h("orc-actions", { stack: name })), result, table);
  element.update = (stack, level) => {
    const all = services(stack);
    badge.set(level, stack.reachable ? `${all.filter(isWell).length}/${all.length}` : "supervisor does not answer");
    say(where, stack.files?.[0] ?? "");
    results(result, stack.name, null);
    const lines = (one) => [{ one, kind: "row" }, deed(name, one.name) && { one, kind: "did" }, one.cause && { one, kind: "why" }];
    list(body, all.flatMap(lines).filter(Boolean), ({ one, kind }) => `${kind} ${one.name}`, ({ one, kind }) => LINES[kind](one),
      (line, { one }) => line.update(one));
  };
  return element;
}

function row({ stack, name }) {
  const badge = state("off", "");
  const [ready, restarts] = [h("span"), h("span")];
  const [up, changed] = [h("time"), h("time")];
  const ports = h("span.ports");
  const shares = h("span.shares");
  const element = h("tr.service", { tabindex: "-1", data: { stack, service: name } },
    h("td.c-state", badge),
    h("th.c-name", { scope: "row" }, h("a", { href: place(stack, name) }, name), shares),
    h("td.c-ready", ready),
    h("td.c-hour", h("orc-timeline", { stack, service: name, range: "1h", compact: true })),
    h("td.c-up", up),
    h("td.c-restarts", restarts),
    h("td.c-changed", changed),
    h("td.c-ports", ports),
    h("td.c-do", h("a.tool", { href: `/logs?stack=${encodeURIComponent(stack)}&service=${encodeURIComponent(name)}`, "aria-label": `logs of ${name}`, title: `logs of ${name}` }, icon("logs")),
      h("orc-actions", { stack, service: name })));
  element.update = (one) => {
    element.dataset.level = one.level;
    badge.set(one.level, one.word);
    say(ready, one.total ? `${one.ready}/${one.total}` : "");
    say(restarts, one.restarts ? String(one.restarts) : "");
    since(up, Number.isFinite(one.up) ? one.up : null);
    since(changed, one.changed);
    links(ports, one.ports);
    sharing(shares, one);
  };
  return element;
}

function did({ stack, name }) {
  const result = h("div.result");
  const element = h("tr.did", { data: { stack, service: name } }, h("td", { colspan: 9 }, result));
  element.update = () => results(result, stack, name);
  return element;
}

/** Who owns it where that is another stack, and who else uses it. */
export function sharing(parent, { use, users }) {
  const said = [
    ...(use ? [{ text: "shared by", stack: use.owner, service: use.owned }] : []),
    ...users.map((stack, at) => ({ text: at ? "," : "used by", stack })),
  ];
  list(parent, said, (one) => `${one.text} ${one.stack}`, (one) => h("span", `${one.text} `, h("a", { href: place(one.stack, one.service) }, one.stack)), () => {});
}

function because({ stack, name }) {
  const element = h("tr.why", h("td", { colspan: 9 }, why(stack, name)));
  element.update = () => {};
  return element;
}

/** What there is to say of a service in a table: how it is, what was just asked of it, why it is not well. */
const LINES = { row, did, why: because };

/** The links to published ports. */
export function links(parent, ports) {
  const shown = new Map(ports.map((port) => [endpoint(port).text, port]));
  list(parent, shown.values(), (port) => endpoint(port).text, (port) => {
    const { url, text } = endpoint(port);
    return port.protocol === "tcp" ? h("a", { href: url, target: "_blank", rel: "noreferrer" }, text) : h("span", `${text}/udp`);
  }, () => {});
}

/** What became of what was asked for, in place. */
export function results(parent, stack, service) {
  const one = deed(stack, service);
  const shown = one ? `${one.state} ${one.text}` : "";
  if (parent.shown === shown) return;
  parent.shown = shown;
  parent.replaceChildren(...(one ? [line(stack, service, one)] : []));
}
