// When what happened: a row for each node, a bar for each attempt. Waiting for a worker is hatched, checks are lighter.
import { html, money, number, span, clock } from "./base.js";
import { Icon, countWords } from "./status.js";

const LANES_MAX = 6;
const LANE_PX = 7;
const ROW_PX = 24;

function ticks(seconds) {
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200, 86400, 604800];
  const step = steps.find((one) => seconds / one <= 8) || seconds / 6;
  const found = [];
  for (let at = 0; at <= seconds * 1.0001; at += step) found.push(at);
  return found;
}

/** A short round span for the axis. */
function mark(seconds) {
  if (seconds === 0) return "0";
  if (seconds < 60) return Number(seconds.toFixed(2)) + " s";
  if (seconds < 3600) return Number((seconds / 60).toFixed(1)) + " m";
  if (seconds < 86400) return Number((seconds / 3600).toFixed(1)) + " h";
  return Number((seconds / 86400).toFixed(1)) + " d";
}

/** Bars in lanes, so that those at the same time lie below each other. */
function lanes(bars, now) {
  const ends = [];
  return bars.map((bar) => {
    const [, , , sent, , , ended] = bar;
    let lane = ends.findIndex((end) => end <= sent);
    if (lane < 0) lane = ends.length < LANES_MAX ? ends.length : LANES_MAX - 1;
    ends[lane] = Math.max(ends[lane] || 0, ended || now);
    return [bar, lane];
  });
}

function Piece({ from, to, begin, length, kind }) {
  const left = (100 * (from - begin)) / length;
  const width = Math.max((100 * (to - from)) / length, 0.15);
  return html`<i class=${kind} style=${{ left: left + "%", width: width + "%" }}></i>`;
}

function BarBox({ bar, lane, tall, person, begin, length, now }) {
  const [step, branch, attempt, sent, began, done, ended, outcome] = bar;
  const end = ended || now;
  const work = began || (done || ended ? sent : 0);
  const name = branch >= 0 ? step + "[" + branch + "]" : step;
  const title = name + ", attempt " + attempt + ", " + (outcome || "under way") + ": " + span(end - sent)
    + (work > sent ? ", of it " + span(work - sent) + " waiting for a worker" : "");
  const size = tall ? { top: "6px", height: "12px" } : { top: 3 + lane * LANE_PX + "px", height: LANE_PX - 2 + "px" };
  const color = person ? "asked" : "f-" + ({ lost: "rejected", replaced: "skipped", "": work ? "running" : "pending" }[outcome] || outcome);
  if (person) return html`<span class="bar" style=${size} title=${name + ": " + span(end - sent) + " for a person"}><${Piece} from=${sent} to=${end} begin=${begin} length=${length} kind=${color} /></span>`;
  return html`<span class="bar" style=${size} title=${title}>
    ${(work || end) > sent ? html`<${Piece} from=${sent} to=${work || end} begin=${begin} length=${length} kind="queued" />` : null}
    ${work ? html`<${Piece} from=${work} to=${done || end} begin=${begin} length=${length} kind=${color} />` : null}
    ${done && end > done ? html`<${Piece} from=${done} to=${end} begin=${begin} length=${length} kind=${color + " checks"} />` : null}
  </span>`;
}

function Timeline({ graph, nodes, run, head, chosen, choose, now }) {
  const begin = head.accepted_at;
  const end = run.ended_at || Math.max(now, run.at);
  const length = Math.max(end - begin, 0.001);
  const path = new Set(run.path);
  const rows = graph.nodes
    .map((node) => ({ node, state: nodes[node.id] || {} }))
    .filter(({ state }) => state.started_at || state.bars)
    .sort((a, b) => (a.state.started_at || 0) - (b.state.started_at || 0));
  if (!rows.length) return html`<p class="empty">Nothing has started yet.</p>`;
  const waited = graph.nodes.length - rows.length;
  return html`<div class="timeline">
    <p class="legend"><span><i class="queued"></i>waits for a worker</span>${rows.some(({ node }) => node.kind === "human") ? html`<span><i class="asked"></i>waits for a person</span>` : null}<span><i class="f-running"></i>under way</span>
      <span><i class="f-passed"></i>passed</span><span><i class="f-passed checks"></i>in its checks</span>
      <span><i class="f-rejected"></i>refused</span><span><i class="f-failed"></i>failed</span>
      ${run.path.length ? html`<span><b class="crit">critical path</b>: ${number(run.path_steps)} steps${run.path_s <= length * 1.001 ? ", " + span(run.path_s) : ""}</span>` : null}</p>
    <div class="axis" aria-hidden="true"><span></span><span class="marks">${ticks(length).map((at) => html`<i key=${at} style=${{ left: (100 * at) / length + "%" }}>${mark(at)}</i>`)}</span><span></span></div>
    <ol>${rows.map(({ node, state }) => {
      const packed = lanes(state.bars || [], end);
      const most = packed.reduce((found, [, lane]) => Math.max(found, lane), 0);
      const tall = most === 0;
      const name = node.kind === "group" ? number(node.steps) + " × " + node.what : node.id;
      const critical = path.has(node.id);
      return html`<li key=${node.id} class=${(chosen === node.id ? "chosen" : "") + (critical ? " critical" : "")}>
        <button type="button" class="who" onClick=${() => choose(node.id)} aria-label=${name + ", " + (state.status || "") + (critical ? ", on the critical path" : "")}>
          <${Icon} status=${state.status} /><span>${name}</span></button>
        <span class="track" style=${{ height: Math.max(ROW_PX, 6 + (most + 1) * LANE_PX) + "px" }}>
          ${state.bars_left_out ? html`<span class="bar range"><${Piece} from=${state.started_at || begin} to=${state.ended_at || end} begin=${begin} length=${length} kind="whole" /></span>` : null}
          ${packed.map(([bar, lane]) => html`<${BarBox} key=${bar[0] + bar[1] + "/" + bar[2]} bar=${bar} lane=${lane} tall=${tall} person=${node.kind === "human"} begin=${begin} length=${length} now=${end} />`)}
        </span>
        <span class="num">${state.started_at ? span((state.ended_at || end) - state.started_at) : ""}</span></li>`;
    })}</ol>
    <p class="muted">${rows.some(({ state }) => state.bars_left_out) ? "Of nodes with many attempts the first ones are drawn. " : ""}${waited ? number(waited) + " not started. " : ""}Began ${clock(begin)}.</p>
  </div>`;
}

export { Timeline };
