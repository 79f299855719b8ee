// What can be done to a run: cancel, retry, fork, quarantine, rate, download. Each asks once more before it acts, and says what follows.
import { html, useEffect, useRef, useState, download, number, plural } from "./base.js";
import { get, post, key } from "./api.js";
import { go } from "./route.js";

const OPEN = ["running", "waiting", "cancelling", "open"];
const NAMES_MAX = 40;

/** A key that makes a request one, however often it is sent. */
function once() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return "page-" + [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A dialog that asks before something is done. `work` returns nothing when it is done, and throws what went wrong. */
function Ask({ title, word, danger, work, close, children }) {
  const box = useRef(null);
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    box.current.showModal();
  }, []);
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await work();
      close();
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  return html`<dialog ref=${box} onClose=${close} aria-label=${title}><form onSubmit=${submit}><h2>${title}</h2>${children}
    ${error ? html`<p class="bad" role="alert">${error.message}${error.remedy ? " — " + error.remedy : ""}${(error.places || []).map((place, at) => html`<br key=${at} />${place.at}: ${place.message}`)}</p>` : null}
    <footer><button type="button" onClick=${close}>back</button><button type="submit" class=${danger ? "danger" : "main"} disabled=${busy}>${word}</button></footer></form></dialog>`;
}

function Names({ steps }) {
  return html`<p class="names">${steps.slice(0, NAMES_MAX).map((step) => html`<span key=${step}>${step}</span>`)}${steps.length > NAMES_MAX ? html`<span class="muted">and ${number(steps.length - NAMES_MAX)} more</span>` : null}</p>`;
}

function below(graph, step) {
  const found = new Set([step]);
  let grew = true;
  while (grew) {
    grew = false;
    for (const [from, to] of graph.edges) {
      if (found.has(from) && !found.has(to)) {
        found.add(to);
        grew = true;
      }
    }
  }
  return [...found];
}

function Cancel({ id, close }) {
  const [reason, setReason] = useState("");
  const work = () => post("/v1/runs/" + encodeURIComponent(id) + "/cancel", { reason });
  return html`<${Ask} title="Cancel this run?" word="cancel the run" danger=${true} work=${work} close=${close}>
    <p>Nothing new is started. What runs is told to stop; steps marked <code>finally</code> still run.</p>
    <label for="cancel-why">Reason, for the journal</label><input id="cancel-why" type="text" value=${reason} onInput=${(event) => setReason(event.target.value)} autocomplete="off" /><//>`;
}

function Retry({ document, step, close }) {
  const { head, graph, nodes } = document;
  const [same] = useState(once);
  const again = step ? below(graph, step) : graph.nodes.filter((node) => (nodes[node.id] || {}).status !== "passed").map((node) => node.id);
  const spent = again.reduce((sum, id) => sum + ((nodes[id] || {}).usd || 0), 0);
  const work = async () => {
    const made = await post("/v1/runs/" + encodeURIComponent(head.id) + "/retry", step ? { step } : {}, { "Idempotency-Key": same });
    go(["runs", made.id]);
  };
  return html`<${Ask} title=${step ? "Run " + step + " again, and what follows?" : "Run again what did not pass?"} word="start a new run" work=${work} close=${close}>
    <p>A new run takes over every output that passed${step ? " and is not below the step" : ""}. ${plural(again.length, "step")} will run again${spent ? "; they cost $" + spent.toFixed(4) + " this time" : ""}:</p><${Names} steps=${again} /><//>`;
}

function Fork({ document, step, close }) {
  const { head } = document;
  const [same] = useState(once);
  const [given, setGiven] = useState(JSON.stringify(head.inputs || {}, null, 2));
  const work = async () => {
    let inputs;
    try {
      inputs = JSON.parse(given);
    } catch (error) {
      throw new Error("the inputs are no JSON: " + error.message);
    }
    const changed = Object.fromEntries(Object.entries(inputs).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify((head.inputs || {})[name])));
    const made = await post("/v1/runs/" + encodeURIComponent(head.id) + "/fork", { step, inputs: changed }, { "Idempotency-Key": same });
    go(["runs", made.id]);
  };
  return html`<${Ask} title=${"Fork from " + step + "?"} word="start a new run" work=${work} close=${close}>
    <p>A new run, with other inputs from this step on. What is not below the step is taken over.</p><${Names} steps=${below(document.graph, step)} />
    <label for="fork-inputs">Inputs, as JSON</label><textarea id="fork-inputs" rows="9" value=${given} onInput=${(event) => setGiven(event.target.value)} spellcheck="false"></textarea><//>`;
}

function Quarantine({ id, step, close }) {
  const [reason, setReason] = useState("");
  const work = () => post("/v1/runs/" + encodeURIComponent(id) + "/steps/" + encodeURIComponent(step) + "/quarantine", { reason });
  return html`<${Ask} title=${"Take the result of " + step + " back?"} word="quarantine" danger=${true} work=${work} close=${close}>
    <p>The result is marked as wrong, with everything that was built on it.</p>
    <label for="bad-why">What is wrong with it</label><input id="bad-why" type="text" required value=${reason} onInput=${(event) => setReason(event.target.value)} autocomplete="off" /><//>`;
}

/** All events of a run, one a line. */
async function log(id) {
  const lines = [];
  let after = 0;
  do {
    const page = await get("/v1/runs/" + encodeURIComponent(id) + "/history?limit=200&after=" + after);
    lines.push(...page.events.map((event) => JSON.stringify(event)));
    after = page.next;
  } while (after);
  download(id + ".events.jsonl", lines.join("\n") + "\n", "application/jsonl");
}

