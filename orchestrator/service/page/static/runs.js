// The list of runs: filters in the address, pages by cursor, search by text, renewed while it is looked at.
import { html, useEffect, useMemo, useRef, useState, money, moment, number, short, span } from "./base.js";
import { get } from "./api.js";
import { Status } from "./status.js";
import { address, go } from "./route.js";

const STATUSES = ["open", "succeeded", "degraded", "stopped", "failed", "cancelled"];
const LANES = ["high", "normal", "low", "batch"];
const PAGE = 50;
const RENEW_MS = 2000;
const SEARCH_PAGES = 6; // a search looks through so many pages before it asks whether to go on

function query(params, cursor) {
  const asked = new URLSearchParams({ limit: PAGE });
  for (const status of (params.status || "").split(",").filter(Boolean)) asked.append("status", status);
  for (const name of ["plan", "lane", "origin"]) if (params[name]) asked.set(name, params[name]);
  if (cursor) asked.set("cursor", cursor);
  return "/v1/runs?" + asked;
}

/** The runs that fit, page by page; the first page is renewed while the list is open. */
function useRuns(params, keyed) {
  const [told, setTold] = useState({ rows: null, next: null, error: null });
  const pages = useRef(1);
  const what = JSON.stringify([params.status, params.plan, params.lane, params.origin]);
  const load = useRef(null);
  useEffect(() => {
    let over = false;
    let timer = 0;
    const abort = new AbortController();
    const all = async () => {
      const rows = [];
      let next = null;
      for (let page = 0; page < pages.current; page += 1) {
        const answer = await get(query(params, next), abort.signal);
        rows.push(...answer.runs);
        next = answer.next;
        if (!next) break;
      }
      if (!over) setTold({ rows, next, error: null });
    };
    load.current = () => all().catch((error) => over || setTold((before) => ({ ...before, error })));
    const again = async () => {
      if (!document.hidden && pages.current <= 4) await load.current(); // a long list is not renewed under the reader
      if (!over) timer = setTimeout(again, RENEW_MS);
    };
    pages.current = 1;
    setTold({ rows: null, next: null, error: null });
    load.current().then(() => over || (timer = setTimeout(again, RENEW_MS)));
    return () => {
      over = true;
      abort.abort();
      clearTimeout(timer);
    };
  }, [what, keyed]);
  const more = async (count = 1) => {
    pages.current += count;
    await load.current();
  };
  return [told, more, pages];
}

function Filters({ params }) {
  const set = (name) => (event) => go(["runs"], { ...params, [name]: event.target.value }, { replace: true });
  const chosen = (params.status || "").split(",").filter(Boolean);
  const toggle = (status) => {
    const next = chosen.includes(status) ? chosen.filter((one) => one !== status) : [...chosen, status];
    go(["runs"], { ...params, status: next.join(",") });
  };
  return html`<div class="filters"><label class="unseen" for="find">Search</label>
    <input id="find" type="search" placeholder="search id, plan, key   ( / )" value=${params.q || ""} onInput=${set("q")} />
    <span class="choices" role="group" aria-label="Status">${STATUSES.map((status) => html`<button key=${status} type="button" class="small" aria-pressed=${chosen.includes(status) ? "true" : "false"} onClick=${() => toggle(status)}>${status}</button>`)}</span>
    <label class="unseen" for="plan">Plan</label><input id="plan" class="planfilter" type="text" placeholder="plan" value=${params.plan || ""} onChange=${set("plan")} autocomplete="off" />
    <label class="unseen" for="lane">Lane</label><select id="lane" value=${params.lane || ""} onChange=${set("lane")}><option value="">any lane</option>${LANES.map((lane) => html`<option key=${lane} value=${lane}>${lane}</option>`)}</select>
    ${Object.values(params).some(Boolean) ? html`<a href=${address(["runs"])}>clear</a>` : null}</div>`;
}

function fits(row, text) {
  return !text || [row.id, row.plan, row.status, row.idempotency_key || "", row.parked || ""].some((one) => String(one).toLowerCase().includes(text));
}

/** j and k, or the arrows, move from row to row; Enter follows the link that has the focus. */
function onKey(event) {
  const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
  if (!step || event.target.closest("input, select")) return;
  const links = [...event.currentTarget.querySelectorAll("tbody a.rowlink")];
  const at = links.indexOf(document.activeElement);
  const next = links[Math.max(0, Math.min(links.length - 1, at + step))];
  if (next) {
    event.preventDefault();
    next.focus();
  }
}

function Row({ row, now }) {
  const progress = row.progress ? number(row.progress.settled) + "/" + number(row.progress.total) : "";
  return html`<tr><td><${Status} status=${row.status} /></td><td><a class="rowlink" href=${address(["runs", row.id])}><b>${row.plan}</b></a>${row.parked ? html`<div class="muted">parked: ${row.parked}</div>` : null}</td>
    <td><code class="muted" title=${row.id}>${row.id.length > 13 ? "…" + row.id.slice(-12) : row.id}</code></td><td class="muted">${row.lane === "normal" ? "" : row.lane}</td>
    <td class="num">${progress}</td><td class="num">${row.usd ? money(row.usd) : ""}</td><td class="num">${row.tokens ? number(row.tokens) : ""}</td>
    <td class="num">${span((row.ended_at || now) - row.accepted_at)}</td><td class="num">${moment(row.accepted_at, now)}</td>
    <td class="muted">${row.origin !== row.id ? html`continues <a href=${address(["runs"], { origin: row.origin })}>${short(row.origin).slice(-8)}</a>` : ""}</td></tr>`;
}

function Runs({ params, keyed, now }) {
  const [told, more, pages] = useRuns(params, keyed);
  const text = (params.q || "").trim().toLowerCase();
  const shown = useMemo(() => (told.rows || []).filter((row) => fits(row, text)), [told.rows, text]);
  useEffect(() => {
    // A search looks further by itself, as far as it is cheap.
    if (text && told.next && shown.length < PAGE && pages.current < SEARCH_PAGES) more(SEARCH_PAGES - pages.current);
  }, [text, told.next, shown.length]);
  const any = Object.values(params).some(Boolean);
  return html`<main onKeyDown=${onKey}><header><h1>Runs</h1><span class="fill"></span></header><${Filters} params=${params} />
    ${told.error ? html`<p class="bad" role="alert">${told.error.message}</p>` : null}
    ${told.rows && !shown.length ? html`<div class="sheetlike"><p class="empty">${any ? "No run fits these filters." : html`No run yet. <code>POST /v1/runs</code> starts one; so does <code>orchestrator run</code> on the same store.`}</p></div>` : null}
    ${shown.length ? html`<div class="sheetlike scroll"><table class="runs"><thead><tr><th>status</th><th>plan</th><th>run</th><th>lane</th><th class="num">steps</th><th class="num">cost</th><th class="num">tokens</th><th class="num">took</th><th class="num">accepted</th><th><span class="unseen">origin</span></th></tr></thead>
      <tbody>${shown.map((row) => html`<${Row} key=${row.id} row=${row} now=${now} />`)}</tbody></table></div>` : null}
    ${told.next ? html`<p><button type="button" onClick=${() => more()}>older runs</button>${text ? html` <span class="muted">searched the newest ${number(told.rows.length)}</span>` : null}</p>` : null}</main>`;
}

export { Runs };
