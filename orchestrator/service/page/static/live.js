// A run as this page knows it: one document, kept current by what the service sends.
import { useEffect, useRef, useState } from "./base.js";
import { follow } from "./api.js";

const FORMAT = 1;

/** The document with what has changed. What did not change stays the same object, so that nothing is drawn twice. */
function merged(document, delta) {
  if (delta.format !== FORMAT) throw new Error("this page is older than the service: load it anew");
  const structure = delta.graph ? { head: delta.head, graph: delta.graph } : { head: document.head, graph: document.graph };
  const nodes = delta.graph ? delta.nodes : { ...document.nodes, ...delta.nodes };
  return { ...structure, nodes, run: delta.run, seq: delta.seq, format: delta.format };
}

/** [document, state]: null until the first word came; `connecting`, `live`, `reconnecting`, `ended`, or an error. */
function useRun(id, keyed) {
  const [document, setDocument] = useState(null);
  const [state, setState] = useState("connecting");
  const latest = useRef(null);
  useEffect(() => {
    latest.current = null;
    setDocument(null);
    setState("connecting");
    let due = 0;
    const show = () => {
      due = 0;
      setDocument(latest.current);
    };
    const stop = follow("/v1/runs/" + encodeURIComponent(id) + "/page", {
      take: (event, told) => {
        if (event !== "page") return;
        latest.current = merged(latest.current || {}, told);
        if (!due) due = requestAnimationFrame(show); // many messages, one drawing
      },
      say: setState,
    });
    return () => {
      stop();
      if (due) cancelAnimationFrame(due);
    };
  }, [id, keyed]);
  return [document, state];
}

export { merged, useRun, FORMAT };
