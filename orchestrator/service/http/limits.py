"""Every number that bounds what a caller of the service can make it do."""

from dataclasses import dataclass
from typing import Final

BODY_BYTES_MAX: Final = 1 << 20  #: of a request
BODY_DEPTH_MAX: Final = 64  #: of nested arrays and objects in a request
BODY_S: Final = 10.0  #: for a body to arrive
HEAD_BYTES_MAX: Final = 32 << 10  #: of a request's line and headers
REQUESTS_AT_ONCE: Final = 256  #: that a process works on; one more is answered with 503 and Retry-After
CONNECTIONS_MAX: Final = 20_000  #: at once; one more is answered with 503
GUESSES_PER_MINUTE: Final = 300  #: keys from one address that do not exist, or no longer
BATCHES_TOLD_PER_MINUTE: Final = 600  #: signed words of the provider of the batch service
REQUESTS_PER_MINUTE: Final = 6_000  #: of one tenant, where its key says nothing
OPEN_RUNS_PER_TENANT: Final = 10_000  #: where its key says nothing
QUEUE_DEPTH: Final = 1_000  #: open runs of one tenant in one lane, before further ones are refused
RETRY_AFTER_S: Final = 1.0  #: advice to whoever is refused for want of room …
RETRY_AFTER_MOST_S: Final = 30.0  #: … and the most of it, however many were refused before
PAGE_MAX: Final = 200  #: rows of one page
PAGE: Final = 50  #: rows where nothing is said


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one service."""

    body_bytes_max: int = BODY_BYTES_MAX
    body_depth_max: int = BODY_DEPTH_MAX
    body_s: float = BODY_S
    requests_per_minute: int = REQUESTS_PER_MINUTE
    guesses_per_minute: int = GUESSES_PER_MINUTE
    open_runs_per_tenant: int = OPEN_RUNS_PER_TENANT
    queue_depth: int = QUEUE_DEPTH
    requests_at_once: int = REQUESTS_AT_ONCE
