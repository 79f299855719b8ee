// The page that a service serves: which view, who asks, how the connection is.
import { html, render, useEffect, useMemo, useNow, useState } from "./base.js";
import { follow, get, key, onKey, post, setKey } from "./api.js";
import { useRoute } from "./route.js";
import { useRun } from "./live.js";
import { Run } from "./run.js";
import { Runs } from "./runs.js";
import { AllCosts, Approvals, Pools, useAnswer } from "./board.js";
import { Deeds, StepDeeds } from "./deeds.js";

const VIEWS = [["runs", "Runs"], ["approvals", "Approvals"], ["pools", "Pools"], ["costs", "Costs"]];
const BADGES = { connecting: "connecting", live: "live", reconnecting: "reconnecting", ended: "ended", quiet: "nobody drives it", refused: "refused" };

function way(id, more) {
  return "/v1/runs/" + encodeURIComponent(id) + more;
}

/** Where the panel of a live run gets its pages from. */
function sourceOf(id) {
  return {
    live: true,
    step: (step, branch, first, inputs) => get(way(id, "/page/steps/" + encodeURIComponent(branch >= 0 ? step + "[" + branch + "]" : step) + "?first=" + first + (inputs ? "&inputs=true" : ""))),
    members: (node, first) => get(way(id, "/page/nodes/" + encodeURIComponent(node) + "?first=" + first)),
    said: (step, branch, take) => {
      // Only the visible step is listened to; what is over is not asked for again.
      const after = Number.MAX_SAFE_INTEGER;
      return follow(way(id, "/events?said=true&after=" + after), {
        take: (event, told) => {
          if (event === "said" && told.run === id && told.step === step && told.branch === branch) take(told.text || (told.message ? told.message + "\n" : ""));
        },
        say: () => undefined,
      });
    },
  };
}

function answer(question, choice, reason) {
  return post(way(question.run, "/approvals/" + encodeURIComponent(question.step)), { choice, reason });
}

function LiveRun({ route, keyed, badge, asked }) {
  const id = route.path[1];
  const [document, state] = useRun(id, keyed);
  const source = useMemo(() => sourceOf(id), [id, keyed]);
  const refused = state instanceof Error ? state : null;
  useEffect(() => badge(refused ? "refused" : state), [state]);
  useEffect(() => () => badge(""), []);
  if (refused) return html`<main><h1>${refused.status === 404 ? "There is no such run" : "The run cannot be shown"}</h1><p>${refused.message}</p>${refused.remedy ? html`<p class="muted">${refused.remedy}</p>` : null}</main>`;
  if (!document || !document.graph) return html`<main class="run" aria-busy="true"><p class="muted">${document ? "The plan of this run is not there: its payloads were deleted. `orchestrator show` tells what is left." : ""}</p></main>`;
  return html`<${Run} document=${document} state=${state} source=${source} route=${route} answer=${answer} below=${asked.filter((one) => one.run.startsWith(id + "."))}
    actions=${(told) => html`<${Deeds} document=${told} />`} act=${(step, branch, page) => html`<${StepDeeds} document=${document} step=${step} branch=${branch} page=${page} />`} />`;
}

function KeyForm({ close, why }) {
  const [given, setGiven] = useState("");
  const [error, setError] = useState(null);
  const submit = async (event) => {
    event.preventDefault();
    const before = key();
    setKey(given.trim());
    try {
      await get("/v1/me");
      close();
    } catch (problem) {
      setKey(before);
      setError(problem);
    }
  };
  return html`<main class="login"><h1>A key, please</h1><p class="muted">${why || "This service asks for an API key."} It stays in this tab and is gone when the tab is closed.</p>
    <form class="filters" onSubmit=${submit}><label for="key">API key</label><input id="key" type="password" autocomplete="off" spellcheck="false" size="60" value=${given} onInput=${(event) => setGiven(event.target.value)} placeholder="ho_…" />
    <button type="submit" class="main">use it</button></form>${error ? html`<p class="bad" role="alert">${error.message}</p>` : null}
    <p class="muted">Make one with <code>orchestrator keys create</code>.</p></main>`;
}

function Shell() {
  const route = useRoute();
  const [keyed, setKeyed] = useState(0);
  const [asking, setAsking] = useState(false);
  const [badge, setBadge] = useState("");
  const now = useNow(true, 1000);
  useEffect(() => onKey(() => setKeyed((count) => count + 1)), []);
  const [me, refused] = useAnswer("/v1/me", keyed, 60000);
  const [asked] = useAnswer("/v1/approvals", keyed, 4000);
  const view = route.path[0] || "runs";
  useEffect(() => {
    const find = (event) => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.target.closest("input, textarea, select")) return;
      const field = document.querySelector('input[type="search"]');
      if (field) {
        event.preventDefault();
        field.focus();
      }
    };
    addEventListener("keydown", find);
    return () => removeEventListener("keydown", find);
  }, []);
  useEffect(() => {
    const name = VIEWS.find(([id]) => id === view);
    document.title = (route.path[1] ? route.path[1].slice(-12) + " · " : "") + (name ? name[1] : "Runs") + " · orchestrator";
  }, [view, route.path[1]]);
  const locked = asking || (refused && refused.status === 401);
  const count = asked ? asked.approvals.length : 0;
  return html`<div class="app"><header class="top"><a class="mark" href="#/runs">orchestrator</a>
    <nav aria-label="Main">${VIEWS.map(([id, word]) => html`<a key=${id} href=${"#/" + id} aria-current=${view === id ? "page" : null}>${word}${id === "approvals" && count ? html`<span class="count">${count}<span class="unseen"> open</span></span>` : null}</a>`)}</nav>
    <span class="fill"></span>
    <span class=${"badge b-" + (badge || (refused ? "refused" : "live"))} role="status">${BADGES[badge] || (refused && refused.status === undefined ? "not reachable" : refused ? "refused" : "live")}</span>
    ${me ? html`<span class="muted">${me.tenant}${me.name && me.name !== "local" ? " · " + me.name : ""}</span>` : null}
    ${me && me.key ? html`<button type="button" class="small" onClick=${() => (setKey(""), setAsking(true))}>forget key</button>` : null}</header>
    ${locked ? html`<${KeyForm} close=${() => setAsking(false)} why=${key() ? "The key is not valid, or not any more." : ""} />`
      : view === "runs" && route.path[1] ? html`<${LiveRun} key=${route.path[1]} route=${route} keyed=${keyed} badge=${setBadge} asked=${asked ? asked.approvals : []} />`
      : view === "approvals" ? html`<${Approvals} keyed=${keyed} now=${now} answer=${answer} />`
      : view === "pools" ? html`<${Pools} keyed=${keyed} />`
      : view === "costs" ? html`<${AllCosts} keyed=${keyed} />`
      : html`<${Runs} params=${route.params} keyed=${keyed} now=${now} />`}</div>`;
}

render(html`<${Shell} />`, document.getElementById("page"));
