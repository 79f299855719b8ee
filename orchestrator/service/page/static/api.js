// Asks the service: JSON documents, and streams of server-sent events. The key lives in this tab's session only.
const KEY = "orchestrator-key";
const PAUSE_LEAST_MS = 500; // before a broken stream is asked for again; doubles
const PAUSE_MOST_MS = 15000;

const listeners = new Set();

function key() {
  return sessionStorage.getItem(KEY) || "";
}

function setKey(value) {
  if (value) sessionStorage.setItem(KEY, value);
  else sessionStorage.removeItem(KEY);
  for (const told of listeners) told();
}

/** Be told when the key changes; returns how to stop that. */
function onKey(told) {
  listeners.add(told);
  return () => listeners.delete(told);
}

/** What the service refused, in its own words. */
class Refused extends Error {
  constructor(status, problem) {
    super(String(problem.detail || problem.title || "the service answered " + status));
    this.status = status;
    this.title = String(problem.title || "");
    this.remedy = String(problem.remedy || "");
    this.places = Array.isArray(problem.errors) ? problem.errors : [];
  }
}

function headers(more) {
  const told = { Accept: "application/json", ...more };
  if (key()) told.Authorization = "Bearer " + key();
  return told;
}

async function refused(answer) {
  let problem = {};
  try {
    problem = await answer.json();
  } catch {
    problem = { detail: "the service answered " + answer.status };
  }
  return new Refused(answer.status, problem && typeof problem === "object" ? problem : {});
}

async function get(path, signal) {
  const answer = await fetch(path, { headers: headers(), signal, cache: "no-store" });
  if (!answer.ok) throw await refused(answer);
  return answer.json();
}

async function post(path, body, more = {}) {
  const answer = await fetch(path, {
    method: "POST",
    headers: headers({ "Content-Type": "application/json", ...more }),
    body: JSON.stringify(body || {}),
  });
  if (!answer.ok) throw await refused(answer);
  return answer.json();
}

/** One message of a stream: its event, id and data, from the lines of it. */
function message(lines) {
  const told = { event: "message", id: "", data: "" };
  const data = [];
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") told.event = value;
    else if (name === "id") told.id = value;
    else if (name === "data") data.push(value);
  }
  told.data = data.join("\n");
  return data.length ? told : null;
}

async function* messages(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let lines = [];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split(/\r\n|\n|\r/);
    rest = parts.pop();
    for (const part of parts) {
      if (part !== "") {
        lines.push(part);
        continue;
      }
      const told = message(lines);
      lines = [];
      if (told) yield told;
    }
  }
}

/**
 * Follow a stream, over breaks of the connection, from `after` on. `take` gets each message; `say` gets `live`,
 * `reconnecting`, `ended`, or an error that no waiting mends. Returns how to stop.
 */
function follow(path, { after = 0, take, say }) {
  const stop = new AbortController();
  let last = after;
  let pauseMs = PAUSE_LEAST_MS;
  const run = async () => {
    while (!stop.signal.aborted) {
      let quiet = false;
      try {
        const more = last ? { "Last-Event-ID": String(last) } : {};
        const answer = await fetch(path, {
          headers: headers({ ...more, Accept: "text/event-stream" }), signal: stop.signal, cache: "no-store",
        });
        if (!answer.ok) {
          const error = await refused(answer);
          if (error.status < 500 && error.status !== 429) return say(error);
          throw error;
        }
        say("live");
        for await (const one of messages(answer.body)) {
          pauseMs = PAUSE_LEAST_MS;
          if (one.id) last = one.id;
          const told = JSON.parse(one.data);
          if (one.event === "end" && told.reason === "ended") return say("ended");
          if (one.event === "end") {
            quiet = told.reason === "quiet"; // the run is open, and nobody drives it: it may be resumed
            break;
          }
          take(one.event, told);
        }
      } catch (error) {
        if (stop.signal.aborted) return undefined;
      }
      if (stop.signal.aborted) return undefined;
      say(quiet ? "quiet" : "reconnecting");
      await new Promise((go) => setTimeout(go, pauseMs * (0.5 + Math.random() / 2)));
      pauseMs = Math.min(pauseMs * 2, PAUSE_MOST_MS);
    }
    return undefined;
  };
  run();
  return () => stop.abort();
}

export { get, post, follow, key, setKey, onKey, Refused };
