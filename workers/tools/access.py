"""What the tools of a pool may reach: hosts and folders that the host named, and nothing else."""

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from orchestrator.errors import PromiseError

_SCHEMES: Final = ("https", "http")


@dataclass(frozen=True, slots=True)
class _Mark:
    """Says that an argument of a tool is checked against the pool's access before the tool sees it."""

    kind: str


URL: Final = _Mark("url")
PATH: Final = _Mark("path")
AllowedUrl = Annotated[str, URL]  #: an argument that must be a URL of an allowed host
AllowedPath = Annotated[str, PATH]  #: an argument that must lie in an allowed folder


class NotAllowed(ValueError):
    """A place that the pool's access does not name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Allow-lists of one pool. Empty: nothing.

    `hosts` are names, exact or as `*.example.org` (which does not stand for `example.org` itself), with a port where it
    is not the scheme's own: `localhost:8080`. `schemes` are the URL schemes. `paths` are folders; links are followed
    before a path is judged. `tools` are the names of the tools that agents of the pool may be given; None: any.

    Raises:
        PromiseError: a host is a URL, or holds what no host name has.
    """

    hosts: tuple[str, ...] = ()
    paths: tuple[str | Path, ...] = ()
    schemes: tuple[str, ...] = ("https",)
    tools: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for host in self.hosts:
            if not host or "/" in host or "@" in host or host == "*" or "*" in host.removeprefix("*."):
                raise PromiseError(f"{host!r} is no host", "name hosts such as api.example.org or *.example.org")
        for scheme in self.schemes:
            if scheme not in _SCHEMES:
                raise PromiseError(f"scheme {scheme!r} is not known", "use https, and http where it must be")

    def url(self, url: str) -> str:
        """The URL, if its host is allowed.

        Raises:
            NotAllowed: the host, port or scheme is not, or it is no URL.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise NotAllowed(f"{url[:200]!r} is no URL: {error}") from None
        host = (parts.hostname or "").rstrip(".")
        if parts.scheme not in self.schemes or not host:
            raise NotAllowed(f"{url[:200]!r} is not allowed: its scheme is none of {', '.join(self.schemes)}")
        if parts.username is not None or parts.password is not None or "\\" in url or not url.isprintable():
            raise NotAllowed(f"{url[:200]!r} is not allowed: a URL holds no user and nothing unprintable")
        place = host if port in {None, {"https": 443, "http": 80}[parts.scheme]} else f"{host}:{port}"
        if not any(_fits(place, allowed.lower()) for allowed in self.hosts):
            raise NotAllowed(f"host {place!r} is not allowed; allowed are {', '.join(self.hosts) or 'none'}")
        return url

    def path(self, path: str | Path) -> Path:
        """The path without links, if it lies in an allowed folder. A relative one is looked for in each, in order.

        Raises:
            NotAllowed: it lies elsewhere.
        """
        if "\0" in str(path):
            raise NotAllowed("a path holds no NUL")
        for folder in self.paths:
            home = Path(folder).resolve()
            found = (home / path).resolve()
            if found.is_relative_to(home):
                return found
        allowed = ", ".join(map(str, self.paths)) or "none"
        raise NotAllowed(f"{str(path)[:200]!r} lies in no allowed folder; allowed are {allowed}")


def _fits(place: str, allowed: str) -> bool:
    if not allowed.startswith("*."):
        return place.lower() == allowed
    try:
        ip_address(place.partition(":")[0])
    except ValueError:
        return place.lower().endswith(allowed[1:])
    return False  # an address has no sub-domains
