// Places the nodes of a layered graph. Levels are given; this orders each level and gives every node its place.
// Ordering by barycentres (Sugiyama, Tagawa and Toda, 1981); places by isotonic regression, so that each level comes as
// near to its neighbours as its order allows (pool adjacent violators, Ayer and others, 1955).

const NODE = { width: 196, height: 52, gap: 18, between: 44 };
const BEND = 10; // room an edge takes where it passes a level
const SWEEPS = 8;
const BENDS_MAX = 6000; // a graph with more gets straight edges

let ran = 0; // times a layout was worked out: the page shows that states alone do not cause one

function layouts() {
  return ran;
}

/** {width, height, nodes: {id: {x, y}}, edges: [{from, to, points}], across}; `across`: levels go from left to right. */
function layout(graph, room) {
  ran += 1;
  const levels = layered(graph);
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) order(levels.rows, sweep % 2 === 0);
  const down = place(levels, NODE.width, NODE.height + NODE.between, false);
  const across = place(levels, NODE.height, NODE.width + NODE.between + 16, true);
  const fit = (one) => Math.min(1, room.width / one.width, room.height / one.height);
  return fit(across) > fit(down) * 1.05 ? across : down;
}

function layered(graph) {
  const cells = new Map();
  const rows = [];
  const put = (cell) => {
    (rows[cell.level] = rows[cell.level] || []).push(cell);
    return cell;
  };
  for (const node of graph.nodes) cells.set(node.id, put({ id: node.id, level: node.level, up: [], down: [] }));
  for (let level = 0; level < rows.length; level += 1) rows[level] = rows[level] || [];
  const chains = [];
  let bends = 0;
  for (const [from, to] of graph.edges) bends += cells.get(to).level - cells.get(from).level - 1;
  for (const [from, to] of graph.edges) {
    const end = cells.get(to);
    let last = cells.get(from);
    const chain = [last];
    for (let level = last.level + 1; bends <= BENDS_MAX && level < end.level; level += 1) {
      const bend = put({ id: null, level, up: [], down: [] });
      join(last, bend);
      chain.push((last = bend));
    }
    join(last, end);
    chain.push(end);
    chains.push({ from, to, chain });
  }
  rows.forEach((row) => row.forEach((cell, at) => (cell.at = at)));
  return { rows, cells, chains };
}

function join(from, to) {
  from.down.push(to);
  to.up.push(from);
}

function order(rows, downwards) {
  const todo = downwards ? rows : [...rows].reverse();
  for (const row of todo) {
    for (const cell of row) {
      const others = downwards ? cell.up : cell.down;
      cell.want = others.length ? others.reduce((sum, one) => sum + one.at, 0) / others.length : cell.at;
    }
    row.sort((a, b) => a.want - b.want || a.at - b.at);
    row.forEach((cell, at) => (cell.at = at));
  }
}

function place({ rows, cells, chains }, breadth, step, across) {
  const size = (cell) => (cell.id === null ? BEND : breadth);
  for (const row of rows) {
    let at = 0;
    for (const cell of row) {
      cell.middle = at + size(cell) / 2;
      at += size(cell) + NODE.gap;
    }
  }
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const downwards = sweep % 2 === 0;
    for (const row of downwards ? rows : [...rows].reverse()) settle(row, size, downwards ? "up" : "down");
  }
  for (const row of rows) settle(row, size, "both");
  let least = Infinity;
  let most = 0;
  for (const row of rows) {
    for (const cell of row) {
      least = Math.min(least, cell.middle - size(cell) / 2);
      most = Math.max(most, cell.middle + size(cell) / 2);
    }
  }
  const depth = (cell) => cell.level * step;
  const thick = across ? NODE.width : NODE.height;
  const nodes = {};
  for (const [id, cell] of cells) {
    const side = cell.middle - breadth / 2 - least;
    nodes[id] = across ? { x: depth(cell), y: side } : { x: side, y: depth(cell) };
  }
  const edges = chains.map(({ from, to, chain }) => {
    const points = [];
    chain.forEach((cell, at) => {
      const side = cell.middle - least;
      if (at > 0) points.push([side, depth(cell)]);
      if (at < chain.length - 1) points.push([side, depth(cell) + thick]);
    });
    return { from, to, points: across ? points.map(([side, deep]) => [deep, side]) : points };
  });
  const deep = (rows.length - 1) * step + thick;
  const broad = Math.max(most - least, breadth);
  return { nodes, edges, across, width: across ? deep : broad, height: across ? broad : deep };
}

/** Give a row the places nearest to what its neighbours ask for, without changing its order. */
function settle(row, size, side) {
  const blocks = [];
  let before = 0;
  for (const cell of row) {
    const others = side === "up" ? cell.up : side === "down" ? cell.down : [...cell.up, ...cell.down];
    const want = others.length ? others.reduce((sum, one) => sum + one.middle, 0) / others.length : cell.middle;
    const offset = before + size(cell) / 2;
    before += size(cell) + NODE.gap;
    let block = { sum: want - offset, count: 1, cells: [[cell, offset]] };
    while (blocks.length && blocks[blocks.length - 1].sum / blocks[blocks.length - 1].count > block.sum / block.count) {
      const last = blocks.pop();
      block = { sum: last.sum + block.sum, count: last.count + block.count, cells: last.cells.concat(block.cells) };
    }
    blocks.push(block);
  }
  for (const block of blocks) {
    for (const [cell, offset] of block.cells) cell.middle = block.sum / block.count + offset;
  }
}

/** A smooth line through the points of an edge. */
function line(points, across) {
  const [first, ...rest] = points;
  let told = "M" + first[0] + " " + first[1];
  let [x, y] = first;
  for (const [nextX, nextY] of rest) {
    if (across) {
      const half = (x + nextX) / 2;
      told += "C" + half + " " + y + " " + half + " " + nextY + " " + nextX + " " + nextY;
    } else {
      const half = (y + nextY) / 2;
      told += "C" + x + " " + half + " " + nextX + " " + half + " " + nextX + " " + nextY;
    }
    [x, y] = [nextX, nextY];
  }
  return told;
}

export { NODE, layout, layouts, line };
