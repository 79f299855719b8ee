"""`orchestrator keys`: who may use the HTTP service."""

import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Final, cast

import typer

from orchestrator.cli.access import AsJson, Store, run_async
from orchestrator.cli.console import columns, paint, say, show_json
from orchestrator.cli.fleet_common import fleet_settings
from orchestrator.errors import PromiseError
from orchestrator.ids import JsonValue, TenantId

if TYPE_CHECKING:
    from orchestrator.ports.keys import ApiKey, Caps, Keys, Scope

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False, no_args_is_help=True)
NAME_CHARS_MAX: Final = 100
USUAL: Final = ("read", "run", "approve")
HEADS: Final = ("ID", "NAME", "TENANT", "SCOPES", "CAPS", "STATE")


@app.callback()
def _keys() -> None:
    """Make, list and revoke the keys of the HTTP service."""


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose it is, or what for; facts in the journal say it.")],
    tenant: Annotated[str, typer.Option(help="Whose runs it sees.")] = "default",
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", help="read, run, approve, manage, metrics; repeatable.  [default: read, run, approve]"),
    ] = None,
    expires: Annotated[str | None, typer.Option(metavar="DURATION", help="Such as 90d.  [default: never]")] = None,
    requests_per_minute: Annotated[int | None, typer.Option(min=1, help="Of the tenant, with this key.")] = None,
    open_runs: Annotated[int | None, typer.Option(min=0, help="Of the tenant, at once.")] = None,
    usd_per_day: Annotated[
        float | None, typer.Option(min=0, help="Of the tenant, budgets of open runs included.")
    ] = None,
    lane: Annotated[
        list[str] | None, typer.Option("--lane", help="May be asked for; repeatable.  [default: all]")
    ] = None,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Make a key. It is printed once, to stdout, and kept nowhere: the store holds its digest."""
    from orchestrator.ports.keys import ApiKey
    from orchestrator.service.http.key_text import digest_of_key, new_key

    _must_be_plain("NAME", name)
    _must_be_plain("--tenant", tenant)
    key, key_id = new_key()
    now_s = time.time()
    made = ApiKey(
        id=key_id,
        name=name,
        tenant=TenantId(tenant),
        scopes=_scopes(scope),
        digest=digest_of_key(key),
        created_at_s=now_s,
        caps=_caps(requests_per_minute, open_runs, usd_per_day, lane),
        expires_at_s=now_s + _seconds(expires) if expires is not None else None,
    )

    async def work() -> bool:
        async with _open(store) as keys:
            return await keys.add(made)

    if not run_async(work):
        raise PromiseError("a key of this id is there already", "try again: ids are drawn")
    if as_json:
        show_json({**_document(made, now_s), "key": key})
        return
    print(key)
    say(f"{paint('✓ made', 'good', sys.stderr)}  {key_id}  {name}  tenant {tenant}  {', '.join(made.scopes)}")
    say("it is shown this once; send it as `Authorization: Bearer …`")


@app.command("list")
def list_keys(store: Store = None, as_json: AsJson = False) -> None:
    """List keys, revoked ones too, by the part of them that may be seen."""

    async def work() -> "list[ApiKey]":
        async with _open(store) as keys:
            return [*await keys.all()]

    now_s = time.time()
    documents = [_document(key, now_s) for key in run_async(work)]
    if as_json:
        show_json(cast(JsonValue, documents))
        return
    if not documents:
        say("there is no key; make one: orchestrator keys create NAME")
        return
    for line in columns([HEADS, *(_line(document) for document in documents)]):
        print(line)


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="ID", help="The visible part of the key, as `keys list` shows it.")],
    store: Store = None,
) -> None:
    """Take a key back. A service that runs lets nobody in with it a second later."""

    async def work() -> bool:
        async with _open(store) as keys:
            return await keys.revoke(_id_of(key), time.time())

    if not run_async(work):
        raise PromiseError(f"there is no key {_id_of(key)!r:.100}", "`orchestrator keys list` shows them")
    say(f"{paint('✓ revoked', 'good', sys.stderr)}  {_id_of(key)}")


@asynccontextmanager
async def _open(store: str | None) -> "AsyncIterator[Keys]":
    from orchestrator.app.service import open_keys

    keys = await open_keys(fleet_settings(store, None, quiet=True))
    try:
        yield keys
    finally:
        await keys.close()


def _id_of(text: str) -> str:
    """The id, where somebody hands over the whole key too."""
    parts = text.split("_")
    return parts[1] if len(parts) > 1 and parts[0] == "ho" else text


def _must_be_plain(what: str, text: str) -> None:
    if not 0 < len(text) <= NAME_CHARS_MAX or not text.isprintable():
        raise PromiseError(f"{what} {text!r:.80} cannot be kept", f"use 1 to {NAME_CHARS_MAX} printable characters")


def _scopes(given: "list[str] | None") -> "tuple[Scope, ...]":
    from orchestrator.ports.keys import SCOPES

    wanted = given or [*USUAL]
    unknown = [name for name in wanted if name not in SCOPES]
    if unknown:
        raise PromiseError(f"there is no scope {unknown[0]!r}", f"use some of {', '.join(SCOPES)}")
    return tuple(name for name in SCOPES if name in wanted)


def _caps(requests: int | None, open_runs: int | None, usd: float | None, given: "list[str] | None") -> "Caps":
    from orchestrator.ports.keys import Caps
    from orchestrator.ports.tasks import LANES

    unknown = [name for name in given or () if name not in LANES]
    if unknown:
        raise PromiseError(f"there is no lane {unknown[0]!r}", f"use some of {', '.join(LANES)}")
    lanes = tuple(name for name in LANES if name in given) if given else None
    return Caps(requests_per_minute=requests, open_runs=open_runs, usd_per_day=usd, lanes=lanes)


def _seconds(text: str) -> float:
    from orchestrator.plan.durations import parse_duration

    try:
        return float(parse_duration(text))
    except ValueError as error:
        raise PromiseError(f"--expires {text!r:.50}: {error}", "write such as 90d or 12h") from None


def _document(key: "ApiKey", now_s: float) -> dict[str, JsonValue]:
    from dataclasses import asdict

    from orchestrator.service.http.key_text import is_in_force

    state = "revoked" if key.revoked_at_s is not None else "in force" if is_in_force(key, now_s) else "expired"
    caps = {name: value for name, value in asdict(key.caps).items() if value is not None}
    return {
        "id": key.id,
        "name": key.name,
        "tenant": key.tenant,
        "scopes": [*key.scopes],
        "caps": {name: [*value] if isinstance(value, tuple) else value for name, value in caps.items()},
        "state": state,
        "created_at": key.created_at_s,
        "expires_at": key.expires_at_s,
        "revoked_at": key.revoked_at_s,
    }


def _line(document: dict[str, JsonValue]) -> list[str]:
    caps = cast(dict[str, JsonValue], document["caps"])
    scopes = ", ".join(map(str, cast(list[JsonValue], document["scopes"])))
    told = ", ".join(f"{name}={value}" for name, value in caps.items())
    return [str(document["id"]), str(document["name"]), str(document["tenant"]), scopes, told, str(document["state"])]


__all__ = ["app"]
