// The panel of one step: why it is where it is, its attempts side by side, its inputs, its story, its place in the plan.
import { html, clock, money, number, plural, short, text, useEffect, useRef, useState } from "./base.js";
import { address } from "./route.js";
import { Icon, Status } from "./status.js";
import { Attempt, Facts, Value } from "./attempt.js";
import { Diff } from "./diff.js";

const AGAIN_MS = 1000; // a step that changes all the time is asked for no more often than this
const SHOWN = 2; // attempts side by side at first
const SAID_CHARS = 20000; // of what streams in, the end is kept
const TABS = [["attempts", "Attempts"], ["inputs", "Inputs"], ["story", "Story"], ["plan", "Plan"]];

/** What is known of a step; after its node has changed it is asked for again, at most once in `AGAIN_MS`. [page, error] */
function useStep(source, step, branch, first, inputs, changed) {
  const [page, setPage] = useState(null);
  const [error, setError] = useState(null);
  const stale = useRef(true);
  const shown = useRef("");
  const which = step + "/" + branch + "/" + first;
  useEffect(() => {
    let over = false;
    let timer = 0;
    if (shown.current !== which) [setPage(null), setError(null)];
    shown.current = which;
    stale.current = true;
    const look = async () => {
      if (stale.current) {
        stale.current = false; // a change from here on is looked at next time, however long the answer takes
        try {
          const told = await source.step(step, branch, first, inputs);
          if (!over) [setPage(told), setError(null)];
        } catch (problem) {
          if (!over) setError(problem);
        }
      }
      if (!over) timer = setTimeout(look, AGAIN_MS);
    };
    look();
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [source, which, inputs]);
  useEffect(() => {
    stale.current = true;
  }, [changed]);
  return [page, error];
}

/** What the visible step's worker says on its way, piece by piece. */
function Said({ source, step, branch }) {
  const [said, setSaid] = useState("");
  const [open, setOpen] = useState(true);
  const end = useRef(null);
  useEffect(() => {
    setSaid("");
    if (!open || !source.said) return undefined;
    return source.said(step, branch, (piece) => setSaid((before) => (before + piece).slice(-SAID_CHARS)));
  }, [source, step, branch, open]);
  useEffect(() => {
    if (end.current) end.current.scrollTop = end.current.scrollHeight;
  }, [said]);
  if (!source.said) return null;
  return html`<section class="said"><div class="valuehead"><span class="muted">${open ? (said ? "As it is written" : "Listening; nothing said yet") : "Not listening"}</span>
    <button type="button" class="small" onClick=${() => setOpen(!open)}>${open ? "stop" : "listen"}</button></div>
    ${said ? html`<pre ref=${end} tabindex="0" aria-label="What the worker says">${said}</pre>` : null}</section>`;
}

function Attempts({ page, now, wide, chosen, link, source }) {
  const all = page.attempts;
  const [more, setMore] = useState(false);
  const [compare, setCompare] = useState(false);
  if (!all.length) return html`<p class="empty">${page.branches ? "Its branches have the attempts." : "No attempt yet."}</p>`;
  const picked = chosen ? all.filter((one) => one.attempt === chosen) : more || wide ? all : all.slice(-SHOWN);
  const [before, after] = all.slice(-2);
  return html`<div>
    ${all.length > 1 ? html`<nav class="tries" aria-label="Attempts">
      <a href=${link({ attempt: null })} aria-current=${chosen ? null : "true"}>${more || wide || all.length <= SHOWN ? "all" : "last " + SHOWN}</a>
      ${all.map((one) => html`<a key=${one.attempt} href=${link({ attempt: one.attempt })} aria-current=${chosen === one.attempt ? "true" : null}><${Icon} status=${one.outcome || "pending"} />${one.attempt}</a>`)}
      <span class="fill"></span>
      ${all.length > SHOWN && !wide ? html`<button type="button" class="small" onClick=${() => setMore(!more)}>${more ? "fewer" : "all " + all.length}</button>` : null}
      <button type="button" class="small" aria-pressed=${compare ? "true" : "false"} onClick=${() => setCompare(!compare)}>compare the last two</button></nav>` : null}
    ${compare && after ? html`<section><h4>Attempt ${before.attempt} against attempt ${after.attempt}</h4>
      <${Facts} rows=${[["pool", change(before.pool, after.pool)], ["tier", change(before.tier, after.tier)], ["cost", change(money(before.usd), money(after.usd))],
        ["models", change(models(before), models(after))], ["inputs", change(short(before.inputs_digest), short(after.inputs_digest))]]} />
      <${Diff} before=${text(before.output)} after=${text(after.output)} what="Output" /></section>` : null}
    <div class="attempts">${picked.map((one) => html`<${Attempt} key=${one.attempt} one=${one} now=${now} />`)}</div></div>`;
}

function models(attempt) {
  return [...new Set((attempt.models || []).map((one) => one.model))].join(", ");
}

function change(before, after) {
  return before === after ? before || "" : (before || "none") + " → " + (after || "none");
}

function Branches({ page, first, link }) {
  const last = Math.min(first + page.branches.length, page.branches_total);
  const size = 200;
  return html`<section><h4>Branches <span class="muted">${page.branches_total ? number(first + 1) + "–" + number(last) + " of " + number(page.branches_total) : "none"}</span>
      ${first > 0 ? html` <a href=${link({ first: Math.max(0, first - size) })}>earlier</a>` : null}
      ${last < page.branches_total ? html` <a href=${link({ first: first + size })}>further</a>` : null}</h4>
    <ul class="branches">${page.branches.map(([index, status, why]) => html`<li key=${index}><a href=${link({ branch: index, first: null })}><${Icon} status=${status} /><span class="num">[${index}]</span>
      <span>${status}</span><span class="muted cut">${why}</span></a></li>`)}</ul></section>`;
}

function Inputs({ page }) {
  const given = page.inputs;
  if (given === undefined && !page.branches) return html`<p class="muted" aria-busy="true">…</p>`;
  if (!given) return html`<p class="empty">${page.branches ? "Each branch has inputs of its own." : "Nothing was given to it yet."}</p>`;
  if (given.why) return html`<p class="empty">Not shown: ${given.why}. Digest <code>${short(given.digest)}</code>.</p>`;
  return html`<div>${given.task !== null ? html`<${Value} value=${given.task} what="Instruction" />` : null}
    ${Object.entries(given.with && given.with.clipped === undefined ? given.with : { "all inputs": given.with }).map(([name, value]) => html`<${Value} key=${name} value=${value} what=${name} />`)}
    <p class="muted">Worked out from what had passed when the attempt was sent; digest <code>${short(given.digest)}</code>.</p></div>`;
}

function Story({ page }) {
  return html`<ol class="story">${page.lines.map(([seq, at, said]) => html`<li key=${seq}><time>${clock(at)}</time><span>${said}</span></li>`)}</ol>`;
}

function Panel({ source, run, step, branch, attempt, first, tab, changed, now, link, close, wide, widen, act }) {
  const [page, error] = useStep(source, step, branch, first, tab === "inputs", changed);
  const name = branch >= 0 ? step + "[" + branch + "]" : step;
  const heading = useRef(null);
  useEffect(() => {
    if (heading.current && document.activeElement && document.activeElement.closest(".rowlink")) heading.current.focus();
  }, [name]);
  const shown = TABS.some(([id]) => id === tab) ? tab : "attempts";
  return html`<aside class="panel" aria-label=${"Step " + name}>
    <header><h2 ref=${heading} tabindex="-1">${branch >= 0 ? html`<a href=${link({ branch: null, attempt: null })}>${step}</a>[${branch}]` : step}</h2>
      ${page ? html`<${Status} status=${page.status} />` : null}<span class="fill"></span>
      ${page && act ? act(step, branch, page) : null}
      <button type="button" class="small wide" onClick=${widen} aria-pressed=${wide ? "true" : "false"}>${wide ? "narrow" : "widen"}</button>
      <button type="button" class="small" onClick=${close} aria-label="Close the step">close</button></header>
    ${error ? html`<p class="bad">${error.message}</p>` : null}
    ${!page && !error ? html`<p class="muted">…</p>` : null}
    ${page ? html`<p class=${"why s-" + page.status}><${Icon} status=${page.status} /><span>${page.now}</span></p>
      ${page.quarantined ? html`<p class="bad">Quarantined: a result was found wrong later.</p>` : null}
      ${page.child ? html`<p>Sub-plan: <a href=${address(["runs", page.child])}>${page.child}</a></p>` : null}
      ${["running", "checking"].includes(page.status) && !page.branches ? html`<${Said} source=${source} step=${step} branch=${branch} />` : null}
      ${page.branches ? html`<${Branches} page=${page} first=${first} link=${link} />` : null}
      <nav class="tabs" aria-label="About the step">${TABS.map(([id, word]) => html`<a key=${id} aria-current=${shown === id ? "true" : null} href=${link({ tab: id })}>${word}${id === "attempts" && page.attempts.length ? html` <span class="num">${page.attempts.length}</span>` : null}</a>`)}</nav>
      <div class="tabbed">
        ${shown === "attempts" ? html`<${Attempts} page=${page} now=${now} wide=${wide} chosen=${attempt} link=${link} source=${source} />` : null}
        ${shown === "inputs" ? html`<${Inputs} page=${page} />` : null}
        ${shown === "story" ? html`<${Story} page=${page} />` : null}
        ${shown === "plan" ? html`<div>${page.needs.length ? html`<p>Waits for ${page.needs.map((need, at) => html`${at ? ", " : ""}<a key=${need} href=${link({ step: need, branch: null, attempt: null })}>${need}</a>`)}.</p>` : html`<p class="muted">Waits for no other step.</p>`}<${Value} value=${page.spec} what="The step in the plan" /></div>` : null}
      </div>` : null}
  </aside>`;
}

/** The panel of a folded node: the steps in it. */
function Members({ source, node, first, changed, link, close }) {
  const [told, setTold] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => {
    let over = false;
    source.members(node.id, first).then((found) => over || setTold(found), (problem) => over || setError(problem));
    return () => (over = true);
  }, [source, node.id, first, changed]);
  const size = 200;
  return html`<aside class="panel" aria-label="Folded steps"><header><h2 tabindex="-1">${plural(node.steps, "step")}</h2><span class="muted">${node.what}</span><span class="fill"></span>
      <button type="button" class="small" onClick=${close} aria-label="Close the list">close</button></header>
    ${error ? html`<p class="bad">${error.message}</p>` : null}
    ${told ? html`<section><h4><span class="muted">${number(first + 1)}–${number(first + told.rows.length)} of ${number(told.total)}</span>
      ${first > 0 ? html` <a href=${link({ first: Math.max(0, first - size) })}>earlier</a>` : null}
      ${first + told.rows.length < told.total ? html` <a href=${link({ first: first + size })}>further</a>` : null}</h4>
      <ul class="branches">${told.rows.map(([step, status, why]) => html`<li key=${step}><a class="rowlink" href=${link({ step, node: null, first: null })}><${Icon} status=${status} /><b>${step}</b><span>${status}</span><span class="muted cut">${why}</span></a></li>`)}</ul></section>` : null}
  </aside>`;
}

export { Panel, Members };
