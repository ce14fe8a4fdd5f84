// <orc-network [stack]>: who may talk to whom and who does, which doors lead in, and under which names.

import { figures } from "../amounts.js";
import { get } from "../api.js";
import { attribute, h, list, say } from "../dom.js";
import { place } from "../router.js";
import { Painted } from "../seen.js";
import { follow, store, watch } from "../store.js";
import { endpoint, numbers } from "../summary.js";

/** Milliseconds between two questions about connections. */
const AGAIN = 3000;
const OUTSIDE = "\u0000outside";

class Network extends Painted {
  build() {
    this.stacks = h("div.networks");
    this.append(this.stacks);
  }

  come() {
    this.unwatch = watch(() => this.update());
    this.update();
  }

  go() {
    this.unwatch();
    for (const element of this.stacks.children) element.end();
  }

  update() {
    const only = this.getAttribute("stack");
    const names = [...store.stacks.keys()].filter((name) => !only || name === only).sort();
    for (const element of this.stacks.children) if (!names.includes(element.dataset.key)) element.end();
    list(this.stacks, names, (name) => name, (name) => stackOf(name, !only), (element) => element.begin());
  }
}

customElements.define("orc-network", Network);

function stackOf(name, titled) {
  const grid = h("table.reach");
  const key = h("p.quiet.reach-key");
  const networks = h("tbody");
  const element = h("section.network", { "aria-label": `networks of ${name}` },
    titled && h("h2", h("a", { href: place(name) }, name)),
    h("div.network-parts",
      h("div", h("h3", "Who may talk to whom"), h("div.scroll", { tabindex: 0, role: "region", "aria-label": `who may talk to whom in ${name}` }, grid), key),
      h("div", h("h3", "Networks and names"), h("div.scroll", { tabindex: 0, role: "region", "aria-label": `networks and names of ${name}` },
        h("table.plain.names", h("thead", h("tr", ["Network", "Service", "Names", "Address", "Dropped"].map((text) => h("th", { scope: "col" }, text)))), networks)))));
  let [timer, unfollow, answer, dropped] = [0, null, { networks: [], talks: [] }, new Map()];

  const ask = async () => {
    try {
      answer = await get(`/api/stacks/${encodeURIComponent(name)}/networks`);
      tell();
    } catch (error) {
      say(key, error.message);
    }
    if (unfollow) timer = setTimeout(ask, AGAIN);
  };
  const tell = () => {
    const stack = store.stacks.get(name);
    if (!stack) return;
    tellGrid(grid, reach(stack, answer));
    say(key, `● may talk, by a network in common. 3 +12: three connections are open, twelve were closed within the last minute.`);
    tellNames(networks, stack, answer, dropped);
  };
  element.begin = () => {
    if (unfollow) return;
    unfollow = follow("usage", { stack: name, interval: 5 }, ({ usage }) => {
      for (const one of usage ?? []) for (const its of one.networks) dropped.set(`${one.container} ${its.network}`, its.received_dropped + its.sent_dropped);
    });
    ask();
  };
  element.end = () => {
    unfollow?.();
    unfollow = null;
    clearTimeout(timer);
  };
  return element;
}

/** Services, who of them meets whom in which networks, and how many connections there are. */
function reach(stack, { networks, talks }) {
  const about = new Map(networks.map((network) => [network.key, network]));
  const members = new Map();
  const doors = new Map();
  for (const row of stack.rows.values()) {
    if (row.oneoff) continue;
    const one = members.get(row.service) ?? { networks: new Set(), mode: stack.services[row.service]?.network_mode ?? "" };
    for (const network of Object.keys(row.addresses)) one.networks.add(network);
    members.set(row.service, one);
    for (const port of row.ports) doors.set(row.service, [...doors.get(row.service) ?? [], port]);
  }
  const counts = new Map();
  const add = (from, to, { open, recent }) => {
    const sum = counts.get(`${from} ${to}`) ?? { open: 0, recent: 0 };
    counts.set(`${from} ${to}`, { open: sum.open + open, recent: sum.recent + recent });
  };
  for (const talk of talks) {
    const peer = talk.peer_service || OUTSIDE;
    // An open connection within the stack is seen from both ends; one that was closed only from one.
    const open = talk.inward && talk.peer_service && !ownedByOther(stack, talk.peer_service) ? 0 : talk.open;
    if (talk.inward) add(peer, talk.service, { open, recent: talk.recent });
    else add(talk.service, peer, { open: talk.open, recent: talk.recent });
  }
  const names = [...members.keys()].sort();
  const common = (a, b) => [...members.get(a).networks].filter((network) => members.get(b).networks.has(network));
  const wayOut = (name) => members.get(name).mode === "host" || [...members.get(name).networks].some((network) => about.get(network) && !about.get(network).internal);
  return { names, common, wayOut, doors, counts, mode: (name) => members.get(name).mode };
}

