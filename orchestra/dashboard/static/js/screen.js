// A terminal's screen without a terminal: bytes in, cells out. The part of VT100, VT220 and xterm that shells, editors
// and pagers use (ECMA-48; "XTerm Control Sequences", ctlseqs); what is not known is passed over without a trace.

const BLANK = " ";
export const PLAIN = Object.freeze({ fg: null, bg: null, bold: false, dim: false, italic: false, underline: false, reverse: false, hidden: false, strike: false });
/** DEC special graphics, from ` to ~: the lines that boxes are drawn with. */
const GRAPHICS = "◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·";
const SCROLLBACK = 2000;
const LONGEST_SEQUENCE = 4096;

/** @typedef {{fg: number | string | null, bg: number | string | null, bold: boolean, dim: boolean, italic: boolean, underline: boolean, reverse: boolean, hidden: boolean, strike: boolean}} Pen */
/** @typedef {{text: string, pen: Pen}} Cell `text` is "" behind a wide character */

export class Screen {
  /** `reply(text)`: what the terminal answers to a program that asks it. */
  constructor(rows, columns, reply = () => {}) {
    this.reply = reply;
    this.decoder = new TextDecoder("utf-8");
    this.onTitle = () => {};
    this.onBell = () => {};
    [this.rows, this.columns] = [rows, columns];
    this.reset();
  }

  reset() {
    this.history = [];
    this.main = this.lines = this.fresh();
    this.other = null;
    this.saved = null;
    this.pen = PLAIN;
    [this.x, this.y, this.top, this.bottom] = [0, 0, 0, this.rows - 1];
    Object.assign(this, { wrapping: true, origin: false, insert: false, cursor: true, applicationKeys: false, pasting: false, newline: false, mouse: 0 });
    this.charsets = [false, false];
    this.charset = 0;
    this.tabs = new Set();
    for (let at = 8; at < 1000; at += 8) this.tabs.add(at);
    this.last = "";
    [this.state, this.sequence] = ["text", ""];
    this.pending = false;
    this.dirty = true;
  }

  fresh(rows = this.rows) {
    return Array.from({ length: rows }, () => this.blank());
  }

  blank() {
    const pen = this.pen?.bg === null || !this.pen ? PLAIN : { ...PLAIN, bg: this.pen.bg };
    return Array.from({ length: this.columns }, () => ({ text: BLANK, pen }));
  }

  /** The program's new size; what stood at the bottom stays there. */
  resize(rows, columns) {
    if (rows === this.rows && columns === this.columns) return;
    const fit = (lines) => {
      for (const line of lines) {
        while (line.length < columns) line.push({ text: BLANK, pen: PLAIN });
        line.length = columns;
      }
    };
    this.columns = columns;
    for (const lines of new Set([this.lines, this.main, this.other?.lines ?? this.lines])) {
      fit(lines);
      while (lines.length > rows) {
        const empty = lines.at(-1).every(({ text }) => text === BLANK) && this.y < lines.length - 1;
        if (empty) lines.pop();
        else {
          const line = lines.shift();
          if (lines === this.lines) {
            if (!this.other) this.keep(line);
            this.y = Math.max(0, this.y - 1);
          }
        }
      }
      while (lines.length < rows) lines.push(Array.from({ length: columns }, () => ({ text: BLANK, pen: PLAIN })));
    }
    [this.rows, this.top, this.bottom] = [rows, 0, rows - 1];
    this.x = Math.min(this.x, columns - 1);
    this.y = Math.min(this.y, rows - 1);
    this.pending = false;
    this.dirty = true;
  }

  /** @param {Uint8Array} data in any pieces */
  write(data) {
    for (const character of this.decoder.decode(data, { stream: true })) this.take(character);
    this.dirty = true;
  }

  take(character) {
    const code = character.codePointAt(0);
    if (this.state === "string") {
      // Titles and the like end with BEL or with ESC \.
      if (code === 7 || code === 0x9c) this.ended();
      else if (code === 27) this.state = "string end";
      else if (this.sequence.length < LONGEST_SEQUENCE) this.sequence += character;
      return;
    }
    if (this.state === "string end") {
      this.ended();
      if (character !== "\\") this.take(character);
      return;
    }
    if (code === 27) {
      [this.state, this.sequence] = ["escape", ""];
      return;
    }
    if (code < 32 || code === 127) {
      if (code === 24 || code === 26) this.state = "text";
      else this.control(code);
      return;
    }
    if (this.state === "text") this.put(character, code);
    else if (this.state === "escape") this.escape(character);
    else this.collect(character, code);
  }

