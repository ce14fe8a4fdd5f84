// Making and updating elements. Text is always text: nothing here, and nothing that uses it, parses HTML.

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element: `h("a.quiet", {href, onclick, "aria-label": …}, "text", child, [more])`.
 * Properties that start with "on" are listeners, `data` is a dataset; null, false and undefined are left out.
 */
export function h(tag, properties, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name || "div");
  if (classes.length) element.className = classes.join(" ");
  return fill(element, properties, children);
}

/** The same for SVG. */
export function s(tag, properties, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElementNS(SVG, name);
  if (classes.length) element.setAttribute("class", classes.join(" "));
  return fill(element, properties, children);
}

function fill(element, properties, children) {
  if (properties !== null && (typeof properties !== "object" || properties instanceof Node || Array.isArray(properties))) {
    children = [properties, ...children];
    properties = null;
  }
  for (const [key, value] of Object.entries(properties ?? {})) set(element, key, value);
  element.append(...nodes(children));
  return element;
}

function set(element, key, value) {
  if (value === null || value === undefined || value === false) return;
  if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
  else if (key === "data") Object.assign(element.dataset, value);
  else if (key === "value" || key === "checked") element[key] = value;
  else element.setAttribute(key, value === true ? "" : value);
}

const nodes = (children) => children.flat(Infinity).filter((one) => one !== null && one !== undefined && one !== false);

/** Set text only where it differs: selections and screen readers are left in peace. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** An attribute that is there or not, or has a value; touched only where it differs. */
export function attribute(element, name, value) {
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/**
 * The children of `parent` as one element for each item, in order. An element stays the same while its item's key
 * does: `make(item)` makes it, `update(element, item)` is called each time.
 */
export function list(parent, items, key, make, update) {
  const before = new Map([...parent.children].map((one) => [one.dataset.key, one]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    let element = before.get(name);
    if (element) before.delete(name);
    else {
      element = make(item);
      element.dataset.key = name;
    }
    update(element, item);
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  }
  for (const gone of before.values()) gone.remove();
}

const PATHS = {
  good: "M3.5 8.5l3 3 6-7",
  bad: "M4 4l8 8M12 4l-8 8",
  pending: "M8 4.6v3.6l2.3 1.4M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8z",
  off: "M4.5 8h7",
  restart: "M13 8a5 5 0 1 1-1.5-3.6M13 2.5V5h-2.5",
  stop: "M4.5 4.5h7v7h-7z",
  start: "M5.5 3.5l7 4.5-7 4.5z",
  more: "M3.5 8h.01M8 8h.01M12.5 8h.01",
  logs: "M3 4h10M3 8h10M3 12h6",
  copy: "M6 6h7v7H6zM3 10V3h7",
  theme: "M8 2.5a5.5 5.5 0 1 0 5.5 5.5A4.2 4.2 0 0 1 8 2.5z",
  link: "M6.5 9.5l3-3M7 5l1-1a2.8 2.8 0 0 1 4 4l-1 1M9 11l-1 1a2.8 2.8 0 0 1-4-4l1-1",
  out: "M6 3.5H3.5v9h9V10M9 3.5h3.5V7M12.5 3.5l-5 5",
};

/** A small drawing beside a text; screen readers hear the text only. */
export function icon(name) {
  return s(`svg.icon.icon-${name}`, { viewBox: "0 0 16 16", "aria-hidden": "true" }, s("path", { d: PATHS[name] }));
}
