// <orc-terminal stack service>: a shell in a container. Only where the dashboard was started with --allow-exec.

import { withKey } from "../api.js";
import { h, list, say } from "../dom.js";
import { Screen } from "../screen.js";
import { Live, store } from "../store.js";
import { service as summary } from "../summary.js";
import { typed } from "../typed.js";

const SIXTEEN = ["#1d1f21", "#e5534b", "#2f9e5b", "#c29a1d", "#5b8cff", "#a36ac7", "#2a9bb0", "#d4d6d4",
  "#7d828a", "#f06e64", "#57c27c", "#e5b94e", "#82a8ff", "#c99be6", "#62c8d8", "#ffffff"];
const [TEXT, BACK] = ["#e4e6e9", "#14161a"];
const LEVELS = [0, 95, 135, 175, 215, 255];
const MOST = { rows: 60, columns: 300 };
const HELP = "Tab and all keys go to the program; Ctrl+Shift+Escape leaves the terminal.";

class Terminal extends Live {
  /** Empty, and with it out of sight, as long as it is not allowed. */
  update({ allowed }) {
    const may = allowed.exec && !allowed.read_only;
    if (!may || this.firstElementChild) {
      this.tellReplicas();
      return;
    }
    this.command = h("input", { type: "text", placeholder: "bash, or sh", "aria-label": "command", size: 22, spellcheck: "false", autocomplete: "off" });
    this.replica = h("select", { "aria-label": "container" });
    this.begin = h("button", { type: "submit" }, "Open a terminal");
    this.status = h("span.quiet", { role: "status" });
    this.same = h("code.quiet");
    this.view = h("div.term-view");
    this.keys = h("textarea.term-keys", {
      "aria-label": `terminal in ${this.getAttribute("service")}. ${HELP}`, autocapitalize: "off", autocomplete: "off", spellcheck: "false", rows: 1,
      onkeydown: (event) => this.key(event), oninput: () => this.flush(), onpaste: (event) => this.paste(event),
      onfocus: () => this.frame.classList.add("focused"), onblur: () => this.frame.classList.remove("focused"),
    });
    this.frame = h("div.term", { hidden: true, onmouseup: () => { if (getSelection().isCollapsed) this.keys.focus({ preventScroll: true }); } }, this.view, this.keys);
    this.append(h("h2", "Terminal"),
      h("form.row.term-tools", { onsubmit: (event) => { event.preventDefault(); this.toggle(); } }, this.replica, this.command, this.begin, this.status, this.same),
      this.frame);
    this.classList.add("part");
    this.setAttribute("role", "region");
    this.setAttribute("aria-label", "Terminal");
    this.tellReplicas();
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.close();
  }

  tellReplicas() {
    if (!this.replica) return;
    const stack = store.stacks.get(this.getAttribute("stack"));
    const rows = stack ? summary(stack, this.getAttribute("service")).rows.filter((row) => row.state === "running") : [];
    list(this.replica, rows, (row) => row.replica, (row) => h("option", { value: row.replica }, row.name), () => {});
    this.replica.hidden = rows.length < 2;
    this.begin.disabled = !rows.length && !this.socket;
  }

  toggle() {
    if (this.socket) this.close();
    else this.open();
  }

