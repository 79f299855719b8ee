// The page of one run: how it stands on top, the drawing or the timeline on the left, the chosen step on the right.
import { html, useEffect, useMemo, useNow, useRef, useState, Copy, money, moment, number, plural, short, span, text } from "./base.js";
import { CountBar, Icon, Status, counted, countWords } from "./status.js";
import { Graph, SKIPS, took } from "./graph.js";
import { Timeline } from "./timeline.js";
import { Panel, Members } from "./panel.js";
import { Question } from "./ask.js";
import { Value } from "./attempt.js";
import { address, go } from "./route.js";

const VIEWS = [["graph", "Graph"], ["timeline", "Timeline"], ["steps", "Steps"], ["costs", "Costs"], ["result", "Result"]];
const OPEN = ["running", "waiting", "cancelling"];
const ROWS_MAX = 300;

/** How much of a limit is used, as a bar and as words. */
function Meter({ word, value, limit, say, soft }) {
  const share = limit ? Math.min(value / limit, 1) : 0;
  const over = !soft && limit && value >= limit * 0.9;
  return html`<div class="meter"><span class="muted">${word}</span><b class="num">${say(value)}</b>
    ${limit ? html`<span class="muted num">of ${say(limit)}</span>` : null}
    ${limit ? html`<span class="rule" aria-hidden="true"><i class=${over ? "over" : ""} style=${{ width: 100 * share + "%" }}></i></span>` : html`<span class="rule none" aria-hidden="true"></span>`}</div>`;
}

function Strip({ head, run, now }) {
  const end = run.ended_at || now;
  const settled = run.steps.settled;
  const done = Object.entries(run.units).reduce((sum, [status, count]) => sum + (["passed", "gap", "failed", "skipped", "cancelled"].includes(status) ? count : 0), 0);
  const units = Object.values(run.units).reduce((sum, count) => sum + count, 0);
  return html`<div class="strip">
    <div class="meter grow"><span class="muted">steps</span><b class="num">${number(settled)}</b><span class="muted num">of ${number(run.steps.total)} settled</span>
      ${units > run.steps.total ? html`<span class="muted num">· ${number(done)} of ${number(units)} with branches</span>` : null}
      <${CountBar} counts=${run.units} total=${units} /></div>
    <${Meter} word="cost" value=${run.usd} limit=${head.budget.usd} say=${money} />
    <${Meter} word="tokens" value=${run.tokens} limit=${head.budget.tokens} say=${number} />
    <${Meter} word=${run.calls === 1 ? "model call" : "model calls"} value=${run.calls} limit=${head.budget.calls} say=${number} />
    <${Meter} word=${run.ended_at ? "took" : "for"} value=${end - head.accepted_at} limit=${head.budget.wall_s} say=${span} />
  </div>`;
}

function Failures({ run, link }) {
  if (!run.failures.length) return null;
  const [first, ...others] = run.failures;
  const one = (failure) => html`<a class="rowlink" href=${link({ step: failure.step, branch: failure.branch >= 0 ? failure.branch : null, node: null })}>${failure.step}${failure.branch >= 0 ? "[" + failure.branch + "]" : ""}</a>`;
  const below = (failure) => failure.downstream_total ? html`<details><summary>${plural(failure.downstream_total, "step")} did not run because of it</summary>
    <p class="names">${failure.downstream.map((step) => html`<a key=${step} href=${link({ step, branch: null, node: null })}>${step}</a> `)}${failure.downstream_total > failure.downstream.length ? "…" : ""}</p></details>` : null;
  return html`<section class="banner failed" aria-label="Why it failed"><div><${Icon} status="failed" /><b>${one(first)} failed</b></div>
    <p class="cause">${first.cause || "no reason is left: the payloads were deleted"}</p>${below(first)}
    ${others.length ? html`<details><summary>${plural(others.length, "further failure")}</summary>${others.map((failure) => html`<div key=${failure.step + failure.branch} class="further">${one(failure)} <span class="cause">${failure.cause}</span>${below(failure)}</div>`)}</details>` : null}</section>`;
}

function Banners({ head, run, below, now, link, answer }) {
  return html`<div class="banners">
    <${Failures} run=${run} link=${link} />
    ${run.reason && !run.failures.length ? html`<section class="banner"><${Icon} status=${run.status} /><span>${run.reason}</span></section>` : null}
    ${run.limit && !run.ended_at ? html`<section class="banner waiting"><${Icon} status="waiting" /><span>The budget of ${run.limit} is used up.</span></section>` : null}
    ${run.gaps.length ? html`<section class="banner"><details><summary><${Icon} status="gap" />${plural(run.gaps.length, "part")} of the result ${run.gaps.length === 1 ? "is" : "are"} missing</summary>
      <ul class="plainlist">${run.gaps.map((gap, at) => html`<li key=${at}><a href=${link({ step: gap.step, branch: gap.branch === null || gap.branch === undefined || gap.branch < 0 ? null : gap.branch, node: null })}>${gap.step}${gap.branch === null || gap.branch === undefined || gap.branch < 0 ? "" : "[" + gap.branch + "]"}</a> <span class="muted">${gap.reason}</span></li>`)}</ul></details></section>` : null}
    ${run.forgotten ? html`<section class="banner"><span>Payloads of this run were deleted: outputs and reasons are gone, the audit trail is whole.</span></section>` : null}
    ${[...run.questions, ...below].map((question) => html`<${Question} key=${question.run + question.step} question=${{ usd: run.usd, ...question }} now=${now} answer=${answer} />`)}
  </div>`;
}