  control(code) {
    if (code === 7) this.onBell();
    else if (code === 8) this.to(this.y, this.x - (this.pending ? 0 : 1));
    else if (code === 9) this.tab(1);
    else if (code >= 10 && code <= 12) {
      this.feed();
      if (this.newline) this.x = 0;
    } else if (code === 13) this.to(this.y, 0);
    else if (code === 14) this.charset = 1;
    else if (code === 15) this.charset = 0;
  }

  put(character, code) {
    const width = widthOf(code);
    if (width === 0) {
      const line = this.lines[this.y];
      const before = line[Math.max(0, this.x - (this.pending ? 0 : 1))];
      if (before.text.length < 16) before.text += character;
      return;
    }
    if (this.charsets[this.charset] && code >= 0x60 && code <= 0x7e) character = GRAPHICS[code - 0x60];
    if (this.pending || (width === 2 && this.x === this.columns - 1)) {
      if (this.wrapping) {
        this.x = 0;
        this.feed();
      }
      this.pending = false;
    }
    const line = this.lines[this.y];
    if (this.insert) {
      line.splice(this.x, 0, ...Array.from({ length: width }, () => ({ text: BLANK, pen: this.pen })));
      line.length = this.columns;
    }
    line[this.x] = { text: character, pen: this.pen };
    if (width === 2 && this.x + 1 < this.columns) line[this.x + 1] = { text: "", pen: this.pen };
    this.last = character;
    // At the edge the cursor waits: only the next character goes on the next line.
    if (this.x + width >= this.columns) {
      this.x = this.columns - 1;
      this.pending = true;
    } else this.x += width;
  }

  to(y, x) {
    this.pending = false;
    this.x = Math.max(0, Math.min(this.columns - 1, x));
    this.y = Math.max(0, Math.min(this.rows - 1, y));
  }

  tab(times) {
    for (; times > 0 && this.x < this.columns - 1; times -= 1) do this.x += 1; while (this.x < this.columns - 1 && !this.tabs.has(this.x));
    for (; times < 0 && this.x > 0; times += 1) do this.x -= 1; while (this.x > 0 && !this.tabs.has(this.x));
    this.pending = false;
  }

  feed() {
    this.pending = false;
    if (this.y === this.bottom) this.scroll(1);
    else if (this.y < this.rows - 1) this.y += 1;
  }

  keep(line) {
    this.history.push(line);
    if (this.history.length > SCROLLBACK) this.history.shift();
  }

  /** The region moves up by `number` lines, or down. */
  scroll(number, top = this.top) {
    for (let left = Math.min(Math.abs(number), this.rows); left > 0; left -= 1) {
      const [gone] = this.lines.splice(number > 0 ? top : this.bottom, 1);
      this.lines.splice(number > 0 ? this.bottom : top, 0, this.blank());
      if (number > 0 && top === 0 && !this.other) this.keep(gone);
    }
  }

  erase(y, from, to) {
    const line = this.lines[y];
    const [cell] = this.blank();
    for (let x = Math.max(0, from); x < Math.min(this.columns, to); x += 1) line[x] = { ...cell };
  }

  escape(character) {
    this.state = "text";
    if (character === "[") [this.state, this.sequence] = ["csi", ""];
    else if ("]PX^_".includes(character)) [this.state, this.sequence, this.kind] = ["string", "", character];
    else if ("()*+#%".includes(character)) [this.state, this.kind] = ["designate", character];
    else if (character === "7") this.store();
    else if (character === "8") this.restore();
    else if (character === "D") this.feed();
    else if (character === "E") {
      this.feed();
      this.x = 0;
    } else if (character === "M") {
      if (this.y === this.top) this.scroll(-1);
      else this.to(this.y - 1, this.x);
    } else if (character === "H") this.tabs.add(this.x);
    else if (character === "c") this.reset();
  }

  store() {
    this.saved = { x: this.x, y: this.y, pen: this.pen, charsets: [...this.charsets], charset: this.charset, origin: this.origin };
  }

  restore() {
    const { x, y, ...rest } = this.saved ?? { x: 0, y: 0, pen: PLAIN };
    Object.assign(this, rest);
    this.to(y, x);
  }

