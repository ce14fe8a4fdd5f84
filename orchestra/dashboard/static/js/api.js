// Requests to the dashboard's server. Every one carries the key, which only pages of this origin have.

const KEY = localStorage.getItem("orchestra-key") ?? "";

/** What could not be done, in words for a person; `hint` says what to do next. */
export class Failed extends Error {
  constructor(what, hint, status) {
    super(what);
    this.hint = hint;
    this.status = status;
  }
}

/** An address with parameters; lists become repeated ones, empty ones are left out. */
export function address(path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null && one !== "") query.append(name, one);
    }
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

/** For what cannot carry a header: event streams, downloads, sockets. */
export const withKey = (path, parameters = {}) => address(path, { ...parameters, key: KEY });

export const get = (path, parameters, signal) => ask("GET", address(path, parameters), undefined, signal);
export const post = (path, body) => ask("POST", path, JSON.stringify(body));
export const remove = (path) => ask("DELETE", path);

async function ask(method, path, body, signal) {
  let response;
  try {
    response = await fetch(path, {
      method, body, signal,
      headers: { "X-Orchestra-Key": KEY, ...(body && { "Content-Type": "application/json" }) },
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failed("the dashboard's server does not answer", "is `orchestra dashboard` still running?", 0);
  }
  const text = await response.text();
  let answer = {};
  try {
    answer = JSON.parse(text);
  } catch {
    if (response.ok) throw new Failed("the answer is not to be understood", null, response.status);
  }
  if (!response.ok) {
    throw new Failed(answer.error?.what ?? text.trim() ?? response.statusText, answer.error?.hint, response.status);
  }
  return answer;
}
