// The one small window that says more about what is under the pointer, or what has the focus.

import { h } from "./dom.js";

let tip = null;

/** Show `lines` (texts or nodes) above a place of the window; it never leaves the window. */
export function showTip(x, y, lines) {
  if (!tip) {
    tip = h("div.tip", { "aria-hidden": "true" });
    document.body.append(tip);
  }
  tip.replaceChildren(...lines.filter(Boolean).map((line) => (line instanceof Node ? line : h("div", line))));
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.round(Math.max(6, Math.min(innerWidth - width - 6, x - width / 2)))}px`;
  tip.style.top = `${Math.round(y - height - 8 < 4 ? y + 24 : y - height - 8)}px`;
}

export function hideTip() {
  if (tip) tip.hidden = true;
}

addEventListener("scroll", hideTip, { passive: true, capture: true });
document.addEventListener("orc-route", hideTip);
