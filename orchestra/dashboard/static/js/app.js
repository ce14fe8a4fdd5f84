// The page: its frame, its addresses, its keys. What it shows is made by the elements.

import { post } from "./api.js";
import { attribute, h, icon, say } from "./dom.js";
import { act } from "./deeds.js";
import * as keys from "./keys.js";
import { begin, go, place, route } from "./router.js";
import { Live, connect, giveWay, listenForSilence, store, watch } from "./store.js";
import { stacks } from "./summary.js";
import "./pages/overview.js";

const PAGES = [["/", "Overview"], ["/logs", "Logs"], ["/events", "Events"], ["/graph", "Graph"], ["/network", "Network"], ["/alerts", "Alerts"]];
const VIEWS = ["timeline", "graph", "waterfall", "terminal", "charts", "network", "config", "alerts"];

class Top extends Live {
  build() {
    this.sum = h("span.sum", { role: "status" });
    this.live = h("span.live");
    this.links = PAGES.map(([path, text]) => h("a", { href: path }, text));
    this.append(
      h("a.brand", { href: "/", "aria-label": "orchestra, overview" }, h("span.mark", { "aria-hidden": "true" }), h("span", "orchestra")),
      h("nav", { "aria-label": "pages" }, this.links),
      this.sum, this.live,
      h("button.tool", { type: "button", "aria-label": "light or dark", title: "light or dark", onclick: theme }, icon("theme")),
      h("button.tool", { type: "button", "aria-label": "keys", title: "keys (?)", onclick: () => dispatchKey("?") }, "?"));
    document.addEventListener("orc-route", () => this.mark());
    this.mark();
  }

  mark() {
    for (const link of this.links) attribute(link, "aria-current", link.pathname === location.pathname ? "page" : null);
    // On a narrow screen the row of pages is longer than what is seen of it.
    const here = this.links.find((link) => link.hasAttribute("aria-current"));
    if (here) here.parentElement.scrollLeft = here.offsetLeft - here.parentElement.offsetLeft - 40;
  }

  update({ connection, allowed, ready }) {
    const all = [...store.stacks.values()].flatMap((stack) => [...stack.rows.values()]).filter((row) => !row.oneoff);
    const bad = all.filter((row) => row.level === "bad").length;
    const words = { connecting: "connecting …", lost: "connection lost, trying again …", ended: "signed out: open a new link from the terminal" };
    say(this.sum, connection === "live" && ready ? `${plural(store.stacks.size, "stack")}, ${plural(all.length, "container")}${bad ? `, ${bad} to look at` : ""}` : "");
    say(this.live, words[connection] ?? (allowed.read_only ? "read-only" : ""));
    this.live.className = `live ${connection}`;
    say(document.querySelector("title"), bad ? `(${bad}) orchestra` : "orchestra");
    const level = bad ? "bad" : (stacks(store)[0]?.level === "pending" ? "pending" : "good");
    attribute(document.getElementById("icon"), "href", `/static/icon-${level}.svg`);
  }
}

customElements.define("orc-top", Top);

const plural = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;
const dispatchKey = (key) => document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));

function theme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("orchestra-theme", root.dataset.theme);
  document.dispatchEvent(new CustomEvent("orc-theme"));
}

/** A page whose module is loaded when it is shown first. */
const later = (module, make) => (...values) => {
  const frame = h("div");
  import(module).then((loaded) => frame.replaceWith(make(loaded, ...values)));
  return frame;
};

const view = (name, title) => () => h("div.page", h("header.object", h("h1", title)), h(`orc-${name}`));

route("/", () => h("orc-overview"));
route("/logs", later("./pages/logs.js", () => h("orc-logs")));
route("/events", later("./pages/events.js", ({ eventsPage }, ...values) => eventsPage(...values)));
route("/graph", view("graph", "Dependencies"));
route("/network", view("network", "Network"));
route("/alerts", view("alerts", "Alerts"));
route("/s/:stack", later("./pages/stack.js", (_, { stack }) => h("orc-stack", { stack })));
route("/s/:stack/:service", later("./pages/service.js", (_, { stack, service }) => h("orc-service", { stack, service })));
route(".*", () => h("p.empty", "There is nothing at this address. ", h("a", { href: "/" }, "Overview")));

/** The service that has the focus, or whose page this is. */
function current() {
  const row = document.activeElement?.closest("[data-service]");
  if (row) return { stack: row.dataset.stack, service: row.dataset.service };
  const [, kind, stack, service] = location.pathname.split("/").map(decodeURIComponent);
  return kind === "s" && service ? { stack, service } : null;
}

keys.begin();
keys.bind("/", "search or filter", () => {
  const focus = () => {
    const field = document.querySelector("input[type=search]");
    field?.focus();
    return field;
  };
  if (focus()) return;
  go("/logs");
  import("./pages/logs.js").then(() => setTimeout(focus)); // once the page is in its place
});
keys.bind("j", "next service", () => keys.step("tr.service", 1));
keys.bind("k", "service before", () => keys.step("tr.service", -1));
keys.bind("Enter", "open the service", () => { const one = current(); if (one) go(place(one.stack, one.service)); }, () => document.activeElement?.matches("tr.service"));
keys.bind("r", "restart the service", () => { const { stack, service } = current(); act(stack, service, "restart"); }, () => Boolean(current()) && !store.allowed.read_only);
keys.bind("s", "stop the service", () => { const { stack, service } = current(); act(stack, service, "stop"); }, () => Boolean(current()) && !store.allowed.read_only);
keys.bind("l", "logs of the service", () => { const one = current(); go(one ? `/logs?${new URLSearchParams(one)}` : "/logs"); });
keys.bind("t", "light or dark", theme);
keys.bind("g o", "go to the overview", () => go("/"));
keys.bind("g l", "go to the logs", () => go("/logs"));
keys.bind("g e", "go to the events", () => go("/events"));
keys.bind("g g", "go to the graph", () => go("/graph"));
keys.bind("g n", "go to the network", () => go("/network"));

document.getElementById("top").append(h("orc-top"));
begin();
connect();
giveWay();
listenForSilence();
// What is not needed for the first look comes after it.
watch(() => document.documentElement.toggleAttribute("data-ready", store.ready));
requestIdleCallback?.(loadViews) ?? setTimeout(loadViews, 50);

function loadViews() {
  for (const name of VIEWS) import(`./views/${name}.js`).catch((error) => console.warn(`view ${name}: ${error.message}`));
}

export const leave = () => post("/api/leave", {});
