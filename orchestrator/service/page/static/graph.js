// The drawing of a run: nodes as buttons over lines. Laid out when the structure changes, and at no other time.
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState, money, number, span } from "./base.js";
import { CountBar, Icon, countWords } from "./status.js";
import { NODE, layout, layouts, line } from "./layout.js";

const PAD = 20;
const ZOOM_LEAST = 0.25;
const ZOOM_MOST = 1.5;
const READABLE = 0.7; // a drawing that is larger is not shrunk below this by itself; it scrolls

/** What a node says in its second line. */
function detail(node, state) {
  if (state.counts) {
    const done = (state.counts.passed || 0) + "/" + number(state.total) + " passed";
    const rest = Object.fromEntries(Object.entries(state.counts).filter(([status]) => status !== "passed" && status !== "pending"));
    const words = countWords(rest);
    return words ? done + ", " + words : done;
  }
  if (state.note && state.status === "running") return state.note;
  if (state.status === "skipped") return SKIPS[state.reason] || state.reason || "skipped";
  if (["gap", "failed", "rejected"].includes(state.status) && state.reason) return state.reason;
  return node.what;
}

const SKIPS = {
  upstream_failed: "something before it failed", join_unmet: "too little before it passed",
  condition: "its condition does not hold", quarantined: "built on a result that was taken back",
};

function took(state, now) {
  if (!state.started_at) return "";
  return span((state.ended_at || now) - state.started_at);
}

/** What is said to those who do not see the icon and the colours. */
function words(state, critical) {
  const told = [state.status || "pending"];
  if (state.attempts > 1) told.push(state.attempts + " attempts");
  if (state.asked) told.push("asks a person");
  if (critical) told.push("on the critical path");
  return ", " + told.join(", ") + ". ";
}

function NodeBox({ node, at, state, chosen, current, critical, now, choose, focus }) {
  const box = useRef(null);
  useLayoutEffect(() => {
    if (focus && box.current) box.current.focus({ preventScroll: false });
  }, [focus]);
  const kinds = ["node", "s-" + (state.status || "pending"), node.kind === "group" || node.mapped ? "stack" : "", "k-" + node.kind];
  if (chosen) kinds.push("chosen");
  if (critical) kinds.push("critical");
  const time = took(state, now);
  return html`<button
    type="button" ref=${box} class=${kinds.filter(Boolean).join(" ")} data-node=${node.id} tabindex=${current ? 0 : -1}
    style=${{ left: at.x + PAD + "px", top: at.y + PAD + "px", width: NODE.width + "px", height: NODE.height + "px" }}
    aria-pressed=${chosen ? "true" : "false"} onClick=${() => choose(node.id)}>
    <span class="n1"><${Icon} status=${state.status || "pending"} />
      <b>${node.kind === "group" ? node.what : node.id}</b><span class="unseen">${words(state, critical)}</span>
      ${state.attempts > 1 ? html`<span class="tries">×${state.attempts}</span>` : null}
      <span class="fill"></span><span class="num">${time}</span></span>
    <span class="n2"><span class="what">${detail(node, state)}</span>
      <span class="fill"></span>${state.usd ? html`<span class="num">${money(state.usd)}</span>` : null}</span>
    ${state.counts ? html`<${CountBar} counts=${state.counts} total=${state.total} />` : null}
  </button>`;
}

/** The node an arrow leads to: the next one of the same level, or of the next level the one that lies least aside. */
function beside(placed, from, key) {
  const [deep, side] = placed.across ? ["x", "y"] : ["y", "x"];
  const way = { ArrowLeft: ["x", -1], ArrowRight: ["x", 1], ArrowUp: ["y", -1], ArrowDown: ["y", 1] }[key];
  const start = placed.nodes[from];
  const along = way[0] === deep;
  let best = null;
  let least = [Infinity, Infinity];
  for (const [id, at] of Object.entries(placed.nodes)) {
    const ahead = (at[way[0]] - start[way[0]]) * way[1];
    const aside = Math.abs(at[along ? side : deep] - start[along ? side : deep]);
    if (ahead < 1 || (!along && aside > 1)) continue;
    if (ahead < least[0] - 1 || (ahead < least[0] + 1 && aside < least[1])) [best, least] = [id, [ahead, aside]];
  }
  return best;
}