function Steps({ graph, nodes, now, link, chosen }) {
  const [query, setQuery] = useState("");
  const found = graph.nodes.filter((node) => !query || node.id.toLowerCase().includes(query.toLowerCase()) || node.what.toLowerCase().includes(query.toLowerCase()) || (nodes[node.id] || {}).status === query);
  return html`<div class="steps"><div class="filters"><label for="find-step" class="unseen">Find a step</label><input id="find-step" type="search" placeholder="find a step, a pool or a status" value=${query} onInput=${(event) => setQuery(event.target.value)} /></div>
    <div class="scroll"><table><thead><tr><th>step</th><th>status</th><th>work</th><th class="num">tries</th><th class="num">time</th><th class="num">cost</th><th>branches, reason</th></tr></thead>
    <tbody>${found.slice(0, ROWS_MAX).map((node) => {
      const state = nodes[node.id] || {};
      const group = node.kind === "group";
      return html`<tr key=${node.id} class=${chosen === node.id ? "chosen" : ""}><td><a class="rowlink" href=${link(group ? { node: node.id, step: null } : { step: node.id, node: null, branch: null })}>${group ? number(node.steps) + " steps" : node.id}</a></td>
        <td><${Status} status=${state.status || "pending"} /></td><td class="muted">${node.what}</td>
        <td class="num">${state.attempts > 1 ? state.attempts : ""}</td><td class="num">${took(state, now)}</td><td class="num">${state.usd ? money(state.usd) : ""}</td>
        <td class="cut">${state.counts ? countWords(state.counts) : SKIPS[state.reason] || state.reason || state.note || ""}</td></tr>`;
    })}</tbody></table></div></div>`;
}

function Table({ name, rows, total }) {
  if (!rows.length) return null;
  return html`<section><h4>By ${name}</h4><table class="money"><thead><tr><th>${name}</th><th class="num">USD</th><th class="num">share</th><th class="num">tokens</th><th class="num">calls</th></tr></thead>
    <tbody>${rows.map(([key, one]) => html`<tr key=${key}><td>${key}</td><td class="num">${one.usd.toFixed(4)}</td><td class="num">${total ? Math.round((100 * one.usd) / total) + "%" : ""}</td>
      <td class="num">${one.tokens === undefined ? "" : number(one.tokens)}</td><td class="num">${one.calls === undefined ? "" : number(one.calls)}</td></tr>`)}</tbody></table></section>`;
}

function Costs({ head, run, graph, nodes }) {
  const dear = (rows) => rows.sort(([, a], [, b]) => b.usd - a.usd || (b.tokens || 0) - (a.tokens || 0));
  const steps = dear(graph.nodes.filter((node) => (nodes[node.id] || {}).usd).map((node) => [node.kind === "group" ? number(node.steps) + " × " + node.what : node.id, { usd: nodes[node.id].usd }]));
  if (!run.usd && !run.tokens) return html`<p class="empty">Nothing has been spent.</p>`;
  return html`<div class="costs"><p>${money(run.usd)} of ${money(head.budget.usd)}, ${number(run.tokens)} of ${number(head.budget.tokens)} tokens, ${plural(run.calls, "model call")}; tenant ${head.tenant}.</p>
    <${Table} name="step" rows=${steps} total=${run.usd} /><${Table} name="model" rows=${dear(Object.entries(run.models))} total=${run.usd} /><${Table} name="pool" rows=${dear(Object.entries(run.pools))} total=${run.usd} /></div>`;
}

function Result({ head, run }) {
  return html`<div class="result">${run.ended_at ? html`<${Value} value=${run.output} what=${run.status === "stopped" ? "What had passed" : "Output"} />` : html`<p class="empty">The run has not ended.</p>`}
    <${Value} value=${head.inputs} what="Inputs" />
    ${head.constraints.length ? html`<section><h4>Constraints</h4><ul class="plainlist">${head.constraints.map((one, at) => html`<li key=${at}>${one}</li>`)}</ul></section>` : null}
    <section><h4>Plan</h4><p>${head.description}</p><p><code>${head.digest}</code></p></section></div>`;
}

