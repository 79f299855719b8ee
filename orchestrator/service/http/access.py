"""Who asks: keys are made, read from requests and held against what a route needs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Final

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from orchestrator.ids import TenantId
from orchestrator.ports.keys import SCOPES, ApiKey, Caps, Keys, Scope
from orchestrator.service.http.key_text import KEY, is_valid
from orchestrator.service.http.parts import service_of
from orchestrator.service.http.problems import Problem
from orchestrator.service.http.rates import Rates

KNOWN_S: Final = 1.0  #: for so long a key that was looked up is taken as it was; a revocation takes effect within it
KNOWN_MAX: Final = 10_000  #: keys remembered for that long


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whoever asks, as far as the service knows them."""

    tenant: TenantId
    scopes: frozenset[Scope]
    key_id: str = ""  #: the visible part of the key; empty without keys
    name: str = ""  #: of the key
    caps: Caps = field(default_factory=Caps)

    @property
    def actor(self) -> str:
        """How facts in the journal name this caller."""
        return f"{self.name} ({self.key_id})" if self.key_id else self.name


#: Everybody who reaches a service that asks for no keys. It listens on loopback alone.
LOCAL: Final = Caller(tenant=TenantId("default"), scopes=frozenset(SCOPES), name="local")


class KeyRing:
    """Keys as they were looked up a moment ago, so that a burst of requests asks the store once."""

    def __init__(self, keys: Keys, now_s: Callable[[], float]) -> None:
        self._keys, self._now_s = keys, now_s
        self._known: dict[str, tuple[float, ApiKey | None]] = {}

    async def caller(self, key: str) -> Caller | None:
        """Whom a key belongs to; None: it is not valid."""
        read = KEY.fullmatch(key)
        found = await self._get(read[1]) if read is not None else None
        if not is_valid(found, key, self._now_s()) or found is None:
            return None
        return Caller(
            tenant=found.tenant,
            scopes=frozenset(found.scopes),
            key_id=found.id,
            name=found.name,
            caps=found.caps,
        )

    async def _get(self, key_id: str) -> ApiKey | None:
        now_s = self._now_s()
        known = self._known.get(key_id)
        if known is not None and 0 <= now_s - known[0] < KNOWN_S:
            return known[1]
        found = await self._keys.get(key_id)
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        self._known[key_id] = now_s, found
        return found


_bearer: Final = HTTPBearer(
    auto_error=False, scheme_name="key", description="A key of `orchestrator keys create`, as `Authorization: Bearer …`"
)


async def _asked(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)] = None
) -> Caller:
    ring: KeyRing | None = request.app.state.keyring
    rates: Rates = request.app.state.rates
    limits = service_of(request).limits
    if ring is None:
        await rates.ask(LOCAL.tenant, limits.requests_per_minute)
        return LOCAL
    found = await ring.caller(credentials.credentials) if credentials is not None else None
    if found is None:
        await rates.guess(request.client.host if request.client is not None else "", limits.guesses_per_minute)
        raise Problem(
            401,
            "unauthenticated",
            "no key came with the request" if credentials is None else "the key is not valid, or not any more",
            remedy="send `Authorization: Bearer ho_…`; `orchestrator keys create` makes keys",
            headers={"WWW-Authenticate": 'Bearer realm="orchestrator"'},
        )
    allowed = found.caps.requests_per_minute
    await rates.ask(found.tenant, limits.requests_per_minute if allowed is None else allowed)
    return found


def caller(scope: Scope) -> object:
    """A dependency that gives whoever asks, and refuses who may not: `who: Annotated[Caller, caller("read")]`."""

    async def allowed(who: Annotated[Caller, Depends(_asked)]) -> Caller:
        if scope not in who.scopes:
            raise Problem(
                403,
                "forbidden",
                f"the key {who.key_id} has no scope {scope!r}",
                remedy=f"use a key made with `orchestrator keys create --scope {scope}`",
            )
        return who

    return Depends(allowed)


#: Parameters of routes: `async def route(who: Reader, ...)`.
AnyCaller = Annotated[Caller, Depends(_asked)]
Reader = Annotated[Caller, caller("read")]
Runner = Annotated[Caller, caller("run")]
Approver = Annotated[Caller, caller("approve")]
Manager = Annotated[Caller, caller("manage")]
