// Every object has an address of its own: pages by path, what they show by query.

const routes = [];

/** `route("/s/:stack", ({stack}) => element)`; paths are tried in the order in which they came. */
export function route(pattern, make) {
  const names = [];
  const source = pattern.replace(/:([a-z]+)/g, (_, name) => {
    names.push(name);
    return "([^/]+)";
  });
  routes.push({ expression: new RegExp(`^${source}/?$`), names, make });
}

/** Go to an address within the page. `replace`: without a step back to where one was. */
export function go(address, replace = false) {
  if (address === location.pathname + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", address);
  show();
}

/** The same page with other parameters; nothing is built anew. */
export function note(parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of [value].flat()) if (one) query.append(name, one);
  }
  const text = query.toString();
  history.replaceState(null, "", text ? `?${text}` : location.pathname);
}

let shown = null;

function show() {
  const path = location.pathname;
  for (const { expression, names, make } of routes) {
    const found = expression.exec(path);
    if (!found) continue;
    const values = Object.fromEntries(names.map((name, at) => [name, decodeURIComponent(found[at + 1])]));
    const main = document.getElementById("main");
    main.replaceChildren(make(values, new URLSearchParams(location.search)));
    if (shown !== null) {
      main.focus({ preventScroll: true });
      scrollTo(0, 0);
    }
    shown = path;
    document.dispatchEvent(new CustomEvent("orc-route", { detail: path }));
    return;
  }
}

/** Begin: links of this page no longer load it anew. */
export function begin() {
  addEventListener("popstate", show);
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
    if (link.origin !== location.origin || link.target || link.hasAttribute("download")) return;
    if (link.pathname.startsWith("/api/") || link.getAttribute("href").startsWith("#")) return;
    event.preventDefault();
    go(link.pathname + link.search);
  });
  show();
}

/** The address of a stack, or of a service in it. */
export const place = (stack, service) =>
  `/s/${encodeURIComponent(stack)}${service ? `/${encodeURIComponent(service)}` : ""}`;
