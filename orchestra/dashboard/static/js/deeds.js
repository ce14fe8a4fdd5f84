// What a person asks for, its result where it was asked, and the command that does the same.

import { post } from "./api.js";
import { h, icon } from "./dom.js";
import { changed, store } from "./store.js";

export const WORDS = {
  restart: ["restart", "restarting", "restarted"],
  start: ["start", "starting", "started"],
  stop: ["stop", "stopping", "stopped"],
  kill: ["kill", "killing", "killed"],
  recreate: ["recreate", "recreating", "recreated"],
  scale: ["scale", "scaling", "scaled"],
  pause: ["pause", "pausing", "paused"],
  unpause: ["resume", "resuming", "resumed"],
  down: ["take down", "taking down", "taken down"],
};

const name = (stack, service) => `${stack}/${service ?? ""}`;

export const deed = (stack, service) => store.deeds.get(name(stack, service));

/** Do it; the result is shown by whoever shows the deeds of this service. */
export async function act(stack, service, action, more = {}) {
  const key = name(stack, service);
  const one = { action, state: "busy", began: Date.now(), text: `${WORDS[action][1]}…` };
  store.deeds.set(key, one);
  changed();
  try {
    const answer = await post(`/api/stacks/${encodeURIComponent(stack)}/actions`, {
      action, services: service ? [service] : null, ...more,
    });
    Object.assign(one, { state: "done", text: `${WORDS[action][2]} in ${took(answer.took)}`, command: answer.command });
  } catch (error) {
    Object.assign(one, { state: "failed", text: `could not ${WORDS[action][0]}: ${error.message}`, hint: error.hint });
  }
  announce(`${service ?? stack}: ${one.text}`);
  changed();
  if (one.state === "done") setTimeout(() => forget(key, one), 60_000);
}

export function forget(key, one) {
  if (store.deeds.get(key) === one) {
    store.deeds.delete(key);
    changed();
  }
}

const took = (seconds) => (seconds < 10 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds)} s`);

/** Said to screen readers, and to nobody else. */
export function announce(text) {
  document.getElementById("said").textContent = text;
}

/** The line that shows a deed: `restarted in 0.4 s · orchestra -p store restart cart [copy]`. */
export function line(stack, service, one) {
  const key = name(stack, service);
  return h(`div.deed.${one.state}`,
    h("span.deed-text", one.text),
    one.hint && h("span.quiet", one.hint),
    one.command && copyable(one.command),
    one.state !== "busy" && h("button.plain", { "aria-label": "dismiss", title: "dismiss", onclick: () => forget(key, one) }, icon("bad")));
}

/** A command that does the same in a terminal, to be copied. */
export const copyable = (command) => h("span.command", h("code", command),
  h("button.plain", { type: "button", "aria-label": "copy the command", title: "copy the command", onclick: (event) => copy(event, command) }, icon("copy")));

async function copy(event, text) {
  event.stopPropagation();
  try {
    await navigator.clipboard.writeText(text);
    announce("copied");
  } catch {
    // Only pages that came over TLS or from this machine may: then it is at least marked, to be copied by hand.
    getSelection().selectAllChildren(event.target.closest(".command").querySelector("code"));
    announce("marked: copy it with the keyboard");
  }
}
