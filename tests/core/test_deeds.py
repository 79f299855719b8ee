"""What people did, told from records alone."""

import pytest

from orchestrator.core import facts as f
from orchestrator.core.deeds import Deed, deeds
from orchestrator.ids import Digest, RunId, StepId
from orchestrator.testing.facts import accepted, produced

RUN = RunId("run-1")


class Rec:
    """A record, as a journal gives it back."""

    run_id, epoch, prev_hash, hash, forgotten = RUN, 1, "", "", False

    def __init__(self, seq: int, fact: f.Fact) -> None:
        self.seq, self.fact = seq, fact


def told(*facts: f.Fact) -> list[Deed]:
    return list(deeds(Rec(seq, fact) for seq, fact in enumerate(facts, 1)))


def deed(seq: int, did: str, what: str, *, who: str = "ann", step: str = "", saw: str = "") -> Deed:
    return Deed(run=RUN, seq=seq, at_s=float(seq), who=who, did=did, step=step, what=what, saw=saw)


def asked(seq: int, show: object, ask: str | None = "Publish?", branch: int = -1) -> f.ApprovalAsked:
    return f.ApprovalAsked(
        at_s=float(seq), step=StepId("ask"), branch=branch, subject="step", choices=("yes",), expires_at_s=9.0,
        ask=ask, show=show,  # type: ignore[arg-type]  # None where what was said is deleted
    )  # fmt: skip


def test_every_deed_names_who_what_and_where() -> None:
    step = StepId("ask")
    assert told(
        accepted(),
        produced("no deed"),
        f.PlanPatched(
            at_s=3.0, base=Digest("sha256:a"), digest=Digest("sha256:b"), author="bob", reason="new figures", patch={}
        ),
        f.PlanPatched(
            at_s=4.0, actor="ann", base=Digest("sha256:a"), digest=Digest("sha256:b"), author="bob", reason="", patch={}
        ),
        f.LimitExtended(at_s=5.0, actor="ann", limit="usd", by=2.5),
        f.CancelRequested(at_s=6.0, actor="ann", reason="enough"),
        f.CancelRequested(at_s=7.0, actor="ann"),
        f.StepQuarantined(at_s=8.0, actor="ann", step=step, reason="wrong", affected=(step,)),
        f.ApprovalExpired(at_s=9.0, actor="ann", step=step),
        f.ApprovalExpired(at_s=10.0, actor="ann", step=step, choice="hold"),
        f.RunRated(at_s=11.0, actor="ann", source="thumb", score=0.0, reason="it was late"),
    ) == [
        deed(1, "started", "plan", who=""),
        deed(3, "changed", "sha256:a to sha256:b: new figures", who="bob"),
        deed(4, "changed", "sha256:a to sha256:b"),
        deed(5, "extended", "usd by 2.5"),
        deed(6, "cancelled", "enough"),
        deed(7, "cancelled", ""),
        deed(8, "quarantined", "with 1 built on it: wrong", step="ask"),
        deed(9, "let expire", "nothing was chosen", step="ask"),
        deed(10, "let expire", "hold", step="ask"),
        deed(11, "rated", "thumb 0: it was late"),
    ]


@pytest.mark.parametrize(
    ("ask", "show", "saw"),
    [
        ("Publish?", {"b": 1, "a": "x"}, 'Publish? {"a":"x","b":1}'),
        ("Publish?", None, "Publish?"),
        (None, None, ""),
        ("Publish?", "x" * 300, 'Publish? "' + "x" * 189 + "…"),
    ],
)
def test_an_answer_tells_what_was_shown(ask: str | None, show: object, saw: str) -> None:
    answer = f.ApprovalAnswered(at_s=2.0, actor="ann", step=StepId("ask"), branch=2, choice="yes", reason="ok")
    again = f.ApprovalAnswered(at_s=3.0, actor="ann", step=StepId("ask"), branch=2, choice="yes")
    assert told(asked(1, show, ask, branch=2), answer, again) == [
        deed(2, "answered", "yes: ok", step="ask[2]", saw=saw),
        deed(3, "answered", "yes", step="ask[2]"),
    ]
