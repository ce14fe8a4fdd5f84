// A layered drawing of a graph without circles (after Sugiyama, Tagawa and Toda, 1981): layers by the longest way from
// the top, few crossings, and everything as near to what it is joined to as its neighbours in the layer let it be.

const SWEEPS = 12;

/**
 * @param {{id: string, width: number, height: number, last?: boolean}[]} nodes `last`: in the lowest layer
 * @param {{from: string, to: string}[]} edges
 * @param {{across: number, down: number, most?: number}} gaps `most`: how wide rows of unconnected nodes may get
 * @returns {{width: number, height: number, at: Map<string, {x: number, y: number}>, ways: {x: number, y: number}[][]}}
 *   `at`: upper left corners; `ways`: for each edge, through which points it goes.
 */
export function layered(nodes, edges, gaps) {
  const joined = new Set(edges.flatMap(({ from, to }) => [from, to]));
  const inside = nodes.filter(({ id }) => joined.has(id));
  const alone = nodes.filter(({ id }) => !joined.has(id));
  const layers = withPassages(inside, edges, ranks(inside, edges));
  untangle(layers);
  align(layers, gaps.across);
  const drawn = place(layers, edges, gaps);
  return addRows(drawn, alone, gaps);
}

function ranks(nodes, edges) {
  const rank = new Map(nodes.map(({ id }) => [id, 0]));
  // Longest ways; bounded, so that a circle ends it as well.
  for (let round = 0, moved = true; moved && round < nodes.length; round += 1) {
    moved = false;
    for (const { from, to } of edges) {
      if (rank.get(to) > rank.get(from)) continue;
      rank.set(to, rank.get(from) + 1);
      moved = true;
    }
  }
  // Nobody leans on these: they belong right above the highest of what they lean on.
  for (const { id } of nodes) {
    if (edges.some(({ to }) => to === id)) continue;
    const below = edges.filter(({ from }) => from === id).map(({ to }) => rank.get(to));
    if (below.length) rank.set(id, Math.max(0, Math.min(...below) - 1));
  }
  const lowest = Math.max(0, ...rank.values());
  for (const { id, last } of nodes) if (last) rank.set(id, Math.max(lowest, rank.get(id)));
  return rank;
}

/** Layers of items `{node | null, up: [items], down: [items], x}`; an edge over several layers passes through each. */
function withPassages(nodes, edges, rank) {
  const layers = [];
  const put = (level, item) => (layers[level] ??= []).push(item);
  const items = new Map();
  for (const node of nodes) {
    const item = { node, edge: -1, width: node.width, up: [], down: [], x: 0 };
    items.set(node.id, item);
    put(rank.get(node.id), item);
  }
  edges.forEach(({ from, to }, edge) => {
    let above = items.get(from);
    for (let level = rank.get(from) + 1; level <= rank.get(to); level += 1) {
      const last = level === rank.get(to);
      const item = last ? items.get(to) : { node: null, edge, width: 10, up: [], down: [], x: 0 };
      if (!last) put(level, item);
      above.down.push(item);
      item.up.push(above);
      above = item;
    }
  });
  return Array.from(layers, (layer) => layer ?? []);
}

/** Sweep down and up, each layer in the order of the middles of its neighbours; the best that was seen is kept. */
function untangle(layers) {
  const number = (layer) => layer.forEach((item, at) => { item.at = at; });
  layers.forEach(number);
  let best = { crossings: crossings(layers), order: layers.map((layer) => [...layer]) };
  for (let sweep = 0; sweep < SWEEPS && best.crossings; sweep += 1) {
    const down = sweep % 2 === 0;
    for (const layer of down ? layers : [...layers].reverse()) {
      const middle = new Map(layer.map((item) => {
        const others = down ? item.up : item.down;
        return [item, others.length ? others.reduce((sum, { at }) => sum + at, 0) / others.length : item.at];
      }));
      layer.sort((a, b) => middle.get(a) - middle.get(b) || a.at - b.at);
      number(layer);
    }
    const count = crossings(layers);
    if (count < best.crossings) best = { crossings: count, order: layers.map((layer) => [...layer]) };
  }
  best.order.forEach((layer, level) => {
    layers[level] = layer;
    number(layer);
  });
}

function crossings(layers) {
  let count = 0;
  for (const layer of layers) {
    const ends = layer.flatMap((item) => item.down.map(({ at }) => [item.at, at]));
    for (let one = 0; one < ends.length; one += 1) {
      for (let other = one + 1; other < ends.length; other += 1) {
        if ((ends[one][0] - ends[other][0]) * (ends[one][1] - ends[other][1]) < 0) count += 1;
      }
    }
  }
  return count;
}

