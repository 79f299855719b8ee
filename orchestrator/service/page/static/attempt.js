// One attempt of a step: who worked on it and for how long, what came out, what the checks said and why.
import { html, Copy, clock, money, number, short, span, text } from "./base.js";
import { Icon, Status } from "./status.js";

const CAUSES = { first: "", ladder: "the ladder was climbed", retry: "tried again", lost: "its worker was lost" };
const VERDICTS = { pass: "passed", fix: "rejected", reject: "failed", check_broken: "gap" };
const SAYS = { pass: "pass", fix: "wants it mended", reject: "rejects it", check_broken: "the check broke" };

function Facts({ rows }) {
  const given = rows.filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false);
  if (!given.length) return null;
  return html`<dl class="facts">${given.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

function Value({ value, what }) {
  const told = text(value);
  return html`<div class="value"><div class="valuehead"><span class="muted">${what}</span><${Copy} value=${told} what=${what} /></div>
    <pre tabindex="0" aria-label=${what}>${told}</pre></div>`;
}

function Verdict({ one }) {
  const by = one.actor ? " by " + one.actor : "";
  const sample = one.sample ? " on sample " + one.sample : "";
  return html`<li><div><${Icon} status=${VERDICTS[one.verdict] || "pending"} /><b>${one.name}</b>
      <span>${SAYS[one.verdict] || one.verdict}</span>
      ${one.score === null || one.score === undefined ? null : html`<span class="num">score ${Number(one.score.toFixed(3))}</span>`}
      <span class="muted">${(one.check ? "check " + one.check : "output schema") + by + sample}</span>
      <span class="fill"></span>${one.usd ? html`<span class="num muted">${money(one.usd)}</span>` : null}</div>
    ${(one.reasons || []).map((reason, at) => html`<p key=${at} class="reason">${reason}</p>`)}
    ${one.evidence === null || one.evidence === undefined ? null : html`<details><summary>evidence</summary><pre>${text(one.evidence)}</pre></details>`}</li>`;
}

function Model({ one }) {
  const tokens = number(one.tokens_in) + " in, " + number(one.tokens_out) + " out" + (one.tokens_cached ? ", " + number(one.tokens_cached) + " cached" : "");
  const notes = [one.served ? "served from " + one.served : "", one.estimated ? "counted here" : "", one.unknown ? "nobody can say whether it was billed" : "", one.why || ""];
  return html`<tr><td><b>${one.model}</b>${one.endpoint ? html`<span class="muted"> at ${one.endpoint}</span>` : null}${notes.filter(Boolean).map((note, at) => html`<div key=${at} class="muted">${note}</div>`)}</td>
    <td>${one.outcome}</td><td class="num">${tokens}</td><td class="num">${one.seconds ? span(one.seconds) : ""}</td><td class="num">${money(one.usd)}</td></tr>`;
}

function list(title, items, left, make) {
  if (!items || !items.length) return null;
  return html`<section><h4>${title} <span class="muted">${items.length}</span></h4>${make(items)}${left ? html`<p class="muted">and ${number(left)} more</p>` : null}</section>`;
}

function Approval({ one }) {
  if (one.kind === "approval.asked") {
    const then = one.then === null || one.then === undefined ? "it fails" : one.then;
    return html`<li><${Icon} status="waiting" />asked: ${one.ask} <span class="muted">(${(one.choices || []).join(", ")}; until ${clock(one.expires_at_s)}, then ${then})</span></li>`;
  }
  if (one.kind === "approval.answered") return html`<li><${Icon} status="passed" /><b>${one.actor || "a person"}</b> chose <b>${one.choice}</b>${one.reason ? ": " + one.reason : ""}</li>`;
  return html`<li><${Icon} status="skipped" />nobody answered in time: ${one.choice || "it fails"}</li>`;
}

function Attempt({ one, now }) {
  const end = one.ended_at || (["running", "checking"].includes(one.outcome) ? now : one.last_at);
  const refused = one.error ? [] : one.refused_because || []; // of an error it would say the same again
  return html`<article class="attempt" aria-label=${"Attempt " + one.attempt}>
    <header><h3>Attempt ${one.attempt}</h3><${Status} status=${one.outcome || "pending"} />
      <span class="fill"></span>${one.usd ? html`<span class="num">${money(one.usd)}</span>` : null}</header>
    ${one.error ? html`<p class="bad"><b>${one.error}</b>${one.message ? ": " + one.message : ""}</p>` : one.message ? html`<p class="bad">${one.message}</p>` : null}
    ${refused.length ? html`<div class="refused"><b>Refused because</b>${refused.map((reason, at) => html`<p key=${at} class="reason">${reason}</p>`)}</div>` : null}
    <${Facts} rows=${[
      ["pool", one.pool], ["tier", one.tier], ["why", CAUSES[one.cause]], ["worker", one.worker],
      ["sent", one.sent_at ? clock(one.sent_at) : ""],
      ["waited", one.began_at && one.sent_at ? span(one.began_at - one.sent_at) : ""],
      ["took", one.sent_at ? span(end - one.sent_at) : ""],
      ["tokens", one.tokens ? number(one.tokens) : ""], ["sub-plan", one.child], ["taken over from", one.reused_from],
      ["inputs", one.inputs_digest ? html`<code>${short(one.inputs_digest)}</code>` : ""],
      ["output", one.output_digest ? html`<code>${short(one.output_digest)}</code>` : ""],
    ]} />
    ${one.progress && one.outcome === "running" ? html`<p class="muted">${one.progress.fraction === null || one.progress.fraction === undefined ? "" : Math.round(one.progress.fraction * 100) + "% "}${one.progress.message}</p>` : null}
    ${list("Checks", one.verdicts, one.verdicts_left_out, (items) => html`<ul class="verdicts">${items.map((each, at) => html`<${Verdict} key=${at} one=${each} />`)}</ul>`)}
    ${list("Votes of judges", one.votes, one.votes_left_out, (items) => html`<ul class="plainlist">${items.map((each, at) => html`<li key=${at}>vote ${each.number} of check ${each.check}: <span class="num">${each.score}</span> ${(each.reasons || []).join("; ")}</li>`)}</ul>`)}
    ${list("People", one.approvals, one.approvals_left_out, (items) => html`<ul class="plainlist">${items.map((each, at) => html`<${Approval} key=${at} one=${each} />`)}</ul>`)}
    ${list("Models", one.models, one.models_left_out, (items) => html`<div class="scroll"><table><thead><tr><th>model</th><th>outcome</th><th class="num">tokens</th><th class="num">time</th><th class="num">cost</th></tr></thead><tbody>${items.map((each, at) => html`<${Model} key=${at} one=${each} />`)}</tbody></table></div>`)}
    ${list("Tools", one.tools, one.tools_left_out, (items) => html`<div>${items.map((each, at) => html`<details key=${at}><summary>${each.tool}${each.seconds ? html` <span class="muted">${span(each.seconds)}</span>` : null}</summary><pre>${each.error ? `no result: ${each.error}` : text(each.result)}</pre></details>`)}</div>`)}
    ${list("Effects", one.effects, one.effects_left_out, (items) => html`<ul class="plainlist">${items.map((each, at) => html`<li key=${at}>${each.kind === "effect.done" ? "done" : "announced"}: <code>${each.key}</code></li>`)}</ul>`)}
    ${list("Drafts of a plan", one.drafts, one.drafts_left_out, (items) => html`<div>${items.map((each, at) => html`<details key=${at}><summary>draft ${each.number}: ${each.accepted ? "in order" : "refused"}</summary>${(each.errors || []).map((error, n) => html`<p key=${n} class="reason">${error}</p>`)}<pre>${text(each.answer)}</pre></details>`)}</div>`)}
    ${"output" in one ? html`<section><${Value} value=${one.output} what=${"Output of attempt " + one.attempt} /></section>` : null}
  </article>`;
}

export { Attempt, Facts, Value };
