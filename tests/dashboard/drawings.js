// What is wrong with the drawings of graphs of these sizes, made up by a die that falls the same way each time.
async (sizes) => {
  const { layered } = await import("/static/js/layered.js");
  let seed = 7;
  const dice = (sides) => {
    seed = (seed * 16807) % 2147483647;
    return seed % sides;
  };
  const wrong = [];
  const graph = (size) => {
    const nodes = Array.from({ length: size }, (_, at) => ({ id: `n${at}`, width: 60 + dice(80), height: 30 + dice(40) }));
    const edges = [];
    for (let at = 1; at < size; at += 1) {
      for (let more = dice(3); more > 0; more -= 1) edges.push({ from: `n${dice(at)}`, to: `n${at}` });
    }
    return { nodes, edges };
  };
  const slack = 0.01;
  const overlap = (a, b) => a.x < b.x + b.width - slack && b.x < a.x + a.width - slack && a.y < b.y + b.height && b.y < a.y + a.height;
  for (const size of sizes) {
    const { nodes, edges } = graph(size);
    const { at, ways, width, height } = layered(nodes, edges, { across: 20, down: 40 });
    const boxes = nodes.map((node) => ({ ...node, ...at.get(node.id) }));
    for (const a of boxes) {
      const inside = a.x >= -slack && a.y >= 0 && a.x + a.width <= width + slack && a.y + a.height <= height + slack;
      if (!inside) wrong.push(`${size}: ${a.id} is outside`);
      for (const b of boxes) if (a.id < b.id && overlap(a, b)) wrong.push(`${size}: ${a.id} lies on ${b.id}`);
    }
    for (const way of ways) {
      if (!way.every((point, step) => !step || point.y >= way[step - 1].y)) wrong.push(`${size}: an edge leads up`);
    }
  }
  return wrong;
}