/** Centres: each where its neighbours are on average, as near to it as the order and the gaps allow. */
function align(layers, across) {
  for (const layer of layers) spread(layer, layer.map((_, at) => at * 100), across);
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const down = sweep % 2 === 0;
    for (const layer of down ? layers : [...layers].reverse()) {
      const wished = layer.map((item) => {
        const others = sweep === SWEEPS - 1 ? [...item.up, ...item.down] : down ? item.up : item.down;
        return others.length ? others.reduce((sum, { x }) => sum + x, 0) / others.length : item.x;
      });
      spread(layer, wished, across);
    }
  }
}

/** Least squares under a fixed order and distances: wishes that collide become a block at their mean. */
function spread(layer, wished, across) {
  const blocks = [];
  let offset = 0;
  layer.forEach((item, at) => {
    if (at) offset += (layer[at - 1].width + item.width) / 2 + (item.node && layer[at - 1].node ? across : across / 2);
    let block = { sum: wished[at] - offset, items: [[item, offset]] };
    while (blocks.length && mean(blocks.at(-1)) >= mean(block)) {
      const before = blocks.pop();
      block = { sum: before.sum + block.sum, items: [...before.items, ...block.items] };
    }
    blocks.push(block);
  });
  for (const block of blocks) for (const [item, at] of block.items) item.x = mean(block) + at;
}

const mean = ({ sum, items }) => sum / items.length;

function place(layers, edges, { down }) {
  const all = layers.flat();
  if (!all.length) return { width: 0, height: 0, at: new Map(), ways: [] };
  const left = Math.min(...all.map(({ x, width }) => x - width / 2));
  const at = new Map();
  const ways = edges.map(() => []);
  let y = 0;
  for (const layer of layers) {
    const height = Math.max(0, ...layer.map(({ node }) => node?.height ?? 0));
    for (const item of layer) {
      item.x -= left;
      item.top = y;
      item.bottom = y + (item.node?.height ?? height);
      if (item.node) at.set(item.node.id, { x: item.x - item.width / 2, y });
    }
    y += height + down;
  }
  const items = new Map(all.filter(({ node }) => node).map((item) => [item.node.id, item]));
  const passages = all.filter(({ node }) => !node);
  edges.forEach(({ from, to }, edge) => {
    const [first, end] = [items.get(from), items.get(to)];
    ways[edge] = [
      { x: port(first, "down", edge, end), y: first.bottom },
      ...passages.filter((item) => item.edge === edge).flatMap(({ x, top, bottom }) => [{ x, y: top }, { x, y: bottom }]),
      { x: port(end, "up", edge, first), y: end.top },
    ];
  });
  return { width: Math.max(...all.map(({ x, width }) => x + width / 2)), height: y - down, at, ways };
}

/** Where on its side an edge begins or ends: those of a node lie beside each other, in the order of their other ends. */
function port(item, side, edge, other) {
  const ends = [...item[side]].sort((a, b) => a.at - b.at);
  const mine = Math.max(0, ends.findIndex((one) => one.edge === edge || one === other));
  const room = Math.min(item.width * 0.5, (ends.length - 1) * 16);
  return ends.length < 2 ? item.x : item.x - room / 2 + (room * mine) / (ends.length - 1);
}

/** What is joined to nothing stands in rows beneath. */
function addRows(drawn, alone, { across, down, most = 0 }) {
  const widest = Math.max(drawn.width, most);
  let [x, y, height] = [0, drawn.at.size ? drawn.height + down : 0, 0];
  for (const node of alone) {
    if (x && x + node.width > widest) {
      y += height + down / 2;
      x = height = 0;
    }
    drawn.at.set(node.id, { x, y });
    x += node.width + across;
    height = Math.max(height, node.height);
    drawn.width = Math.max(drawn.width, x - across);
    drawn.height = y + height;
  }
  return drawn;
}

/** A way as the `d` of a path: down through all points, bent softly between them. */
export function curve(way) {
  let path = `M${round(way[0].x)} ${round(way[0].y)}`;
  for (let at = 1; at < way.length; at += 1) {
    const [a, b] = [way[at - 1], way[at]];
    const bend = (b.y - a.y) / 2;
    path += Math.abs(a.x - b.x) < 0.5 ? `L${round(b.x)} ${round(b.y)}`
      : `C${round(a.x)} ${round(a.y + bend)} ${round(b.x)} ${round(b.y - bend)} ${round(b.x)} ${round(b.y)}`;
  }
  return path;
}

const round = (value) => Math.round(value * 10) / 10;