  /** The rest of a sequence. */
  collect(character, code) {
    if (this.state === "designate") {
      if (this.kind === "(" || this.kind === ")") this.charsets[this.kind === "(" ? 0 : 1] = character === "0";
      this.state = "text";
      return;
    }
    this.sequence += character;
    if (code >= 0x40) {
      this.state = "text";
      this.csi(this.sequence);
    } else if (this.sequence.length > LONGEST_SEQUENCE) this.state = "text";
  }

  ended() {
    const found = this.kind === "]" && /^([02]);([^]*)$/.exec(this.sequence);
    if (found) this.onTitle(found[2]);
    this.state = "text";
  }

  csi(sequence) {
    const [, prefix, parameters, between, final] = /^([?>=<!]?)([\d;:]*)([ -/]*)(.)$/su.exec(sequence) ?? [];
    if (final === undefined) return;
    if (prefix || between) {
      if (prefix === "?" && (final === "h" || final === "l")) parameters.split(";").forEach((mode) => this.mode(Number(mode), final === "h"));
      else if (prefix === ">" && final === "c") this.reply("\x1b[>0;0;0c");
      else if (prefix === "!" && final === "p") this.reset();
      return;
    }
    const given = parameters.split(";").map((text) => (text === "" ? null : Number.parseInt(text, 10)));
    const one = Math.max(1, given[0] ?? 1);
    const code = given[0] ?? 0;
    const line = this.lines[this.y];
    const blanks = (number) => this.blank().slice(0, number);
    const [first, last] = this.origin ? [this.top, this.bottom] : [0, this.rows - 1];
    switch (final) {
      case "A": this.to(Math.max(this.y >= this.top ? this.top : 0, this.y - one), this.x); break;
      case "B": case "e": this.to(Math.min(this.y <= this.bottom ? this.bottom : this.rows - 1, this.y + one), this.x); break;
      case "C": case "a": this.to(this.y, this.x + one); break;
      case "D": this.to(this.y, this.x - one); break;
      case "E": this.to(this.y + one, 0); break;
      case "F": this.to(this.y - one, 0); break;
      case "G": case "`": this.to(this.y, one - 1); break;
      case "H": case "f": this.to(Math.min(last, first + one - 1), Math.max(1, given[1] ?? 1) - 1); break;
      case "d": this.to(Math.min(last, first + one - 1), this.x); break;
      case "I": this.tab(one); break;
      case "Z": this.tab(-one); break;
      case "J":
        if (code === 0) this.erase(this.y, this.x, this.columns);
        if (code === 1) this.erase(this.y, 0, this.x + 1);
        for (let y = 0; y < this.rows; y += 1) if ((code === 0 && y > this.y) || (code === 1 && y < this.y) || code === 2) this.erase(y, 0, this.columns);
        if (code === 3) this.history = [];
        break;
      case "K": this.erase(this.y, code === 0 ? this.x : 0, code === 1 ? this.x + 1 : this.columns); break;
      case "X": this.erase(this.y, this.x, this.x + one); break;
      case "@":
        line.splice(this.x, 0, ...blanks(one));
        line.length = this.columns;
        break;
      case "P":
        line.splice(this.x, one);
        line.push(...blanks(this.columns - line.length));
        break;
      case "L": if (this.y >= this.top && this.y <= this.bottom) this.scroll(-Math.min(one, this.bottom - this.y + 1), this.y); break;
      case "M": if (this.y >= this.top && this.y <= this.bottom) this.removeLines(Math.min(one, this.bottom - this.y + 1)); break;
      case "S": this.scroll(one); break;
      case "T": this.scroll(-one); break;
      case "b": for (let left = Math.min(one, this.columns * this.rows); left > 0 && this.last; left -= 1) this.put(this.last, this.last.codePointAt(0)); break;
      case "g": if (code === 3) this.tabs.clear(); else this.tabs.delete(this.x); break;
      case "h": case "l": if (given.includes(4)) this.insert = final === "h"; if (given.includes(20)) this.newline = final === "h"; break;
      case "m": this.pen = painted(this.pen, parameters); break;
      case "n": if (code === 6) this.reply(`\x1b[${this.y - first + 1};${this.x + 1}R`); else if (code === 5) this.reply("\x1b[0n"); break;
      case "c": this.reply("\x1b[?62;22c"); break;
      case "r":
        this.top = one - 1;
        this.bottom = Math.min(this.rows, given[1] || this.rows) - 1;
        if (this.top >= this.bottom) [this.top, this.bottom] = [0, this.rows - 1];
        this.to(this.origin ? this.top : 0, 0);
        break;
      case "s": this.store(); break;
      case "u": this.restore(); break;
      default:
    }
  }

