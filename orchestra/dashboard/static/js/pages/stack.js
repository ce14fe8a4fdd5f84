// <orc-stack stack>: one stack: its services with causes, who depends on whom, how it started, what happened.

import { h, list } from "../dom.js";
import { Live } from "../store.js";
import { stackLevel } from "../summary.js";
import { card } from "./overview.js";
import { section } from "./service.js";
import "../elements/events.js";

class Stack extends Live {
  build() {
    const stack = this.getAttribute("stack");
    this.card = card(stack);
    this.gone = h("p.empty", { hidden: true }, `Stack ${stack} is not running.`);
    this.notices = h("ul.notices");
    this.append(
      h("nav.crumbs", { "aria-label": "where" }, h("a", { href: "/" }, "all"), " /"),
      h("h1.unseen", `Stack ${stack}`),
      this.gone,
      this.card,
      this.notices,
      h("div.beside",
        section("Dependencies", h("orc-graph", { stack })),
        section("Last start", h("orc-waterfall", { stack }))),
      section("Resources", h("orc-charts", { stack })),
      section("Network", h("orc-network", { stack })),
      section("Events", h("orc-events", { stack, limit: 30 })),
      section("Configuration", h("orc-config", { stack })));
  }

  update(store) {
    const stack = store.stacks.get(this.getAttribute("stack"));
    this.gone.hidden = !store.ready || Boolean(stack);
    this.card.hidden = !stack;
    if (!stack) return;
    this.card.update(stack, stackLevel(stack));
    const notices = stack.notices ?? [];
    list(this.notices, notices, (text) => text, (text) => h("li", text), () => {});
  }
}

customElements.define("orc-stack", Stack);