const ownedByOther = (stack, service) => (stack.uses ?? []).some((use) => use.service === service);

function tellGrid(grid, { names, common, wayOut, doors, counts, mode }) {
  const shape = names.join("\n");
  if (grid.shape !== shape) {
    grid.shape = shape;
    const columns = [...names, OUTSIDE];
    grid.replaceChildren(
      h("thead", h("tr", h("td", h("span.unseen", "from, to")), columns.map((to) => h("th", { scope: "col" }, h("span", to === OUTSIDE ? "outside" : to))))),
      h("tbody", [...names, OUTSIDE].map((from) => h("tr", h("th", { scope: "row", title: from === OUTSIDE ? null : from }, from === OUTSIDE ? "outside" : from), columns.map(() => h("td"))))));
  }
  const all = [...names, OUTSIDE];
  all.forEach((from, y) => all.forEach((to, x) => {
    const cell = grid.tBodies[0].rows[y].cells[x + 1];
    const [may, why] = allowed(from, to, { common, wayOut, doors, mode });
    const { open = 0, recent = 0 } = counts.get(`${from} ${to}`) ?? {};
    const text = from === to ? "" : open + recent ? [open && figures(open), recent && `+${recent}`].filter(Boolean).join(" ") : may ? "●" : "";
    if (cell.dataset.shown === `${text} ${why}`) return;
    cell.dataset.shown = `${text} ${why}`;
    cell.className = from === to ? "self" : may ? (open + recent ? "talks" : "may") : "cannot";
    attribute(cell, "title", from === to ? null : `${from === OUTSIDE ? "outside" : from} → ${to === OUTSIDE ? "outside" : to}: ${why}${open + recent ? `; ${open} open, ${recent} closed within the last minute` : ""}`);
    cell.replaceChildren(text, !text && from !== to ? h("span.unseen", "no") : "");
  }));
}

function allowed(from, to, { common, wayOut, doors, mode }) {
  if (from === to) return [false, ""];
  if (from === OUTSIDE) {
    const ports = doors.get(to) ?? [];
    return ports.length ? [true, ports.map((port) => `${port.host_ip || "*"}:${numbers(port.host_port, port.count)} → ${numbers(port.port, port.count)}/${port.protocol}`).join(", ")] : [false, "nothing is published"];
  }
  if (to === OUTSIDE) return wayOut(from) ? [true, "may reach the outside"] : [false, "its networks are internal: no way out"];
  if (mode(from) === "host" || mode(to) === "host") return [true, "on the network of the machine"];
  const shared = common(from, to);
  return shared.length ? [true, `by ${shared.join(", ")}`] : [false, "no network in common"];
}

function tellNames(body, stack, { networks }, dropped) {
  const rows = networks.flatMap((network) => {
    const members = [...stack.rows.values()].filter((row) => network.key in row.addresses && !row.oneoff).sort((a, b) => a.name.localeCompare(b.name));
    return [{ key: network.key, network }, ...members.map((row) => ({ key: `${network.key} ${row.name}`, network, row }))];
  });
  list(body, rows, ({ key }) => key, ({ row }) => (row ? h("tr", h("td"), h("td"), h("td"), h("td"), h("td.number")) : h("tr.of-network", h("th", { scope: "row" }), h("td", { colspan: 4 }))), (line, { network, row }) => {
    if (!row) {
      say(line.cells[0], network.key);
      const words = `${network.subnet}, gateway ${network.gateway}${network.internal ? ", internal: no way in or out" : ""}`;
      say(line.cells[1], words);
      return;
    }
    const address = row.addresses[network.key];
    const names = Object.entries(network.names).filter(([, addresses]) => addresses.includes(address)).map(([name]) => name).sort((a, b) => a.length - b.length);
    say(line.cells[2], names.join(", ") || "none while it does not run");
    say(line.cells[3], address);
    const lost = dropped.get(`${row.name} ${network.key}`);
    say(line.cells[4], lost ? figures(lost) : "");
    const doors = row.ports.map((port) => `${endpoint(port).text} → ${numbers(port.port, port.count)}`).join(", ");
    const whose = `${row.service}${row.owner ? ` of ${row.owner}` : ""}`;
    if (line.dataset.whose === whose + doors) return;
    line.dataset.whose = whose + doors;
    line.cells[1].replaceChildren(whose, doors && h("span.door", { title: "published: a port of this machine leads to it" }, doors));
  });
}
