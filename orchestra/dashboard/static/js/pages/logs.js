// <orc-logs>: logs of any set of services, merged; what is chosen stands in the address.

import { attribute, h, list } from "../dom.js";
import { go } from "../router.js";
import { Live } from "../store.js";
import "../elements/log.js";

const address = (query) => `/logs${query.size ? `?${query}` : ""}`;

class Logs extends Live {
  build() {
    const query = this.query = new URLSearchParams(location.search);
    const chosen = query.getAll("service");
    this.chips = h("div.chips", { role: "group", "aria-label": "services" });
    this.log = h("orc-log", {
      stack: query.get("stack"), service: chosen.join(",") || null, q: query.get("q"), level: query.get("level"),
      regex: query.get("regex"), at: query.get("at"),
    });
    this.log.addEventListener("orc-log", () => this.keep());
    this.append(h("header.object", h("h1", "Logs"), this.chips), this.log);
  }

  update(store) {
    const stack = this.query.get("stack") ?? "";
    const chosen = new Set(this.query.getAll("service"));
    const items = [{ key: "all", text: "everything", on: !stack, query: new URLSearchParams() }];
    for (const one of [...store.stacks.values()].sort((a, b) => a.name.localeCompare(b.name))) {
      items.push({ key: one.name, text: one.name, on: stack === one.name && !chosen.size, query: new URLSearchParams({ stack: one.name }), stack: true });
      if (stack !== one.name) continue;
      for (const name of Object.keys(one.services).sort()) {
        const others = new Set(chosen);
        if (!others.delete(name)) others.add(name);
        const query = new URLSearchParams({ stack });
        for (const each of others) query.append("service", each);
        items.push({ key: `${one.name}/${name}`, text: name, on: chosen.has(name), query });
      }
    }
    list(this.chips, items, ({ key }) => key, () => h("button.chip", { type: "button" }), (chip, item) => {
      chip.textContent = item.text;
      chip.classList.toggle("of-stack", Boolean(item.stack));
      attribute(chip, "aria-pressed", item.on ? "true" : "false");
      chip.onclick = () => go(address(item.query));
    });
  }

  /** What is looked for goes into the address, so that it can be given to somebody else. */
  keep() {
    const { log, query } = this;
    for (const [name, value] of [["q", log.words.value], ["level", log.level.value], ["regex", log.regex.checked ? "1" : ""], ["at", log.at]]) {
      if (value) query.set(name, value);
      else query.delete(name);
    }
    history.replaceState(null, "", address(query));
  }
}

customElements.define("orc-logs", Logs);
