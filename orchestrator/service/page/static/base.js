// What every view is made with: elements from templates, and the words for times, money and sizes.
import { h, render, Component, Fragment } from "./vendor/preact.js";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "./vendor/hooks.js";
import htm from "./vendor/htm.js";

const html = htm.bind(h);

/** A whole or broken number with thousands apart. */
function number(value) {
  return value.toLocaleString("en-US", { maximumFractionDigits: 1 });
}

/** USD: cents for large amounts, enough digits for small ones. */
function money(usd) {
  if (!usd) return "$0";
  if (usd < 0.01) return "$" + usd.toFixed(4);
  return "$" + (usd < 100 ? usd.toFixed(usd < 1 ? 3 : 2) : number(Math.round(usd)));
}

/** Seconds as people say them: 840 ms, 12.4 s, 3 m 05 s, 2 h 10 m, 3 d 4 h. */
function span(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "";
  if (seconds < 0) seconds = 0;
  if (seconds < 1) return Math.round(seconds * 1000) + " ms";
  if (seconds < 59.95) return seconds.toFixed(1) + " s";
  const whole = Math.round(seconds);
  const two = (n) => String(n).padStart(2, "0");
  if (whole < 3600) return Math.floor(whole / 60) + " m " + two(whole % 60) + " s";
  if (whole < 86400) return Math.floor(whole / 3600) + " h " + two(Math.floor((whole % 3600) / 60)) + " m";
  return Math.floor(whole / 86400) + " d " + Math.floor((whole % 86400) / 3600) + " h";
}

/** A moment of the day, with the date where it is not today. */
function moment(at, now = Date.now() / 1000) {
  if (!at) return "";
  const then = new Date(at * 1000);
  const time = then.toLocaleTimeString("en-GB");
  const today = new Date(now * 1000).toDateString() === then.toDateString();
  return today ? time : day(then) + " " + time;
}

function day(then) {
  const two = (n) => String(n).padStart(2, "0");
  return then.getFullYear() + "-" + two(then.getMonth() + 1) + "-" + two(then.getDate());
}

/** The clock of a line of a story: hours to milliseconds. */
function clock(at) {
  const then = new Date(at * 1000);
  return then.toLocaleTimeString("en-GB") + "." + String(then.getMilliseconds()).padStart(3, "0");
}

/** A value as text: texts as they are, anything else as indented JSON; what was cut says so. */
function text(value) {
  if (value === null || value === undefined) return "null";
  if (typeof value === "string") return value;
  if (typeof value === "object" && typeof value.clipped === "string" && typeof value.chars === "number") {
    return value.clipped + "\n… cut: " + number(value.chars) + " characters in all";
  }
  return JSON.stringify(value, null, 2);
}

/** A digest, short enough to compare by eye. */
function short(digest) {
  return String(digest || "").replace("sha256:", "").slice(0, 12);
}

function plural(count, word) {
  return number(count) + " " + word + (count === 1 ? "" : "s");
}

/** Hand a text to the browser as a file. */
function download(name, content, type = "application/json") {
  const url = URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name.replace(/[^\w.-]+/g, "_");
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

/** A button that copies a text; not there where the browser does not allow it. */
function Copy({ value, what }) {
  const [done, setDone] = useState(false);
  if (!navigator.clipboard) return null;
  const copy = async () => {
    await navigator.clipboard.writeText(value);
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  return html`<button type="button" class="small" onClick=${copy} >${done ? "copied" : "copy"}<span class="unseen"> ${what}</span></button>`;
}

/** The seconds that pass while something is live; ended things do not tick. */
function useNow(live, everyMs = 1000) {
  const [now, setNow] = useState(Date.now() / 1000);
  useEffect(() => {
    if (!live) return undefined;
    const timer = setInterval(() => setNow(Date.now() / 1000), everyMs);
    return () => clearInterval(timer);
  }, [live, everyMs]);
  return now;
}

export { html, render, Component, Fragment, useEffect, useLayoutEffect, useMemo, useRef, useState, useNow };
export { number, money, span, moment, clock, text, short, plural, download, Copy };
