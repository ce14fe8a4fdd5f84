// <orc-state>: text and icon for how something is; never colour alone.

import { attribute, h, icon, say } from "../dom.js";

class State extends HTMLElement {
  /** `level`: bad, pending, off, good; `text`: a word or two. */
  set(level, text) {
    if (this.level !== level) {
      this.level = level;
      this.className = `state ${level}`;
      this.word ??= h("span");
      this.replaceChildren(icon(level), this.word);
    }
    say(this.word, text);
    attribute(this, "title", text);
    return this;
  }
}

customElements.define("orc-state", State);

export const state = (level, text) => document.createElement("orc-state").set(level, text);
