// One line about a service, from the rows of its containers: what the overview shows.

import { CRASH_SHOWN } from "./store.js";

/** `bad` first: who should be looked at is at the top. */
export const LEVELS = ["bad", "pending", "off", "good"];
const rank = (level) => LEVELS.indexOf(level);

const justCrashed = (row) => row.crashed && Date.now() - row.crashed < CRASH_SHOWN;

export const level = (row) => (justCrashed(row) ? "bad" : row.level);

/** A container's state in a word or two. */
export function word(row) {
  if (justCrashed(row)) return "crashed";
  if (row.state === "running") return row.health || "running";
  if (row.state === "restarting") return "restarting";
  if (row.state === "dead") return "gave up";
  if (row.state === "exited") {
    if (row.why === "stopped by hand") return "stopped";
    return row.exit_code === 0 ? "finished" : `failed (${row.exit_code ?? "?"})`;
  }
  return row.state;
}

/** Whether a container does what it should. */
export const isReady = (row) =>
  (row.state === "running" && (row.health === "" || row.health === "healthy")) ||
  (row.state === "exited" && row.exit_code === 0 && row.why !== "stopped by hand");

/** Whether a service needs no look: its containers run well, or have done their work. */
export const isWell = (one) => one.level === "good" || (one.level === "off" && one.total > 0 && one.ready === one.total);

/** The services of a stack, those that should be looked at first. */
export function services(stack) {
  const groups = new Map([...Object.keys(stack.services), ...(stack.uses ?? []).map((use) => use.service)].map((name) => [name, []]));
  for (const row of stack.rows.values()) {
    if (row.oneoff) continue;
    if (!groups.has(row.service)) groups.set(row.service, []);
    groups.get(row.service).push(row);
  }
  return [...groups].map(([name, rows]) => summary(stack, name, rows)).sort(inOrder);
}

export const service = (stack, name) =>
  summary(stack, name, [...stack.rows.values()].filter((row) => row.service === name && !row.oneoff));

function summary(stack, name, rows) {
  rows = rows.sort((a, b) => a.replica - b.replica);
  const worst = rows.reduce((one, other) => (rank(level(other)) < rank(level(one)) ? other : one), rows[0]);
  const use = (stack.uses ?? []).find((one) => one.service === name);
  const times = rows.flatMap((row) => [row.started, row.ended, row.health_since]).filter(Boolean);
  return {
    stack: stack.name,
    name,
    rows,
    level: worst ? level(worst) : { away: "bad", joining: "pending" }[use?.state] ?? "off",
    word: worst ? word(worst) : use?.state ?? "not created",
    ready: rows.filter(isReady).length,
    total: rows.length,
    running: rows.some((row) => row.state === "running" || row.state === "restarting"),
    up: Math.min(...rows.filter((row) => row.state === "running").map((row) => row.started)),
    restarts: rows.reduce((sum, row) => sum + row.restarts, 0),
    changed: times.length ? Math.max(...times) : null,
    ports: rows.flatMap((row) => row.ports),
    cause: stack.causes[name] ?? null,
    use,
    users: (stack.used_by ?? []).filter((user) => user.service === name).map((user) => user.stack),
  };
}

const inOrder = (a, b) => rank(a.level) - rank(b.level) || a.name.localeCompare(b.name);

/** How a whole stack is. */
export function stackLevel(stack) {
  const levels = [...stack.rows.values()].filter((row) => !row.oneoff).map((row) => rank(level(row)));
  if (!stack.reachable) return "bad";
  if (!levels.length) return "off";
  const worst = LEVELS[Math.min(...levels)];
  // Something that was stopped on purpose makes no stack look unwell.
  return worst === "off" && levels.includes(rank("good")) ? "good" : worst;
}

export function stacks(store) {
  return [...store.stacks.values()]
    .map((stack) => ({ stack, level: stackLevel(stack) }))
    .sort((a, b) => rank(a.level) - rank(b.level) || a.stack.name.localeCompare(b.stack.name));
}

/** `8080`, or `9000-9002` of a range that is published as one. */
export const numbers = (first, count = 1) => (count > 1 ? `${first}-${first + count - 1}` : `${first}`);

/** Where a person can open a published port in the browser. */
export function endpoint(port) {
  const host = !port.host_ip || port.host_ip === "0.0.0.0" || port.host_ip === "::" ? location.hostname : port.host_ip;
  const shown = host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
  const outside = numbers(port.host_port, port.count);
  return { url: `http://${shown}:${port.host_port}/`, text: `${port.host_ip === "127.0.0.1" ? "" : shown}:${outside}` };
}
