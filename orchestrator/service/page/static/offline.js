// One run in one file: the same views over a document that lies in the file itself. Nothing is asked of any network.
import { html, render, download, moment } from "./base.js";
import { useRoute } from "./route.js";
import { Run } from "./run.js";

const DATA = JSON.parse(document.getElementById("data").textContent);

/** What the panel asks for, from the file; what was left out for its size says so. */
function sourceOf(told) {
  const missing = (what) => Promise.reject(new Error(what + " is not in this file, which holds the most telling steps of a large run: ask `orchestrator why`"));
  return {
    live: false,
    step: (step, branch, first) => {
      const page = told.steps[branch >= 0 ? step + "[" + branch + "]" : step];
      if (!page) return missing(branch >= 0 ? step + "[" + branch + "]" : step);
      return Promise.resolve(page.branches ? { ...page, branches: page.branches.slice(first, first + 200) } : page);
    },
    members: (node, first) => {
      const rows = told.members[node];
      return rows ? Promise.resolve({ total: rows.length, rows: rows.slice(first, first + 200) }) : missing("the list");
    },
  };
}

const SOURCES = new Map(Object.entries(DATA.runs).map(([id, told]) => [id, sourceOf(told)]));

function Page() {
  const route = useRoute();
  const [first, id] = route.path;
  const wanted = first === "runs" && id ? id : DATA.run;
  const told = DATA.runs[wanted];
  const path = wanted === DATA.run ? [] : ["runs", wanted];
  const actions = () => html`<span class="buttons"><button type="button" onClick=${() => download(wanted + ".json", JSON.stringify(told.page.run.output, null, 2))}>result</button>
    <button type="button" onClick=${() => download(wanted + ".plan.json", JSON.stringify(told.plan, null, 2))}>plan</button></span>`;
  return html`<div class="app"><header class="top"><a class="mark" href="#/">orchestrator</a><span class="muted">one run, kept ${moment(DATA.made_at)}</span><span class="fill"></span><span class="badge b-offline">offline file</span></header>
    ${told ? html`<${Run} document=${told.page} state="offline" source=${SOURCES.get(wanted)} route=${{ path, params: route.params }} actions=${actions} />`
      : html`<main><h1>Not in this file</h1><p>The run <code>${wanted}</code> is another one. <a href="#/">Back to the run of this file</a></p></main>`}</div>`;
}

render(html`<${Page} />`, document.getElementById("page"));
