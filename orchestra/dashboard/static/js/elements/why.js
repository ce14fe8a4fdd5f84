// <orc-why stack service>: why a service is not well, readable without a click: the chain of causes as one sentence,
// and what happens next by itself.

import { h } from "../dom.js";
import { copyable } from "../deeds.js";
import { place } from "../router.js";
import { Live } from "../store.js";

class Why extends Live {
  update(store) {
    const stack = store.stacks.get(this.getAttribute("stack"));
    const cause = stack?.causes[this.getAttribute("service")];
    const shown = JSON.stringify(cause ?? null);
    if (shown === this.shown) return;
    this.shown = shown;
    this.hidden = !cause;
    this.replaceChildren(...(cause ? [sentence(stack.name, cause), ...next(stack.name, cause)] : []));
  }
}

customElements.define("orc-why", Why);

export const why = (stack, service) => h("orc-why", { stack, service });

/** `orders is waiting: cart is unhealthy since 14:02, its probe says connection refused; cart restarted 3 times` */
export function sentence(stack, cause, first = true) {
  const where = cause.stack ?? stack;
  const name = first ? h("b", cause.service) : h("a", { href: place(where, cause.service) }, cause.service);
  const from = cause.stack && h("span.quiet", ` of ${cause.stack}`);
  if (!cause.blocked_by.length) return h("span.cause", name, from, cause.sentence.slice(cause.service.length));
  return h("span.cause", name, from, " is waiting: ",
    cause.blocked_by.map((below, at) => [at > 0 && "; ", sentence(where, below, false)]));
}

/** What happens by itself; where nothing does, what a person can do. */
function next(stack, cause) {
  let [last, where] = [cause, cause.stack ?? stack];
  while (last.blocked_by.length) {
    [last] = last.blocked_by;
    where = last.stack ?? where;
  }
  const { text, command } = last.next;
  if (!text || last.sentence.includes(text.replace(/^it /, ""))) return [];
  const whose = last === cause ? "" : `${last.service}: `;
  if (!text.startsWith("nothing") || !command) return [h("span.next", ` Next: ${whose}${text}.`)];
  return [h("span.next", ` Next: ${whose}${text}: `), copyable(command.replace(/^orchestra (?!-p )/, `orchestra -p ${where} `))];
}
