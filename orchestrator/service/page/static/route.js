// The address: which view, of what, and how it is filtered. All of it lies behind the #, so that any view is a link.
import { useEffect, useState } from "./base.js";

/** {path: ["runs", "…"], params: {status: "failed"}} */
function read(hash) {
  const [way, query] = hash.replace(/^#\/?/, "").split("?", 2);
  const path = way.split("/").filter(Boolean).map(decode);
  return { path, params: Object.fromEntries(new URLSearchParams(query || "")) };
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // a stray % that somebody typed
  }
}

/** The address of a view; parameters that are empty are left out. */
function address(path, params = {}) {
  const given = Object.entries(params).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const query = new URLSearchParams(given).toString();
  return "#/" + path.map(encodeURIComponent).join("/") + (query ? "?" + query : "");
}

function go(path, params, { replace = false } = {}) {
  const to = address(path, params);
  if (to === location.hash) return;
  if (replace) {
    history.replaceState(null, "", to);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else {
    location.hash = to;
  }
}

/** The address as it is, and as it changes. */
function useRoute() {
  const [route, setRoute] = useState(() => read(location.hash));
  useEffect(() => {
    const changed = () => setRoute(read(location.hash));
    addEventListener("hashchange", changed);
    changed(); // a view below may have changed the address before anybody listened
    return () => removeEventListener("hashchange", changed);
  }, []);
  return route;
}

export { address, go, useRoute };
