// The boards beside the runs: approvals that wait, pools with their backlog and workers, costs.
import { html, useEffect, useState, money, number, plural, span } from "./base.js";
import { get } from "./api.js";
import { Question } from "./ask.js";

const RENEW_MS = 3000;

/** An answer of the service, renewed while it is looked at; [answer, error, again]. */
function useAnswer(path, keyed, everyMs = RENEW_MS) {
  const [told, setTold] = useState([null, null]);
  const [asked, setAsked] = useState(0);
  useEffect(() => {
    let over = false;
    let timer = 0;
    const abort = new AbortController();
    const load = async () => {
      if (!document.hidden || !told[0]) {
        try {
          const found = await get(path, abort.signal);
          if (!over) setTold([found, null]);
        } catch (error) {
          if (!over) setTold(([before]) => [before, error]);
        }
      }
      if (!over) timer = setTimeout(load, everyMs);
    };
    load();
    return () => {
      over = true;
      abort.abort();
      clearTimeout(timer);
    };
  }, [path, keyed, asked]);
  return [...told, () => setAsked((count) => count + 1)];
}

function Approvals({ keyed, now, answer }) {
  const [told, error, again] = useAnswer("/v1/approvals", keyed);
  const done = async (...given) => {
    await answer(...given);
    setTimeout(again, 800); // long enough to read that the answer counts
  };
  return html`<main><header><h1>Approvals</h1>${told ? html`<span class="muted">${told.approvals.length ? plural(told.approvals.length, "question") + ", the nearest deadline first" : ""}</span>` : null}</header>
    ${error ? html`<p class="bad" role="alert">${error.message}</p>` : null}
    ${told && !told.approvals.length ? html`<div class="sheetlike"><p class="empty">Nothing waits for a person.</p></div>` : null}
    <div class="inbox">${told ? told.approvals.map((one) => html`<${Question} key=${one.run + " " + one.step} question=${one} now=${now} answer=${done} linked=${true} />`) : null}</div></main>`;
}

function Pools({ keyed }) {
  const [told, error] = useAnswer("/v1/page/pools", keyed);
  const rows = told ? told.pools : [];
  const lanes = ["high", "normal", "low", "batch"];
  const fleet = told && told.workers !== null;
  const all = told && told.tenants === "all";
  const count = (value) => (value ? number(value) : html`<span class="muted">0</span>`);
  return html`<main><header><h1>Pools</h1></header>${error ? html`<p class="bad" role="alert">${error.message}</p>` : null}
    ${told && !rows.length ? html`<div class="sheetlike"><p class="empty">No pool is known here.</p></div>` : null}
    ${rows.length ? html`<div class="sheetlike scroll" tabindex="0" role="region" aria-label="Pools"><table class="pools"><thead><tr><th>pool</th><th class="num">backlog</th>${all ? html`<th class="num">waiting</th><th class="num">delayed</th><th class="num">running</th><th class="num">oldest wait</th>
      ${lanes.map((lane) => html`<th key=${lane} class="num">${lane}</th>`)}` : null}${fleet ? html`<th class="num">workers</th><th class="num">slots</th><th class="num">dead</th>` : null}<th>agent</th><th>functions</th></tr></thead>
      <tbody>${rows.map((row) => html`<tr key=${row.pool}><td><b>${row.pool}</b>${row.refused.map((why, at) => html`<div key=${at} class="bad">${why}</div>`)}</td><td class="num"><b>${number(row.backlog)}</b></td>${all ? html`<td class="num">${count(row.waiting)}</td><td class="num">${count(row.delayed)}</td><td class="num">${count(row.running)}</td>
        <td class="num">${row.oldest_wait_s ? span(row.oldest_wait_s) : ""}</td>${lanes.map((lane) => html`<td key=${lane} class="num">${count(row.by_lane[lane])}</td>`)}` : null}
        ${fleet ? html`<td class=${"num" + (row.backlog && !row.workers ? " bad" : "")}>${number(row.workers)}</td><td class="num">${number(row.slots)}</td><td class=${"num" + (row.dead ? " bad" : "")}>${number(row.dead)}</td>` : null}
        <td>${row.agent ? "yes" : ""}</td><td class="muted">${row.functions.join(", ")}</td></tr>`)}</tbody></table></div>
      <p class="muted">${all ? html`Backlog is what waits, is delayed, or runs: the number that scalers go by. ${fleet ? "" : "This process does the work itself."}` : "Backlog is what your tenant's open runs have sent and not got back. A key with the scope metrics sees the work of all, and who does it."}</p>` : null}
    ${fleet ? html`<section class="sheetlike scroll" tabindex="0" aria-label="Workers"><h4>Workers <span class="muted">${number(told.workers_total)}</span></h4>${told.workers.length ? html`<table><thead><tr><th>worker</th><th class="num">last heard</th><th class="num">running</th><th>pools</th></tr></thead>
      <tbody>${told.workers.map((one) => html`<tr key=${one.name}><td><code>${one.name}</code>${one.leaving ? html` <span class="muted">leaving</span>` : null}</td><td class="num">${span(one.beat_age_s)} ago</td><td class="num">${number(one.running)}</td><td class="muted">${Object.entries(one.pools).map(([pool, slots]) => pool + " × " + slots).join(", ")}</td></tr>`)}</tbody></table>` : html`<p class="empty">No worker was heard of lately.</p>`}</section>` : null}</main>`;
}

