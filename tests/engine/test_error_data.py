"""Errors that travel between processes as data: what comes back is what was raised, or says so."""

import json

import pytest

from orchestrator.errors import (
    BudgetExceeded,
    IllegalTransition,
    InputError,
    OrchestratorError,
    OwnerRefused,
    PlanError,
    PlanIssue,
    PromiseError,
    RunNotFound,
    StepError,
    TransportRefused,
    WrongState,
)
from orchestrator.ids import JsonValue
from orchestrator.ports.error_data import error_document, error_of

ISSUE = PlanIssue(path="steps.a", message="no such key")


@pytest.mark.parametrize(
    "error",
    [
        RunNotFound("R"),
        InputError("topic", "is missing"),
        PromiseError("the store keeps nothing", "name a file"),
        WrongState("run R", "ended", "start a new one"),
        BudgetExceeded("usd", 0.5, 0.25),
        TransportRefused("redis://h", "no", passing=True),
        StepError("said by hand"),
    ],
)
def test_an_error_made_of_plain_values_comes_back_as_it_was(error: OrchestratorError) -> None:
    document = json.loads(json.dumps(error_document(error)))
    assert document == {"kind": type(error).__name__, "args": list(error.args), "text": str(error)}
    again = error_of(document)
    assert (type(again), again.args, str(again)) == (type(error), error.args, str(error))


@pytest.mark.parametrize(
    "error",
    [
        PlanError((ISSUE,)),
        IllegalTransition("a", "passed", "StepProduced", ("a line",)),
        KeyError(("no", "plain", "value")),
    ],
)
def test_one_made_of_more_comes_back_as_a_refusal_with_its_text(error: Exception) -> None:
    document = error_document(error)
    assert document == {"kind": type(error).__name__, "args": None, "text": str(error)}
    again = error_of(document)
    assert (type(again), again.args, str(again)) == (OwnerRefused, (type(error).__name__, str(error)), str(error))


@pytest.mark.parametrize(
    ("document", "kind", "text"),
    [
        ({"kind": "Unheard", "args": [1], "text": "of a later version"}, "Unheard", "of a later version"),
        ({"kind": "RunNotFound", "args": [1, 2, 3], "text": "another shape"}, "RunNotFound", "another shape"),
        ({"kind": "Final", "args": ["x"], "text": "no error at all"}, "Final", "no error at all"),
        ({"kind": "ValueError", "args": ["x"], "text": "not ours"}, "ValueError", "not ours"),
        ({"kind": "PlanIssue", "args": ["a", "b", "c"], "text": "a class, no error"}, "PlanIssue", "a class, no error"),
        ("gibberish", "?", "the owner refused, and did not say why"),
        (None, "?", "the owner refused, and did not say why"),
    ],
)
def test_what_cannot_be_made_again_is_a_refusal_and_never_anything_else(
    document: JsonValue, kind: str, text: str
) -> None:
    again = error_of(document)
    assert (type(again), again.args) == (OwnerRefused, (kind, text))
