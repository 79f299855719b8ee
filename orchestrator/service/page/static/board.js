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
  const count = (value) => (value ? number(value) : html`<span class="muted">0</span>`);
  return html`<main><header><h1>Pools</h1></header>${error ? html`<p class="bad" role="alert">${error.message}</p>` : null}
    ${told && !rows.length ? html`<div class="sheetlike"><p class="empty">No pool is known here.</p></div>` : null}
    ${rows.length ? html`<div class="sheetlike scroll" tabindex="0" role="region" aria-label="Pools"><table class="pools"><thead><tr><th>pool</th><th class="num">backlog</th><th class="num">waiting</th><th class="num">delayed</th><th class="num">running</th><th class="num">oldest wait</th>
      ${lanes.map((lane) => html`<th key=${lane} class="num">${lane}</th>`)}${fleet ? html`<th class="num">workers</th><th class="num">slots</th><th class="num">dead</th>` : null}<th>agent</th><th>functions</th></tr></thead>
      <tbody>${rows.map((row) => html`<tr key=${row.pool}><td><b>${row.pool}</b>${row.refused.map((why, at) => html`<div key=${at} class="bad">${why}</div>`)}</td><td class="num"><b>${number(row.backlog)}</b></td><td class="num">${count(row.waiting)}</td><td class="num">${count(row.delayed)}</td><td class="num">${count(row.running)}</td>
        <td class="num">${row.oldest_wait_s ? span(row.oldest_wait_s) : ""}</td>${lanes.map((lane) => html`<td key=${lane} class="num">${count(row.by_lane[lane])}</td>`)}
        ${fleet ? html`<td class=${"num" + (row.backlog && !row.workers ? " bad" : "")}>${number(row.workers)}</td><td class="num">${number(row.slots)}</td><td class=${"num" + (row.dead ? " bad" : "")}>${number(row.dead)}</td>` : null}
        <td>${row.agent ? "yes" : ""}</td><td class="muted">${row.functions.join(", ")}</td></tr>`)}</tbody></table></div>
      <p class="muted">Backlog is what waits, is delayed, or runs: the number that scalers go by. ${fleet ? "" : "This process does the work itself."}</p>` : null}
    ${fleet ? html`<section class="sheetlike scroll" tabindex="0" aria-label="Workers"><h4>Workers <span class="muted">${number(told.workers_total)}</span></h4>${told.workers.length ? html`<table><thead><tr><th>worker</th><th class="num">last heard</th><th class="num">running</th><th>pools</th></tr></thead>
      <tbody>${told.workers.map((one) => html`<tr key=${one.name}><td><code>${one.name}</code>${one.leaving ? html` <span class="muted">leaving</span>` : null}</td><td class="num">${span(one.beat_age_s)} ago</td><td class="num">${number(one.running)}</td><td class="muted">${Object.entries(one.pools).map(([pool, slots]) => pool + " × " + slots).join(", ")}</td></tr>`)}</tbody></table>` : html`<p class="empty">No worker was heard of lately.</p>`}</section>` : null}</main>`;
}

function Rows({ name, entries, total, runs }) {
  const rows = Object.entries(entries).sort(([, a], [, b]) => b.usd - a.usd || b.tokens - a.tokens);
  if (!rows.length) return null;
  return html`<section><h4>By ${name}</h4><table class="money"><thead><tr><th>${name}</th>${runs ? html`<th class="num">runs</th>` : null}<th class="num">USD</th><th class="num">share</th><th class="num">tokens</th></tr></thead>
    <tbody>${rows.map(([key, one]) => html`<tr key=${key}><td>${key}</td>${runs ? html`<td class="num">${number(one.runs)}</td>` : null}<td class="num">${one.usd.toFixed(4)}</td><td class="num">${total ? Math.round((100 * one.usd) / total) + "%" : ""}</td><td class="num">${number(one.tokens)}</td></tr>`)}</tbody></table></section>`;
}

function AllCosts({ keyed }) {
  const [told, error] = useAnswer("/v1/page/costs", keyed, 15000);
  const sum = (entries) => Object.values(entries).reduce((total, one) => total + one.usd, 0);
  return html`<main><header><h1>Costs</h1>${told ? html`<span class="muted">${money(sum(told.plans))} in the newest ${plural(told.runs, "run")}</span>` : null}</header>
    ${error ? html`<p class="bad" role="alert">${error.message}</p>` : null}
    ${told ? html`<div class="sheetlike costs">${told.runs ? null : html`<p class="empty">No run yet.</p>`}
      <${Rows} name="plan" entries=${told.plans} total=${sum(told.plans)} runs=${true} /><${Rows} name="tenant" entries=${told.tenants} total=${sum(told.tenants)} />
      ${told.detailed ? html`<p class="muted">By model and pool: the newest ${plural(told.detailed, "run")}, sub-plans as one sum.</p>` : null}
      <${Rows} name="model" entries=${told.models} total=${sum(told.models)} /><${Rows} name="pool" entries=${told.pools} total=${sum(told.pools)} /></div>` : null}</main>`;
}

export { Approvals, Pools, AllCosts, useAnswer };
