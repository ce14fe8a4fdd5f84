// Everything can be reached from the keyboard. Single letters work where nobody is typing.

import { h } from "./dom.js";

const bound = [];

/** `bind("r", "restart the service", event => …)`; what is bound last is asked first. `when` says where it is good. */
export function bind(key, meaning, act, when = () => true) {
  const one = { key, meaning, act, when };
  bound.unshift(one);
  return () => bound.splice(bound.indexOf(one), 1);
}

const typing = (target) => target.closest?.("input, textarea, select, [contenteditable], orc-terminal");

export function begin() {
  let prefix = "";
  document.addEventListener("keydown", (event) => {
    if (event.metaKey || event.ctrlKey || event.altKey || typing(event.target)) return;
    if (document.querySelector("dialog[open]")) return;
    const key = prefix + event.key;
    prefix = "";
    const meant = bound.find((one) => one.key === key && one.when());
    if (meant) {
      event.preventDefault();
      meant.act(event);
    } else if (event.key === "g") {
      prefix = "g ";
      setTimeout(() => { prefix = ""; }, 1200);
    }
  });
  bind("?", "show these keys", show);
}

function show() {
  const known = new Map();
  for (const { key, meaning } of bound) if (!known.has(key)) known.set(key, meaning);
  const dialog = h("dialog.keys", { "aria-labelledby": "keys-title" },
    h("h2", { id: "keys-title" }, "Keys"),
    h("dl", [...known].reverse().map(([key, meaning]) => h("div", h("dt", h("kbd", key)), h("dd", meaning)))),
    h("form", { method: "dialog" }, h("button", "Close")));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

/** Move the focus along a list of rows. */
export function step(selector, by) {
  const rows = [...document.querySelectorAll(selector)].filter((row) => row.offsetParent !== null);
  if (!rows.length) return;
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  const next = at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + by));
  rows[next].focus();
  rows[next].scrollIntoView({ block: "nearest" });
}
