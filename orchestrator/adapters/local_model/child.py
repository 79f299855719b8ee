"""The process that holds the local model: reads what to serve from stdin, says where on stdout, dies with its parent.

It is run as a script and imports nothing of the project, so that it starts fast and a fault in the model's native code
ends this process alone. The parent keeps stdin open for as long as it lives; the end of stdin is the end of the model.
The engine hangs on a polite end (xllamacpp 0.2.7), so every end here is SIGKILL.
"""

import json
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from typing import Any

LOOK_S = 0.02  #: between two questions whether the model is loaded
STILL_LOADING = 503


def die_with_parent() -> None:
    """Wait for the end of stdin, then end at once."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGKILL)


def serve(wanted: dict[str, Any]) -> str:
    """Load the model and serve it on a free port of the loopback; return its address.

    `weights` is a .gguf file, `slots` requests run at once with `context_tokens` each, `key` is asked of every caller.
    """
    import xllamacpp  # type: ignore[import-untyped, unused-ignore]  # no types; absent without the extra

    params = xllamacpp.CommonParams()
    params.model.path = wanted["weights"]
    params.hostname, params.port = "127.0.0.1", 0
    params.n_ctx, params.n_parallel = wanted["context_tokens"] * wanted["slots"], wanted["slots"]
    params.use_jinja, params.api_keys = True, [wanted["key"]]
    # A second thread that a busy neighbour slows down makes both wait for it: measured 1.5 instead of 12 tokens/s.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = wanted["threads"]
    server = xllamacpp.Server(params)
    KEPT.append(server)
    return str(server.listening_address)


KEPT: list[object] = []  #: the server ends with its object


def wait_ready(address: str) -> None:
    """Until `/health` says so; until then it answers 503, or nothing."""
    while True:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=10):  # noqa: S310  # our own server on loopback
                return
        except urllib.error.HTTPError as error:
            if error.code != STILL_LOADING:
                raise
        except OSError:
            pass
        time.sleep(LOOK_S)


def main() -> None:
    """One line of JSON in, one line with the address out; then serve until stdin ends."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the engine prints belongs into the log
    wanted = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=die_with_parent, daemon=True).start()
    address = serve(wanted)
    wait_ready(address)
    print(address, file=out, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
