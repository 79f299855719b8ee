"""What routes of sessions are asked with, and what they answer with."""

from typing import Annotated, Final, Literal, Self

from fastapi import Header, Path, Query
from pydantic import AfterValidator, Field, model_validator

from orchestrator.ids import JsonValue
from orchestrator.plan.facts_kept import FACT_CHARS_MAX, LITERALS_MAX
from orchestrator.plan.parts import Budget
from orchestrator.ports.tasks import Lane
from orchestrator.service.http.answers import At, Count, Out, Usd
from orchestrator.service.http.bodies import NAME, TEXT_CHARS_MAX, Body

ID: Final = r"^[A-Za-z0-9_][A-Za-z0-9._~-]*$"
SAID_CHARS_MAX: Final = 100_000  #: of what is said in a turn; the settings' `turn_bytes_max` comes on top
SessionName = Annotated[str, Path(pattern=ID, max_length=200, description="The session's id; you choose it.")]
AfterSession = Annotated[str, Query(pattern=ID, max_length=200, description="`next` of the page before.")]
Match = Annotated[
    str | None,
    Header(
        alias="If-Match",
        pattern=r'^"[0-9]+-[0-9a-f]+"$',
        max_length=100,
        description="The `ETag` of the session as you have seen it; in another version nothing is changed.",
    ),
]
Prefer = Annotated[
    str | None,
    Header(
        alias="Prefer",
        max_length=200,
        description="`wait=SECONDS` (RFC 7240): answer with the answer, where it comes in time; at most 30 seconds.",
    ),
]
ETAG: Final[dict[str, object]] = {
    "ETag": {"description": "The version of the session.", "schema": {"type": "string"}, "required": True}
}


def _kept(text: str) -> str:
    if "\0" in text:
        raise ValueError("NUL is no character that can be kept")
    return text


Said = Annotated[str, Field(min_length=1, max_length=SAID_CHARS_MAX), AfterValidator(_kept)]


class TurnBody(Body):
    """What is said, and what answers it: a plan, or a goal that a supervisor plans."""

    text: Said | None = Field(
        default=None, description="What is said: the plan's input `text`, and the last of `session.turns`."
    )
    plan: Annotated[str, Field(pattern=NAME, max_length=64)] | dict[str, JsonValue] | None = Field(
        default=None, description="A plan's name, or a whole plan."
    )
    goal: Annotated[str, Field(min_length=1, max_length=TEXT_CHARS_MAX), AfterValidator(_kept)] | None = Field(
        default=None, description="What is to be reached; without `text` it is what is said."
    )
    inputs: dict[str, JsonValue] = Field(default={}, description="By the plan's `inputs`.")
    budget: Budget | None = Field(default=None, description="Exchanges limits of the plan.")
    lane: Lane = "normal"

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.plan is None) == (self.goal is None):
            raise ValueError("say exactly one of plan and goal")
        if self.plan is not None and self.text is None:
            raise ValueError("a plan needs a text: what is said")
        if self.goal is not None and self.inputs:
            raise ValueError("inputs go with plan; say in the goal what it is about")
        return self


class FactBody(Body):
    """A fact that must stay in what runs see."""

    text: Annotated[str, Field(min_length=1, max_length=FACT_CHARS_MAX), AfterValidator(_kept)]
    literals: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=FACT_CHARS_MAX), AfterValidator(_kept)]],
        Field(max_length=LITERALS_MAX),
    ] = Field(default=[], description="What must occur for the fact to be said; empty: its numbers, names and dates.")


class TurnOut(Out):
    """One thing said."""

    number: Count
    role: Literal["user", "assistant"]
    content: str
    run: str
    at: At
    tokens: Count
    usd: Usd
    status: Literal["said", "succeeded", "degraded", "stopped", "failed", "cancelled", "lost"]


class TurnAcceptedOut(Out):
    """A turn that was accepted. The same for every repetition of a request with its key."""

    session: str
    turn: Count = Field(description="Its number.")
    run: str
    href: str = Field(description="Where its run is.")
    status: Literal["open", "succeeded", "degraded", "stopped", "failed", "cancelled"]
    answer: str | None = Field(description="What was answered; null while the run is open.")


class FactOut(Out):
    """A pinned fact."""

    text: str
    literals: list[str]


class SummaryOut(Out):
    """What is left of the turns that are not in the window."""

    text: str
    version: Count
    upto: Count = Field(description="The last turn that it covers.")
    missed: Count = Field(description="Turns up to there that no summary has seen.")
    tried_upto: Count
    refused: str = Field(description="Why the newest summary was not accepted; empty: it was.")
    at: At = Field(description="Of the newest try, in seconds since the epoch; 0: there was none.")
    usd: Usd
    tokens: Count


class WaitsOut(Out):
    """The turn that is not answered yet."""

    run: str
    content: str


class HeadOut(Out):
    """A session without its turns."""

    id: str
    version: Count
    etag: str
    created_at: At
    updated_at: At
    expires_at: At
    turns_answered: Count
    usd: Usd = Field(description="Of all turns; what summaries cost is told with the summary.")
    tokens: Count
    facts: list[FactOut]
    summary: SummaryOut
    waits_for: WaitsOut | None


class WindowTurnOut(Out):
    """A turn as runs see it."""

    role: Literal["user", "assistant"]
    content: str


class WindowOut(Out):
    """What a run would see of the session now."""

    id: str
    summary: str
    turns: list[WindowTurnOut]
    facts: list[str]
    dropped: Count = Field(description="Turns that are neither shown nor summarised.")


class SessionOut(HeadOut):
    """A session as it is now."""

    window: WindowOut


class SessionsOut(Out):
    """A page of sessions, by id."""

    sessions: list[HeadOut]
    next: str | None = Field(description="The `after` of the next page; null on the last one.")


class TurnsOut(Out):
    """A page of turns, oldest first."""

    turns: list[TurnOut]
    next: Count | None = Field(description="The `after` of the next page; null where nothing more is there yet.")


class ExportOut(HeadOut):
    """All that is kept of a session."""

    turns: list[TurnOut]


class DeletedOut(Out):
    """A session that is gone."""

    id: str
    runs_forgotten: bool
