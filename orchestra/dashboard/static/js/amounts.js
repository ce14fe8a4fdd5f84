// Amounts as people read them: three figures at most.

const BINARY = ["B", "KiB", "MiB", "GiB", "TiB"];

export function bytes(value) {
  let unit = 0;
  while (value >= 999.5 && unit < BINARY.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${figures(value)} ${BINARY[unit]}`;
}

export const figures = (value) => (value === 0 ? "0" : value >= 99.5 ? String(Math.round(value)) : value >= 9.95 ? trim(value.toFixed(1)) : trim(value.toFixed(value < 0.0995 ? 3 : 2)));

const trim = (text) => text.replace(/\.?0+$/, "");

/** A round number at or above `value`, for the end of an axis: 1, 2, 3, 5 or 8 times a power of ten (of two for bytes). */
export function roundUp(value, binary) {
  if (!(value > 0)) return 1;
  const unit = binary ? 1024 ** Math.floor(Math.log2(value) / 10) : 1;
  const power = unit * 10 ** Math.floor(Math.log10(value / unit));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((factor) => factor * power).find((end) => end >= value * 0.9999) ?? 10 * power;
}