function Graph({ graph, nodes, path, chosen, choose, now }) {
  const frame = useRef(null);
  const [room, setRoom] = useState(null);
  const [zoom, setZoom] = useState(null); // null: fitted
  const [current, setCurrent] = useState(null);
  const [focus, setFocus] = useState(null);
  useLayoutEffect(() => {
    const box = frame.current.getBoundingClientRect();
    setRoom({ width: Math.max(box.width - 2 * PAD, 200), height: Math.max(box.height - 2 * PAD, 200) });
  }, []);
  const placed = useMemo(() => (room ? layout(graph, room) : null), [graph, room]);
  const fitted = placed ? Math.max(Math.min(1, room.width / placed.width, room.height / placed.height), ZOOM_LEAST) : 1;
  const scale = zoom || Math.max(fitted, Math.min(READABLE, 1));
  const critical = useMemo(() => new Set(path), [path]);
  const chain = useMemo(() => new Set(path.map((id, at) => id + ">" + path[at + 1])), [path]);
  const first = current && placed && placed.nodes[current] ? current : chosen || (graph.nodes[0] && graph.nodes[0].id);
  useEffect(() => {
    if (!placed || !chosen || !placed.nodes[chosen] || !frame.current) return;
    const { x, y } = placed.nodes[chosen];
    const view = frame.current;
    const left = (x + PAD) * scale;
    const top = (y + PAD) * scale;
    const inside = left >= view.scrollLeft && left + NODE.width * scale <= view.scrollLeft + view.clientWidth
      && top >= view.scrollTop && top + NODE.height * scale <= view.scrollTop + view.clientHeight;
    if (!inside) view.scrollTo(left - view.clientWidth / 2 + (NODE.width * scale) / 2, top - view.clientHeight / 2);
  }, [placed, chosen]);

  useLayoutEffect(() => {
    if (placed) performance.mark("graph-drawn");
  }, [placed]);

  const onKey = (event) => {
    if (event.key.startsWith("Arrow") && !event.altKey && !event.ctrlKey && !event.metaKey && placed.nodes[first]) {
      event.preventDefault();
      const next = beside(placed, first, event.key);
      if (next) {
        setCurrent(next);
        setFocus(next);
      }
    } else if (event.key === "+" || event.key === "=") setZoom(Math.min(scale * 1.25, ZOOM_MOST));
    else if (event.key === "-") setZoom(Math.max(scale / 1.25, ZOOM_LEAST));
    else if (event.key === "0") setZoom(null);
  };
  const drag = useDrag(frame);
  const left = graph.edges_left_out ? number(graph.edges_left_out) + " edges are not drawn. " : "";
  return html`<div class="graph">
    <div class="frame" ref=${frame} role="group" aria-label="Graph of the plan: arrow keys move, Enter opens a step"
      onKeyDown=${onKey} ...${drag}>
      ${placed ? html`<div class="sheet" data-layouts=${layouts()} style=${{ width: (placed.width + 2 * PAD) * scale + "px", height: (placed.height + 2 * PAD) * scale + "px" }}>
        <div class="scaled" style=${{ transform: "scale(" + scale + ")" }}>
          <${Lines} placed=${placed} chain=${chain} chosen=${chosen} />
          ${graph.nodes.map((node) => html`<${NodeBox} key=${node.id} node=${node} at=${placed.nodes[node.id]} state=${nodes[node.id] || {}}
            chosen=${chosen === node.id} current=${first === node.id} focus=${focus === node.id} critical=${critical.has(node.id)} now=${now} choose=${choose} />`)}
        </div></div>` : null}
    </div>
    <div class="zoom" role="group" aria-label="Size of the drawing">
      <span class="muted">${left}${graph.folded ? number(graph.steps) + " steps, folded into " + graph.nodes.length + " nodes" : ""}</span>
      <button type="button" aria-label="− smaller" onClick=${() => setZoom(Math.max(scale / 1.25, ZOOM_LEAST))}>−</button>
      <button type="button" aria-label=${Math.round(scale * 100) + "%, fit the drawing into the frame"} onClick=${() => setZoom(zoom === fitted ? null : fitted)}>${Math.round(scale * 100)}%</button>
      <button type="button" aria-label="+ larger" onClick=${() => setZoom(Math.min(scale * 1.25, ZOOM_MOST))}>+</button>
    </div>
  </div>`;
}

function Lines({ placed, chain, chosen }) {
  return html`<svg class="lines" width=${placed.width + 2 * PAD} height=${placed.height + 2 * PAD} aria-hidden="true">
    <defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerUnits="userSpaceOnUse" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 .5 8 4 0 7.5z" /></marker></defs>
    <g transform=${"translate(" + PAD + "," + PAD + ")"}>${placed.edges.map(({ from, to, points }) => {
      const kinds = ["edge"];
      if (chain.has(from + ">" + to)) kinds.push("critical");
      if (chosen === from || chosen === to) kinds.push("near");
      return html`<path key=${from + ">" + to} class=${kinds.join(" ")} d=${line(points, placed.across)} marker-end="url(#tip)" />`;
    })}</g></svg>`;
}

/** Pull the sheet with the pointer; a press without a pull stays a click. */
function useDrag(frame) {
  const from = useRef(null);
  return {
    onPointerDown: (event) => {
      if (event.button !== 0 || event.target.closest("button")) return;
      const view = frame.current;
      from.current = { x: event.clientX, y: event.clientY, left: view.scrollLeft, top: view.scrollTop };
      view.setPointerCapture(event.pointerId);
    },
    onPointerMove: (event) => {
      if (!from.current) return;
      frame.current.scrollTo(from.current.left + from.current.x - event.clientX, from.current.top + from.current.y - event.clientY);
    },
    onPointerUp: () => (from.current = null),
    onPointerCancel: () => (from.current = null),
  };
}

export { Graph, SKIPS, took };
