// <orc-actions stack [service]>: what can be done about a service, or about a whole stack.

import { attribute, h, icon } from "../dom.js";
import { act, deed } from "../deeds.js";
import { Live } from "../store.js";
import { service as summary } from "../summary.js";

class Actions extends Live {
  build() {
    this.stack = this.getAttribute("stack");
    this.service = this.getAttribute("service");
    const whom = this.service ?? `all of ${this.stack}`;
    const button = (action, label, drawing) => h("button.tool", {
      type: "button", "aria-label": `${label} ${whom}`, title: `${label} ${whom}`, onclick: () => act(this.stack, this.service, action),
    }, icon(drawing), h("span.label", label));
    this.restart = button("restart", "restart", "restart");
    this.stop = button("stop", "stop", "stop");
    this.start = button("start", "start", "start");
    this.resume = button("unpause", "resume", "start");
    this.more = h("button.tool", {
      type: "button", "aria-label": `more for ${whom}`, title: "more", "aria-haspopup": "menu", "aria-expanded": "false",
      onclick: () => this.open(),
    }, icon("more"));
    this.append(this.restart, this.resume, this.stop, this.start, this.more);
  }

  update(store) {
    const stack = store.stacks.get(this.stack);
    // What another stack owns is theirs to stop.
    this.hidden = store.allowed.read_only || !stack || (stack.uses ?? []).some((use) => use.service === this.service);
    if (this.hidden) return;
    const rows = this.service ? summary(stack, this.service).rows : [...stack.rows.values()];
    this.replicas = rows.length;
    const [paused, rest] = [["paused"], ["running", "restarting", "waiting"]].map((states) => rows.some(({ state }) => states.includes(state)));
    const runs = paused || rest;
    this.paused = paused;
    this.start.hidden = runs;
    this.stop.hidden = !runs;
    // Of a stack in which something else runs, its menu has it.
    this.resume.hidden = !paused || (rest && !this.service);
    this.restart.hidden = !runs || !this.resume.hidden;
    const busy = deed(this.stack, this.service)?.state === "busy" || !stack.reachable;
    for (const button of [this.restart, this.resume, this.stop, this.start]) attribute(button, "disabled", busy);
  }

  open() {
    const items = this.service ? this.ofService() : this.ofStack();
    const menu = h("div.menu", { role: "menu" }, items.map(([label, what]) =>
      h("button", { type: "button", role: "menuitem", tabindex: "-1", onclick: () => { close(); what(); } }, label)));
    const close = () => {
      menu.remove();
      this.more.setAttribute("aria-expanded", "false");
      this.more.focus();
      document.removeEventListener("pointerdown", outside, true);
    };
    const outside = (event) => { if (!menu.contains(event.target)) close(); };
    menu.addEventListener("keydown", (event) => {
      const buttons = [...menu.children];
      const at = buttons.indexOf(document.activeElement);
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (step) buttons[(at + step + buttons.length) % buttons.length].focus();
      else if (event.key === "Escape" || event.key === "Tab") close();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    this.append(menu);
    this.more.setAttribute("aria-expanded", "true");
    menu.firstElementChild.focus();
    document.addEventListener("pointerdown", outside, true);
  }

  ofService() {
    return [
      ["Kill", () => act(this.stack, this.service, "kill")],
      ["Recreate", () => act(this.stack, this.service, "recreate")],
      this.paused ? ["Resume", () => act(this.stack, this.service, "unpause")] : ["Pause", () => act(this.stack, this.service, "pause")],
      ["Scale …", () => this.scale()],
    ];
  }

  ofStack() {
    return [
      ["Recreate all", () => act(this.stack, null, "recreate")],
      this.paused ? ["Resume all", () => act(this.stack, null, "unpause")] : ["Pause all", () => act(this.stack, null, "pause")],
      ["Take down", () => act(this.stack, null, "down")],
      ["Take down with volumes …", () => this.discard()],
    ];
  }

  scale() {
    const replicas = h("input", { type: "number", min: 0, max: 200, required: true, "aria-label": "replicas", value: String(this.replicas || 1) });
    ask(`How many replicas of ${this.service}?`, [replicas], "Scale", () => act(this.stack, this.service, "scale", { replicas: replicas.valueAsNumber }));
  }

  /** The one thing that is asked twice: what volumes hold is lost for good. */
  discard() {
    ask(`Remove ${this.stack} and all that its volumes hold?`, [h("p", "This cannot be undone.")], "Remove everything",
      () => act(this.stack, null, "down", { volumes: true }), "bad");
  }
}

customElements.define("orc-actions", Actions);

/** A question; `then` is called when it is answered with yes. */
export function ask(question, parts, yes, then, level = "good") {
  const dialog = h("dialog.ask", { "aria-labelledby": "ask-title" });
  const form = h("form", { method: "dialog" }, h("h2", { id: "ask-title" }, question), parts,
    h("div.row", h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), h(`button.strong.${level}`, { value: "yes" }, yes)));
  dialog.append(form);
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (dialog.returnValue === "yes") then();
  });
  document.body.append(dialog);
  dialog.showModal();
}