/** Everything of one run. `source` fetches details, `actions` draws what can be done; `below` are questions of sub-plans. */
function Run({ document, state, source, route, actions, act, answer, below = [] }) {
  const { head, graph, nodes, run } = document;
  const live = OPEN.includes(run.status) && state !== "offline";
  const now = useNow(live);
  const shownNow = live ? now : run.at;
  const [wide, setWide] = useState(false);
  const { params } = route;
  const link = (changed) => address(route.path, { ...params, ...changed });
  const branch = params.branch === undefined ? -1 : Number(params.branch);
  const node = params.node && graph.nodes.find((one) => one.id === params.node && one.kind === "group");
  const known = useMemo(() => new Set(graph.nodes.map((one) => one.id)), [graph]);
  const chosen = node ? node.id : params.step || "";
  const opened = useRef("");
  useEffect(() => {
    // Failure first: a failed run opens at its root cause, unless the address asks for something else.
    if (opened.current === head.id) return;
    if (!params.step && !params.node && run.failures.length && run.ended_at) {
      const [first] = run.failures;
      go(route.path, { ...params, step: first.step, branch: first.branch >= 0 ? first.branch : "" }, { replace: true });
    }
    if (run.ended_at || params.step) opened.current = head.id;
  }, [head.id, run.ended_at]);
  const choose = (id) => go(route.path, { ...params, branch: "", attempt: "", first: "", ...(id.startsWith("group:") ? { node: id, step: "" } : { step: id, node: "" }) });
  const close = () => {
    go(route.path, { ...params, step: "", node: "", branch: "", attempt: "", first: "", tab: "" });
    // The keyboard goes on where it was: at the node that was open.
    const box = window.document.querySelector('[data-node="' + CSS.escape(chosen) + '"]');
    if (box) box.focus({ preventScroll: true });
  };
  const view = VIEWS.some(([id]) => id === params.view) ? params.view : "graph";
  const changed = chosen && known.has(chosen) ? nodes[chosen] : document.seq;
  const open = Boolean(node || params.step);
  useEffect(() => {
    if (!open) return;
    // Anywhere on the page: what had the focus may have been drawn anew meanwhile. A dialog and a field have an Escape of their own.
    const escape = (event) => {
      if (event.key === "Escape" && !event.target.closest?.("dialog, input, textarea, select")) close();
    };
    addEventListener("keydown", escape);
    return () => removeEventListener("keydown", escape);
  }, [open, chosen, route]);
  const attempt = params.attempt ? Number(params.attempt) : 0;
  const first = params.first ? Number(params.first) : 0;
  return html`<main class=${"run" + (open ? " open" : "") + (open && wide ? " widened" : "")}>
    <header class="runhead"><h1>${head.plan}</h1><${Status} status=${run.status} /><code class="id">${head.id}</code><${Copy} value=${head.id} what="the run's id" />
      ${head.parent ? html`<span class="muted">sub-plan of <a href=${address(["runs", head.parent], { step: head.parent_step })}>${head.parent_step}</a></span>` : null}
      ${head.origin !== head.id && !head.parent ? html`<span class="muted">continues <a href=${address(["runs", head.origin])}>${short(head.origin)}</a></span>` : null}
      <span class="muted">accepted ${moment(head.accepted_at)}${head.lane === "normal" ? "" : " · lane " + head.lane}${head.tenant === "default" ? "" : " · tenant " + head.tenant}</span>
      <span class="fill"></span>${actions ? actions(document) : null}</header>
    <${Strip} head=${head} run=${run} now=${shownNow} />
    <${Banners} head=${head} run=${run} below=${below} now=${now} link=${link} answer=${answer} />
    <nav class="tabs views" aria-label="Views of the run">${VIEWS.map(([id, word]) => html`<a key=${id} aria-current=${view === id ? "true" : null} href=${link({ view: id === "graph" ? "" : id })}>${word}</a>`)}</nav>
    <div class="body"><div class=${"view v-" + view}>
      ${view === "graph" ? html`<${Graph} key=${head.id} graph=${graph} nodes=${nodes} path=${run.path} chosen=${chosen} choose=${choose} now=${shownNow} />` : null}
      ${view === "timeline" ? html`<${Timeline} graph=${graph} nodes=${nodes} run=${run} head=${head} chosen=${chosen} choose=${choose} now=${shownNow} />` : null}
      ${view === "steps" ? html`<${Steps} graph=${graph} nodes=${nodes} now=${shownNow} link=${link} chosen=${chosen} />` : null}
      ${view === "costs" ? html`<${Costs} head=${head} run=${run} graph=${graph} nodes=${nodes} />` : null}
      ${view === "result" ? html`<${Result} head=${head} run=${run} />` : null}</div>
    ${node ? html`<${Members} source=${source} node=${node} first=${first} changed=${nodes[node.id]} link=${link} close=${close} />` : null}
    ${params.step && !node ? html`<${Panel} source=${source} run=${run} step=${params.step} branch=${branch} attempt=${attempt} first=${first} tab=${params.tab} changed=${changed} now=${shownNow}
      link=${link} close=${close} wide=${wide} widen=${() => setWide(!wide)} act=${act} />` : null}</div>
  </main>`;
}

export { Run };
