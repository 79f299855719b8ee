// How each status looks: an icon of its own shape, a word, a class for its colour. Never colour alone.
import { html, number } from "./base.js";

// Drawn on a field of 16 by 16; shapes differ, so that they can be told apart without colours.
const ICONS = {
  pending: "M8 3.2a4.8 4.8 0 1 0 0 9.6 4.8 4.8 0 0 0 0-9.6z",
  running: "M5 3.2v9.6l8-4.8z",
  checking: "M7 3a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM9.9 9.9 13.5 13.5",
  rejected: "M12.5 6.5A5 5 0 1 0 13 9M13 3v3.6H9.4",
  backoff: "M8 2.8a5.2 5.2 0 1 0 0 10.4A5.2 5.2 0 0 0 8 2.8zM8 5v3.2l2.2 1.6",
  waiting: "M5.2 3.2v9.6M10.8 3.2v9.6",
  passed: "M3 8.4l3.4 3.4L13 4.8",
  gap: "M8 2.6 13.4 8 8 13.4 2.6 8z",
  failed: "M4 4l8 8M12 4l-8 8",
  skipped: "M3 4l4.5 4L3 12M8.5 4 13 8l-4.5 4",
  cancelled: "M8 2.8a5.2 5.2 0 1 0 0 10.4A5.2 5.2 0 0 0 8 2.8zM4.4 4.4l7.2 7.2",
};
const SOLID = { running: true };
const SAME = {
  succeeded: "passed", degraded: "gap", stopped: "cancelled", cancelling: "cancelled", open: "pending",
  lost: "rejected", replaced: "skipped",
};
const WORDS = { rejected: "refused", gap: "gap", waiting: "waiting" };
// What needs attention comes first wherever statuses are counted.
const ORDER = ["failed", "waiting", "rejected", "backoff", "running", "checking", "pending", "passed", "gap", "skipped", "cancelled"];

/** The class of a status, of a step or of a run. */
function look(status) {
  const known = SAME[status] || status;
  return ICONS[known] ? known : "pending";
}

function Icon({ status }) {
  const known = look(status);
  return html`<svg class=${"icon s-" + known + (SOLID[known] ? " solid" : "")} viewBox="0 0 16 16" aria-hidden="true"><path d=${ICONS[known]} /></svg>`;
}

/** Icon and word. */
function Status({ status, word }) {
  return html`<span class=${"status s-" + look(status)}><${Icon} status=${status} />${word || WORDS[status] || status}</span>`;
}

/** Counts by status in the order of attention: [[status, count]]. */
function counted(counts) {
  return ORDER.filter((status) => counts[status]).map((status) => [status, counts[status]]);
}

/** "9 passed, 1 failed" */
function countWords(counts) {
  return counted(counts).map(([status, count]) => number(count) + " " + (WORDS[status] || status)).join(", ");
}

/** A thin bar divided by how many have each status; the words beside it say the same. */
function CountBar({ counts, total }) {
  const all = total || Object.values(counts).reduce((sum, one) => sum + one, 0) || 1;
  const parts = ["passed", "gap", "failed", "waiting", "rejected", "backoff", "running", "checking", "skipped", "cancelled", "pending"];
  return html`<span class="countbar" aria-hidden="true">${parts
    .filter((status) => counts[status])
    .map((status) => html`<i key=${status} class=${"f-" + status} style=${{ width: (100 * counts[status]) / all + "%" }}></i>`)}</span>`;
}

export { Icon, Status, CountBar, look, counted, countWords };
