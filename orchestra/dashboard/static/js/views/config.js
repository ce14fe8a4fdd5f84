// <orc-config stack [service]>: what the files say, with the place of each value; and what `up` would change of what runs.

import { get } from "../api.js";
import { h, icon, list, say } from "../dom.js";
import { copyable } from "../deeds.js";
import { Painted } from "../seen.js";
import { store, watch } from "../store.js";

const MASK = "••••••";
const SECTIONS = ["services", "networks", "volumes", "configs", "secrets"];
const LONGEST = 400;
/** Milliseconds between a change of the containers, or coming back to the page, and another look at the files. */
const PAUSE = 800;

class Config extends Painted {
  build() {
    this.verdict = h("p.config-verdict", { role: "status" }, "Reading the files …");
    this.again = h("button.tool", { type: "button", title: "read the files again", "aria-label": "read the files again", onclick: () => this.ask() }, icon("restart"));
    this.command = h("div");
    this.problems = h("ul.problems");
    this.differs = h("div");
    this.parts = h("div.config-parts");
    this.back = () => this.askIn(PAUSE);
    this.append(h("div.row", this.verdict, this.again, this.command), this.problems, this.differs, this.parts);
  }

  come() {
    this.unwatch = watch(() => this.look());
    addEventListener("focus", this.back);
    this.ask();
  }

  go() {
    this.unwatch();
    removeEventListener("focus", this.back);
    clearTimeout(this.timer);
  }

  /** Another `up` was done. */
  look() {
    const rows = [...store.stacks.get(this.getAttribute("stack"))?.rows.values() ?? []];
    const created = rows.map((row) => `${row.name} ${row.created}`).join();
    if (this.created !== undefined && this.created !== created) this.askIn(PAUSE);
    this.created = created;
  }

  askIn(delay) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(), delay);
  }

  async ask() {
    const stack = this.getAttribute("stack");
    try {
      this.tell(await get(`/api/stacks/${encodeURIComponent(stack)}/config`));
    } catch (error) {
      say(this.verdict, error.message);
    }
  }

  tell({ file, problems, differs, sources, running }) {
    const service = this.getAttribute("service");
    const own = differs.filter(({ path }) => !service || path === `services.${service}` || path.startsWith(`services.${service}.`));
    this.problems.replaceChildren(...problems.map((text) => h("li", text)));
    this.classList.toggle("differs", own.length > 0);
    say(this.verdict, problems.length ? "The files cannot be read as they are; this runs on."
      : own.length ? `${own.length === 1 ? "One value differs" : `${own.length} values differ`} between what runs and what the files say now:`
        : "What runs is what the files say.");
    const { files = [] } = store.stacks.get(this.getAttribute("stack")) ?? {};
    const command = own.length && !problems.length ? `orchestra ${files.map((name) => `-f ${name} `).join("")}up -d${service ? ` ${service}` : ""}` : "";
    if (this.proposed !== command) this.command.replaceChildren(...(command ? [copyable(command)] : []));
    this.proposed = command;
    this.differs.replaceChildren(...(own.length ? [table(own, service)] : []));
    const model = file ?? running;
    const parts = service ? [{ name: service, value: model.services?.[service], path: `services.${service}` }]
      : SECTIONS.flatMap((section) => Object.entries(model[section] ?? {}).map(([name, value]) => ({ name, value, path: `${section}.${name}`, kind: section === "services" ? "" : section.slice(0, -1) })));
    list(this.parts, parts.filter(({ value }) => value), ({ path }) => path, ({ name, kind }) => (service ? h("div", h("div.scroll", { tabindex: 0, role: "region", "aria-label": `configuration of ${name}` }))
      : h("details.config-part", h("summary", h("b", name), kind && h("span.quiet", ` ${kind}`)), h("div.scroll", { tabindex: 0, role: "region", "aria-label": `configuration of ${name}` }))),
    (element, { value, path }) => {
      const text = JSON.stringify([value, Object.entries(sources).filter(([place]) => place.startsWith(path))]);
      if (element.shown === text) return;
      element.shown = text;
      element.lastElementChild.replaceChildren(h("table.config", h("thead.unseen", h("tr", h("th", { scope: "col" }, "Setting"), h("th", { scope: "col" }, "Written at"))), h("tbody", lines(value, path, 0, sources))));
    });
  }
}

customElements.define("orc-config", Config);

function table(differs, service) {
  const start = service ? `services.${service}.`.length : 0;
  return h("div.scroll", { tabindex: 0, role: "region", "aria-label": "differences" }, h("table.plain.differences",
    h("thead", h("tr", ["Setting", "Runs", "Files say"].map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", differs.map(({ path, running, file }) => h("tr", h("th", { scope: "row" }, h("code", path.replace(/^services\./, "").slice(service ? start - "services.".length : 0) || path)),
      h("td", running === null ? h("span.quiet", "not there") : h("del", shown(running))),
      h("td", file === null ? h("span.quiet", "not there") : h("ins", shown(file))))))));
}

const isPlain = (value) => value === null || typeof value !== "object";
const text = (value) => (typeof value === "string" && value !== MASK && /^$|[:#"'\n{}[\],&*?|<>=!%@`]|^\s|\s$|^(true|false|null|~|-?[\d.]+)$/.test(value) ? JSON.stringify(value) : String(value));
const shown = (value) => {
  const whole = isPlain(value) ? text(value) : JSON.stringify(value);
  return whole.length > LONGEST ? `${whole.slice(0, LONGEST)} …` : whole;
};

/** The rows of a value, as YAML would have them; a list of plain values takes one row. */
function lines(value, path, depth, sources) {
  const entries = Array.isArray(value) ? value.map((child, at) => [at, child, `${path}[${at}]`]) : Object.entries(value).map(([key, child]) => [key, child, `${path}.${key}`]);
  return entries.flatMap(([key, child, place]) => {
    const label = Array.isArray(value) ? "-" : `${key}:`;
    if (isPlain(child)) return [line(depth, label, text(child), sources[place], child === MASK)];
    if (Array.isArray(child) && child.every(isPlain)) return [line(depth, label, `[${child.map(text).join(", ")}]`, sources[`${place}[0]`] ?? sources[place])];
    if (!Object.keys(child).length) return [line(depth, label, Array.isArray(child) ? "[]" : "{}", sources[place])];
    return [line(depth, label, ""), ...lines(child, place, depth + 1, sources)];
  });
}

function line(depth, label, value, source, secret) {
  const setting = h("td", h("span.key-of", label), " ", secret ? h("span.secret", value, h("span.unseen", " secret")) : value);
  setting.style.paddingLeft = `${depth * 18}px`;
  const came = Object.entries(source?.variables ?? {}).map(([name, from]) => h("span.variable", `${name} from ${from === "environment" ? "the environment" : from}`));
  const isDefault = source?.place === "default";
  return h(`tr${isDefault ? ".by-default" : ""}`, setting, h("td.place", source && (isDefault ? "default" : source.place), came));
}
