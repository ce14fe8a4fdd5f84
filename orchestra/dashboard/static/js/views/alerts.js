// <orc-alerts>: what is wrong now and was lately, by which rules, and who is told; whether telling works can be tried.

import { get, post } from "../api.js";
import { announce, copyable } from "../deeds.js";
import { attribute, h, icon, list, say } from "../dom.js";
import { place } from "../router.js";
import { Painted } from "../seen.js";
import { store, watch } from "../store.js";
import { clock, duration, since } from "../time.js";

const BACK = 7 * 86400;
/** Milliseconds. */
const AGAIN = 20_000;
const PAUSE = 300;
const WISH = "orchestra-notify";
const EXAMPLE = `x-alerts:
  receivers:
    phone: {url: "https://ntfy.sh/\${TOPIC}", format: text}
    team: {url: "https://example.org/hook"}`;

class Alerts extends Painted {
  build() {
    this.calm = h("p.calm", icon("good"), "Nothing is wrong.");
    this.firing = h("ul.firing", { "aria-label": "firing" });
    this.notify = h("button", { type: "button", onclick: () => this.allow() });
    this.told = h("div.receivers");
    this.nobody = h("div.nobody", h("p.quiet", "Nobody is told of alerts. Receivers are named in the stack file:"), h("pre", EXAMPLE));
    this.rules = h("tbody");
    this.past = h("tbody");
    this.none = h("p.quiet", "No alert in the last week.");
    const part = (title, ...parts) => h("section.part", { "aria-label": title }, h("h2", title), parts);
    const scroll = (label, table) => h("div.scroll", { tabindex: 0, role: "region", "aria-label": label }, table);
    const heads = (texts) => h("thead", h("tr", texts.map((text) => h("th", { scope: "col" }, text))));
    this.append(
      part("Now", this.calm, this.firing),
      part("Who is told", this.told, this.nobody, h("div.row", this.notify, h("span.quiet", "while this page is open"))),
      part("Over", this.none, scroll("alerts that are over", h("table.plain.over", heads(["Since", "For", "Service", "Rule", "What", "Told"]), this.past))),
      part("Rules", scroll("all rules", h("table.plain", heads(["Rule", "Fires when", "Services", "Stacks"]), this.rules))));
    this.answers = new Map();
  }

  come() {
    this.unwatch = watch(() => this.look());
    this.tellNotify();
    this.ask();
  }

  go() {
    this.unwatch();
    clearTimeout(this.timer);
  }

  look() {
    const last = store.events.findLast(({ action }) => action === "alert")?.id;
    const stacks = [...store.stacks.keys()].join("\n");
    if (last === this.last && stacks === this.names) return;
    [this.last, this.names] = [last, stacks];
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(), PAUSE);
  }

  async ask() {
    const names = [...store.stacks.keys()];
    const start = Date.now() / 1000 - BACK;
    const answers = await Promise.all(names.map((name) => get(`/api/stacks/${encodeURIComponent(name)}/alerts`, { start }).catch(() => null)));
    this.answers = new Map(names.map((name, at) => [name, answers[at]]).filter(([, answer]) => answer));
    if (!this.inSight) return;
    if (store.ready) this.tell();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(), AGAIN);
  }

  tell() {
    const all = [...this.answers].flatMap(([stack, { alerts }]) => alerts.map((alert) => ({ ...alert, stack })));
    const firing = all.filter(({ resolved }) => resolved === null);
    const over = all.filter(({ resolved }) => resolved !== null).sort((a, b) => b.since - a.since);
    this.calm.hidden = firing.length > 0;
    list(this.firing, firing, ({ stack, id }) => `${stack} ${id}`, firingOf, (item, alert) => item.update(alert));
    this.none.hidden = over.length > 0;
    this.past.closest(".scroll").hidden = !over.length;
    list(this.past, over, ({ stack, id }) => `${stack} ${id}`, overOf, (row, alert) => say(row.lastChild, toldOf(alert)));
    this.tellReceivers();
    this.tellRules();
  }

  tellReceivers() {
    const receivers = [...this.answers].flatMap(([stack, answer]) => answer.receivers.map((one) => ({ ...one, stack })));
    this.nobody.hidden = receivers.length > 0;
    list(this.told, receivers, ({ stack, name }) => `${stack} ${name}`, receiverOf, () => {});
  }

  /** Rules that several stacks have alike take one row. */
  tellRules() {
    const rules = new Map();
    for (const [stack, answer] of this.answers) {
      for (const rule of answer.rules) {
        const key = JSON.stringify([rule.name, rule.text, rule.services]);
        rules.set(key, { ...rule, key, stacks: [...rules.get(key)?.stacks ?? [], stack] });
      }
    }
    list(this.rules, rules.values(), ({ key }) => key, (rule) => h("tr", h("th", { scope: "row" }, rule.name, rule.builtin && h("span.quiet", " built in")), h("td", rule.text), h("td", rule.services?.join(", ") ?? "all"), h("td")),
      (row, { stacks }) => say(row.lastChild, stacks.length === this.answers.size && stacks.length > 1 ? "all" : stacks.join(", ")));
  }

  // Notifications of the desktop

  tellNotify() {
    const possible = "Notification" in window && Notification.permission !== "denied";
    this.notify.disabled = !possible;
    say(this.notify, !possible ? "This browser shows no notifications" : wished() ? "Stop notifications on this computer" : "Notify me on this computer");
    attribute(this.notify, "aria-pressed", String(wished()));
  }

  async allow() {
    if (wished()) localStorage.removeItem(WISH);
    else if (await Notification.requestPermission() === "granted") localStorage.setItem(WISH, "1");
    this.tellNotify();
  }
}