async function plan(id) {
  const told = await get("/v1/runs/" + encodeURIComponent(id) + "/plan");
  download(id + ".plan.json", JSON.stringify(told.plan, null, 2) + "\n");
}

async function file(id) {
  const answer = await fetch("/v1/runs/" + encodeURIComponent(id) + "/page/file", { headers: key() ? { Authorization: "Bearer " + key() } : {} });
  if (!answer.ok) throw new Error("the service answered " + answer.status);
  download(id + ".html", await answer.text(), "text/html");
}

const THUMBS = [["up", "good result", "M4 14H2V7h2M4 7l3-5c1.4 0 1.6 1 1.4 2L8 6h4.6c.9 0 1.5.8 1.3 1.6l-1.2 5c-.2.8-.8 1.4-1.6 1.4H4z"], ["down", "bad result", "M4 2H2v7h2M4 9l3 5c1.4 0 1.6-1 1.4-2L8 10h4.6c.9 0 1.5-.8 1.3-1.6l-1.2-5c-.2-.8-.8-1.4-1.6-1.4H4z"]];

/** Whether the result was good: one click; a second one changes the mind. Only a bad result is asked for its reason. */
function Thumbs({ id }) {
  const [value, setValue] = useState("");
  const [asked, setAsked] = useState(false);
  const [reason, setReason] = useState("");
  const [error, setError] = useState(null);
  const place = "/v1/runs/" + encodeURIComponent(id) + "/thumbs";
  const said = useRef(false);
  useEffect(() => {
    let over = false;
    get(place).then((told) => {
      if (!over && !said.current) setValue(told.value || ""); // a click while it was asked for is the newer word
    }, (problem) => {
      if (!over) setError(problem);
    });
    return () => {
      over = true;
    };
  }, [place]);
  const say = async (given, why) => {
    await post(place, { value: given, reason: why });
    said.current = true;
    setValue(given);
  };
  const click = async (given) => {
    setError(null);
    if (given === "down") {
      setAsked(true);
      return;
    }
    try {
      await say(given, "");
    } catch (problem) {
      setError(problem);
    }
  };
  return html`<span class="buttons thumbs" role="group" aria-label="Was the result good?">${THUMBS.map(([given, word, drawn]) => html`<button key=${given} type="button" aria-pressed=${value === given} aria-label=${word} title=${word} onClick=${() => click(given)}>
      <svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><path d=${drawn} /></svg></button>`)}
    <span class="unseen" role="status">${value ? "rated: " + value : ""}</span>${error ? html`<span class="bad" role="alert">${error.message}</span>` : null}
    ${asked ? html`<${Ask} title="Was this result bad?" word="rate it bad" work=${() => say("down", reason)} close=${() => setAsked(false)}>
      <p>The rating becomes a record of the run's journal, under your name. It changes nothing else.</p>
      <label for="thumb-why">Why, for people</label><input id="thumb-why" type="text" maxlength="2000" value=${reason} onInput=${(event) => setReason(event.target.value)} autocomplete="off" /><//>` : null}</span>`;
}

/** The buttons of a run. */
function Deeds({ document }) {
  const { head, run } = document;
  const [asked, setAsked] = useState("");
  const [error, setError] = useState(null);
  const open = OPEN.includes(run.status);
  const take = (work) => async () => {
    setError(null);
    try {
      await work(head.id);
    } catch (problem) {
      setError(problem);
    }
  };
  const close = () => setAsked("");
  return html`<span class="buttons">
    ${open ? html`<button type="button" class="danger" disabled=${run.status === "cancelling"} onClick=${() => setAsked("cancel")}>cancel</button>` : null}
    ${open ? null : html`<${Thumbs} key=${head.id} id=${head.id} />`}
    ${!open && run.status !== "succeeded" ? html`<button type="button" onClick=${() => setAsked("retry")}>retry</button>` : null}
    <details class="menu"><summary>download</summary><div>
      <button type="button" onClick=${take(log)}>events, as JSON lines</button><button type="button" onClick=${take(plan)}>plan, as JSON</button>
      ${run.ended_at ? html`<button type="button" onClick=${() => download(head.id + ".result.json", JSON.stringify(run.output, null, 2) + "\n")}>result, as JSON</button>` : null}
      <button type="button" onClick=${take(file)}>this run, as one HTML file</button></div></details>
    ${error ? html`<span class="bad" role="alert">${error.message}</span>` : null}
    ${asked === "cancel" ? html`<${Cancel} id=${head.id} close=${close} />` : null}${asked === "retry" ? html`<${Retry} document=${document} close=${close} />` : null}</span>`;
}

/** The buttons of a step. */
function StepDeeds({ document, step, branch, page }) {
  const [asked, setAsked] = useState("");
  const open = OPEN.includes(document.run.status);
  const close = () => setAsked("");
  return html`<span class="buttons">
    ${open ? null : html`<button type="button" class="small" onClick=${() => setAsked("retry")}>retry from here</button><button type="button" class="small" onClick=${() => setAsked("fork")}>fork</button>`}
    ${page.status === "passed" && branch < 0 ? html`<button type="button" class="small" onClick=${() => setAsked("quarantine")}>quarantine</button>` : null}
    ${asked === "retry" ? html`<${Retry} document=${document} step=${step} close=${close} />` : null}${asked === "fork" ? html`<${Fork} document=${document} step=${step} close=${close} />` : null}
    ${asked === "quarantine" ? html`<${Quarantine} id=${document.head.id} step=${step} close=${close} />` : null}</span>`;
}

export { Deeds, StepDeeds };
