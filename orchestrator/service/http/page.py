"""Routes of the page: its files, which hold nothing secret, and the documents it draws, within one tenant."""

import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Annotated, Final

import anyio.to_thread
from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import RedirectResponse

from orchestrator.engine.recovery import read_all
from orchestrator.ports.journal import Recorded, RunQuery
from orchestrator.service.http.access import Reader
from orchestrator.service.http.answers import answer
from orchestrator.service.http.bodies import SEQ_MAX, RunName, StepName
from orchestrator.service.http.limits import RETRY_AFTER_S
from orchestrator.service.http.looking import find
from orchestrator.service.http.parts import Parts, Service
from orchestrator.service.http.pools import work_seen
from orchestrator.service.http.problems import Problem, retry_after
from orchestrator.service.http.state import Keeps, Kept
from orchestrator.service.http.streams import Stream
from orchestrator.service.page.feeds import READERS_MAX, PageFeeds
from orchestrator.service.page.offline import RUNS_MAX, offline_file
from orchestrator.service.page.pools import pool_board
from orchestrator.service.page.step import BRANCHES_PAGE

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}
router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    media_type: str
    etag: str


@cache
def _files() -> dict[str, _File]:
    """Every file of the page, read once: nothing else on the disk can be asked for."""
    root = files("orchestrator.service.page") / "static"
    found: dict[str, _File] = {}
    for folder in ("", "vendor/"):
        for entry in (root / folder).iterdir() if folder else root.iterdir():
            if entry.is_file():
                body = entry.read_bytes()
                suffix = "." + entry.name.rpartition(".")[2]
                kind = TYPES.get(suffix) or mimetypes.guess_type(entry.name)[0] or "text/plain"
                etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
                found[folder + entry.name] = _File(body, kind + "; charset=utf-8", etag)
    return found


@router.get("/")
async def root() -> Response:
    """To the page."""
    return RedirectResponse("/ui/", 307)


@router.get("/ui")
async def without_slash() -> Response:
    """To the page."""
    return RedirectResponse("/ui/", 307)


@router.get("/ui/{name:path}")
async def static(name: str, known: Annotated[str | None, Header(alias="If-None-Match")] = None) -> Response:
    """A file of the page."""
    found = _files().get(name or "index.html")
    if found is None:
        raise Problem(404, "not-found", f"the page has no file {name!r:.200}", remedy="the page is at /ui/")
    headers = {"ETag": found.etag, "Cache-Control": "no-cache", "Content-Security-Policy": POLICY}
    if known is not None and found.etag in known:
        return Response(status_code=304, headers=headers)
    return Response(found.body, media_type=found.media_type, headers=headers)


def _feeds(request: Request, service: Service) -> PageFeeds:
    """The documents of this application.

    Raises:
        Problem: this service has no engine to follow runs with.
    """
    state = request.app.state
    if service.desk.engine is None:
        raise Problem(503, "unavailable", "this service follows no runs", remedy="ask one that runs plans")
    if getattr(state, "pages", None) is None:
        kept: Kept = state.kept
        assert kept.feeds is not None, "there is an engine"
        state.pages = PageFeeds(service.desk.engine, kept.feeds.leaving)
    found: PageFeeds = state.pages
    return found


@router.get("/v1/runs/{run}/page")
async def page(
    request: Request,
    who: Reader,
    service: Parts,
    run: RunName,
    last: Annotated[int | None, Header(alias="Last-Event-ID", ge=0, le=SEQ_MAX)] = None,
) -> Response:
    """The run's document as server-sent events: whole at first, then what changed."""
    row = await find(service, who, run)
    feeds = _feeds(request, service)
    if feeds.reading >= READERS_MAX:
        said = f"{READERS_MAX:,} pages are open"
        raise Problem(429, "rate-limit", said, remedy="come back later", headers=retry_after(RETRY_AFTER_S))
    return Stream(feeds.read(row.run_id, last or 0, row.last_seq))


@router.get("/v1/runs/{run}/page/steps/{step}")
async def step_page(
    request: Request,
    who: Reader,
    service: Parts,
    run: RunName,
    step: StepName,
    first: Annotated[int, Query(ge=0, le=SEQ_MAX)] = 0,
    inputs: bool = False,
) -> Response:
    """Everything about one step, or one branch. Inputs are worked out anew each time, so they are asked for apart."""
    row = await find(service, who, run)
    name, _, rest = step.partition("[")
    branch = int(rest[:-1]) if rest else -1
    feeds = _feeds(request, service)
    found = await feeds.step(row.run_id, row.last_seq, name, branch, first=first, inputs=inputs)
    if found is None:
        raise Problem(404, "not-found", f"the run has no step {step!r}", remedy="look at the run for its steps")
    return answer(found)


@router.get("/v1/runs/{run}/page/nodes/{node}")
async def members(
    request: Request,
    who: Reader,
    service: Parts,
    run: RunName,
    node: Annotated[str, Path(pattern=r"^group:[0-9]{1,6}$")],
    first: Annotated[int, Query(ge=0, le=SEQ_MAX)] = 0,
) -> Response:
    """The steps of a folded node."""
    row = await find(service, who, run)
    drawn = await _feeds(request, service).page(row.run_id, row.last_seq)
    rows = drawn.members(node)
    return answer({"total": len(rows), "rows": rows[first : first + BRANCHES_PAGE]})


@router.get("/v1/runs/{run}/page/file")
async def file(who: Reader, service: Parts, run: RunName) -> Response:
    """The run as one HTML file."""
    row = await find(service, who, run)
    records = await read_all(service.journal, row.run_id)
    below: dict[str, list[Recorded]] = {}
    todo = [row.run_id]
    while todo and len(below) < RUNS_MAX:
        rows = await service.journal.runs(RunQuery(parent=todo.pop(), tenant=who.tenant, limit=RUNS_MAX - len(below)))
        for child in rows:
            below[child.run_id] = await read_all(service.journal, child.run_id)
            todo.append(child.run_id)
    now_s = service.clock.now_s()
    text = await anyio.to_thread.run_sync(lambda: offline_file(records, below, made_at_s=now_s))
    # It is handed over, not shown: here it would be under this page's policy, and in this page's origin.
    headers = {"Content-Disposition": 'attachment; filename="run.html"'}
    return Response(text, media_type="text/html; charset=utf-8", headers=headers)


@router.get("/v1/page/pools")
async def all_pools(who: Reader, service: Parts, kept: Keeps) -> Response:
    """Pools with their work; for whoever may see all tenants, with their workers and what was given up too."""
    work = await work_seen(who, service, kept)
    fleet = service.fleet if work.everybody is not None else None
    workers = await fleet.workers() if fleet is not None else None
    dead = await fleet.dead() if fleet is not None else None
    return answer(pool_board(service.desk.pools_known, work, workers, dead))


__all__ = ["router"]
