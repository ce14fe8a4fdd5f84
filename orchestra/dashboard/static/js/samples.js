// What is known of the use of a service or a stack over time: a list of points for each metric, stored ones first and
// live ones behind them.

/** The metrics of `wire/history.py` that a sample of `usage` gives; of several containers the sum, of pressure the most. */
const LIVE = {
  cpu: (one) => one.rates?.cpu,
  throttled: (one) => one.rates?.throttled,
  memory: (one) => one.memory,
  working_set: (one) => one.working_set,
  pids: (one) => one.pids,
  read: (one) => one.rates?.read,
  written: (one) => one.rates?.written,
  received: (one) => one.rates?.received,
  sent: (one) => one.rates?.sent,
  dropped: (one) => one.rates?.dropped,
  pressure_cpu: (one) => one.pressure_cpu,
  pressure_memory: (one) => one.pressure_memory,
  pressure_io: (one) => one.pressure_io,
};

/** @typedef {[number, number, number, number]} Point time, least, mean, most */

export class Samples {
  constructor() {
    /** @type {Record<string, Point[]>} */
    this.series = {};
    this.until = 0;
  }

  stored({ series, until }) {
    this.series = series;
    this.until = until;
  }

  /** One message of the topic `usage`; points from before `since` are forgotten. */
  heard(usage, since) {
    if (!usage.length) return;
    const time = Math.max(...usage.map((one) => one.time));
    for (const [metric, read] of Object.entries(LIVE)) {
      const values = usage.map(read).filter((value) => value !== null && value !== undefined);
      if (!values.length) continue;
      const value = metric.startsWith("pressure") ? Math.max(...values) : values.reduce((sum, one) => sum + one, 0);
      const points = (this.series[metric] ??= []);
      if (points.length && points.at(-1)[0] >= time) continue;
      points.push([time, value, value, value]);
      while (points.length && points[0][0] < since) points.shift();
    }
    this.until = Math.max(this.until, time);
  }

  /** The point of a metric at that time, if there is one near it. */
  at(metric, time, reach) {
    const points = this.series[metric];
    if (!points?.length) return null;
    let [low, high] = [0, points.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (points[middle][0] < time) low = middle + 1;
      else high = middle;
    }
    const near = low && time - points[low - 1][0] < Math.abs(points[low][0] - time) ? points[low - 1] : points[low];
    return Math.abs(near[0] - time) <= reach ? near : null;
  }
}