  /** Lines from the cursor's on are taken out of the region: none of them goes into the history. */
  removeLines(number) {
    for (let left = number; left > 0; left -= 1) {
      this.lines.splice(this.y, 1);
      this.lines.splice(this.bottom, 0, this.blank());
    }
  }

  mode(number, on) {
    if (number === 1) this.applicationKeys = on;
    else if (number === 6) {
      this.origin = on;
      this.to(on ? this.top : 0, 0);
    } else if (number === 7) this.wrapping = on;
    else if (number === 25) this.cursor = on;
    else if (number === 2004) this.pasting = on;
    else if (number === 1048) (on ? this.store() : this.restore());
    else if (number === 47 || number === 1047 || number === 1049) this.alternate(on, number === 1049);
  }

  /** Full-screen programs draw on a screen of their own, so that the shell's is there again after them. */
  alternate(on, saving) {
    if (on === Boolean(this.other)) return;
    if (on) {
      if (saving) this.store();
      this.other = { lines: this.lines, saved: this.saved };
      this.lines = this.fresh();
    } else {
      this.lines = this.other.lines;
      this.saved = this.other.saved;
      this.other = null;
      if (saving) this.restore();
    }
    [this.top, this.bottom] = [0, this.rows - 1];
  }

  /** What stands there, for tests and for the clipboard. */
  text() {
    return this.lines.map((line) => line.map(({ text }) => text).join("").trimEnd()).join("\n").trimEnd();
  }
}

/** SGR. Colours are 0 to 255 or "rgb(…)". */
function painted(pen, parameters) {
  const next = { ...pen };
  const codes = (parameters || "0").split(/[;:]/).map((text) => Number(text || 0));
  for (let at = 0; at < codes.length; at += 1) {
    const code = codes[at];
    if (code === 0) Object.assign(next, PLAIN);
    else if (code === 1) next.bold = true;
    else if (code === 2) next.dim = true;
    else if (code === 3) next.italic = true;
    else if (code === 4) next.underline = true;
    else if (code === 7) next.reverse = true;
    else if (code === 8) next.hidden = true;
    else if (code === 9) next.strike = true;
    else if (code === 22) next.bold = next.dim = false;
    else if (code === 23) next.italic = false;
    else if (code === 24) next.underline = false;
    else if (code === 27) next.reverse = false;
    else if (code === 28) next.hidden = false;
    else if (code === 29) next.strike = false;
    else if (code >= 30 && code <= 37) next.fg = code - 30;
    else if (code >= 40 && code <= 47) next.bg = code - 40;
    else if (code >= 90 && code <= 97) next.fg = code - 82;
    else if (code >= 100 && code <= 107) next.bg = code - 92;
    else if (code === 39) next.fg = null;
    else if (code === 49) next.bg = null;
    else if (code === 38 || code === 48) {
      const key = code === 38 ? "fg" : "bg";
      if (codes[at + 1] === 5) {
        next[key] = Math.min(255, codes[at + 2] ?? 0);
        at += 2;
      } else if (codes[at + 1] === 2) {
        next[key] = `rgb(${[2, 3, 4].map((step) => Math.min(255, codes[at + step] ?? 0)).join(" ")})`;
        at += 4;
      }
    }
  }
  return Object.freeze(next);
}

/** How many cells a character takes (Unicode Standard Annex 11, the blocks that matter). */
function widthOf(code) {
  if (code < 0x300) return 1;
  if (/\p{M}|\u200d|\ufe0f/u.test(String.fromCodePoint(code))) return 0;
  const wide = (code >= 0x1100 && code <= 0x115f) || (code >= 0x2e80 && code <= 0xa4cf) || (code >= 0xac00 && code <= 0xd7a3) ||
    (code >= 0xf900 && code <= 0xfaff) || (code >= 0xfe30 && code <= 0xfe6f) || (code >= 0xff00 && code <= 0xff60) ||
    (code >= 0x1f300 && code <= 0x1faff) || (code >= 0x20000 && code <= 0x3fffd);
  return wide ? 2 : 1;
}
