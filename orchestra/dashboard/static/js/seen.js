// Elements that draw: only while somebody can see them, and all of them in one frame.

const onScreen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) target.shown(isIntersecting);
}, { rootMargin: "80px" });
const sized = new ResizeObserver((entries) => {
  for (const { target } of entries) target.paintSoon();
});
const all = new Set();
const due = new Set();
let frame = 0;

/** An element with a drawing: `paint()` is called in a frame, after `paintSoon()`, and never while out of sight. */
export class Painted extends HTMLElement {
  connectedCallback() {
    if (!this.built) {
      this.built = true;
      this.build();
    }
    all.add(this);
    onScreen.observe(this);
    sized.observe(this);
  }

  disconnectedCallback() {
    all.delete(this);
    due.delete(this);
    onScreen.unobserve(this);
    sized.unobserve(this);
    if (this.inSight) this.shown(false);
  }

  /** Once, before it is shown first. */
  build() {}

  /** It came into sight, or went out of it: `come` and `go` are where an element asks for what it shows. */
  shown(inSight) {
    if (inSight === Boolean(this.inSight)) return;
    this.inSight = inSight;
    if (inSight) {
      this.come();
      this.paintSoon();
    } else this.go();
  }

  come() {}

  go() {}

  paint() {}

  paintSoon() {
    if (!this.inSight) return;
    due.add(this);
    frame ||= requestAnimationFrame(paintAll);
  }
}

function paintAll() {
  frame = 0;
  const now = [...due];
  due.clear();
  for (const one of now) one.paint();
}

// Colours

const NAMES = ["text", "quiet", "line", "line-strong", "surface", "sunken", "accent", "accent-soft",
  ...["good", "bad", "pending", "off"].flatMap((level) => [level, `${level}-soft`, `${level}-strong`]),
  ...Array.from({ length: 8 }, (_, at) => `hue-${at}`)];
let known = null;

/** The colours of the theme by their names in `base.css`. */
export function colours() {
  if (!known) {
    const style = getComputedStyle(document.documentElement);
    known = Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  }
  return known;
}

function recolour() {
  known = null;
  for (const one of all) one.paintSoon();
}

document.addEventListener("orc-theme", recolour);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);

/** A cleared canvas of that size, sharp on every screen. Coordinates are CSS pixels. */
export function sheet(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}
