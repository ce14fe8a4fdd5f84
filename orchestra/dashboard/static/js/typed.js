// What a key of the keyboard sends to a program in a terminal (xterm's sequences).

const CURSOR = { ArrowUp: "A", ArrowDown: "B", ArrowRight: "C", ArrowLeft: "D", Home: "H", End: "F" };
const TILDE = { Insert: 2, Delete: 3, PageUp: 5, PageDown: 6, F5: 15, F6: 17, F7: 18, F8: 19, F9: 20, F10: 21, F11: 23, F12: 24 };
const LETTER = { F1: "P", F2: "Q", F3: "R", F4: "S" };
const PLAIN = { Enter: "\r", Backspace: "\x7f", Tab: "\t", Escape: "\x1b" };

/** The text for a keydown, or null where the browser should have it. `application`: cursor keys as the program asked for. */
export function typed(event, application) {
  const { key, ctrlKey, altKey, shiftKey, metaKey } = event;
  if (metaKey) return null;
  const modifier = 1 + (shiftKey ? 1 : 0) + (altKey ? 2 : 0) + (ctrlKey ? 4 : 0);
  if (key in CURSOR) return modifier > 1 ? `\x1b[1;${modifier}${CURSOR[key]}` : `\x1b${application ? "O" : "["}${CURSOR[key]}`;
  if (key in LETTER) return modifier > 1 ? `\x1b[1;${modifier}${LETTER[key]}` : `\x1bO${LETTER[key]}`;
  if (key in TILDE) return modifier > 1 ? `\x1b[${TILDE[key]};${modifier}~` : `\x1b[${TILDE[key]}~`;
  if (key === "Tab" && shiftKey) return "\x1b[Z";
  const meta = altKey ? "\x1b" : "";
  if (key in PLAIN) return meta + (key === "Backspace" && ctrlKey ? "\b" : PLAIN[key]);
  if ([...key].length !== 1) return null;
  if (!ctrlKey) return meta + key;
  // Copying and pasting are the browser's with Shift, as in other terminals.
  if (shiftKey && /^[cv]$/i.test(key)) return null;
  if (key === " ") return `${meta}\0`;
  const code = key.toUpperCase().charCodeAt(0);
  return code >= 64 && code < 96 ? meta + String.fromCharCode(code - 64) : { "/": "\x1f", "?": "\x7f" }[key] ?? null;
}
