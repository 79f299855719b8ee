// A question to a person, with everything needed to answer it: what will happen, what it cost, until when, what else.
import { html, money, moment, span, text, useState } from "./base.js";
import { address } from "./route.js";
import { Icon } from "./status.js";

function left(expires, now) {
  return expires > now ? "in " + span(expires - now) : "the time is over";
}

function Question({ question, now, answer, linked }) {
  const [reason, setReason] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const [said, setSaid] = useState("");
  const id = "why-" + question.run + "-" + question.step;
  const then = question.then === null || question.then === undefined ? "the step fails" : question.then;
  const next = question.next || [];
  const choose = async (choice) => {
    setBusy(true);
    setError(null);
    try {
      await answer(question, choice, reason);
      setSaid(choice);
    } catch (problem) {
      setError(problem);
    }
    setBusy(false);
  };
  return html`<article class="question" aria-label=${"Question of " + question.step}>
    <header><${Icon} status="waiting" /><h3>${question.ask}</h3></header>
    <dl class="facts wideline">
      ${linked ? html`<div><dt>run</dt><dd><a class="rowlink" href=${address(["runs", question.run.split(".")[0]])}>${question.plan || question.run}</a></dd></div>` : null}
      <div><dt>step</dt><dd><a class="rowlink" href=${address(["runs", question.run], { step: question.step === "budget" ? "" : question.step.split("[")[0] })}>${question.step}</a></dd></div>
      <div><dt>answer by</dt><dd>${moment(question.expires_at, now)} <span class="muted">${left(question.expires_at, now)}</span></dd></div>
      <div><dt>if nobody does</dt><dd><b>${then}</b></dd></div>
      ${question.usd === undefined || question.usd === null ? null : html`<div><dt>cost so far</dt><dd class="num">${money(question.usd)}</dd></div>`}
    </dl>
    ${next.length ? html`<div class="next"><span class="muted">What waits for the answer</span><ul class="plainlist">${next.map((one) => html`<li key=${one.step}><b>${one.step}</b> <span>${one.does}</span>${one.when ? html` <span class="muted">if</span> <code>${one.when}</code>` : null}</li>`)}</ul></div>` : null}
    ${question.show === null || question.show === undefined ? null : html`<pre class="shown" tabindex="0" aria-label="What is to be judged">${text(question.show)}</pre>`}
    ${error ? html`<p class="bad" role="alert">${error.message}${error.remedy ? " — " + error.remedy : ""}</p>` : null}
    ${said ? html`<p role="status" class="good">Answered: ${said}</p>` : answer ? html`<div class="answer">
      <label for=${id}>Reason, for the journal</label>
      <input id=${id} type="text" maxlength="2000" value=${reason} onInput=${(event) => setReason(event.target.value)} placeholder="why" autocomplete="off" />
      <span class="choices">${question.choices.map((choice, at) => html`<button key=${choice} type="button" class=${at === 0 ? "main" : ""} disabled=${busy} onClick=${() => choose(choice)}>${choice}</button>`)}</span></div>` : null}
  </article>`;
}

export { Question };
