// <orc-service stack service>: everything about one service on one page: cause, history, replicas, charts, logs.

import { h, list, say } from "../dom.js";
import { place } from "../router.js";
import { Live } from "../store.js";
import { level, service as summary, word } from "../summary.js";
import { full, since } from "../time.js";
import { state } from "../elements/state.js";
import { why } from "../elements/why.js";
import { links, results, sharing } from "./overview.js";
import "../elements/actions.js";
import "../elements/log.js";

class Service extends Live {
  build() {
    const [stack, service] = [this.getAttribute("stack"), this.getAttribute("service")];
    this.badge = state("off", "");
    this.ports = h("span.ports");
    this.result = h("div.result");
    this.shares = h("span.shares");
    this.facts = h("dl.facts");
    this.replicas = h("tbody");
    this.gone = h("p.empty", { hidden: true }, `Stack ${stack} has no service ${service} at the moment.`);
    this.append(
      h("nav.crumbs", { "aria-label": "where" }, h("a", { href: "/" }, "all"), " / ", h("a", { href: place(stack) }, stack), " /"),
      h("header.object", this.badge, h("h1", service), this.shares, this.ports, h("orc-actions", { stack, service })),
      this.result,
      why(stack, service),
      this.gone,
      section("Health", h("orc-timeline", { stack, service, range: "1h" })),
      section("Resources", h("orc-charts", { stack, service })),
      h("div.columns",
        section("Containers", h("div.scroll", { tabindex: 0, role: "region", "aria-label": "containers" }, h("table.replicas",
          h("thead", h("tr", ["State", "Container", "Pid", "Up", "Restarts", "Last exit", "Addresses"].map((text) => h("th", { scope: "col" }, text)))),
          this.replicas))),
        section("About", this.facts)),
      section("Logs", h("orc-log", { stack, service })),
      h("orc-terminal", { stack, service }),
      section("Configuration", h("orc-config", { stack, service })));
  }

  update(store) {
    const stack = store.stacks.get(this.getAttribute("stack"));
    const name = this.getAttribute("service");
    const one = stack && summary(stack, name);
    this.gone.hidden = !store.ready || Boolean(one?.total || stack?.services[name]);
    if (!one) {
      this.badge.set("off", "not running");
      return;
    }
    this.badge.set(one.level, one.total > 1 ? `${one.word}, ${one.ready}/${one.total}` : one.word);
    links(this.ports, one.ports);
    results(this.result, stack.name, name);
    sharing(this.shares, one);
    list(this.replicas, one.rows, (row) => row.name, replica, (line, row) => line.update(row));
    facts(this.facts, stack, stack.services[name], one);
  }
}

customElements.define("orc-service", Service);

export const section = (title, ...parts) => h("section.part", { "aria-label": title }, h("h2", title), parts);

function replica() {
  const badge = state("off", "");
  const [name, pid, restarts, exit, addresses] = Array.from({ length: 5 }, () => h("span"));
  const up = h("time");
  const element = h("tr", h("td", badge), [name, pid, up, restarts, exit, addresses].map((part) => h("td", part)));
  element.update = (row) => {
    badge.set(level(row), word(row));
    say(name, row.name);
    say(pid, row.pid ?? "");
    since(up, row.state === "running" ? row.started : null);
    say(restarts, row.restarts || "");
    say(exit, row.last_exit ? `${row.last_exit}` : "");
    if (row.ended) exit.title = full(row.ended);
    say(addresses, Object.entries(row.addresses).map(([network, address]) => `${address} (${network})`).join(", "));
  };
  return element;
}

function facts(parent, stack, about, one) {
  const needs = (about?.depends_on ?? []).map((need) => need.service);
  const needed = Object.entries(stack.services).filter(([, other]) => other.depends_on.some((need) => need.service === one.name)).map(([name]) => name);
  const said = [
    ["Needs", needs], ["Needed by", needed],
    ["Probe", about?.healthcheck || "none"], ["Restart", about?.restart], ["Networks", (about?.networks ?? []).join(", ")],
    ["Image", one.rows[0]?.image], ["Command", one.rows[0]?.command],
  ].filter(([, value]) => value && value.length);
  list(parent, said, ([key]) => key, ([key]) => h("div", h("dt", key), h("dd")), (line, [key, value]) => {
    const shown = String(value);
    if (line.dataset.shown === shown) return;
    line.dataset.shown = shown;
    const parts = Array.isArray(value) ? value.map((name, at) => [at ? ", " : "", h("a", { href: place(stack.name, name) }, name)]) : [value];
    line.lastElementChild.replaceChildren(...parts.flat());
  });
}