  open() {
    this.frame.hidden = false;
    const [rows, columns] = this.fit();
    const [stack, service] = [this.getAttribute("stack"), this.getAttribute("service")];
    const screen = this.screen = new Screen(rows, columns, (text) => this.send(text));
    screen.onTitle = (title) => say(this.status, title.slice(0, 80));
    this.lines = [];
    this.view.replaceChildren();
    const path = withKey(`/api/stacks/${encodeURIComponent(stack)}/exec`, { service, index: this.replica.value, command: this.command.value, rows, columns });
    const socket = this.socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`);
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => {
      if (typeof data === "string") this.told(JSON.parse(data));
      else {
        screen.write(new Uint8Array(data));
        this.drawSoon();
      }
    };
    socket.onclose = () => this.over(socket);
    say(this.begin, "Close");
    say(this.status, "");
    say(this.same, `orchestra -p ${stack} exec ${this.replica.value > 1 ? `--index ${this.replica.value} ` : ""}${service} ${this.command.value || "sh"}`);
    this.sized = new ResizeObserver(() => this.resize());
    this.sized.observe(this.frame);
    this.keys.focus({ preventScroll: true });
    this.drawSoon();
  }

  told({ code, error }) {
    this.end = error ? `${error.what}${error.hint ? `: ${error.hint}` : ""}` : `ended with exit code ${code}`;
  }

  over(socket) {
    if (socket !== this.socket) return;
    this.socket = null;
    this.sized.disconnect();
    say(this.begin, "Open a terminal");
    say(this.status, this.end ?? "the connection has ended");
    this.end = null;
    this.frame.classList.add("over");
    this.drawSoon();
    this.tellReplicas();
  }

  close() {
    this.socket?.close();
  }

  /** How many rows and columns there is room for. */
  fit() {
    const probe = h("span.term-line", "M".repeat(20));
    this.view.append(probe);
    const { width, height } = probe.getBoundingClientRect();
    probe.remove();
    this.cell = { width: width / 20, height };
    this.frame.classList.remove("over");
    const room = this.frame.clientWidth - 20;
    return [Math.max(6, Math.min(MOST.rows, Math.floor((this.frame.clientHeight - 16) / height))), Math.max(20, Math.min(MOST.columns, Math.floor(room / this.cell.width)))];
  }

  resize() {
    if (!this.socket || !this.cell) return;
    const rows = Math.max(6, Math.min(MOST.rows, Math.floor((this.frame.clientHeight - 16) / this.cell.height)));
    const columns = Math.max(20, Math.min(MOST.columns, Math.floor((this.frame.clientWidth - 20) / this.cell.width)));
    if (rows === this.screen.rows && columns === this.screen.columns) return;
    this.screen.resize(rows, columns);
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ resize: [rows, columns] }));
    this.drawSoon();
  }

  // What is typed

  send(text) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(new TextEncoder().encode(text));
  }

  key(event) {
    if (event.key === "Escape" && event.ctrlKey && event.shiftKey) {
      event.preventDefault();
      this.begin.focus();
      return;
    }
    // While something is composed (accents, other scripts), the field gets it and `flush` sends it.
    if (event.isComposing || event.key === "Dead" || event.key === "Process") return;
    const text = this.socket && typed(event, this.screen.applicationKeys);
    if (text === null || text === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    this.follows = true;
    this.send(text);
  }

  flush() {
    const { value } = this.keys;
    if (!value) return;
    this.keys.value = "";
    this.send(value);
  }

  paste(event) {
    event.preventDefault();
    const text = event.clipboardData.getData("text").replace(/\r?\n/g, "\r");
    this.send(this.screen?.pasting ? `\x1b[200~${text.replaceAll("\x1b", "")}\x1b[201~` : text);
  }

  // What is shown: one element for a line, touched only where the line has changed

  drawSoon() {
    this.drawing ||= requestAnimationFrame(() => {
      this.drawing = 0;
      this.draw();
    });
  }

  draw() {
    const { screen, view } = this;
    const atEnd = this.follows ?? true;
    this.follows = view.parentElement.scrollTop + view.parentElement.clientHeight >= view.parentElement.scrollHeight - 4;
    const shown = screen.other ? screen.lines : [...screen.history, ...screen.lines];
    const first = shown.length - screen.rows;
    while (this.lines.length > shown.length) this.lines.pop().element.remove();
    shown.forEach((line, at) => {
      const one = this.lines[at] ??= { element: view.appendChild(h("div.term-line")), line: null, mark: "" };
      const cursor = this.socket && screen.cursor && at - first === screen.y ? screen.x : -1;
      // A line that has scrolled away never changes again.
      if (at < first && one.line === line && one.cursor === -1) return;
      const runs = runsOf(line, cursor);
      const mark = JSON.stringify(runs);
      Object.assign(one, { line, cursor });
      if (one.mark === mark) return;
      one.mark = mark;
      one.element.replaceChildren(...runs.map(spanOf));
    });
    if (atEnd || this.follows) view.parentElement.scrollTop = view.parentElement.scrollHeight;
    this.follows = undefined;
  }
}

customElements.define("orc-terminal", Terminal);

/** Cells that look alike, as one text each: `[text, pen, cursor]`. */
function runsOf(line, cursor) {
  const runs = [];
  line.forEach(({ text, pen }, x) => {
    const last = runs.at(-1);
    if (last && last[1] === pen && x !== cursor && !last[2]) last[0] += text;
    else runs.push([text, pen, x === cursor]);
  });
  const last = runs.at(-1);
  if (last && !last[2] && last[1].bg === null && !last[1].reverse && !last[1].underline) last[0] = last[0].trimEnd();
  return runs;
}

function spanOf([text, pen, cursor]) {
  let [fg, bg] = [paint(pen.bold && typeof pen.fg === "number" && pen.fg < 8 ? pen.fg + 8 : pen.fg), paint(pen.bg)];
  if (pen.reverse) [fg, bg] = [bg ?? BACK, fg ?? TEXT];
  if (!fg && !bg && !cursor && !pen.bold && !pen.underline && !pen.dim && !pen.italic && !pen.hidden && !pen.strike) return text;
  const span = h(`span${cursor ? ".term-cursor" : ""}`, text);
  if (fg) span.style.color = fg;
  if (bg) span.style.backgroundColor = bg;
  if (pen.bold) span.style.fontWeight = "700";
  if (pen.dim) span.style.opacity = "0.65";
  if (pen.italic) span.style.fontStyle = "italic";
  if (pen.hidden) span.style.visibility = "hidden";
  if (pen.underline || pen.strike) span.style.textDecoration = `${pen.underline ? "underline" : ""} ${pen.strike ? "line-through" : ""}`;
  return span;
}

/** 16 colours of our own, a cube of 216, 24 greys. */
function paint(colour) {
  if (colour === null || typeof colour === "string") return colour;
  if (colour < 16) return SIXTEEN[colour];
  if (colour >= 232) return `rgb(${Array(3).fill(8 + (colour - 232) * 10).join(" ")})`;
  const cube = colour - 16;
  return `rgb(${LEVELS[Math.floor(cube / 36)]} ${LEVELS[Math.floor(cube / 6) % 6]} ${LEVELS[cube % 6]})`;
}