customElements.define("orc-alerts", Alerts);

function firingOf({ stack, service, rule }) {
  const [what, told] = [h("span"), h("span.quiet")];
  const time = h("time");
  const item = h("li", icon("bad"), h("a", { href: place(stack, service) }, `${stack}/${service}`), h("b", rule), what, h("span.quiet", "for ", time), told);
  item.update = (alert) => {
    say(what, alert.text);
    since(time, alert.since);
    say(told, toldOf(alert));
  };
  return item;
}

const overOf = ({ stack, service, rule, text, since: began, resolved }) => h("tr",
  h("td", h("a", { href: `/events?at=${began}` }, clock(began, true))), h("td", duration(resolved - began)),
  h("td", h("a", { href: place(stack, service) }, `${stack}/${service}`)), h("td", rule), h("td.what", text), h("td"));

const toldOf = ({ sent, failed }) => [sent && `told ${sent === 1 ? "once" : `${sent} times`}`, failed && `not told: ${failed}`].filter(Boolean).join(", ");

function receiverOf({ stack, name, host, format }) {
  const result = h("span.test-result", { role: "status" });
  const button = h("button", { type: "button", onclick: () => test(), hidden: store.allowed.read_only }, "Send a test");
  const test = async () => {
    button.disabled = true;
    result.className = "test-result";
    say(result, "sending …");
    try {
      const { results: [one] } = await post(`/api/stacks/${encodeURIComponent(stack)}/alert_test`, { receiver: name });
      result.classList.add(one.ok ? "good" : "bad");
      say(result, one.ok ? "sent" : one.text);
    } catch (error) {
      result.classList.add("bad");
      say(result, `${error.message}${error.hint ? `: ${error.hint}` : ""}`);
    }
    button.disabled = false;
    announce(`${name}: ${result.textContent}`);
  };
  return h("div.receiver", h("b", name), h("span.quiet", `of ${stack}, ${host}, as ${format}`), button, copyable(`orchestra -p ${stack} alerts test ${name}`), result);
}

// On every page: an alert that comes in while nobody looks

const wished = () => localStorage.getItem(WISH) === "1" && "Notification" in window && Notification.permission === "granted";
let noted = 0;

watch(({ events, ready }) => {
  if (!ready) return;
  const first = noted === 0;
  for (let at = events.length - 1; at >= 0 && events[at].id > noted; at -= 1) {
    const { action, stack, text, id } = events[at];
    if (!first && action === "alert" && wished()) new Notification(`orchestra: ${stack}`, { body: text, tag: `${stack} ${id}` });
  }
  noted = Math.max(noted, events.at(-1)?.id ?? 1);
});
