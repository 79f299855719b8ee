"""The verbs of the control socket, and what each of them takes; everything that comes in is checked here."""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.core.costs import Side
from orchestrator.errors import PromiseError
from orchestrator.ids import JsonValue
from orchestrator.ports.journal import RunStatus

ROWS_MAX: Final = 10_000  #: runs in one answer
MARKS_MAX: Final = 5_000  #: runs in one request, which a line holds


class Args(BaseModel):
    """What every verb takes: nothing more than it names."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoArgs(Args):
    """Nothing."""


class PsArgs(Args):
    """Which runs."""

    status: tuple[RunStatus, ...] | None = None  #: None: any
    limit: Annotated[int, Field(ge=1, le=ROWS_MAX)] = 50


class RunArgs(Args):
    """One run."""

    run: str


class MaybeRunArgs(Args):
    """One run, or all."""

    run: str | None = None


class EventsArgs(Args):
    """Events of one run."""

    run: str
    after: Annotated[int, Field(ge=0)] = 0
    follow: bool = False


class WhyArgs(Args):
    """One step of one run, or one branch of it as `draft[3]`; None: the run."""

    run: str
    step: str | None = None


class CancelArgs(Args):
    """Cancel a run."""

    run: str
    reason: str = ""
    by: str = ""


class ApproveArgs(Args):
    """Answer a question."""

    run: str
    step: str
    choice: str
    reason: str = ""
    by: str = ""


class QuarantineArgs(Args):
    """Take a result back."""

    run: str
    step: str
    reason: str
    by: str = ""


class PatchArgs(Args):
    """Change the plan of an open run."""

    run: str
    patch: dict[str, JsonValue]
    by: str = ""


class CheckArgs(Args):
    """One run, or with None all of them."""

    run: str | None = None


class VerifyArgs(Args):
    """One run, or all of them, that were under way between two moments, in seconds since the epoch."""

    run: str | None = None
    since: float | None = None  #: None: from the first
    until: float | None = None  #: not included; None: to the last


class HashesArgs(Args):
    """Records whose hash is asked for: run to sequence number."""

    marks: Annotated[dict[str, Annotated[int, Field(ge=1)]], Field(max_length=MARKS_MAX)]


class GcArgs(Args):
    """What is kept."""

    keep_runs: Annotated[int, Field(ge=0)]
    keep_days: Annotated[float, Field(ge=0)]


class ForgetArgs(Args):
    """Ended runs to delete, or only what they said."""

    runs: Annotated[tuple[str, ...], Field(max_length=MARKS_MAX)]
    payloads_only: bool


class BackupArgs(Args):
    """Where to write the copy."""

    file: str


class CostsArgs(Args):
    """By which side, of runs since when (seconds since the epoch), of which tenant."""

    by: Side = "plan"
    since: float = 0.0
    tenant: str | None = None


class ForecastArgs(Args):
    """A plan, as canonical data."""

    plan: dict[str, JsonValue]


VERBS: Final[dict[str, type[Args]]] = {
    "ps": PsArgs,
    "show": RunArgs,
    "events": EventsArgs,
    "why": WhyArgs,
    "cost": MaybeRunArgs,
    "costs": CostsArgs,
    "forecast": ForecastArgs,
    "pools": NoArgs,
    "cancel": CancelArgs,
    "approve": ApproveArgs,
    "quarantine": QuarantineArgs,
    "patch": PatchArgs,
    "verify": VerifyArgs,
    "hashes": HashesArgs,
    "check": CheckArgs,
    "export": VerifyArgs,
    "deeds": VerifyArgs,
    "gc": GcArgs,
    "forget": ForgetArgs,
    "backup": BackupArgs,
}
STREAMING: Final = frozenset({"deeds", "events", "export", "verify"})


def read_args(verb: str, args: JsonValue) -> Args:
    """The arguments of a verb, checked.

    Raises:
        PromiseError: no such verb.
        ValueError: an argument is missing, unknown or mistyped.
    """
    model = VERBS.get(verb)
    if model is None:
        raise PromiseError(f"there is no verb {verb!r}", f"use one of {', '.join(VERBS)}")
    return model.model_validate(args)