const SIDES = ["plan", "run", "step", "model", "pool", "tenant", "day"];
const SHOWN_MAX = 200; // rows of one side
const SPARED = [["cache", "the cache"], ["routing", "routing"], ["compression", "compression"], ["batch", "the batch service"]];

function AllCosts({ keyed }) {
  const [by, setBy] = useState("plan");
  const [told, error] = useAnswer("/v1/costs?by=" + by, keyed, 60000); // reads facts of many runs, so not more often
  const share = (usd, of) => (of ? ((100 * usd) / of).toFixed(1) + "%" : "");
  const usd = (value) => html`<td class="num">${value.toFixed(4)}</td>`;
  const spared = told ? SPARED.filter(([part]) => told.saved[part] > 0) : [];
  return html`<main><header><h1>Costs</h1>${told ? html`<span class="muted">${money(told.total.usd)} in ${told.whole ? "" : "the newest "}${plural(told.runs, "run")}, sub-plans included</span>` : null}
      <label class="unseen" for="side">A row is</label><select id="side" value=${by} onChange=${(event) => setBy(event.target.value)}>${SIDES.map((side) => html`<option key=${side} value=${side}>by ${side}</option>`)}</select></header>
    ${error ? html`<p class="bad" role="alert">${error.message}</p>` : null}
    ${told ? told.alarms.map((one) => html`<p key=${one.tenant} class="bad" role="alert">${one.tenant} has spent ${money(one.usd)} on ${one.day}, ${one.times.toFixed(1)} times its habit of ${money(one.habit_usd)} a day</p>`) : null}
    ${told ? html`<div class="sheetlike costs">${told.runs ? null : html`<p class="empty">No run yet.</p>`}
      ${told.rows.length ? html`<section class="scroll" tabindex="0" role="region" aria-label=${"Costs by " + told.by}><table class="money"><thead><tr><th>${told.by}</th><th class="num">USD</th><th class="num">share</th><th class="num">without</th><th class="num">tokens</th><th class="num">calls</th><th class="num">served</th></tr></thead>
        <tbody>${told.rows.slice(0, SHOWN_MAX).map((one) => html`<tr key=${one.name}><td>${one.name}</td>${usd(one.usd)}<td class="num">${share(one.usd, told.total.usd)}</td>${usd(one.without_usd)}<td class="num">${number(one.tokens)}</td><td class="num">${number(one.calls)}</td><td class="num">${number(one.served)}</td></tr>`)}</tbody></table>
        ${told.rows.length > SHOWN_MAX ? html`<p class="muted">and ${number(told.rows.length - SHOWN_MAX)} more</p>` : null}</section>` : null}
      ${spared.length ? html`<section><h4>Spared</h4><table class="money"><thead><tr><th>by</th><th class="num">USD</th><th class="num">of what it would have cost</th></tr></thead>
        <tbody>${spared.map(([part, name]) => html`<tr key=${part}><td>${name}</td>${usd(told.saved[part])}<td class="num">${share(told.saved[part], told.total.without_usd)}</td></tr>`)}</tbody></table></section>` : null}</div>` : null}</main>`;
}

export { Approvals, Pools, AllCosts, useAnswer };
