// What changed between two texts, line by line: the longest common subsequence, bounded.
import { html } from "./base.js";

const LINES_MAX = 600; // of each text; longer ones are compared by their beginning

/** [[sign, line]]: " " in both, "-" only before, "+" only after. */
function compare(before, after) {
  const a = before.split("\n").slice(0, LINES_MAX);
  const b = after.split("\n").slice(0, LINES_MAX);
  const width = b.length + 1;
  const best = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      const at = i * width + j;
      best[at] = a[i] === b[j] ? best[at + width + 1] + 1 : Math.max(best[at + width], best[at + 1]);
    }
  }
  const told = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      told.push([" ", a[i]]);
      i += 1;
      j += 1;
    } else if (i < a.length && (j === b.length || best[(i + 1) * width + j] >= best[i * width + j + 1])) {
      told.push(["-", a[i]]);
      i += 1;
    } else {
      told.push(["+", b[j]]);
      j += 1;
    }
  }
  return told;
}

function Diff({ before, after, what }) {
  const lines = compare(before, after);
  if (lines.every(([sign]) => sign === " ")) return html`<p class="muted">${what}: no difference.</p>`;
  const words = { " ": "", "-": "removed: ", "+": "added: " };
  return html`<pre class="diff" tabindex="0" aria-label=${what}>${lines.map(([sign, one], at) => html`<span key=${at} class=${{ "-": "minus", "+": "plus", " ": "same" }[sign]}><span class="unseen">${words[sign]}</span>${sign} ${one}${"\n"}</span>`)}</pre>`;
}

export { compare, Diff };
